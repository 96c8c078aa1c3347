"""The names of everything that this product has in RabbitMQ. Made here and nowhere else."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID, uuid4

from schemas.fields import EVENTS

READY = "nrc.ready"
HELD = "held"  # the key by which processes are bound to it
CHANGES = "nrc.changes"
RETURN = "nrc.return"
UNDELIVERABLE = "nrc.undeliverable"
CANARY = "nrc.canary"
CLOUDEVENTS = "nrc.cloudevents"
REQUESTS = "nrc.router"

FILTER_PREFIX = "nrc.filter."
"""Prefix of the headers exchanges."""

KENMERK_PREFIX = "k."
"""Prefix of the headers with kenmerken."""

ABONNEMENT_HEADER = "nrc-abonnement"
"""On a message that a deliverer published again: the UUID of its abonnement."""

_PLAIN_NAAM = re.compile(r"[A-Za-z0-9_.:-]{1,50}")
_ABONNEMENT = re.compile(r"nrc\.abonnement\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_AMQP = "nrc.amqp."
_MARKER = "nrc.marker."
_WAIT = re.compile(r"nrc\.wait\.(\d+)")


@lru_cache(maxsize=65536)
def word(text: str) -> str:
    """The 64-bit BLAKE2b of text in URL-safe base64: 11 characters, no dot, `*` or `#`."""
    return urlsafe_b64encode(blake2b(text.encode(), digest_size=8).digest())[:11].decode()


def kanaal_exchange(naam: str) -> str:
    """The topic exchange of a kanaal. A naam that RabbitMQ or the client library refuses becomes `@word`.

    Of EVENTS, which stands for CloudEvents, it is `nrc.cloudevents`.
    """
    if _PLAIN_NAAM.fullmatch(naam):
        return "nrc.kanaal." + naam
    return CLOUDEVENTS if naam == EVENTS else "nrc.kanaal.@" + word(naam)


def filter_exchange(naam: str, pattern: str) -> str:
    """The headers exchange that is bound to a kanaal's topic exchange by exactly this pattern."""
    digest = blake2b(f"{naam}\x00{pattern}".encode(), digest_size=16).digest()
    return f"{FILTER_PREFIX}{urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def changes_queue() -> str:
    """A new name for a process's queue of hints."""
    return f"{CHANGES}.{uuid4()}"


def abonnement_queue(uuid: UUID) -> str:
    """The queue of an abonnement."""
    return f"nrc.abonnement.{uuid}"


def marker(queue: str, ways: str) -> str:
    """The exchange that shows that all bindings (`ways`) to the queue of an abonnement exist."""
    return f"{_MARKER}{queue.removeprefix('nrc.abonnement.')}.{word(ways)}"


def marked(exchange: str) -> str:
    """The queue of the abonnement whose marker this is; "" for other names."""
    if not exchange.startswith(_MARKER):
        return ""
    return f"nrc.abonnement.{exchange.removeprefix(_MARKER).rpartition('.')[0]}"


def abonnement_of(queue: str) -> UUID | None:
    """The abonnement whose queue this is; None for other names."""
    match = _ABONNEMENT.fullmatch(queue)
    return UUID(match[1]) if match else None


def amqp_queue(uuid: UUID) -> str:
    """The queue that the consumer of an abonnement of type amqp reads; its user in RabbitMQ has this name."""
    return f"{_AMQP}{uuid}"


def abonnement_of_amqp(name: str) -> UUID | None:
    """The abonnement whose consumer has this queue or user; None for other names."""
    if not name.startswith(_AMQP):
        return None
    return abonnement_of(f"nrc.abonnement.{name.removeprefix(_AMQP)}")


def wait_queue(seconds: int) -> str:
    """The queue, and the fanout exchange before it, in which a message waits this long."""
    return f"nrc.wait.{seconds}"


def wait_seconds(queue: str) -> int | None:
    """How long the messages of a wait queue wait; None for other names."""
    match = _WAIT.fullmatch(queue)
    return int(match[1]) if match else None
