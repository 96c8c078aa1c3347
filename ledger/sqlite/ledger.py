"""The ledger in a SQLite file: which work runs in which transaction.

The file, its threads and its faults are store/files/sqlite_file.py; the SQL is in the modules beside this
one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlite_utils import Database

from ledger.copies.instance import Instance, instance_of, make_restored
from ledger.sqlite import finding, ordering, reading, shedding, writing
from ledger.sqlite.keeper import SqliteKeeping
from ledger.sqlite.numbers import Known, Names, Texts
from ledger.sqlite.replays import SqliteReplays
from ledger.sqlite.schema import READERS, contents, hash_key
from ledger.tables.rows import Hashes
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
from store.files.host_lease import RENEWAL, boot_id
from store.files.sqlite_file import SqliteFile
from store.secrets import KEYS_FILE, Vault

LOCK_TIMEOUT = 1.0
"""Seconds that a write waits for another process's: writers try again, and must be able to stop."""


class SqliteLedger:
    """The ledger in one file, for the processes of one host.

    vault: by default with the keys in secret.keys beside the file. boot: identifies this host, for tests.
    clock: the database's clock, in Unix seconds. Times are in seconds. keeping: the keeper's part. replays:
    the part for replays. readers: reads at once. longest_read: seconds after which a read is broken off with
    LedgerError.
    """

    def __init__(
        self,
        file: Path,
        *,
        vault: Vault | None = None,
        boot: str | None = None,
        busy_timeout: float = LOCK_TIMEOUT,
        renewal: float = RENEWAL,
        clock: Callable[[], float] = time.time,
        readers: int = READERS,
        longest_read: float | None = None,
    ) -> None:
        self._vault = vault or Vault((), file.with_name(KEYS_FILE))
        self._file = SqliteFile(
            file,
            contents(self._vault, readers=readers, longest_read=longest_read),
            boot=boot or boot_id(),
            busy_timeout=busy_timeout,
            renewal=renewal,
        )
        self._clock = clock
        self._known = Known()
        self._texts = Texts()
        self._hashes = Hashes(b"")
        self.keeping = SqliteKeeping(self._file, clock=clock, texts=self._texts)
        self.replays = SqliteReplays(self._file, clock=clock)

    async def __aenter__(self) -> Self:
        await self._file.__aenter__()
        try:
            self._hashes = Hashes(await self._file.read(lambda db: hash_key(db, self._vault)))
        except BaseException:
            await self._file.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._file.__aexit__(kind, error, trace)

    async def instance(self) -> Instance:
        return await self._file.read(instance_of)

    async def make_restored(self, *, detail: str) -> Instance:
        return await self._file.write(
            lambda db: make_restored(db, detail=detail, now=int(self._clock() * 1000))
        )

    async def write(self, events: Sequence[Event]) -> None:
        def work(db: Database) -> Known:
            names = Names(db, self._known)
            writing.write(db, events, now=int(self._clock() * 1000), names=names, hashes=self._hashes)
            return names.made

        self._known.add(await self._file.write(work))

    async def notificatie(self, id_: UUID) -> Notificatie | None:
        return await self._file.read(lambda db: reading.notificatie(db, id_, self._texts))

    async def search(
        self, search: Search, *, limit: int, after: UUID | None = None, oldest_first: bool = False
    ) -> Sequence[Notificatie]:
        def work(db: Database) -> Sequence[Notificatie]:
            return reading.search(
                db,
                search,
                limit=limit,
                after=after,
                oldest_first=oldest_first,
                hashes=self._hashes,
                texts=self._texts,
            )

        return await self._file.read(work)

    async def deliveries(self, notificaties: Sequence[UUID]) -> Mapping[UUID, Sequence[Delivery]]:
        return await self._file.read(lambda db: reading.deliveries(db, notificaties, self._texts))

    async def delivery(self, key: Key) -> Delivery | None:
        return await self._file.read(lambda db: reading.delivery(db, key))

    async def attempts(self, key: Key) -> Sequence[Attempt]:
        return await self._file.read(lambda db: reading.attempts(db, key))

    async def incomplete(self) -> Sequence[Incomplete]:
        return await self._file.read(reading.incomplete)

    async def backlogs(self, abonnement: UUID | None = None) -> Mapping[UUID, Backlog]:
        return await self._file.read(
            lambda db: reading.backlogs(db, self._texts, now=int(self._clock() * 1000), of=abonnement)
        )

    async def undeliverable(
        self, *, abonnement: UUID | None = None, limit: int, after: Key | None = None
    ) -> Sequence[Delivery]:
        def work(db: Database) -> Sequence[Delivery]:
            return reading.undeliverable(
                db, abonnement=abonnement, limit=limit, after=after, texts=self._texts
            )

        return await self._file.read(work)

    async def undeliverable_count(self) -> int:
        return await self._file.read(finding.undeliverable_count)

    async def undeliverable_counts(self) -> Mapping[UUID, int]:
        return await self._file.read(lambda db: finding.undeliverable_counts(db, self._texts))

    async def counts(self, *, since: int) -> Counts:
        return await self._file.read(lambda db: finding.counts(db, since=since, texts=self._texts))

    async def published(self, *, newest: int) -> Sequence[Published]:
        return await self._file.read(lambda db: finding.published(db, newest=newest, texts=self._texts))

    async def unmatched(self, kanaal: str, *, newest: int, limit: int) -> Sequence[Notificatie]:
        return await self._file.read(
            lambda db: finding.unmatched(db, kanaal, newest=newest, limit=limit, texts=self._texts)
        )

    async def last_delivered(self, abonnement: UUID) -> int | None:
        return await self._file.read(lambda db: finding.last_delivered(db, abonnement))

    async def punctuality(self, *, after: int, before: int | None, late: int) -> Mapping[UUID, Punctuality]:
        return await self._file.read(
            lambda db: finding.punctuality(db, after=after, before=before, late=late, texts=self._texts)
        )

    async def outcomes(self, notificatie: UUID) -> Mapping[State, int]:
        return await self._file.read(lambda db: finding.outcomes(db, notificatie))

    async def per_minute(self, *, since: int) -> Sequence[Minute]:
        return await self._file.read(partial(finding.per_minute, since=since))

    async def deliveries_between(self, first: UUID, last: UUID, *, limit: int) -> Sequence[Delivery]:
        return await self._file.read(
            lambda db: finding.deliveries_between(db, first, last, limit=limit, texts=self._texts)
        )

    async def turns(self, asked: Sequence[Asked]) -> Sequence[Turn]:
        now = int(self._clock() * 1000)
        return await self._file.read(lambda db: [ordering.turn(db, each, now=now) for each in asked])

    async def behind(self, key: Key, *, limit: int) -> Sequence[Behind]:
        return await self._file.read(lambda db: ordering.behind(db, key, limit=limit))

    async def open_of(self, abonnement: UUID, *, states: frozenset[State] = OPEN) -> AsyncIterator[Delivery]:
        last: Delivery | None = None
        while True:
            read = partial(reading.open_page, abonnement=abonnement, states=states, after=last)
            page = await self._file.read(read)
            for last in page:
                yield last
            if len(page) < reading.PAGE:
                return

    async def shed(
        self, *, now: int, bodies_for: float, rows_for: float, counts_for: float, budget: int
    ) -> Shed:
        return await shedding.shed(
            self._file,
            now=now,
            bodies_for=bodies_for,
            rows_for=rows_for,
            counts_for=counts_for,
            budget=budget,
        )
