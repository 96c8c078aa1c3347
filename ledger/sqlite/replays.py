"""Replays in the SQLite ledger: the SQL of ledger/operating/replays.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from sqlite_utils import Database

from ledger.operating.replays import FIRST_ROUND, UNFINISHED, Plan, Progress, Replay
from ledger.sqlite.keeper import change_row, check_epoch, insert_row
from ledger.sqlite.numbers import Known, Names
from ledger.sqlite.writing import ADD_MINUTE
from ledger.tables.merging import MINUTE
from ledger.tables.replays import COLUMNS, packed, replay_of
from ledger.tables.rows import STATES, Counter, Row, pending_row
from ledger.values import State
from store.files.sqlite_file import SqliteFile

_RETURNING, _REMOVED = STATES[State.RETURNING], STATES[State.REMOVED]
# By the index of uncommon states: there are few that are RETURNING.
_UNPUBLISHED = (
    "FROM delivery INDEXED BY delivery_uncommon WHERE state = ? AND state NOT IN (0, 7) AND replay = ?"
)


class SqliteReplays:
    """The replays of a ledger in `file`. clock: the database's clock, in Unix seconds."""

    def __init__(self, file: SqliteFile, *, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock

    async def make(self, plan: Plan, *, progress: Progress = Progress.RUNNING) -> Replay:
        """As `ReplayLedger.make`."""
        made = self._now
        sent = 0 if progress in UNFINISHED else plan.total
        ended = None if progress in UNFINISHED else made
        values = [
            made, ended, progress, str(plan.abonnement), packed(plan.search), plan.reason, plan.rate,
            int(plan.unmatched), plan.total, sent, int(plan.lacking),
        ]  # fmt: skip

        def work(db: Database) -> int:
            insert = (
                "INSERT INTO replay (made, ended, progress, abonnement, search, reason, rate, unmatched, "
                "total, sent, lacking) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            )
            number = db.execute(insert, values).lastrowid
            assert number is not None  # noqa: S101 - it was inserted
            return number

        return Replay(await self._file.write(work), plan, made, progress, sent=sent, ended=ended)

    async def replay(self, number: int) -> Replay | None:
        """As `ReplayLedger.replay`."""
        select = f"SELECT {COLUMNS} FROM replay WHERE nr = ?"  # noqa: S608
        row = await self._file.read(lambda db: db.execute(select, [number]).fetchone())
        return None if row is None else replay_of(row)

    async def replays(self, *, limit: int, unfinished: bool = False) -> Sequence[Replay]:
        """As `ReplayLedger.replays`."""
        where = f"WHERE progress IN ('{Progress.RUNNING}', '{Progress.PAUSED}')" if unfinished else ""
        select = f"SELECT {COLUMNS} FROM replay {where} ORDER BY nr DESC LIMIT ?"  # noqa: S608
        rows = await self._file.read(lambda db: db.execute(select, [limit]).fetchall())
        return [replay_of(row) for row in rows]

    async def change(self, number: int, progress: Progress) -> bool:
        """As `ReplayLedger.change`."""
        now = self._now
        ended = None if progress in UNFINISHED else now

        def work(db: Database) -> bool:
            update = (
                "UPDATE replay SET progress = ?, ended = ? WHERE nr = ? AND ended IS NULL AND progress != ?"
            )
            changed = db.execute(update, [progress, ended, number, progress]).rowcount > 0
            if changed and progress is Progress.STOPPED:
                _remove_unpublished(db, number, now=now)
            return changed

        return await self._file.write(work)

    async def unpublished(self, number: int) -> int:
        """As `ReplayLedger.unpublished`."""
        select = f"SELECT count(*) {_UNPUBLISHED}"
        row = await self._file.read(lambda db: db.execute(select, [_RETURNING, number]).fetchone())
        return int(row[0])

    async def advance(
        self, epoch: int, number: int, *, sends: Sequence[UUID], skipped: int, last: UUID | None
    ) -> int | None:
        """As `ReplayLedger.advance`."""
        now = self._now

        def work(db: Database) -> int | None:
            check_epoch(db, epoch)
            select = "SELECT abonnement FROM replay WHERE nr = ? AND progress = ?"
            row = db.execute(select, [number, Progress.RUNNING]).fetchone()
            if row is None:
                return None
            abonnement = Names(db, Known()).abonnement(UUID(row[0]))
            made = _add(db, sends, abonnement, number, now=now)
            db.execute(
                "UPDATE replay SET sent = sent + ?, skipped = skipped + ?, last = coalesce(?, last) "
                "WHERE nr = ?",
                [made, skipped + len(sends) - made, None if last is None else last.bytes, number],
            )
            if last is None:
                db.execute(
                    "UPDATE replay SET progress = ?, ended = ? WHERE nr = ?", [Progress.DONE, now, number]
                )
            return made

        return await self._file.write(work)

    @property
    def _now(self) -> int:
        return int(self._clock() * 1000)


def _add(db: Database, ids: Sequence[UUID], abonnement: int, number: int, *, now: int) -> int:
    """Deliveries with `since` 0, so that the keeper publishes them at once; returns how many are new."""
    made = 0
    for id_ in ids:
        found = db.execute("SELECT size FROM notificatie WHERE id = ?", [id_.bytes]).fetchone()
        if found is not None:
            row = pending_row(id_.bytes, abonnement, received=now, size=found[0], now=0)
            again = row._replace(replay=number, state=_RETURNING, round=FIRST_ROUND, again_at=now)
            made += insert_row(db, again)
    if made:
        db.execute(ADD_MINUTE, [now // MINUTE, Counter.ASKED_FOR, abonnement, made])
    return made


def _remove_unpublished(db: Database, number: int, *, now: int) -> None:
    rows = [Row._make(row) for row in db.execute(f"SELECT * {_UNPUBLISHED}", [_RETURNING, number]).fetchall()]
    for row in rows:
        change_row(db, row, row._replace(open=0, state=_REMOVED, last_at=now, next_at=None), now=now)
