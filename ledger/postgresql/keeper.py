"""The keeper's lease and what it gives back, in the PostgreSQL ledger: the SQL of ledger/keeper_ledger.py.

Every change is one transaction that holds the lease's row meanwhile, so that no other keeper takes it. A row
is locked and changed only when it is still as the keeper read it, so that an outcome that came meanwhile is
kept. What is judged by moments is read after the clock's horizon was: nothing with a stamp before that comes
later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4

from ledger.copies.instance import Instance
from ledger.ids import SKEW
from ledger.keeper_ledger import BEFORE_GAP, Facts, Gap, Hands, InLane, Lease, Process, Unsent
from ledger.postgresql.clock import STAMPED, Clock
from ledger.postgresql.days import day_of_id
from ledger.postgresql.finding import WAITS_FOR_TURN
from ledger.postgresql.names import Names
from ledger.postgresql.reading import as_deliveries
from ledger.postgresql.writing import (
    INSERT_ATTEMPTS,
    OF_DELIVERY,
    add_counts,
    add_minutes,
    bytes_used,
    insert_rows,
    locked,
    update_rows,
)
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
from store.database.address import Connection
from store.database.database import Database
from store.database.statements import columns, do, first, number, rows

T = TypeVar("T")

_PENDING, _RETURNING = STATES[State.PENDING], STATES[State.RETURNING]
_RETRYING = STATES[State.RETRYING]
_STUCK, _UNSURE = STATES[State.STUCK], STATES[State.UNSURE]
_SWEPT = [_PENDING, _RETURNING, _RETRYING]
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
_OPEN_COUNTS = "SELECT abonnement, sum(n)::bigint FROM backlog GROUP BY abonnement HAVING sum(n) > 0"

Change = Callable[[Row, int], Row]


class PostgresqlKeeping:
    """The keeper's part of a ledger."""

    def __init__(self, database: Database, *, clock: Clock, names: Names, slot: int) -> None:
        self._database = database
        self._clock = clock
        self._names = names
        self._slot = slot

    async def take_lease(self, holder: str, *, seconds: float) -> int | None:
        """As `KeeperLedger.take_lease`."""

        async def work(connection: Connection) -> int | None:
            insert = "INSERT INTO keeper VALUES (1, '', 0, 0) ON CONFLICT DO NOTHING"
            row = await first(connection, "SELECT holder, epoch, until FROM keeper FOR UPDATE")
            if row is None:
                await do(connection, insert)
                row = await first(connection, "SELECT holder, epoch, until FROM keeper FOR UPDATE")
            now, ms = await self._clock.now(connection), _ms(seconds)
            epoch = next_epoch(row, holder, now=now, ms=ms)
            if epoch is not None:
                update = "UPDATE keeper SET holder = %s, epoch = %s, until = %s"
                await do(connection, update, holder, epoch, now + ms)
            return epoch

        return await self._database.write(work, repeatable=True)

    async def release_lease(self, holder: str) -> None:
        """As `KeeperLedger.release_lease`."""
        update = "UPDATE keeper SET until = 0 WHERE holder = %s"
        await self._database.write(lambda connection: do(connection, update, holder), repeatable=True)

    async def lease(self) -> Lease | None:
        """As `KeeperLedger.lease`."""
        return await self._database.read(_lease)

    async def mark(self, epoch: int, *, above: int = 0) -> Instance:
        """As `KeeperLedger.mark`."""

        async def work(connection: Connection, now: int) -> Instance:
            update = "UPDATE instance SET mark = greatest(mark, %s) + 1, marked = %s"
            await do(connection, update, above, now)
            return await instance_of(connection)

        return await self._guarded(epoch, work)

    async def mark_unsure(self, epoch: int, *, until: int) -> int:
        """As `KeeperLedger.mark_unsure`."""

        async def work(connection: Connection, now: int) -> int:
            numbers = [nr for nr, _ in await rows(connection, _OPEN_COUNTS)]
            update = (
                "WITH changed AS (UPDATE delivery SET state = %s, next_at = NULL WHERE abonnement = "
                "ANY(%s::bigint[]) AND open = 1 AND state = ANY(%s::smallint[]) AND last_at <= %s "
                "RETURNING abonnement) SELECT abonnement, count(*) FROM changed GROUP BY 1"
            )
            changed = await rows(connection, update, _UNSURE, numbers, _SWEPT, until)
            minutes = {(now // MINUTE, Counter.STATE + _UNSURE, nr): n for nr, n in changed}
            await add_minutes(connection, minutes, slot=self._slot)
            await do(connection, "UPDATE instance SET unsure_until = greatest(unsure_until, %s)", until)
            return sum(n for _, n in changed)

        return await self._guarded(epoch, work)

    async def unrouted(
        self, *, settled: float, live: float, limit: int, after: UUID | None = None
    ) -> Sequence[Unsent]:
        """As `KeeperLedger.unrouted`."""
        now = await self._clock.horizon(self._database)

        async def work(connection: Connection) -> list[Unsent]:
            hands = await _hands(connection, since=now - _ms(live))
            select = (
                "SELECT u.id, m.catalogue FROM unrouted u JOIN notificatie m ON m.id = u.id "  # noqa: S608
                f"WHERE u.open = 1 AND u.since <= %s AND u.id > %s AND {_NOT_IN_LANE} ORDER BY u.id LIMIT %s"
            )
            place = b"" if after is None else after.bytes
            found = await rows(connection, select, now - _ms(settled), place, limit)
            select = f"SELECT d.* FROM delivery d WHERE d.id = ANY(%s::bytea[]) AND {_WAITS}"  # noqa: S608
            of = await as_deliveries(
                connection, await rows(connection, select, [id_ for id_, _ in found]), self._names
            )
            waiting: dict[UUID, list[Delivery]] = {}
            for each in of:
                if not is_in_hand(each.key, hands):
                    waiting.setdefault(each.key.notificatie, []).append(each)
            return [
                Unsent(uuid, tuple(waiting.get(uuid, ())), catalogue)
                for uuid, catalogue in ((UUID(bytes=id_), catalogue) for id_, catalogue in found)
            ]

        return await self._database.read(work)

    async def in_lane(self) -> Mapping[UUID, InLane]:
        """As `KeeperLedger.in_lane`."""
        select = (
            "SELECT d.abonnement, min(encode(d.id, 'hex')), count(*) FROM lane l "  # noqa: S608
            "JOIN unrouted u ON u.id = l.id AND u.open = 1 JOIN delivery d ON d.id = l.id "
            f"WHERE {_WAITS} GROUP BY 1"
        )

        async def work(connection: Connection) -> dict[UUID, InLane]:
            found = await rows(connection, select)
            await self._names.read(connection, Kind.ABONNEMENT, (number for number, *_ in found))
            return {
                self._names.abonnement(number): InLane(UUID(hex=oldest), count)
                for number, oldest, count in found
            }

        return await self._database.read(work)

    async def of_lane(self, abonnement: UUID, *, begin: UUID, limit: int) -> Sequence[Delivery]:
        """As `KeeperLedger.of_lane`."""
        select = (
            "SELECT d.* FROM lane l JOIN unrouted u ON u.id = l.id AND u.open = 1 "  # noqa: S608
            "JOIN delivery d ON d.id = l.id AND d.abonnement = %s AND d.replay = 0 "
            f"WHERE l.id >= %s AND {_WAITS} ORDER BY l.id LIMIT %s"
        )

        async def work(connection: Connection) -> list[Delivery]:
            number = self._names.abonnement_number(abonnement)
            found = await rows(connection, select, number, begin.bytes, limit)
            return await as_deliveries(connection, found, self._names)

        return await self._database.read(work)

    async def under_way(self, abonnement: UUID, notificaties: Sequence[UUID]) -> set[UUID]:
        """As `KeeperLedger.under_way`."""
        select = (
            "SELECT id FROM delivery d WHERE abonnement = %s AND replay = 0 AND round > 0 "  # noqa: S608
            f"AND state = ANY(%s::smallint[]) AND id = ANY(%s::bytea[]) AND NOT ({WAITS_FOR_TURN})"
        )
        ids = [each.bytes for each in notificaties]

        async def work(connection: Connection) -> set[UUID]:
            number = self._names.abonnement_number(abonnement)
            found = await rows(connection, select, number, [_PENDING, _RETURNING], ids)
            return {UUID(bytes=id_) for (id_,) in found}

        return await self._database.read(work)

    async def leave_lane(self, epoch: int) -> int:
        """As `KeeperLedger.leave_lane`."""
        update = (
            "UPDATE unrouted SET open = 0 WHERE open = 1 AND id IN (SELECT id FROM lane) AND NOT EXISTS "  # noqa: S608
            f"(SELECT 1 FROM delivery d WHERE d.id = unrouted.id AND {_WAITS})"
        )

        async def work(connection: Connection, _: int) -> int:
            cleared = await do(connection, update)
            stale = "DELETE FROM lane l USING unrouted u WHERE u.id = l.id AND u.open = 0"
            await do(connection, stale)
            return cleared

        return await self._guarded(epoch, work)

    async def unrouted_count(self) -> int:
        """As `KeeperLedger.unrouted_count`."""
        return await self._database.read(lambda connection: number(connection, _UNROUTED_COUNT))

    async def stuck_count(self) -> int:
        """As `KeeperLedger.stuck_count`."""
        select = "SELECT sum(stuck)::bigint FROM backlog"
        return await self._database.read(lambda connection: number(connection, select))

    async def hands(self, *, live: float) -> Hands:
        """As `KeeperLedger.hands`. `now` is the horizon: all that was stamped by then can be read."""
        now = await self._clock.horizon(self._database)

        async def work(connection: Connection) -> Hands:
            since = now - _ms(live)
            select = "SELECT min(flushed_until) FROM process WHERE at >= %s AND stopped = 0"
            found = await first(connection, select, since)
            heard = now if found is None or found[0] is None else min(int(found[0]), now)
            return Hands(now, heard, await _hands(connection, since=since))

        return await self._database.read(work)

    async def with_open(self) -> Sequence[UUID]:
        """As `KeeperLedger.with_open`."""
        return list(await self._database.read(self._open_counts))

    async def first_attempts(self, *, ended: float) -> Mapping[UUID, int]:
        """As `KeeperLedger.first_attempts`."""
        last = (await self._clock.horizon(self._database) - _ms(ended)) // MINUTE - 1

        async def work(connection: Connection) -> dict[UUID, int]:
            select = "SELECT abonnement, max(since) FROM first_attempt WHERE minute <= %s GROUP BY abonnement"
            found = await rows(connection, select, last)
            if found:
                delete = (
                    "DELETE FROM first_attempt f USING unnest(%s::bigint[], %s::bigint[]) AS n (a, s) "
                    "WHERE f.abonnement = n.a AND f.minute <= %s AND f.since < n.s"
                )
                await do(connection, delete, *columns(found), last)
            await self._names.read(connection, Kind.ABONNEMENT, (nr for nr, _ in found))
            return {self._names.abonnement(nr): since for nr, since in found}

        return await self._database.write(work, repeatable=True)

    async def suspects(
        self, abonnement: UUID, *, before: int, limit: int, after: Key | None = None
    ) -> Sequence[Delivery]:
        """As `KeeperLedger.suspects`."""
        # What went into its queue by then was received by then, and the index is by id, so by `received`.
        condition = f"id < %s AND state IN ({_PENDING}, {_RETRYING}) AND since < %s AND {_IS_ROUTED}"
        return await self._open(
            abonnement, condition, [least_id(before + SKEW), before], limit=limit, after=after
        )

    async def waiting(
        self, abonnement: UUID, *, limit: int, before: int | None = None, after: Key | None = None
    ) -> Sequence[Delivery]:
        """As `KeeperLedger.waiting`."""

        async def work(connection: Connection) -> list[Delivery]:
            now = await self._clock.now(connection)
            # A gateway's id says when it was accepted, which cannot lie ahead; other ids say nothing.
            ranges = [(b"", _BEYOND)]
            if before is not None:
                ranges = [(b"", least_id(before + SKEW)), (least_id(now + SKEW), _BEYOND)]
            select = (
                "SELECT d.* FROM delivery d LEFT JOIN notificatie m ON m.id = d.id WHERE d.abonnement = %s "  # noqa: S608
                "AND d.open = 1 AND (d.id, d.replay) > (%s, %s) AND d.id >= %s AND d.id < %s "
                f"AND (d.state = {_PENDING} OR (d.state = {_RETRYING} AND d.next_at <= %s)) "
                f"AND coalesce(d.again_at, m.received, d.since) < %s AND {_IS_ROUTED} "
                "ORDER BY d.id, d.replay LIMIT %s"
            )
            of = self._names.abonnement_number(abonnement)
            place = (b"", -1) if after is None else (after.notificatie.bytes, after.replay)
            moment = _ALWAYS if before is None else before
            found: list[Delivery] = []
            for begin, end in ranges:
                left = limit - len(found)
                page = await rows(connection, select, of, *place, begin, end, now, moment, left)
                found += [delivery_of(Row._make(row), abonnement) for row in page]
            return found

        return await self._database.read(work)

    async def gaps(self, *, done: bool) -> Sequence[Gap]:
        """As `KeeperLedger.gaps`."""
        select = (
            "SELECT nr, kind, scope, opened, closed, detail, done FROM gap WHERE %s OR done = 0 ORDER BY nr"
        )
        found = await self._database.read(lambda connection: rows(connection, select, done))
        return [
            Gap(nr, Scope(kind), of, opened, closed, why, bool(is_done))
            for nr, kind, of, opened, closed, why, is_done in found
        ]

    async def in_gap(
        self, gap: Gap, abonnement: UUID, *, limit: int, after: Key | None = None
    ) -> Sequence[Delivery]:
        """As `KeeperLedger.in_gap`."""
        if gap.closed is None:
            return []
        condition, of = self._covered_by(gap, closed=gap.closed)
        least = b""
        if gap.scope is Scope.KANAAL:
            least = least_id(gap.opened - BEFORE_GAP - SKEW)
        condition = f"id > %s AND id < %s AND {condition} AND {_IS_ROUTED}"
        place = [least, least_id(gap.closed + SKEW), *of]
        return await self._open(abonnement, condition, place, limit=limit, after=after)

    async def end_gap(self, epoch: int, nr: int) -> None:
        """As `KeeperLedger.end_gap`."""
        update = "UPDATE gap SET done = 1 WHERE nr = %s"
        await self._guarded(epoch, lambda connection, _: do(connection, update, nr))

    async def add_rows(self, epoch: int, abonnement: UUID, notificaties: Sequence[UUID]) -> int:
        """As `KeeperLedger.add_rows`."""
        of = self._names.abonnement_number(abonnement)

        async def work(connection: Connection, _: int) -> int:
            await self._names.write(connection, [(Kind.ABONNEMENT, str(abonnement))])
            unsure_until = (await instance_of(connection)).unsure_until
            select = "SELECT id, received, size FROM notificatie WHERE id = ANY(%s::bytea[]) FOR KEY SHARE"
            new = []
            for id_, received, size in await rows(connection, select, [each.bytes for each in notificaties]):
                row = pending_row(id_, of, received=received, size=size, now=received)
                # As the rows that it had when the older copy was put back.
                new.append(row._replace(state=_UNSURE) if received <= unsure_until else row)
            return await insert_counted(
                connection, new, what=Counter.MATCHED, at=lambda row: row.last_at, slot=self._slot
            )

        return await self._guarded(epoch, work) if notificaties else 0

    async def deliverers(self) -> Sequence[str]:
        """As `KeeperLedger.deliverers`."""
        select = "SELECT name FROM process WHERE at BETWEEN %s AND %s AND stopped = 0 AND hands <> %s"

        async def work(connection: Connection) -> Sequence[str]:
            now, live = await self._clock.now(connection), round(LIVE * 1000)
            found = await rows(connection, select, now - live, now + live, CUT_OFF_PACKED)
            return [name for (name,) in found]

        return await self._database.read(work)

    async def facts(self) -> Facts:
        """As `KeeperLedger.facts`."""

        async def work(connection: Connection) -> Facts:
            now = await self._clock.now(connection)
            states = (
                "SELECT state, count(*) FROM delivery WHERE state NOT IN (0, 7) "
                "AND state = ANY(%s::smallint[]) GROUP BY 1"
            )
            counted = dict(await rows(connection, states, [_RETURNING, _STUCK, _UNSURE]))
            total = "SELECT coalesce(sum(n), 0)::bigint, coalesce(sum(bytes), 0)::bigint FROM backlog"
            of = await first(connection, total) or (0, 0)
            processes = await rows(connection, "SELECT * FROM process ORDER BY name")
            return Facts(
                now=now,
                open=(of[0], of[1]),
                unrouted=await number(connection, _UNROUTED_COUNT),
                lane=await number(connection, _LANE_COUNT),
                returning=counted.get(_RETURNING, 0),
                stuck=counted.get(_STUCK, 0),
                unsure=counted.get(_UNSURE, 0),
                size=await bytes_used(connection),
                lease=await _lease(connection),
                processes=tuple(
                    Process(name, at, until, count_keys(hands), bool(stopped))
                    for name, at, until, hands, stopped in processes
                ),
            )

        return await self._database.read(work)

    async def count_held(self, epoch: int, abonnementen: Collection[UUID]) -> int:
        """As `KeeperLedger.count_held`."""

        async def work(connection: Connection, now: int) -> int:
            backlogs = await self._open_counts(connection)
            held = sum(n for abonnement, n in backlogs.items() if abonnement in abonnementen)
            upsert = (
                "INSERT INTO minute VALUES (%s, %s, 0, 0, %s) ON CONFLICT (minute, what, who, slot) "
                "DO UPDATE SET n = excluded.n"
            )
            await do(connection, upsert, now // MINUTE, int(Counter.HELD), held)
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

        async def work(connection: Connection, now: int) -> list[Delivery]:
            given_back = await self._changed(connection, rows, change, now=now)
            why = returned(now if caused is None else caused, cause)
            notes = [
                attempt_row(each.key, self._names.abonnement_number(each.key.abonnement), each.round, why)
                for each in given_back
            ]
            if notes:
                await do(connection, INSERT_ATTEMPTS, *columns(notes))
            return given_back

        return await self._guarded(epoch, work) if rows else []

    async def give_back_again(
        self, epoch: int, *, after: float, limit: int, but: frozenset[UUID] = frozenset()
    ) -> Sequence[Delivery]:
        """As `KeeperLedger.give_back_again`."""
        skipped = [self._names.abonnement_number(uuid) for uuid in but]

        async def work(connection: Connection, now: int) -> list[Delivery]:
            select = (
                f"SELECT * FROM delivery WHERE state = {_RETURNING} AND state NOT IN (0, 7) AND since <= %s "  # noqa: S608
                "AND NOT abonnement = ANY(%s::bigint[]) ORDER BY id, abonnement, replay LIMIT %s FOR UPDATE"
            )
            found = await rows(connection, select, now - _ms(after), skipped, limit)
            again = [Row._make(row)._replace(since=now) for row in found]
            await update_rows(connection, again)
            return await as_deliveries(connection, again, self._names)

        return await self._guarded(epoch, work)

    async def given_back(self, epoch: int, rows: Sequence[Delivery]) -> None:
        """As `KeeperLedger.given_back`."""
        await self._change(epoch, rows, returned_to_queue)

    async def end(self, epoch: int, rows: Sequence[Delivery]) -> Sequence[Key]:
        """As `KeeperLedger.end`."""
        return [each.key for each in await self._change(epoch, rows, stuck)]

    async def routed(self, epoch: int, notificaties: Sequence[UUID]) -> int:
        """As `KeeperLedger.routed`."""
        update = (
            "UPDATE unrouted SET open = 0 WHERE open = 1 AND id = ANY(%s::bytea[]) AND NOT EXISTS "  # noqa: S608
            f"(SELECT 1 FROM delivery d WHERE d.id = unrouted.id AND {_WAITS})"
        )
        ids = [each.bytes for each in notificaties]
        return await self._guarded(epoch, lambda connection, _: do(connection, update, ids))

    async def _guarded(self, epoch: int, work: Callable[[Connection, int], Awaitable[T]]) -> T:
        """Run `work` in a transaction that keeps the lease from others meanwhile. Raises LeaseLost."""

        async def transaction(connection: Connection) -> T:
            await check_epoch(connection, epoch)
            return await work(connection, await self._clock.now(connection))

        return await self._database.write(transaction, lock=STAMPED)

    async def _change(self, epoch: int, rows: Sequence[Delivery], change: Change) -> list[Delivery]:
        """As `_changed`, in such a transaction. Raises LeaseLost."""
        if not rows:
            return []
        return await self._guarded(
            epoch, lambda connection, now: self._changed(connection, rows, change, now=now)
        )

    async def _changed(
        self, connection: Connection, given: Sequence[Delivery], change: Change, *, now: int
    ) -> list[Delivery]:
        """Change those that are unchanged since they were read; returns them as they are now."""
        keys = {self._key(each.key): each for each in given}
        changed: dict[Key, Delivery] = {}
        pairs = []
        for old in await locked(connection, list(keys)):
            was = keys[old[:3]]
            if delivery_of(old, was.key.abonnement) != was:
                continue
            new = change(old, now)
            pairs.append((old, new))
            changed[was.key] = delivery_of(new, was.key.abonnement)
        await change_rows(connection, pairs, now=now, slot=self._slot)
        return [changed[each.key] for each in given if each.key in changed]

    async def _open(
        self, abonnement: UUID, condition: str, of: Sequence[Any], *, limit: int, after: Key | None
    ) -> list[Delivery]:
        """What is open of this abonnement under a condition for a delivery `d`, the oldest first."""
        select = (
            "SELECT * FROM delivery d WHERE abonnement = %s AND open = 1 AND (id, replay) > (%s, %s) "  # noqa: S608
            f"AND {condition} ORDER BY id, replay LIMIT %s"
        )
        place = (b"", 0) if after is None else (after.notificatie.bytes, after.replay)
        values = [self._names.abonnement_number(abonnement), *place, *of, limit]
        found = await self._database.read(lambda connection: rows(connection, select, *values))
        return [delivery_of(Row._make(row), abonnement) for row in found]

    async def _open_counts(self, connection: Connection) -> dict[UUID, int]:
        found = await rows(connection, _OPEN_COUNTS)
        await self._names.read(connection, Kind.ABONNEMENT, (nr for nr, _ in found))
        return {self._names.abonnement(nr): n for nr, n in found}

    def _covered_by(self, gap: Gap, *, closed: int) -> tuple[str, list[Any]]:
        """The SQL condition, with its parameters, for a delivery `d` that a closed gap may have lost."""
        if gap.scope is not Scope.KANAAL:
            # `since` of a new delivery is when its entry was committed; RabbitMQ had it before that, when its
            # id was made. `since` of a retry is when it is due, so `last_at` counts.
            went_in = f"((d.state = {_PENDING} AND (d.since <= %s OR (d.round = 0 AND d.id < %s))) OR "
            went_in += f"(d.state = {_RETRYING} AND d.last_at <= %s))"
            return went_in, [closed, least_id(closed + 1), closed]
        # Only what is accepted passes the kanaal's exchange; all else goes to the queue by others.
        accepted = "EXISTS (SELECT 1 FROM notificatie m WHERE m.id = d.id AND m.kanaal = %s "
        accepted += "AND m.received BETWEEN %s AND %s)"
        kanaal = self._names.number(Kind.KANAAL, gap.of)
        return f"{_WAITS} AND {accepted}", [kanaal, gap.opened - BEFORE_GAP, closed]

    def _key(self, key: Key) -> tuple[bytes, int, int]:
        return key.notificatie.bytes, self._names.abonnement_number(key.abonnement), key.replay


async def check_epoch(connection: Connection, epoch: int) -> None:
    """Hold the lease for the transaction. Raises LeaseLost when another keeper has had it since."""
    row = await first(connection, "SELECT holder, epoch FROM keeper FOR SHARE")
    if row is None or row[1] != epoch:
        raise LeaseLost(f"the lease is {row[0]}'s now" if row else "nobody has the lease")


async def instance_of(connection: Connection) -> Instance:
    """Which ledger this is."""
    row = await first(connection, "SELECT id, made, mark, marked, unsure_until FROM instance")
    assert row is not None  # noqa: S101 - made with the tables
    return Instance(UUID(row[0]), *row[1:])


async def make_restored(connection: Connection, *, detail: str, now: int) -> Instance:
    """As `Ledger.make_restored`."""
    copy = await instance_of(connection)
    lacks = "INSERT INTO incomplete VALUES (%s, %s, NULL) ON CONFLICT DO NOTHING"
    await do(connection, lacks, copy.marked, now)
    update = "UPDATE instance SET id = %s, made = %s, mark = 0, marked = %s"
    await do(connection, update, str(uuid4()), now, now)
    await do(connection, "DELETE FROM process")
    await do(connection, "UPDATE keeper SET until = 0")
    gap = "INSERT INTO gap (kind, scope, opened, detail) VALUES (%s, '', %s, %s) ON CONFLICT DO NOTHING"
    await do(connection, gap, Scope.EVERYTHING, now, detail)
    return await instance_of(connection)


async def insert_counted(
    connection: Connection, new: Sequence[Row], *, what: Counter, at: Callable[[Row], int], slot: int
) -> int:
    """Insert rows that are not there, and count them; returns how many.

    what: as which they count in the minute of `at`, in milliseconds.
    """
    made = await insert_rows(connection, new)
    backlog: dict[int, list[int]] = {}
    minutes: dict[tuple[int, int, int], int] = {}
    volume: dict[int, int] = {}
    for row in new:
        if row[:3] in made:
            count_open(row, backlog.setdefault(row.abonnement, [0, 0, 0]), 1)
            key = (at(row) // MINUTE, int(what), row.abonnement)
            minutes[key] = minutes.get(key, 0) + 1
            volume[day_of_id(row.id)] = volume.get(day_of_id(row.id), 0) + OF_DELIVERY
    await add_counts(connection, backlog=backlog, minutes=minutes, volume=volume, slot=slot)
    return len(made)


async def change_rows(
    connection: Connection, changed: Sequence[tuple[Row, Row]], *, now: int, slot: int
) -> None:
    """Update rows that are locked, each as it was and as it is to be, and their counts."""
    await update_rows(connection, [new for _, new in changed])
    minutes: dict[tuple[int, int, int], int] = {}
    backlog: dict[int, list[int]] = {}
    for old, new in changed:
        if new.state not in (old.state, _PENDING):
            key = (now // MINUTE, Counter.STATE + new.state, new.abonnement)
            minutes[key] = minutes.get(key, 0) + 1
        of = backlog.setdefault(new.abonnement, [0, 0, 0])
        count_open(old, of, -1)
        count_open(new, of, 1)
    grown = {nr: by for nr, by in backlog.items() if any(by)}
    await add_counts(connection, backlog=grown, minutes=minutes, volume={}, slot=slot)


async def _lease(connection: Connection) -> Lease | None:
    row = await first(connection, "SELECT holder, epoch, until FROM keeper")
    return None if row is None else Lease(*row)


async def _hands(connection: Connection, *, since: int) -> frozenset[Key]:
    """What deliverers with a heartbeat at `since` or later have in hand."""
    found = await rows(connection, "SELECT hands FROM process WHERE at >= %s AND stopped = 0", since)
    return frozenset(key for (packed,) in found for key in unpack_keys(packed))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
