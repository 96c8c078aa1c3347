"""The few statements that all of the registry in PostgreSQL uses. In the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import LiteralString

from psycopg import sql

from store.database.address import Connection
from store.rows import Row


async def rows(connection: Connection, query: LiteralString | sql.Composed, *values: object) -> list[Row]:
    """All rows of a query."""
    return await (await connection.execute(query, values)).fetchall()


async def first(connection: Connection, query: LiteralString | sql.Composed, *values: object) -> Row | None:
    """The first row of a query, or None."""
    return await (await connection.execute(query, values)).fetchone()


async def do(connection: Connection, statement: LiteralString | sql.Composed, *values: object) -> int:
    """Carry out a statement; returns how many rows it concerned."""
    return (await connection.execute(statement, values)).rowcount


async def insert(connection: Connection, table: str, row: Row) -> None:
    """Insert a row."""
    await connection.execute(_insert(table, tuple(row)), tuple(row.values()))


async def update(connection: Connection, table: str, key: str, row: Row) -> None:
    """Set these columns of the row in which the column `key` is as in `row`."""
    others = tuple(name for name in row if name != key)
    await connection.execute(_update(table, key, others), [*(row[name] for name in others), row[key]])


async def many(
    connection: Connection, statement: LiteralString | sql.Composed, values: Iterable[Sequence[object]]
) -> None:
    """Carry out one statement for each of many rows of values, in few round trips."""
    async with connection.cursor() as cursor:
        await cursor.executemany(statement, values)


@lru_cache(maxsize=64)
def _insert(table: str, columns: tuple[str, ...]) -> sql.Composed:
    return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
    )


@lru_cache(maxsize=64)
def _update(table: str, key: str, columns: tuple[str, ...]) -> sql.Composed:
    setting = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in columns)
    return sql.SQL("UPDATE {} SET {} WHERE {} = %s").format(
        sql.Identifier(table), setting, sql.Identifier(key)
    )
