"""The exchanges, queues and bindings that must exist in RabbitMQ, as values. Pure: `declarer` declares them.

Fixed things (`fixed`), an exchange per kanaal (`of_kanaal`), and per abonnement a queue with its bindings and
a marker (`of_abonnement`). No argument of a queue comes from a setting: they cannot change once declared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from router import names
from router.routing import ABSENT, header_name, header_value, slot_pattern
from schemas.abonnement import WILDCARD, Abonnement, FilterGroup
from schemas.fields import normalise
from schemas.kanaal import Kanaal

ExchangeType = Literal["topic", "headers", "fanout", "direct"]
Arguments = tuple[tuple[str, str | int], ...]

# Seconds, 1 to 2048: a Retry-After is waited out in steps of these.
RUNGS = tuple(2**power for power in range(12))

_QUORUM: Arguments = (
    ("x-queue-type", "quorum"),
    # RabbitMQ 4 drops a message after 20 returns by default; -1 means zero on 3.10.
    ("x-delivery-limit", 100_000),
)
_AT_LEAST_ONCE: Arguments = (
    ("x-dead-letter-strategy", "at-least-once"),
    ("x-overflow", "reject-publish"),
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: ExchangeType
    auto_delete: bool = False
    arguments: Arguments = ()


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue."""

    name: str
    arguments: Arguments = _QUORUM


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding from an exchange to a queue, or to another exchange."""

    source: str
    destination: str
    key: str = ""
    arguments: Arguments = ()
    to: Literal["queue", "exchange"] = "queue"

    def frozen(self) -> str:
        """As text, to be noted in the registry (`Declared.key`)."""
        return json.dumps([self.source, self.destination, self.key, dict(self.arguments), self.to])

    @staticmethod
    def thaw(text: str) -> Binding:
        """The binding that `frozen` noted."""
        source, destination, key, arguments, to = json.loads(text)
        return Binding(source, destination, key, tuple(arguments.items()), to)


@dataclass(frozen=True, slots=True)
class Filtered:
    """A filter exchange with its bindings: from the kanaal by one pattern, to the queue by headers.

    The exchange is auto-delete: RabbitMQ deletes it, and `feed`, with the last binding from it. When that
    happens while the three are declared, all three must be declared again.
    """

    exchange: Exchange
    feed: Binding
    match: Binding


@dataclass(frozen=True, slots=True)
class AbonnementTopology:
    """An abonnement's queue, all bindings to it, and a marker that shows that these exist.

    back: from `nrc.return`, for retries. direct: from kanalen, without a filter exchange. The marker is an
    auto-delete exchange, bound to the queue and deleted with it. Its name has a fingerprint of the bindings.
    """

    queue: Queue
    back: Binding
    direct: tuple[Binding, ...]
    filtered: tuple[Filtered, ...]

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """All bindings of this abonnement alone, except the marker's."""
        return (self.back, *self.direct, *(way.match for way in self.filtered))

    @property
    def marker(self) -> Exchange:
        """Declared after all bindings, and removed before any of them."""
        ways = sorted(binding.frozen() for binding in (*self.bindings, *(way.feed for way in self.filtered)))
        return Exchange(names.marker(self.queue.name, "\n".join(ways)), "fanout", auto_delete=True)

    @property
    def marking(self) -> Binding:
        """The marker's binding, by which it is deleted with the queue."""
        return Binding(self.marker.name, self.queue.name)


@dataclass(frozen=True, slots=True)
class FixedTopology:
    """What does not depend on kanalen and abonnementen."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]


def fixed(retry_schedule: Iterable[int]) -> FixedTopology:
    """`nrc.changes`, `nrc.undeliverable`, `nrc.canary`, `nrc.return`, and a wait queue per step and rung."""
    waits = sorted({*retry_schedule, *RUNGS})
    return FixedTopology(
        exchanges=(
            Exchange(names.CHANGES, "fanout"),
            Exchange(names.UNDELIVERABLE, "fanout"),
            # An at-least-once dead letter that is routed nowhere stays, and 32 of them stop all retries. The
            # alternate exchange takes those of a removed abonnement.
            Exchange(names.RETURN, "direct", arguments=(("alternate-exchange", names.UNDELIVERABLE),)),
            *(Exchange(names.wait_queue(seconds), "fanout") for seconds in waits),
        ),
        queues=(
            Queue(names.UNDELIVERABLE),
            Queue(names.CANARY),
            *(Queue(names.wait_queue(seconds), _wait_arguments(seconds)) for seconds in waits),
        ),
        bindings=(
            Binding(names.UNDELIVERABLE, names.UNDELIVERABLE),
            *(Binding(names.wait_queue(seconds), names.wait_queue(seconds)) for seconds in waits),
        ),
    )


def _wait_arguments(seconds: int) -> Arguments:
    return (
        *_QUORUM,
        ("x-message-ttl", seconds * 1000),
        ("x-dead-letter-exchange", names.RETURN),
        *_AT_LEAST_ONCE,
    )


REQUESTS_QUEUE = Queue(names.REQUESTS, (*_QUORUM, ("x-single-active-consumer", True)))


def of_kanaal(kanaal: Kanaal) -> Exchange:
    """The exchange of a kanaal."""
    return Exchange(names.kanaal_exchange(kanaal.naam), "topic")


def of_abonnement(abonnement: Abonnement, kanalen: Mapping[str, Kanaal]) -> AbonnementTopology:
    """What must exist for an abonnement; a kanaal that `kanalen` lacks has no bindings yet."""
    queue = names.abonnement_queue(abonnement.uuid)
    direct: dict[Binding, None] = {}
    filtered: dict[Filtered, None] = {}
    for group in abonnement.kanalen:
        if (kanaal := kanalen.get(group.naam)) is None:
            continue
        asked = _asked(group, kanaal)
        source = of_kanaal(kanaal).name
        if not asked:
            direct[Binding(source, queue, key="#")] = None
            continue
        filtered[_filtered(kanaal, asked, queue=queue)] = None
        # `-`: the notificatie lacks this kenmerk, or its gateway did not know the slot. It still matches.
        for index in asked:
            direct[Binding(source, queue, key=slot_pattern({index: ABSENT}))] = None
    arguments: Arguments = (
        *_QUORUM,
        ("x-dead-letter-exchange", names.UNDELIVERABLE),
        *_AT_LEAST_ONCE,
    )
    return AbonnementTopology(
        queue=Queue(queue, arguments),
        back=Binding(names.RETURN, queue, key=queue),
        direct=tuple(direct),
        filtered=tuple(filtered),
    )


def _asked(group: FilterGroup, kanaal: Kanaal) -> dict[int, str]:
    """The values that a group asks, by index of its slot; the deliverer checks filters without a slot."""
    wanted = {normalise(name): value for name, value in group.filters if value != WILDCARD}
    return {index: wanted[slot] for index, slot in enumerate(kanaal.slots) if slot in wanted}


def _filtered(kanaal: Kanaal, asked: Mapping[int, str], *, queue: str) -> Filtered:
    pattern = slot_pattern({index: names.word(value) for index, value in asked.items()})
    name = names.filter_exchange(kanaal.naam, pattern)
    match = (
        ("x-match", "all"),
        *((header_name(kanaal.slots[index]), header_value(value)) for index, value in asked.items()),
    )
    return Filtered(
        exchange=Exchange(name, "headers", auto_delete=True),
        feed=Binding(of_kanaal(kanaal).name, name, key=pattern, to="exchange"),
        match=Binding(name, queue, arguments=match),
    )
