"""The ledger in a PostgreSQL database: which work runs in which transaction.

Connections, retries and errors are store/database's; the SQL is in the modules beside this one.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID

from psycopg.rows import DictRow

from ledger.copies.instance import Instance
from ledger.copies.recent import Recent
from ledger.postgresql import finding, reading
from ledger.postgresql.clock import TIMELINE, Clock, beginning, sign_of_history
from ledger.postgresql.keeper import PostgresqlKeeping, instance_of, make_restored
from ledger.postgresql.names import Name, Names
from ledger.postgresql.replays import PostgresqlReplays
from ledger.postgresql.schema import LONGEST, READERS, SLOTS, contents, hash_key
from ledger.postgresql.shedding import Shedding
from ledger.postgresql.writing import Writing, names_in
from ledger.tables.rows import Hashes
from ledger.tables.turns import Asked, Behind, Turn
from ledger.values import (
    OPEN,
    Attempt,
    Backlog,
    Counts,
    Delivery,
    Entry,
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
from runtime.log import logger
from schemas.errors import LedgerError
from store.database.address import Address, Connection
from store.database.database import Database
from store.secrets import Vault

PATIENCE = 3.0
"""Seconds for which a transaction waits for a lock or for the database: writers try again by themselves.

More than the second after which PostgreSQL looks for a deadlock, and ends one of them: that one tries again.
"""

log = logger(__name__)
T = TypeVar("T")


class PostgresqlLedger:
    """The ledger in one schema of a database, for the processes of any number of hosts.

    clock: in place of the database's, in Unix seconds, for tests. keeping: the keeper's part. replays: the
    part for replays. readers: reads at once. longest_read: seconds after which a statement is broken off with
    LedgerError. recent: what this process wrote, when it opens the ledger again.
    """

    def __init__(
        self,
        address: Address,
        *,
        vault: Vault,
        clock: Callable[[], float] | None = None,
        readers: int = READERS,
        longest_read: float | None = None,
        patience: float = PATIENCE,
        recent: Recent | None = None,
    ) -> None:
        self._vault = vault
        self._clock = Clock(clock)
        of = contents(vault, self._clock, most=readers + 1, longest=longest_read or LONGEST)
        self._database = Database(address, of, patience=patience)
        self._slot = random.randrange(SLOTS)  # noqa: S311 - to spread, not to hide
        self._names = Names()
        self._hashes = Hashes(b"")
        self._recent = recent or Recent()
        self._timeline = TIMELINE
        self._shedding = Shedding(self._database, slot=self._slot)
        self.keeping = PostgresqlKeeping(
            self._database, clock=self._clock, names=self._names, slot=self._slot
        )
        self.replays = PostgresqlReplays(
            self._database, clock=self._clock, names=self._names, slot=self._slot
        )

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        try:
            self._hashes = Hashes(await self._read(hash_key, self._vault))
            self._timeline = await self._read(sign_of_history)
        except BaseException:
            await self._database.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._database.__aexit__(kind, error, trace)

    async def instance(self) -> Instance:
        return await self._read(instance_of)

    async def make_restored(self, *, detail: str) -> Instance:
        async def work(connection: Connection) -> Instance:
            return await make_restored(connection, detail=detail, now=await self._clock.now(connection))

        return await self._database.write(work)

    async def write(self, events: Sequence[Event]) -> None:
        timeline = await self._commit(events)
        self._recent.add(timeline, events)
        if lacking := self._recent.elsewhere(timeline):
            await self._write_again(lacking, timeline)

    async def _commit(self, events: Sequence[Event]) -> str:
        """Write these; returns the timeline on which they are committed."""
        names = names_in(events)

        async def work(connection: Connection, begun: DictRow) -> tuple[list[Name], str]:
            new = await self._names.write(connection, names)
            writing = Writing(
                connection,
                now=self._clock.told(begun["now"]),
                names=self._names,
                hashes=self._hashes,
                slot=self._slot,
                room=begun,
            )
            await writing.write(events)
            return new, begun["timeline"]

        question = beginning(timeline=self._timeline, room=any(isinstance(each, Entry) for each in events))
        # Merged twice is merged once, so it may be done again when nobody knows whether it was committed.
        new, timeline = await self._database.write_knowing(question, work, repeatable=True)
        self._names.written(new)
        return timeline

    async def _write_again(self, lacking: Sequence[Sequence[Event]], timeline: str) -> None:
        """Write again what was committed before a standby took over, which may lack it.

        What fails is tried again after the next commit: that one succeeded, and says so.
        """
        self._names.forget_written()
        try:
            for events in lacking:
                await self._commit(events)
        except LedgerError as error:
            log.warning("not written again after a failover yet", reason=str(error))
            return
        self._recent.are_on(timeline)
        log.warning(
            "written again after a failover",
            database=self._database.address.shown,
            events=sum(map(len, lacking)),
            commits=len(lacking),
        )

    async def notificatie(self, id_: UUID) -> Notificatie | None:
        return await self._read(reading.notificatie, id_, self._names)

    async def search(
        self, search: Search, *, limit: int, after: UUID | None = None, oldest_first: bool = False
    ) -> Sequence[Notificatie]:
        return await self._database.read(
            partial(
                reading.search,
                asked=search,
                limit=limit,
                after=after,
                oldest_first=oldest_first,
                hashes=self._hashes,
                names=self._names,
            )
        )

    async def deliveries(self, notificaties: Sequence[UUID]) -> Mapping[UUID, Sequence[Delivery]]:
        return await self._read(reading.deliveries, notificaties, self._names)

    async def delivery(self, key: Key) -> Delivery | None:
        return await self._read(reading.delivery, key, self._names)

    async def attempts(self, key: Key) -> Sequence[Attempt]:
        return await self._read(reading.attempts, key, self._names)

    async def incomplete(self) -> Sequence[Incomplete]:
        return await self._read(reading.incomplete)

    async def backlogs(self, abonnement: UUID | None = None) -> Mapping[UUID, Backlog]:
        async def work(connection: Connection) -> Mapping[UUID, Backlog]:
            now = await self._clock.now(connection)
            return await reading.backlogs(connection, self._names, now=now, of=abonnement)

        return await self._database.read(work)

    async def undeliverable(
        self, *, abonnement: UUID | None = None, limit: int, after: Key | None = None
    ) -> Sequence[Delivery]:
        return await self._database.read(
            partial(reading.undeliverable, abonnement=abonnement, limit=limit, after=after, names=self._names)
        )

    async def undeliverable_count(self) -> int:
        return await self._read(finding.undeliverable_count)

    async def undeliverable_counts(self) -> Mapping[UUID, int]:
        return await self._read(finding.undeliverable_counts, self._names)

    async def counts(self, *, since: int) -> Counts:
        return await self._database.read(partial(finding.counts, since=since, names=self._names))

    async def published(self, *, newest: int) -> Sequence[Published]:
        return await self._database.read(partial(finding.published, newest=newest, names=self._names))

    async def unmatched(self, kanaal: str, *, newest: int, limit: int) -> Sequence[Notificatie]:
        return await self._database.read(
            partial(finding.unmatched, kanaal=kanaal, newest=newest, limit=limit, names=self._names)
        )

    async def last_delivered(self, abonnement: UUID) -> int | None:
        return await self._read(finding.last_delivered, abonnement, self._names)

    async def punctuality(self, *, after: int, before: int | None, late: int) -> Mapping[UUID, Punctuality]:
        return await self._database.read(
            partial(finding.punctuality, after=after, before=before, late=late, names=self._names)
        )

    async def outcomes(self, notificatie: UUID) -> Mapping[State, int]:
        return await self._read(finding.outcomes, notificatie)

    async def per_minute(self, *, since: int) -> Sequence[Minute]:
        return await self._database.read(partial(finding.per_minute, since=since))

    async def deliveries_between(self, first: UUID, last: UUID, *, limit: int) -> Sequence[Delivery]:
        return await self._database.read(
            partial(finding.deliveries_between, first_id=first, last_id=last, limit=limit, names=self._names)
        )

    async def turns(self, asked: Sequence[Asked]) -> Sequence[Turn]:
        async def work(connection: Connection) -> list[Turn]:
            now = await self._clock.now(connection)
            return [await finding.turn(connection, each, self._names, now=now) for each in asked]

        return await self._database.read(work)

    async def behind(self, key: Key, *, limit: int) -> Sequence[Behind]:
        return await self._database.read(partial(finding.behind, key=key, limit=limit, names=self._names))

    async def open_of(self, abonnement: UUID, *, states: frozenset[State] = OPEN) -> AsyncIterator[Delivery]:
        last: Delivery | None = None
        while True:
            read = partial(
                reading.open_page, abonnement=abonnement, states=states, after=last, names=self._names
            )
            page = await self._database.read(read)
            for last in page:
                yield last
            if len(page) < reading.PAGE:
                return

    async def shed(
        self, *, now: int, bodies_for: float, rows_for: float, counts_for: float, budget: int
    ) -> Shed:
        return await self._shedding.shed(
            now=now,
            bodies_for=bodies_for,
            rows_for=rows_for,
            counts_for=counts_for,
            budget=budget,
        )

    async def _read(self, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
        return await self._database.read(lambda connection: work(connection, *arguments))
