"""The keeper's lease and what it gives back, in the SQLite ledger: the SQL of ledger/keeper_ledger.py.

Every change is one transaction that checks the lease first. A row is changed only when it is still as the
keeper read it, so that an outcome that came meanwhile is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from sqlite_utils import Database

from ledger.copies import instance
from ledger.copies.instance import Instance
from ledger.ids import SKEW
from ledger.keeper_ledger import BEFORE_GAP, Facts, Gap, Hands, InLane, Lease, Process, Unsent
from ledger.sqlite.numbers import Known, Names, Texts, number_of
from ledger.sqlite.ordering import WAITS_FOR_TURN
from ledger.sqlite.writing import ADD_BACKLOG, ADD_MINUTE, AT_ONCE, INSERT_ATTEMPT, bytes_used
from ledger.tables.keeping import next_epoch, returned_to_queue, returning, stuck
from ledger.tables.merging import MINUTE
from ledger.tables.rows import (
    CUT_OFF_PACKED,
    STATES,
    Counter,
    Kind,
    Row,
    attempt_row,
    count_keys,
    count_open,
    delivery_of,
    least_id,
    pending_row,
    unpack_keys,
)
from ledger.values import LIVE, Cause, Delivery, Key, Scope, State, is_in_hand, returned
from schemas.errors import LeaseLost
from store.files.sqlite_file import SqliteFile

T = TypeVar("T")

_PENDING, _RETURNING = STATES[State.PENDING], STATES[State.RETURNING]
_RETRYING = STATES[State.RETRYING]
_STUCK, _UNSURE = STATES[State.STUCK], STATES[State.UNSURE]
_BEYOND, _ALWAYS = bytes([255]) * 17, 2**62  # greater than every id, and than every moment
_NOT_IN_LANE = "NOT EXISTS (SELECT 1 FROM lane l WHERE l.id = u.id)"
_UNROUTED_COUNT = f"SELECT count(*) FROM unrouted u WHERE open = 1 AND {_NOT_IN_LANE}"  # noqa: S608
# Of what waits in the lane for bulk each delivery counts as soon as it was given to its queue.
_IS_ROUTED = (
    "NOT EXISTS (SELECT 1 FROM unrouted u WHERE u.id = d.id AND u.open = 1 "  # noqa: S608
    f"AND (d.round = 0 OR {_NOT_IN_LANE}))"
)
_LANE_COUNT = "SELECT count(*) FROM lane"
# Whether nothing is known of a delivery since its notificatie was accepted.
_WAITS = (
    "d.state = 0 AND d.round = 0 AND d.attempts = 0 AND NOT EXISTS (SELECT 1 FROM attempt a "
    "WHERE a.id = d.id AND a.abonnement = d.abonnement AND a.replay = d.replay)"
)


class SqliteKeeping:
    """The keeper's part of a ledger in `file`. clock: the database's clock, in Unix seconds."""

    def __init__(self, file: SqliteFile, *, clock: Callable[[], float], texts: Texts) -> None:
        self._file = file
        self._clock = clock
        self._texts = texts

    async def take_lease(self, holder: str, *, seconds: float) -> int | None:
        """As `KeeperLedger.take_lease`."""
        return await self._file.write(lambda db: _take(db, holder, now=self._now, ms=_ms(seconds)))

    async def release_lease(self, holder: str) -> None:
        """As `KeeperLedger.release_lease`."""
        await self._file.write(
            lambda db: db.execute("UPDATE keeper SET until = 0 WHERE holder = ?", [holder]).rowcount
        )

    async def lease(self) -> Lease | None:
        """As `KeeperLedger.lease`."""
        row = await self._file.read(
            lambda db: db.execute("SELECT holder, epoch, until FROM keeper").fetchone()
        )
        return None if row is None else Lease(*row)

    async def mark(self, epoch: int, *, above: int = 0) -> Instance:
        """As `KeeperLedger.mark`."""
        return await self._guarded(epoch, lambda db, now: instance.mark(db, above=above, now=now))

    async def mark_unsure(self, epoch: int, *, until: int) -> int:
        """As `KeeperLedger.mark_unsure`."""
        return await self._guarded(epoch, lambda db, now: instance.mark_unsure(db, until=until, now=now))

    async def unrouted(
        self, *, settled: float, live: float, limit: int, after: UUID | None = None
    ) -> Sequence[Unsent]:
        """As `KeeperLedger.unrouted`."""

        def work(db: Database) -> list[Unsent]:
            now = self._now
            hands = _hands(db, since=now - _ms(live))
            select = (
                "SELECT u.id, m.catalogue FROM unrouted u CROSS JOIN notificatie m ON m.id = u.id "  # noqa: S608
                f"WHERE u.open = 1 AND u.since <= ? AND u.id > ? AND {_NOT_IN_LANE} ORDER BY u.id LIMIT ?"
            )
            place = b"" if after is None else after.bytes
            found = db.execute(select, [now - _ms(settled), place, limit]).fetchall()
            return [
                Unsent(UUID(bytes=id_), tuple(self._waiting(db, id_, hands)), catalogue)
                for id_, catalogue in found
            ]

        return await self._file.read(work)

    async def in_lane(self) -> Mapping[UUID, InLane]:
        """As `KeeperLedger.in_lane`."""

        def work(db: Database) -> dict[UUID, InLane]:
            select = (
                "SELECT d.abonnement, min(d.id), count(*) FROM lane l CROSS JOIN unrouted u "  # noqa: S608
                "ON u.id = l.id AND u.open = 1 CROSS JOIN delivery d ON d.id = l.id "
                f"WHERE {_WAITS} GROUP BY d.abonnement"
            )
            found = db.execute(select).fetchall()
            return {
                self._texts.abonnement(db, number): InLane(UUID(bytes=id_), count)
                for number, id_, count in found
            }

        return await self._file.read(work)

    async def of_lane(self, abonnement: UUID, *, begin: UUID, limit: int) -> Sequence[Delivery]:
        """As `KeeperLedger.of_lane`."""

        def work(db: Database) -> list[Delivery]:
            number = number_of(db, Kind.ABONNEMENT, str(abonnement))
            select = (
                "SELECT d.* FROM lane l CROSS JOIN unrouted u ON u.id = l.id AND u.open = 1 "  # noqa: S608
                "CROSS JOIN delivery d ON d.id = l.id AND d.abonnement = ? AND d.replay = 0 "
                f"WHERE l.id >= ? AND {_WAITS} ORDER BY l.id LIMIT ?"
            )
            found = db.execute(select, [number, begin.bytes, limit]).fetchall()
            return [delivery_of(Row._make(row), abonnement) for row in found]

        return await self._file.read(work)

    async def under_way(self, abonnement: UUID, notificaties: Sequence[UUID]) -> set[UUID]:
        """As `KeeperLedger.under_way`."""

        def work(db: Database) -> set[UUID]:
            number = number_of(db, Kind.ABONNEMENT, str(abonnement))
            select = (
                "SELECT id FROM delivery d WHERE abonnement = ? AND replay = 0 AND round > 0 "  # noqa: S608
                f"AND state IN (?, ?) AND id IN ({_marks(notificaties)}) AND NOT ({WAITS_FOR_TURN})"
            )
            ids = [each.bytes for each in notificaties]
            found = db.execute(select, [number, _PENDING, _RETURNING, *ids]).fetchall()
            return {UUID(bytes=id_) for (id_,) in found}

        return await self._file.read(work)

    async def leave_lane(self, epoch: int) -> int:
        """As `KeeperLedger.leave_lane`."""

        def work(db: Database, now: int) -> int:
            update = (
                "UPDATE unrouted SET open = 0 WHERE open = 1 AND id IN (SELECT id FROM lane) AND NOT EXISTS "  # noqa: S608
                f"(SELECT 1 FROM delivery d WHERE d.id = unrouted.id AND {_WAITS})"
            )
            cleared = int(db.execute(update).rowcount)
            db.execute("DELETE FROM lane WHERE id NOT IN (SELECT id FROM unrouted WHERE open = 1)")
            return cleared

        return await self._guarded(epoch, work)

    async def unrouted_count(self) -> int:
        """As `KeeperLedger.unrouted_count`."""
        return int(await self._file.read(lambda db: db.execute(_UNROUTED_COUNT).fetchone()[0]))

    async def stuck_count(self) -> int:
        """As `KeeperLedger.stuck_count`."""
        select = "SELECT coalesce(sum(stuck), 0) FROM backlog"
        return int(await self._file.read(lambda db: db.execute(select).fetchone()[0]))

    async def hands(self, *, live: float) -> Hands:
        """As `KeeperLedger.hands`."""

        def work(db: Database) -> Hands:
            now = self._now
            since = now - _ms(live)
            select = "SELECT min(flushed_until) FROM process WHERE at >= ? AND stopped = 0"
            (heard,) = db.execute(select, [since]).fetchone()
            return Hands(now, now if heard is None else heard, _hands(db, since=since))

        return await self._file.read(work)

    async def with_open(self) -> Sequence[UUID]:
        """As `KeeperLedger.with_open`."""

        def work(db: Database) -> list[UUID]:
            found = db.execute("SELECT abonnement FROM backlog WHERE n > 0").fetchall()
            return [self._texts.abonnement(db, number) for (number,) in found]

        return await self._file.read(work)

    async def first_attempts(self, *, ended: float) -> Mapping[UUID, int]:
        """As `KeeperLedger.first_attempts`."""

        def work(db: Database) -> dict[UUID, int]:
            last = (self._now - _ms(ended)) // MINUTE - 1
            select = "SELECT abonnement, max(since) FROM first_attempt WHERE minute <= ? GROUP BY abonnement"
            found = db.execute(select, [last]).fetchall()
            db.conn.executemany(
                "DELETE FROM first_attempt WHERE abonnement = ? AND minute <= ? AND since < ?",
                [(number, last, since) for number, since in found],
            )
            return {self._texts.abonnement(db, number): since for number, since in found}

        return await self._file.write(work)

    async def suspects(
        self, abonnement: UUID, *, before: int, limit: int, after: Key | None = None
    ) -> Sequence[Delivery]:
        """As `KeeperLedger.suspects`."""

        def work(db: Database) -> list[Delivery]:
            number = number_of(db, Kind.ABONNEMENT, str(abonnement))
            if number is None:
                return []
            # What went into its queue by then was received by then, and the index is by id, so by `received`.
            select = (
                "SELECT * FROM delivery d INDEXED BY delivery_abonnement WHERE abonnement = ? AND open = 1 "  # noqa: S608
                "AND (id, replay) > (?, ?) AND id < ? AND state IN (?, ?) AND since < ? AND "
                f"{_IS_ROUTED} ORDER BY id, replay LIMIT ?"
            )
            place = (b"", 0) if after is None else (after.notificatie.bytes, after.replay)
            last = least_id(before + SKEW)
            rows = db.execute(select, [number, *place, last, _PENDING, _RETRYING, before, limit]).fetchall()
            return [delivery_of(Row._make(row), abonnement) for row in rows]

        return await self._file.read(work)

    async def waiting(
        self, abonnement: UUID, *, limit: int, before: int | None = None, after: Key | None = None
    ) -> Sequence[Delivery]:
        """As `KeeperLedger.waiting`."""
        # A gateway's id says when it was accepted, which cannot lie ahead; other ids say nothing.
        ranges = [(b"", _BEYOND)]
        if before is not None:
            ranges = [(b"", least_id(before + SKEW)), (least_id(self._now + SKEW), _BEYOND)]

        def work(db: Database) -> list[Delivery]:
            number = number_of(db, Kind.ABONNEMENT, str(abonnement))
            if number is None:
                return []
            now = self._now
            select = (
                "SELECT d.* FROM delivery d INDEXED BY delivery_abonnement LEFT JOIN notificatie m "  # noqa: S608
                "ON m.id = d.id WHERE d.abonnement = ? AND d.open = 1 AND (d.id, d.replay) > (?, ?) "
                "AND d.id >= ? AND d.id < ? AND (d.state = ? OR (d.state = ? AND d.next_at <= ?)) "
                "AND coalesce(d.again_at, m.received, d.since) < ? AND "
                f"{_IS_ROUTED} ORDER BY d.id, d.replay LIMIT ?"
            )
            place = (b"", -1) if after is None else (after.notificatie.bytes, after.replay)
            moment = _ALWAYS if before is None else before
            found: list[Delivery] = []
            for first, last in ranges:
                asked = [number, *place, first, last, _PENDING, _RETRYING, now, moment, limit - len(found)]
                rows = db.execute(select, asked).fetchall()
                found += [delivery_of(Row._make(row), abonnement) for row in rows]
            return found

        return await self._file.read(work)

    async def gaps(self, *, done: bool) -> Sequence[Gap]:
        """As `KeeperLedger.gaps`."""
        select = (
            "SELECT nr, kind, scope, opened, closed, detail, done FROM gap WHERE ? OR done = 0 ORDER BY nr"
        )
        rows = await self._file.read(lambda db: db.execute(select, [done]).fetchall())
        return [
            Gap(nr, Scope(kind), of, opened, closed, why, bool(is_done))
            for nr, kind, of, opened, closed, why, is_done in rows
        ]

    async def in_gap(
        self, gap: Gap, abonnement: UUID, *, limit: int, after: Key | None = None
    ) -> Sequence[Delivery]:
        """As `KeeperLedger.in_gap`."""

        def work(db: Database) -> list[Delivery]:
            number = number_of(db, Kind.ABONNEMENT, str(abonnement))
            if number is None or gap.closed is None:
                return []
            place = (b"", 0) if after is None else (after.notificatie.bytes, after.replay)
            if gap.scope is Scope.KANAAL:
                place = max(place, (least_id(gap.opened - BEFORE_GAP - SKEW), 0))
            covered, of = _covered_by(db, gap, closed=gap.closed)
            select = (
                "SELECT * FROM delivery d INDEXED BY delivery_abonnement WHERE abonnement = ? AND open = 1 "  # noqa: S608
                f"AND (id, replay) > (?, ?) AND id < ? AND {covered} AND "
                f"{_IS_ROUTED} ORDER BY id, replay LIMIT ?"
            )
            last = least_id(gap.closed + SKEW)
            rows = db.execute(select, [number, *place, last, *of, limit]).fetchall()
            return [delivery_of(Row._make(row), abonnement) for row in rows]

        return await self._file.read(work)

    async def end_gap(self, epoch: int, nr: int) -> None:
        """As `KeeperLedger.end_gap`."""
        update = "UPDATE gap SET done = 1 WHERE nr = ?"
        await self._guarded(epoch, lambda db, _: db.execute(update, [nr]).rowcount)

    async def add_rows(self, epoch: int, abonnement: UUID, notificaties: Sequence[UUID]) -> int:
        """As `KeeperLedger.add_rows`."""

        def work(db: Database, _: int) -> int:
            names = Names(db, Known())
            number, added = names.abonnement(abonnement), 0
            unsure_until = instance.instance_of(db).unsure_until
            for id_ in notificaties:
                select = "SELECT received, size FROM notificatie WHERE id = ?"
                found = db.execute(select, [id_.bytes]).fetchone()
                if found is None:
                    continue
                received, size = found
                row = pending_row(id_.bytes, number, received=received, size=size, now=received)
                if received <= unsure_until:  # as the rows that it had when the older copy was put back
                    row = row._replace(state=_UNSURE)
                if insert_row(db, row):
                    added += 1
                    db.execute(ADD_MINUTE, [received // MINUTE, Counter.MATCHED, number, 1])
            return added

        return await self._guarded(epoch, work) if notificaties else 0

    async def deliverers(self) -> Sequence[str]:
        """As `KeeperLedger.deliverers`."""
        select = "SELECT name FROM process WHERE at BETWEEN ? AND ? AND stopped = 0 AND hands <> ?"

        def work(db: Database) -> Sequence[str]:
            now, live = self._now, round(LIVE * 1000)
            values = [now - live, now + live, CUT_OFF_PACKED]
            return [name for (name,) in db.execute(select, values).fetchall()]

        return await self._file.read(work)

    async def facts(self) -> Facts:
        """As `KeeperLedger.facts`."""

        def work(db: Database) -> Facts:
            def count(state: State) -> int:
                select = "SELECT count(*) FROM delivery WHERE state = ? AND state NOT IN (0, 7)"
                return int(db.execute(select, [STATES[state]]).fetchone()[0])

            total = "SELECT coalesce(sum(n), 0), coalesce(sum(bytes), 0) FROM backlog"
            lease = db.execute("SELECT holder, epoch, until FROM keeper").fetchone()
            processes = db.execute("SELECT * FROM process ORDER BY name")
            return Facts(
                now=self._now,
                open=tuple(db.execute(total).fetchone()),
                unrouted=int(db.execute(_UNROUTED_COUNT).fetchone()[0]),
                lane=int(db.execute(_LANE_COUNT).fetchone()[0]),
                returning=count(State.RETURNING),
                stuck=count(State.STUCK),
                unsure=count(State.UNSURE),
                size=bytes_used(db),
                lease=None if lease is None else Lease(*lease),
                processes=tuple(
                    Process(name, at, until, count_keys(hands), bool(stopped))
                    for name, at, until, hands, stopped in processes.fetchall()
                ),
            )

        return await self._file.read(work)

    async def count_held(self, epoch: int, abonnementen: Collection[UUID]) -> int:
        """As `KeeperLedger.count_held`."""

        def work(db: Database, now: int) -> int:
            backlogs = db.execute("SELECT abonnement, n FROM backlog WHERE n > 0").fetchall()
            held = sum(int(n) for number, n in backlogs if self._texts.abonnement(db, number) in abonnementen)
            insert = "INSERT OR REPLACE INTO minute VALUES (?, ?, 0, ?)"
            db.execute(insert, [now // MINUTE, Counter.HELD, held])
            return held

        return await self._guarded(epoch, work)

    async def give_back(
        self,
        epoch: int,
        rows: Sequence[Delivery],
        *,
        cause: Cause,
        caused: int | None = None,
        judged: bool = False,
        ahead: float = 0.0,
    ) -> Sequence[Delivery]:
        """As `KeeperLedger.give_back`."""

        change = partial(returning, judged=judged, ahead=_ms(ahead))

        def work(db: Database, now: int) -> list[Delivery]:
            given_back = self._changed(db, rows, change, now=now)
            why = returned(now if caused is None else caused, cause)
            for each in given_back:
                number = number_of(db, Kind.ABONNEMENT, str(each.key.abonnement))
                assert number is not None  # noqa: S101 - it has a row
                db.execute(INSERT_ATTEMPT, attempt_row(each.key, number, each.round, why))
            return given_back

        return await self._guarded(epoch, work) if rows else []

    async def give_back_again(
        self, epoch: int, *, after: float, limit: int, but: frozenset[UUID] = frozenset()
    ) -> Sequence[Delivery]:
        """As `KeeperLedger.give_back_again`."""

        def work(db: Database, now: int) -> list[Delivery]:
            skipped = [number for uuid in but if (number := number_of(db, Kind.ABONNEMENT, str(uuid)))]
            select = (
                "SELECT * FROM delivery INDEXED BY delivery_uncommon WHERE state = ? "  # noqa: S608
                f"AND state NOT IN (0, 7) AND since <= ? AND abonnement NOT IN ({_marks(skipped)}) "
                "ORDER BY id, abonnement, replay LIMIT ?"
            )
            found = db.execute(select, [_RETURNING, now - _ms(after), *skipped, limit]).fetchall()
            rows = [Row._make(row)._replace(since=now) for row in found]
            db.conn.executemany(
                "UPDATE delivery SET since = ? WHERE id = ? AND abonnement = ? AND replay = ?",
                [(now, *row[:3]) for row in rows],
            )
            return [self._delivery(db, row) for row in rows]

        return await self._guarded(epoch, work)

    async def given_back(self, epoch: int, rows: Sequence[Delivery]) -> None:
        """As `KeeperLedger.given_back`."""
        await self._change(epoch, rows, returned_to_queue)

    async def end(self, epoch: int, rows: Sequence[Delivery]) -> Sequence[Key]:
        """As `KeeperLedger.end`."""
        return [each.key for each in await self._change(epoch, rows, stuck)]

    async def routed(self, epoch: int, notificaties: Sequence[UUID]) -> int:
        """As `KeeperLedger.routed`."""

        def work(db: Database, now: int) -> int:
            cleared = 0
            for start in range(0, len(notificaties), AT_ONCE):
                ids = [id_.bytes for id_ in notificaties[start : start + AT_ONCE]]
                update = (
                    f"UPDATE unrouted SET open = 0 WHERE open = 1 AND id IN ({_marks(ids)}) AND NOT EXISTS "  # noqa: S608
                    f"(SELECT 1 FROM delivery d WHERE d.id = unrouted.id AND {_WAITS})"
                )
                cleared += db.execute(update, ids).rowcount
            return cleared

        return await self._guarded(epoch, work)

    @property
    def _now(self) -> int:
        return int(self._clock() * 1000)

    async def _guarded(self, epoch: int, work: Callable[[Database, int], T]) -> T:
        """Run `work` in a transaction that checks the lease first. Raises LeaseLost."""

        def transaction(db: Database) -> T:
            check_epoch(db, epoch)
            return work(db, self._now)

        return await self._file.write(transaction)

    async def _change(
        self, epoch: int, rows: Sequence[Delivery], change: Callable[[Row, int], Row]
    ) -> list[Delivery]:
        """As `_changed`, in such a transaction. Raises LeaseLost."""
        if not rows:
            return []
        return await self._guarded(epoch, lambda db, now: self._changed(db, rows, change, now=now))

    def _changed(
        self, db: Database, rows: Sequence[Delivery], change: Callable[[Row, int], Row], *, now: int
    ) -> list[Delivery]:
        """Change those that are unchanged since they were read; returns them as they are now."""
        changed = []
        for given in rows:
            old = self._row(db, given.key)
            if old is None or self._delivery(db, old) != given:
                continue
            new = change(old, now)
            change_row(db, old, new, now=now)
            changed.append(self._delivery(db, new))
        return changed

    def _row(self, db: Database, key: Key) -> Row | None:
        number = number_of(db, Kind.ABONNEMENT, str(key.abonnement))
        select = "SELECT * FROM delivery WHERE id = ? AND abonnement = ? AND replay = ?"
        found = db.execute(select, [key.notificatie.bytes, number, key.replay]).fetchone()
        return None if found is None else Row._make(found)

    def _waiting(self, db: Database, id_: bytes, hands: frozenset[Key]) -> list[Delivery]:
        rows = db.execute(f"SELECT d.* FROM delivery d WHERE d.id = ? AND {_WAITS}", [id_])  # noqa: S608
        found = (self._delivery(db, Row._make(row)) for row in rows.fetchall())
        return [each for each in found if not is_in_hand(each.key, hands)]

    def _delivery(self, db: Database, row: Row) -> Delivery:
        return delivery_of(row, self._texts.abonnement(db, row.abonnement))


def check_epoch(db: Database, epoch: int) -> None:
    """Raise LeaseLost when another keeper has had the lease since this epoch."""
    row = db.execute("SELECT holder, epoch FROM keeper").fetchone()
    if row is None or row[1] != epoch:
        raise LeaseLost(f"the lease is {row[0]}'s now" if row else "nobody has the lease")


def _take(db: Database, holder: str, *, now: int, ms: int) -> int | None:
    row = db.execute("SELECT holder, epoch, until FROM keeper").fetchone()
    epoch = next_epoch(row, holder, now=now, ms=ms)
    if epoch is not None:
        db.execute("INSERT OR REPLACE INTO keeper VALUES (1, ?, ?, ?)", [holder, epoch, now + ms])
    return epoch


def _covered_by(db: Database, gap: Gap, *, closed: int) -> tuple[str, list[Any]]:
    """The SQL condition, with its parameters, for a delivery `d` that a closed gap may have lost."""
    if gap.scope is not Scope.KANAAL:
        # `since` of a new delivery is when its entry was committed; RabbitMQ had it before that, when its id
        # was made. `since` of a retry is when it is due, so `last_at` counts.
        went_in = "((d.state = ? AND (d.since <= ? OR (d.round = 0 AND d.id < ?))) OR "
        went_in += "(d.state = ? AND d.last_at <= ?))"
        return went_in, [_PENDING, closed, least_id(closed + 1), _RETRYING, closed]
    # Only what is accepted passes the kanaal's exchange; retries and give-backs go to the queue by others.
    accepted = "EXISTS (SELECT 1 FROM notificatie m WHERE m.id = d.id AND m.kanaal = ? "
    accepted += "AND m.received BETWEEN ? AND ?)"
    kanaal = number_of(db, Kind.KANAAL, gap.of)
    return f"{_WAITS} AND {accepted}", [kanaal, gap.opened - BEFORE_GAP, closed]


def _hands(db: Database, *, since: int) -> frozenset[Key]:
    """What deliverers with a heartbeat at `since` or later have in hand."""
    rows = db.execute("SELECT hands FROM process WHERE at >= ? AND stopped = 0", [since])
    return frozenset(key for (packed,) in rows.fetchall() for key in unpack_keys(packed))


def insert_row(db: Database, row: Row) -> bool:
    """Insert a row and count it in the backlog of its abonnement; False, without a change, when it exists."""
    insert = f"INSERT OR IGNORE INTO delivery VALUES ({_marks(row)})"  # noqa: S608
    is_new = db.execute(insert, [*row]).rowcount > 0
    if is_new:
        backlog = [0, 0, 0]
        count_open(row, backlog, 1)
        db.execute(ADD_BACKLOG, [row.abonnement, *backlog])
    return is_new


def change_row(db: Database, old: Row, new: Row, *, now: int) -> None:
    """Update a row, and its counts."""
    db.execute(
        "UPDATE delivery SET open = ?, state = ?, round = ?, since = ?, last_at = ?, next_at = ?, given = ?, "
        "doubt = ? WHERE id = ? AND abonnement = ? AND replay = ?",
        [
            new.open, new.state, new.round, new.since, new.last_at, new.next_at, new.given,
            new.doubt, *new[:3],
        ],
    )  # fmt: skip
    if new.state not in (old.state, _PENDING):
        db.execute(ADD_MINUTE, [now // MINUTE, Counter.STATE + new.state, new.abonnement, 1])
    backlog = [0, 0, 0]
    count_open(old, backlog, -1)
    count_open(new, backlog, 1)
    if any(backlog):
        db.execute(ADD_BACKLOG, [new.abonnement, *backlog])


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
