"""Removes rows and bodies from the PostgreSQL ledger: by age, and over its budget in a fixed order.

Whole days are dropped, once all of a day is past its retention; what is still needed of it moves to the
default partition first, and stays findable. There, and where the budget asks for more, rows are deleted one
by one, as in SQLite (ledger/sqlite/shedding.py): in small transactions, the oldest first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

from psycopg import sql

from ledger.postgresql.days import (
    DAY,
    LOCK,
    day_of,
    day_of_id,
    days_of,
    default,
    first_of,
    make_days,
    make_missing,
    partition,
)
from ledger.postgresql.writing import (
    OF_ATTEMPT,
    OF_DELIVERY,
    OF_NOTIFICATIE,
    OF_TERM,
    add_volumes,
    bytes_used,
)
from ledger.tables.merging import MINUTE
from ledger.tables.rows import STATES, least_id, unpack_terms
from ledger.values import Incomplete, Shed, State
from runtime.log import logger
from schemas.errors import LedgerError
from store.database.address import Connection
from store.database.database import Database
from store.database.statements import columns, do, number, rows

PIECE = 500
"""Notificaties in one transaction."""
PIECE_OVER_BUDGET = 25  # the same over the budget, so that no more goes than must
BODIES_AT_MOST = 30 * 24 * 3600  # seconds after which a body is removed, also of open deliveries
PROCESS_AGE = 24 * 3600  # seconds without a heartbeat after which a process is forgotten
MOST_MOVED = 20_000
"""Notificaties of a day that are still needed: with more it keeps its partition, and is looked at later."""
LOOK_AGAIN = 3600.0  # seconds, at a day that had more

_ROWS = ("notificatie", "term", "delivery", "attempt")
_UNDELIVERABLE = STATES[State.UNDELIVERABLE]
_IS_KEPT = f"(d.open = 1 OR d.state = {_UNDELIVERABLE} OR d.last_at > %(settled)s)"
_IS_SETTLED = (
    f"NOT EXISTS (SELECT 1 FROM delivery d WHERE d.id = m.id AND {_IS_KEPT}) "  # noqa: S608
    "AND NOT EXISTS (SELECT 1 FROM unrouted u WHERE u.id = m.id AND u.open = 1)"
)
_BODIES = (
    "SELECT m.id, m.size FROM {body} b JOIN notificatie m ON m.id = b.id WHERE b.id > %(place)s "  # noqa: S608
    "AND b.id <= %(end)s AND ((m.received <= %(last)s AND NOT EXISTS (SELECT 1 FROM delivery d "
    f"WHERE d.id = m.id AND d.state = {_UNDELIVERABLE})) OR (m.received <= %(settled)s AND {_IS_SETTLED})) "
    "ORDER BY b.id LIMIT %(piece)s"
)
_ROW = (
    "SELECT m.id, m.terms FROM {notificatie} m WHERE m.id > %(place)s AND m.id <= %(end)s "  # noqa: S608
    f"AND m.received <= %(settled)s AND {_IS_SETTLED} ORDER BY m.id LIMIT %(piece)s"
)
_GIVEN_UP = (
    "SELECT m.id, m.terms, m.received FROM {notificatie} m WHERE m.id > %(place)s AND m.id <= %(end)s "  # noqa: S608
    f"AND EXISTS (SELECT 1 FROM delivery d WHERE d.id = m.id AND d.state = {_UNDELIVERABLE}) "
    "AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.id = m.id AND (d.open = 1 OR d.last_at > %(settled)s)) "
    "AND NOT EXISTS (SELECT 1 FROM unrouted u WHERE u.id = m.id AND u.open = 1) "
    "ORDER BY m.id LIMIT %(piece)s"
)
# Outcomes and attempts of notificaties that never had an entry here.
_ORPHANS = (
    "SELECT DISTINCT x.id FROM {orphans} x WHERE x.id > %(place)s AND x.id <= %(end)s AND x.id < %(before)s "  # noqa: S608
    "AND NOT EXISTS (SELECT 1 FROM notificatie m WHERE m.id = x.id) "
    f"AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.id = x.id AND {_IS_KEPT}) "
    "ORDER BY x.id LIMIT %(piece)s"
)
# Of a whole day: what must stay, and whether a body must.
_NEEDED = (
    "SELECT DISTINCT d.id FROM {delivery} d WHERE {kept} UNION "
    "SELECT u.id FROM unrouted u WHERE u.open = 1 AND u.id >= %(first)s AND u.id < %(end)s UNION "
    "SELECT m.id FROM {notificatie} m WHERE m.received > %(settled)s LIMIT %(most)s"
)
_OLD_BODIES = (
    "SELECT m.id FROM {notificatie} m WHERE m.received <= %(last)s AND NOT EXISTS (SELECT 1 FROM delivery d "  # noqa: S608
    f"WHERE d.id = m.id AND d.state = {_UNDELIVERABLE})"
)
_LAST = bytes([255]) * 17  # greater than every id

Found = list[tuple[Any, ...]]

log = logger(__name__)


class Shedding:
    """The removals of one process. looked: days that had too much to move, and when that was."""

    def __init__(self, database: Database, *, slot: int) -> None:
        self._database = database
        self._slot = slot
        self._looked: dict[tuple[str, int], float] = {}

    async def shed(
        self, *, now: int, bodies_for: float, rows_for: float, counts_for: float, budget: int
    ) -> Shed:
        """As `Ledger.shed`."""
        last, older = _ago(now, BODIES_AT_MOST), _ago(now, rows_for)
        settled = _ago(now, bodies_for)
        await self._database.write(lambda connection: make_days(connection, day_of(now)))
        for name in await self._database.write(make_missing):
            log.warning("partition was missing", partition=name)

        bodies = await self._drop_days("body", settled=settled, last=last, until=_never)
        dropped = await self._drop_days("notificatie", settled=older, last=last, until=_never)
        in_default = {table: default(table) for table in ("body", *_ROWS)}
        bodies += await self._remove(self._body, _BODIES, in_default, settled=settled, last=last)
        dropped += await self._remove(self._row, _ROW, in_default, settled=older)
        for table in ("delivery", "attempt"):
            of = {"orphans": default(table)}
            await self._remove(self._orphan, _ORPHANS, of, settled=older)
        counts = await self._forget(now=now, counts=_ago(now, counts_for), older=older)

        # From here on of whatever age, until the budget is kept.
        async def within_budget() -> bool:
            return await self._database.read(bytes_used) <= budget

        everywhere = {table: table for table in ("body", *_ROWS)}
        if not await within_budget():
            bodies += await self._remove(
                self._body, _BODIES, in_default, settled=now, last=last, until=within_budget
            )
            bodies += await self._drop_days(
                "body", settled=now, last=last, until=within_budget, today=day_of(now)
            )
            bodies += await self._remove(
                self._body, _BODIES, everywhere, settled=now, last=last, until=within_budget
            )
            dropped += await self._remove(self._row, _ROW, in_default, settled=now, until=within_budget)
            dropped += await self._drop_days(
                "notificatie", settled=now, last=last, until=within_budget, today=day_of(now)
            )
            dropped += await self._remove(self._row, _ROW, everywhere, settled=now, until=within_budget)
        given_up = _GivenUp(self)
        dropped += await self._remove(
            given_up.remove, _GIVEN_UP, everywhere, settled=older, until=within_budget
        )

        async def note(connection: Connection) -> int:
            size = await bytes_used(connection)
            upsert = (
                "INSERT INTO budget VALUES (1, %s, %s) ON CONFLICT (one) DO UPDATE SET "
                'bytes = excluded.bytes, "full" = excluded."full"'
            )
            await do(connection, upsert, budget, int(size > budget))
            return size

        size = await self._database.write(note, repeatable=True)
        return Shed(
            bodies=bodies,
            rows=dropped,
            counts=counts,
            size=size,
            full=size > budget,
            undeliverable=given_up.removed,
        )

    # Whole days

    async def _drop_days(
        self,
        of: str,
        *,
        settled: int,
        last: int,
        until: Callable[[], Awaitable[bool]],
        today: int | None = None,
    ) -> int:
        """Drop the days that are past; returns how many notificaties (or bodies) went with them."""
        removed = 0
        for day in await self._database.read(lambda connection: days_of(connection, of)):
            past = (day + 1) * DAY <= settled if today is None else day < today
            looked = monotonic() - self._looked.get((of, day), -LOOK_AGAIN)
            if not past or (today is None and looked < LOOK_AGAIN) or await until():
                continue
            # A lock that is not had in time: others are in this day, and it is for the next time.
            with suppress(LedgerError):
                drop = self._drop_bodies if of == "body" else self._drop_rows
                went = await self._database.write(partial(drop, day=day, settled=settled, last=last))
                if went is None:
                    self._looked[of, day] = monotonic()
                else:
                    removed += went
        return removed

    async def _drop_bodies(self, connection: Connection, *, day: int, settled: int, last: int) -> int | None:
        needed = await self._needed(connection, day, ("body",), settled=settled)
        if needed is None:
            return None
        if (day + 1) * DAY <= last:
            old = _named(_OLD_BODIES, {"notificatie": "notificatie"})
            old += sql.SQL(" AND m.id = ANY(%(ids)s::bytea[])")
            gone = {id_ for (id_,) in await _all(connection, old, {"last": last, "ids": sorted(needed)})}
            needed -= gone
        body = sql.Identifier(partition("body", day))
        total = sql.SQL(
            "SELECT count(*), coalesce(sum(octet_length(body)), 0)::bigint FROM {} "
            "WHERE NOT id = ANY(%s::bytea[])"
        ).format(body)
        ((removed, size),) = await rows(connection, total, sorted(needed))
        await _drop(connection, ("body",), day, sorted(needed))
        await add_volumes(connection, {day: -size}, slot=self._slot)
        return int(removed)

    async def _drop_rows(self, connection: Connection, *, day: int, settled: int, last: int) -> int | None:
        there = await days_of(connection, "body")
        tables = ("body", *_ROWS) if day in there else _ROWS
        needed = await self._needed(connection, day, tables, settled=settled)
        if needed is None:
            return None
        ids = sorted(needed)
        count = sql.SQL("SELECT count(*) FROM {} WHERE NOT id = ANY(%s::bytea[])").format(
            sql.Identifier(partition("notificatie", day))
        )
        removed = await number(connection, count, ids)
        await _drop(connection, tables, day, ids)
        await do(connection, "DELETE FROM volume WHERE day = %s", day)
        size = 0
        if ids:
            for table, each in (
                ("notificatie", OF_NOTIFICATIE), ("term", OF_TERM), ("delivery", OF_DELIVERY),
                ("attempt", OF_ATTEMPT),
            ):  # fmt: skip
                select = sql.SQL("SELECT count(*) FROM {} WHERE id = ANY(%s::bytea[])")
                kept = select.format(sql.Identifier(default(table)))
                size += each * await number(connection, kept, ids)
            size += await number(
                connection,
                "SELECT sum(octet_length(body))::bigint FROM body WHERE id = ANY(%s::bytea[])",
                ids,
            )
        await add_volumes(connection, {day: size}, slot=self._slot)
        return removed

    async def _needed(
        self, connection: Connection, day: int, tables: Sequence[str], *, settled: int
    ) -> set[bytes] | None:
        """The ids of a day that must stay; None when there are too many. Nobody writes in it from here on."""
        await do(connection, LOCK)
        locked = sql.SQL(", ").join(
            sql.Identifier(partition(table, day))
            for table in dict.fromkeys((*tables, "notificatie", "delivery"))
        )
        await do(connection, sql.SQL("LOCK TABLE {} IN SHARE MODE").format(locked))
        of = {table: partition(table, day) for table in ("notificatie", "delivery")}
        found = await _all(
            connection,
            _named(_NEEDED.replace("{kept}", _IS_KEPT), of),
            {"settled": settled, "first": first_of(day), "end": first_of(day + 1), "most": MOST_MOVED + 1},
        )
        return None if len(found) > MOST_MOVED else {id_ for (id_,) in found}

    # Row by row

    async def _remove(
        self,
        remove: Callable[[Connection, Found], Awaitable[None]],
        select: str,
        tables: dict[str, str],
        *,
        settled: int,
        last: int = 0,
        until: Callable[[], Awaitable[bool]] | None = None,
    ) -> int:
        """Remove piece by piece, the oldest first, what this condition allows; returns how many."""
        query = _named(select, tables)
        condition: dict[str, Any] = {
            "place": b"",
            "end": _LAST,
            "before": least_id(settled),
            "settled": settled,
            "last": last,
            "piece": PIECE if until is None else PIECE_OVER_BUDGET,
        }
        removed = 0
        while until is None or not await until():
            found = await self._database.read(partial(_all, query=query, values=condition))
            if not found:
                break
            # Up to the last one only: what came to be settled meanwhile has its turn in the next piece.
            again = condition | {"end": found[-1][0]}

            async def work(
                connection: Connection, again: dict[str, Any] = again, found: Found = found
            ) -> int:
                ids = [row[0] for row in found]
                lock = "SELECT 1 FROM {} WHERE id = ANY(%s::bytea[]) ORDER BY id FOR UPDATE"
                for table in ("notificatie", "delivery"):
                    await rows(connection, sql.SQL(lock).format(sql.Identifier(table)), ids)
                still = await _all(connection, query, again)
                if still:
                    await remove(connection, still)
                return len(still)

            removed += await self._database.write(work)
            condition = condition | {"place": found[-1][0]}
        return removed

    async def _body(self, connection: Connection, found: Found) -> None:
        await do(connection, "DELETE FROM body WHERE id = ANY(%s::bytea[])", [row[0] for row in found])
        await self._shrink(connection, [(row[0], row[1]) for row in found])

    async def _row(self, connection: Connection, found: Found) -> None:
        ids = [row[0] for row in found]
        bodies = "DELETE FROM body WHERE id = ANY(%s::bytea[]) RETURNING id, octet_length(body)"
        shrunk = await rows(connection, bodies, ids)
        for table in ("notificatie", "unrouted", "lane", "passed_on"):
            delete = sql.SQL("DELETE FROM {} WHERE id = ANY(%s::bytea[])").format(sql.Identifier(table))
            await do(connection, delete, ids)
        terms = [(term, row[0]) for row in found for term in unpack_terms(row[1])]
        if terms:
            delete_terms = (
                "DELETE FROM term x USING unnest(%s::bigint[], %s::bytea[]) AS n (t, i) "
                "WHERE x.t = n.t AND x.id = n.i AND x.id = ANY(%s::bytea[])"
            )
            await do(connection, delete_terms, *columns(terms), ids)
        shrunk += [(row[0], OF_NOTIFICATIE + OF_TERM * (len(row[1]) // 8)) for row in found]
        await self._shrink(connection, shrunk)
        await self._orphan(connection, found)

    async def _orphan(self, connection: Connection, found: Found) -> None:
        ids = [row[0] for row in found]
        for table, size in (("delivery", OF_DELIVERY), ("attempt", OF_ATTEMPT)):
            delete = sql.SQL("DELETE FROM {} WHERE id = ANY(%s::bytea[]) RETURNING id")
            gone = await rows(connection, delete.format(sql.Identifier(table)), ids)
            await self._shrink(connection, [(id_, size) for (id_,) in gone])

    async def _shrink(self, connection: Connection, by: Sequence[tuple[Any, ...]]) -> None:
        volume: dict[int, int] = {}
        for id_, size in by:
            volume[day_of_id(id_)] = volume.get(day_of_id(id_), 0) - size
        await add_volumes(connection, volume, slot=self._slot)

    async def _forget(self, *, now: int, counts: int, older: int) -> int:
        """Remove old counts, and what nothing refers to any more; returns how many counts."""

        async def work(connection: Connection) -> int:
            removed = await do(connection, "DELETE FROM minute WHERE minute < %s", counts // MINUTE)
            await do(connection, "DELETE FROM process WHERE at < %s", _ago(now, PROCESS_AGE))
            await do(connection, "DELETE FROM took WHERE minute < %s", older // MINUTE)
            await do(
                connection,
                "DELETE FROM unrouted WHERE since < %s AND NOT EXISTS "
                "(SELECT 1 FROM notificatie m WHERE m.id = unrouted.id)",
                older,
            )
            return removed

        return await self._database.write(work)


class _GivenUp:
    """Removes undeliverable ones, and notes in the same transaction that the ledger lacks them."""

    def __init__(self, shedding: Shedding) -> None:
        self._shedding = shedding
        self.removed: Incomplete | None = None

    async def remove(self, connection: Connection, found: Found) -> None:
        """Remove these notificaties; each row ends in when it was received."""
        received = [row[2] for row in found]
        await self._shedding._row(connection, found)
        first, last, count = min(received), max(received), len(found)
        if (before := self.removed) is not None:
            assert before.since is not None  # noqa: S101 - made below
            assert before.until is not None  # noqa: S101
            delete = "DELETE FROM incomplete WHERE since = %s AND until = %s"
            await do(connection, delete, before.since, before.until)
            first, last = min(first, before.since), max(last, before.until)
            count += before.count or 0
        upsert = (
            "INSERT INTO incomplete VALUES (%s, %s, %s) ON CONFLICT (since, until) "
            "DO UPDATE SET n = excluded.n"
        )
        await do(connection, upsert, first, last, count)
        self.removed = Incomplete(first, last, count)


async def _drop(connection: Connection, tables: Sequence[str], day: int, kept: Sequence[bytes]) -> None:
    """Drop the partitions of a day; what is kept goes to the default ones."""
    for table in tables:
        names = {"table": sql.Identifier(table), "day": sql.Identifier(partition(table, day))}
        await do(connection, sql.SQL("ALTER TABLE {table} DETACH PARTITION {day}").format(**names))
        if kept:
            move = "INSERT INTO {table} SELECT * FROM {day} WHERE id = ANY(%s::bytea[])"
            await do(connection, sql.SQL(move).format(**names), kept)
        await do(connection, sql.SQL("DROP TABLE {day}").format(**names))


async def _all(connection: Connection, query: sql.Composed, values: Mapping[str, object]) -> Found:
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(query, values)
        return [tuple(row.values()) for row in await cursor.fetchall()]


def _named(query: str, tables: dict[str, str]) -> sql.Composed:
    return sql.SQL(query).format(**{key: sql.Identifier(name) for key, name in tables.items()})


async def _never() -> bool:
    return False


def _ago(now: int, seconds: float) -> int:
    return now - round(seconds * 1000)
