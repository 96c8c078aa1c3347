"""Replays in the PostgreSQL ledger: the SQL of ledger/operating/replays.py."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from ledger.operating.replays import FIRST_ROUND, UNFINISHED, Plan, Progress, Replay
from ledger.postgresql.clock import STAMPED, Clock
from ledger.postgresql.keeper import change_rows, check_epoch, insert_counted
from ledger.postgresql.names import Names
from ledger.tables.replays import COLUMNS, packed, replay_of
from ledger.tables.rows import STATES, Counter, Kind, Row, pending_row
from ledger.values import State
from store.database.address import Connection
from store.database.database import Database
from store.database.statements import do, first, no_nul, rows
from store.database.statements import number as one_number

_RETURNING, _REMOVED = STATES[State.RETURNING], STATES[State.REMOVED]
# By the index of uncommon states: there are few that are RETURNING.
_UNPUBLISHED = f"FROM delivery WHERE state = {_RETURNING} AND state NOT IN (0, 7) AND replay = %s"


class PostgresqlReplays:
    """The replays of a ledger."""

    def __init__(self, database: Database, *, clock: Clock, names: Names, slot: int) -> None:
        self._database = database
        self._clock = clock
        self._names = names
        self._slot = slot

    async def make(self, plan: Plan, *, progress: Progress = Progress.RUNNING) -> Replay:
        """As `ReplayLedger.make`."""
        sent = 0 if progress in UNFINISHED else plan.total

        async def work(connection: Connection) -> Replay:
            made = await self._clock.now(connection)
            ended = None if progress in UNFINISHED else made
            insert = (
                "INSERT INTO replay (made, ended, progress, abonnement, search, reason, rate, unmatched, "
                "total, sent, lacking) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING nr"
            )
            nr = await one_number(
                connection, insert, made, ended, progress, str(plan.abonnement), packed(plan.search),
                no_nul(plan.reason), plan.rate, int(plan.unmatched), plan.total, sent,
                int(plan.lacking),
            )  # fmt: skip
            return Replay(nr, plan, made, progress, sent=sent, ended=ended)

        return await self._database.write(work)

    async def replay(self, number: int) -> Replay | None:
        """As `ReplayLedger.replay`."""
        select = f"SELECT {COLUMNS} FROM replay WHERE nr = %s"  # noqa: S608
        row = await self._database.read(lambda connection: first(connection, select, number))
        return None if row is None else replay_of(row)

    async def replays(self, *, limit: int, unfinished: bool = False) -> Sequence[Replay]:
        """As `ReplayLedger.replays`."""
        where = f"WHERE progress IN ('{Progress.RUNNING}', '{Progress.PAUSED}')" if unfinished else ""
        select = f"SELECT {COLUMNS} FROM replay {where} ORDER BY nr DESC LIMIT %s"  # noqa: S608
        found = await self._database.read(lambda connection: rows(connection, select, limit))
        return list(map(replay_of, found))

    async def change(self, number: int, progress: Progress) -> bool:
        """As `ReplayLedger.change`."""

        async def work(connection: Connection) -> bool:
            now = await self._clock.now(connection)
            update = (
                "UPDATE replay SET progress = %s, ended = %s WHERE nr = %s AND ended IS NULL "
                "AND progress != %s"
            )
            ended = None if progress in UNFINISHED else now
            changed = await do(connection, update, progress, ended, number, progress) > 0
            if changed and progress is Progress.STOPPED:
                select = f"SELECT * {_UNPUBLISHED} ORDER BY id, abonnement, replay FOR UPDATE"
                old = map(Row._make, await rows(connection, select, number))
                removed = [
                    (row, row._replace(open=0, state=_REMOVED, last_at=now, next_at=None)) for row in old
                ]
                await change_rows(connection, removed, now=now, slot=self._slot)
            return changed

        return await self._database.write(work, lock=STAMPED)

    async def unpublished(self, number: int) -> int:
        """As `ReplayLedger.unpublished`."""
        select = f"SELECT count(*) {_UNPUBLISHED}"
        return await self._database.read(lambda connection: one_number(connection, select, number))

    async def advance(
        self, epoch: int, number: int, *, sends: Sequence[UUID], skipped: int, last: UUID | None
    ) -> int | None:
        """As `ReplayLedger.advance`."""

        async def work(connection: Connection) -> int | None:
            await check_epoch(connection, epoch)
            now = await self._clock.now(connection)
            select = "SELECT abonnement FROM replay WHERE nr = %s AND progress = %s FOR UPDATE"
            row = await first(connection, select, number, Progress.RUNNING)
            if row is None:
                return None
            made = await self._add(connection, sends, row[0], number, now=now)
            await do(
                connection,
                "UPDATE replay SET sent = sent + %s, skipped = skipped + %s, last = coalesce(%s, last) "
                "WHERE nr = %s",
                made,
                skipped + len(sends) - made,
                None if last is None else last.bytes,
                number,
            )
            if last is None:
                update = "UPDATE replay SET progress = %s, ended = %s WHERE nr = %s"
                await do(connection, update, Progress.DONE, now, number)
            return made

        return await self._database.write(work, lock=STAMPED)

    async def _add(
        self, connection: Connection, ids: Sequence[UUID], abonnement: str, nr: int, *, now: int
    ) -> int:
        """Deliveries with `since` 0, so that the keeper publishes them at once; returns how many are new."""
        await self._names.write(connection, [(Kind.ABONNEMENT, abonnement)])
        of = self._names.number(Kind.ABONNEMENT, abonnement)
        select = "SELECT id, size FROM notificatie WHERE id = ANY(%s::bytea[]) FOR KEY SHARE"
        found = await rows(connection, select, [each.bytes for each in ids])
        new = [
            pending_row(id_, of, received=now, size=size, now=0)._replace(
                replay=nr, state=_RETURNING, round=FIRST_ROUND, again_at=now
            )
            for id_, size in found
        ]
        return await insert_counted(
            connection, new, what=Counter.ASKED_FOR, at=lambda _: now, slot=self._slot
        )
