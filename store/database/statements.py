"""The few statements that are used everywhere, in the transaction of the caller. Rows are tuples."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, LiteralString

from psycopg import sql
from psycopg.rows import tuple_row

from store.database.address import Connection

Query = LiteralString | sql.SQL | sql.Composed


async def rows(connection: Connection, query: Query, *values: object) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    async with connection.cursor(row_factory=tuple_row, binary=True) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()


async def several(
    connection: Connection, *queries: tuple[Query, Sequence[object]]
) -> list[list[tuple[Any, ...]]]:
    """All rows of each of these queries with their values, in one round trip."""
    async with AsyncExitStack() as opened:
        # First of all: what is sent in a pipeline must be fetched within it.
        await opened.enter_async_context(connection.pipeline())
        cursors = []
        for query, values in queries:
            cursor = await opened.enter_async_context(connection.cursor(row_factory=tuple_row, binary=True))
            await cursor.execute(query, values)
            cursors.append(cursor)
        return [await cursor.fetchall() for cursor in cursors]


async def first(connection: Connection, query: Query, *values: object) -> tuple[Any, ...] | None:
    """The first row of a query, or None."""
    found = await rows(connection, query, *values)
    return found[0] if found else None


async def number(connection: Connection, query: Query, *values: object) -> int:
    """The number that a query of one row and one column gives; 0 for NULL."""
    found = await first(connection, query, *values)
    return 0 if found is None or found[0] is None else int(found[0])


async def do(connection: Connection, statement: Query, *values: object) -> int:
    """Carry out a statement; returns how many rows it concerned."""
    return (await connection.execute(statement, values or None)).rowcount


def columns(values: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as a list of each column, for `unnest`."""
    return [list(column) for column in zip(*values, strict=True)]


def no_nul(text: str) -> str:
    """A text that PostgreSQL takes: with a mark in the place of each character 0."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in text else text
