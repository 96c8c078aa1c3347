"""Reads what can still be read of a damaged ledger, as events for a new one.

Nothing in it is trusted: the rows of each id are read one by one, and what cannot be read is counted. Only
what is not settled is taken over: accepted without RabbitMQ (so only the ledger has it), open, or
undeliverable. Nothing is written to it. damaged_file.py and damaged_tables.py read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from ledger.tables.rows import STATES, Kind, Row, attempt_of, delivery_of
from ledger.values import OPEN, ORIGINAL, Delivery, Entry, Event, Outcome, Probe, State, Unrouted
from schemas.errors import ParseError
from schemas.events.event import fields_of
from schemas.notificatie import kenmerken_of, read_accepted

_WANTED = ", ".join(str(STATES[state]) for state in sorted({*OPEN, State.UNDELIVERABLE}))


class Unreadable(Exception):
    """Rows cannot be read."""


class Damaged(Protocol):
    """A damaged ledger that is opened to be read. Its methods raise Unreadable, but for `ids`."""

    def names(self) -> Sequence[tuple[int, int, str]]:
        """All of `name`."""

    def ids(self, table: str, where: str) -> tuple[set[bytes], bool]:
        """The ids in these rows of a table, as far as they can be read, and whether that is all."""

    def notificatie(self, id_: bytes) -> Sequence[tuple[Any, ...]]:
        """Its received, client, kanaal, resource, actie, catalogue, hops and body; nothing without a body."""

    def deliveries(self, id_: bytes) -> Sequence[tuple[Any, ...]]:
        """Its rows of `delivery`."""

    def attempts(self, id_: bytes, abonnement: int, replay: int) -> Sequence[tuple[Any, ...]]:
        """Each attempt of a delivery: number, at, kind, status, us, detail."""


@dataclass(slots=True)
class Salvaged:
    """How much was taken over.

    unrouted: notificaties that RabbitMQ does not have. unsure, undeliverable: deliveries. unread:
    notificaties of which only the id could be read. whole: whether all ids could be read.
    """

    unrouted: int = 0
    unsure: int = 0
    undeliverable: int = 0
    unread: int = 0
    whole: bool = True


def salvage(source: AbstractContextManager[Damaged], salvaged: Salvaged) -> Iterator[list[Event]]:
    """Yield the events of each notificatie in turn; count them in `salvaged`."""
    with source as damaged:
        try:
            names = {(kind, nr): text for kind, nr, text in damaged.names()}
        except Unreadable:
            salvaged.whole = False
            return
        unrouted, all_unrouted = damaged.ids("unrouted", "open = 1")
        wanted, all_wanted = damaged.ids("delivery", f"state IN ({_WANTED})")
        salvaged.whole = all_unrouted and all_wanted
        for id_ in sorted(unrouted | wanted):
            try:
                yield _events(damaged, id_, names, salvaged, unrouted=id_ in unrouted)
            except (Unreadable, LookupError, ValueError, TypeError, AttributeError, ParseError):
                salvaged.unread += 1


def _events(
    damaged: Damaged,
    id_: bytes,
    names: dict[tuple[int, int], str],
    salvaged: Salvaged,
    *,
    unrouted: bool,
) -> list[Event]:
    """Its entry, its deliveries and their attempts. Raises whatever a damaged row raises."""
    found = damaged.notificatie(id_)
    if not found:
        raise LookupError("no entry, or no body any more")
    rows = [Row._make(row) for row in damaged.deliveries(id_)]
    deliveries = [delivery_of(row, UUID(names[Kind.ABONNEMENT, row.abonnement])) for row in rows]
    entry = _entry(UUID(bytes=id_), found[0], names, deliveries)
    events: list[Event] = [entry, *([Unrouted(entry.id)] if unrouted else [])]
    counts = {State.UNSURE: 0, State.UNDELIVERABLE: 0}
    for row, delivery in zip(rows, deliveries, strict=True):
        attempts = damaged.attempts(id_, row.abonnement, row.replay)
        events += [Probe(delivery.key, attempt_of((*each,))) for each in attempts]
        if unrouted and delivery.state is State.PENDING and not (delivery.round or attempts):
            continue  # the entry makes this delivery
        outcome = _outcome(delivery)
        events.append(outcome)
        if outcome.state in counts:
            counts[outcome.state] += 1
    salvaged.unrouted += unrouted
    salvaged.unsure += counts[State.UNSURE]
    salvaged.undeliverable += counts[State.UNDELIVERABLE]
    return events


def _entry(
    id_: UUID, found: tuple[Any, ...], names: dict[tuple[int, int], str], deliveries: list[Delivery]
) -> Entry:
    received, client, kanaal, resource, actie, catalogue, hops, body = found
    sent = fields_of(read_accepted(body))
    return Entry(
        id=id_,
        received=received,
        client=names[Kind.CLIENT, client],
        kanaal=names[Kind.KANAAL, kanaal],
        resource=resource,
        actie=actie,
        hoofd_object=str(sent.get("hoofdObject", "")),
        resource_url=str(sent.get("resourceUrl", "")),
        kenmerken=kenmerken_of(body) or {},
        body=body,
        catalogue=catalogue,
        matched=tuple(each.key.abonnement for each in deliveries if each.key.replay == ORIGINAL),
        hops=hops,
    )


def _outcome(delivery: Delivery) -> Outcome:
    """Its state; UNSURE where it may have been delivered since the ledger could last be written."""
    on_its_way = delivery.state in (State.PENDING, State.RETURNING, State.RETRYING)
    return Outcome(
        key=delivery.key,
        state=State.UNSURE if on_its_way else delivery.state,
        round=delivery.round,
        attempts=delivery.attempts,
        at=delivery.last_at,
        status=delivery.status,
        ms=delivery.ms,
    )
