"""The queue that the consumer of an abonnement of type amqp reads: how it connects, what is in it."""

from __future__ import annotations

from dataclasses import dataclass

from console.page import Refused, Visit
from operating import abonnementen
from router.amqp_direct.connecting import connection_of
from router.amqp_direct.passwords import new_password
from router.queue_depth import depth_of
from schemas.abonnement import Abonnement
from schemas.errors import BrokerError, Conflict

CONNECTED_WITHIN = 1.0  # seconds
_KINDS = {"quorum": "wachtrij (quorum)", "stream": "stream"}
_LIMITS = {"maxLength": "{} berichten", "maxBytes": "{} bytes", "maxAge": "{} seconden bewaard"}


@dataclass(frozen=True, slots=True)
class OfQueue:
    """What its consumer reads. holds: its limits, in words. messages, consumers: None when not known."""

    url: str
    user: str
    kind: str
    holds: str
    messages: int | None
    consumers: int | None


@dataclass(frozen=True, slots=True)
class NewPassword:
    """Shown once. ready: whether RabbitMQ has it already; if not, an operator tells RabbitMQ."""

    url: str
    user: str
    password: str
    ready: bool


async def queue_of(visit: Visit, abonnement: Abonnement) -> OfQueue | None:
    """What the consumer of this one reads; None of another type."""
    if not abonnement.is_amqp:
        return None
    connection = connection_of(abonnement, visit.console.settings)
    messages = consumers = None
    try:
        link = await visit.console.link.connected(within=CONNECTED_WITHIN)
        if (depth := await depth_of(link, connection.queue)) is not None:
            messages, consumers = depth.messages, depth.consumers
    except BrokerError:
        pass  # the page says that it is not known
    limits = connection.of.limits.items()
    return OfQueue(
        connection.url,
        connection.user,
        _KINDS[connection.of.kind],
        ", ".join(_LIMITS[name].format(f"{value:,}".replace(",", ".")) for name, value in limits),
        messages,
        consumers,
    )


async def renewed(visit: Visit, abonnement: Abonnement) -> NewPassword:
    """Another password for its consumer. Raises Refused."""
    console, password = visit.console, new_password()
    connection = connection_of(abonnement, console.settings)
    try:
        ready = await abonnementen.renew_amqp_password(
            console.registry, visit.log, abonnement, password, router=console.router
        )
    except Conflict:
        raise Refused("Het abonnement is intussen verwijderd.") from None
    except BrokerError:
        raise Refused("RabbitMQ neemt nu geen ander wachtwoord aan. Probeer het zo opnieuw.") from None
    return NewPassword(connection.url, connection.user, password, ready)
