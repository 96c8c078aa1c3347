"""What a store of the ledger guarantees, whatever database is behind it (tests/contract/stores/).

All methods are coroutines, safe to call from several processes at once, atomic, and durable when they
return: on disk, not in a cache of the operating system. They raise LedgerError and nothing of the database's
own. They ask nothing that SQLite or PostgreSQL cannot do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from ledger.copies.instance import Instance
from ledger.keeper_ledger import KeeperLedger
from ledger.operating.replays import ReplayLedger
from ledger.tables.turns import Asked, Behind, Turn
from ledger.values import (
    OPEN,
    Attempt,
    Backlog,
    Counts,
    Delivery,
    Event,
    Incomplete,
    Key,
    Minute,
    Notificatie,
    Published,
    Punctuality,
    Search,
    Shed,
    State,
)

RECENT = 1000
"""Deliveries of an abonnement that are gone through to see when it last got something."""


class Ledger(Protocol):
    """The account of every accepted notificatie and of each abonnement that it was for."""

    @property
    def keeping(self) -> KeeperLedger:
        """The methods for the keeper."""

    @property
    def replays(self) -> ReplayLedger:
        """Replays: past notificaties that are sent to an abonnement again."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def instance(self) -> Instance:
        """Which ledger this is, and how often it was marked."""

    async def make_restored(self, *, detail: str) -> Instance:
        """Make this copy the ledger of a restored system; no process uses it yet.

        It gets a new id, and an open gap over everything, by which what is open is given back. detail: which
        copy it is, for people.
        """

    async def write(self, events: Sequence[Event]) -> None:
        """Write all of these in one transaction, or none. In any order, and twice too: `merge_key` decides.

        An Entry makes a PENDING delivery for each abonnement in `matched`; of one that is there already,
        for those that have none. An Outcome of a notificatie that is not in the ledger (accepted by an older
        version, or its entry not written yet) is kept too.
        Counts per minute are of rows that really changed. Without events: tests whether it can write at all.
        Raises LedgerFull when an entry would go over the budget, and nothing can be shed.
        """

    async def notificatie(self, id_: UUID) -> Notificatie | None:
        """One notificatie with its body."""

    async def search(
        self, search: Search, *, limit: int, after: UUID | None = None, oldest_first: bool = False
    ) -> Sequence[Notificatie]:
        """The notificaties found, without bodies, the newest first. after: the last of the page before."""

    async def deliveries(self, notificaties: Sequence[UUID]) -> Mapping[UUID, Sequence[Delivery]]:
        """The deliveries of each of these, by abonnement and replay."""

    async def delivery(self, key: Key) -> Delivery | None:
        """One delivery; a deliverer reads it before an attempt that is not the first."""

    async def attempts(self, key: Key) -> Sequence[Attempt]:
        """Its failed attempts and probes, and when it was given back (kind RETURNED), the oldest first."""

    async def incomplete(self) -> Sequence[Incomplete]:
        """The times in which it may lack accepted notificaties, the oldest first."""

    async def backlogs(self, abonnement: UUID | None = None) -> Mapping[UUID, Backlog]:
        """What is open of each abonnement that has anything open, or of this one only."""

    async def undeliverable(
        self, *, abonnement: UUID | None = None, limit: int, after: Key | None = None
    ) -> Sequence[Delivery]:
        """What is undeliverable, the oldest first."""

    async def undeliverable_count(self) -> int:
        """How many deliveries are undeliverable."""

    async def undeliverable_counts(self) -> Mapping[UUID, int]:
        """How many notificaties are undeliverable for each abonnement that has any."""

    async def counts(self, *, since: int) -> Counts:
        """What was counted from the minute of this moment on. since: milliseconds since 1970."""

    async def published(self, *, newest: int) -> Sequence[Published]:
        """Who published what, of so many of the newest notificaties, by kanaal and application."""

    async def unmatched(self, kanaal: str, *, newest: int, limit: int) -> Sequence[Notificatie]:
        """Those on this kanaal that were for no abonnement, of so many of the newest on all; newest first."""

    async def last_delivered(self, abonnement: UUID) -> int | None:
        """When this abonnement last got something, in milliseconds since 1970.

        Of the newest RECENT deliveries that it is done with, and of as many that were sent again last.
        """

    async def punctuality(self, *, after: int, before: int | None, late: int) -> Mapping[UUID, Punctuality]:
        """How deliveries went, by abonnement, of what was accepted in this time (milliseconds).

        late: milliseconds from accepted to delivered. Reads every delivery of that time.
        """

    async def outcomes(self, notificatie: UUID) -> Mapping[State, int]:
        """How many deliveries of a notificatie are in each state, without replays."""

    async def per_minute(self, *, since: int) -> Sequence[Minute]:
        """What was counted from the minute of this moment on (milliseconds), the oldest first.

        Without minutes in which there was nothing.
        """

    async def deliveries_between(self, first: UUID, last: UUID, *, limit: int) -> Sequence[Delivery]:
        """Deliveries of notificaties with an id from `first` to `last`, by id; also without an entry."""

    async def turns(self, asked: Sequence[Asked]) -> Sequence[Turn]:
        """For each of these what is known of its turn, for abonnementen with order per hoofdObject."""

    async def behind(self, key: Key, *, limit: int) -> Sequence[Behind]:
        """The open deliveries behind this one, of the same replay and hoofdObject, the oldest first."""

    def open_of(self, abonnement: UUID, *, states: frozenset[State] = OPEN) -> AsyncIterator[Delivery]:
        """All that is open of one abonnement, in one of these states, the oldest first, read in pages."""

    async def shed(
        self, *, now: int, bodies_for: float, rows_for: float, counts_for: float, budget: int
    ) -> Shed:
        """Remove what is past its retention, and what exceeds the budget, in small transactions.

        now: milliseconds since 1970. Bodies `bodies_for` seconds after the last delivery was settled, rows
        after `rows_for`, counts after `counts_for`. What is open keeps its rows, and its body for 30 days;
        what is undeliverable keeps both.
        While more than `budget` bytes are in use, in this order and the oldest first: bodies of what is
        settled, rows of what is settled, and what was undeliverable for `rows_for` seconds; the last is noted
        in `incomplete`. `write` raises LedgerFull for entries while nothing more can be shed, or when the
        ledger is a tenth over this budget.
        """
