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
from router.amqp_direct.queues import queue_of
from router.routing import (
    ABSENT,
    LAST_SLOT,
    has_room,
    header_name,
    header_value,
    plain_or_word,
    slot_pattern,
)
from schemas.abonnement import WILDCARD, Abonnement, FilterGroup
from schemas.fields import EVENTS, normalise
from schemas.kanaal import Kanaal
from schemas.notificatie import ATTRIBUTES, HOOFD_OBJECT

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
    outward: of one of type amqp, the queue that its consumer reads; nothing is bound to it.
    """

    queue: Queue
    back: Binding
    direct: tuple[Binding, ...]
    filtered: tuple[Filtered, ...]
    outward: Queue | None = None

    @property
    def queues(self) -> tuple[Queue, ...]:
        """Its own queue, and the one that its consumer reads, if any."""
        return (self.queue,) if self.outward is None else (self.queue, self.outward)

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
    for group in abonnement.routed:
        if (kanaal := kanalen.get(group.naam)) is None:
            continue
        asked, words = _asked(group, kanaal), _words(group)
        source = of_kanaal(kanaal).name
        if group.naam == EVENTS:  # the deliverer applies these filters: no pattern says "contains"
            direct[Binding(source, queue, key="#")] = None
            continue
        if not asked:
            direct[Binding(source, queue, key=slot_pattern({}, **words) if words else "#")] = None
            continue
        filtered[_filtered(kanaal, asked, words, queue=queue)] = None
        # `-`: the notificatie lacks this kenmerk, or its gateway did not know the slot. It still matches.
        for index in asked:
            direct[Binding(source, queue, key=slot_pattern({index: ABSENT}, **words))] = None
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
        outward=_outward(abonnement) if abonnement.is_amqp else None,
    )


def _outward(abonnement: Abonnement) -> Queue:
    return Queue(names.amqp_queue(abonnement.uuid), queue_of(abonnement.callback_url).arguments)


def _wanted(group: FilterGroup) -> dict[str, str]:
    return {normalise(name): value for name, value in group.filters if value != WILDCARD}


def _asked(group: FilterGroup, kanaal: Kanaal) -> dict[int, tuple[str, str]]:
    """Name and value that a group asks, by index of its slot; the deliverer checks filters without a slot."""
    wanted = _wanted(group)
    asked = {
        index: (slot, wanted[slot])
        for index, slot in enumerate(kanaal.slots)
        if slot in wanted and slot not in ATTRIBUTES
    }
    if HOOFD_OBJECT in wanted and has_room(kanaal.slots):
        asked[LAST_SLOT] = (HOOFD_OBJECT, wanted[HOOFD_OBJECT])
    return asked


def _words(group: FilterGroup) -> dict[str, str]:
    """The words of resource and actie that it asks; each message has both."""
    wanted = _wanted(group)
    return {
        ATTRIBUTES[name]: plain_or_word(wanted[name]) for name in ("#resource", "#actie") if name in wanted
    }


def _filtered(
    kanaal: Kanaal, asked: Mapping[int, tuple[str, str]], words: Mapping[str, str], *, queue: str
) -> Filtered:
    pattern = slot_pattern({index: names.word(value) for index, (_, value) in asked.items()}, **words)
    name = names.filter_exchange(kanaal.naam, pattern)
    match = (
        ("x-match", "all"),
        *((header_name(slot), header_value(value)) for slot, value in asked.values()),
    )
    return Filtered(
        exchange=Exchange(name, "headers", auto_delete=True),
        feed=Binding(of_kanaal(kanaal).name, name, key=pattern, to="exchange"),
        match=Binding(name, queue, arguments=match),
    )
