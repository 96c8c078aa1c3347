"""Where the consumer of an abonnement of type amqp connects, and what its RabbitMQ user may do. Pure.

The user is named after the queue. It may read that queue, and nothing else: it configures and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from yarl import URL

from router import names
from router.amqp_direct.passwords import ALGORITHM, hash_of
from router.amqp_direct.queues import AmqpQueue, queue_of
from runtime.settings import Settings
from schemas.abonnement import Abonnement, FilterGroup
from schemas.urls import read_url

LIMITS = {"max-connections": 10, "max-channels": 50}
"""Of each user: enough for a handful of processes."""
NOTHING = "^$"
"""A right that matches no name. An empty text would do as well, and looks like a slip."""


def rights_of(user: str) -> dict[str, str]:
    """The permission of a user in our virtual host, as RabbitMQ has it."""
    escaped = user.replace(".", r"\.")
    return {"configure": NOTHING, "write": NOTHING, "read": f"^{escaped}$"}


def amqp_abonnement(
    uuid: UUID, *, of: AmqpQueue, kanalen: tuple[FilterGroup, ...], client_id: str, password: str
) -> Abonnement:
    """A new one, as the registry keeps it: with the hash of the password, in place of an `auth`."""
    return Abonnement(uuid, of.url(uuid), hash_of(password), kanalen, client_id)


@dataclass(frozen=True, slots=True)
class Connection:
    """What a consumer needs to connect, but for the password. url: without user and password."""

    url: str
    user: str
    queue: str
    of: AmqpQueue

    def facts(self) -> dict[str, Any]:
        """For JSON, by the names of the API."""
        limits = self.of.limits
        return {"url": self.url, "user": self.user, "queue": self.queue, "kind": self.of.kind.value, **limits}

    def with_password(self, password: str) -> str:
        """The URL with user and password, as AMQP clients take it."""
        return str(URL(self.url).with_user(self.user).with_password(password))


def connection_of(abonnement: Abonnement, settings: Settings) -> Connection:
    """How the consumer of this one connects."""
    queue = names.amqp_queue(abonnement.uuid)
    return Connection(url_of(settings), queue, queue, queue_of(abonnement.callback_url))


def url_of(settings: Settings) -> str:
    """NRC_AMQP_DIRECT_URL, or NRC_AMQP_URL without user and password; "" where neither is set."""
    if settings.amqp_direct_url:
        return settings.amqp_direct_url
    if not settings.amqp_url:
        return ""
    return str(read_url(settings.amqp_url[0]).with_user(None).with_query(None))


def vhost_of(url: str) -> str:
    """The virtual host of an AMQP URL, as the client library reads it."""
    return read_url(url).path[1:] or "/"


def definitions(abonnementen: Iterable[Abonnement], *, vhost: str) -> dict[str, Any]:
    """Users and permissions of these, as `rabbitmqctl import_definitions` takes them; no password."""
    of = {names.amqp_queue(each.uuid): each.auth for each in abonnementen}
    return {
        "users": [
            {
                "name": user,
                "password_hash": hash_,
                "hashing_algorithm": ALGORITHM,
                "tags": [],
                "limits": LIMITS,
            }
            for user, hash_ in of.items()
        ],
        "permissions": [{"user": user, "vhost": vhost, **rights_of(user)} for user in of],
    }
