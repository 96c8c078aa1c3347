"""Partitions by day: made in advance, dropped whole.

A notificatie, and all that belongs to it, is in the partition of the day (UTC) that its id tells (a UUIDv7).
Other ids, and days that nobody made a partition for, are in the default one; so is what is still needed of
a day that was dropped.
"""

from __future__ import annotations

from collections.abc import Set

from psycopg import sql

from ledger.tables.rows import least_id
from store.database.address import Connection
from store.database.statements import do, rows

DAY = 86_400_000
"""Milliseconds."""
AHEAD = 2
"""Days for which partitions are made in advance."""
TABLES = ("notificatie", "body", "term", "delivery", "attempt")
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' ledger days', 0))"
"""Locks out others that make or drop partitions."""


def day_of(ms: int) -> int:
    """The day of a moment, counted from 1970."""
    return ms // DAY


def day_of_id(id_: bytes) -> int:
    """The day of an id; of one that no gateway made, any number."""
    return int.from_bytes(id_[:6]) // DAY


def first_of(day: int) -> bytes:
    """Less than, or equal to, every id of this day."""
    return least_id(day * DAY)


def partition(table: str, day: int) -> str:
    """The name of a partition."""
    return f"{table}_{day}"


def default(table: str) -> str:
    """The name of the default partition."""
    return f"{table}_default"


async def days_of(connection: Connection, table: str) -> list[int]:
    """The days that have a partition of this table, the first one first."""
    found = await rows(
        connection,
        "SELECT substring(c.relname FROM '_([0-9]+)$') FROM pg_inherits i JOIN pg_class c "
        "ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(%s)",
        table,
    )
    return sorted(int(day) for (day,) in found if day is not None)


async def make_days(connection: Connection, today: int, *, ahead: int = AHEAD) -> None:
    """Make the partitions that are lacking for today and the days after it; move there what is theirs."""
    await make_partitions(connection, set(range(today, today + ahead + 1)))


async def make_partitions(connection: Connection, wanted: Set[int]) -> None:
    """Make the partitions that are lacking for these days; move there what is theirs."""
    if wanted <= set(await days_of(connection, TABLES[-1])):  # they are made in one transaction
        return
    await do(connection, LOCK)
    for table in TABLES:
        there = set(await days_of(connection, table))
        for day in sorted(wanted - there):
            await _make(connection, table, day)


async def make_missing(connection: Connection) -> list[str]:
    """Make partitions that somebody dropped, of days of which others are there; returns their names.

    Not of bodies, which are dropped before the rest: what comes for such a day is in the default partition.
    """
    tables = [table for table in TABLES if table != "body"]

    async def lacking() -> list[tuple[str, int]]:
        there = {table: set(await days_of(connection, table)) for table in tables}
        days = sorted(set[int]().union(*there.values()))
        return [(table, day) for table in tables for day in days if day not in there[table]]

    if not await lacking():
        return []
    await do(connection, LOCK)
    made = await lacking()  # another process may have been making or dropping a day
    for table, day in made:
        await _make(connection, table, day)
    return [partition(table, day) for table, day in made]


async def _make(connection: Connection, table: str, day: int) -> None:
    names = {
        "new": sql.Identifier(partition(table, day)),
        "table": sql.Identifier(table),
        "default": sql.Identifier(default(table)),
        "first": sql.Literal(first_of(day)),
        "end": sql.Literal(first_of(day + 1)),
    }
    await do(connection, sql.SQL("CREATE TABLE {new} (LIKE {table} INCLUDING ALL)").format(**names))
    # What came before its partition, by a clock ahead: else it could not be attached. No more may come.
    lock = "LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"
    await do(connection, sql.SQL(lock).format(table=names["table"]))
    move = (
        "WITH moved AS (DELETE FROM {default} WHERE id >= {first} AND id < {end} RETURNING *) "
        "INSERT INTO {new} SELECT * FROM moved"
    )
    await do(connection, sql.SQL(move).format(**names))
    attach = "ALTER TABLE {table} ATTACH PARTITION {new} FOR VALUES FROM ({first}) TO ({end})"
    await do(connection, sql.SQL(attach).format(**names))
