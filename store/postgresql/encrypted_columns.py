"""The SQL that reads or encrypts all encrypted columns of the PostgreSQL registry, and the mark of its key.

The mark is one encrypted value that is there from the start. So a second host whose keys are others is
refused before it encrypts something that the first cannot read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

from psycopg import sql

from schemas.errors import SecretsUnreadable
from store.database.address import Connection
from store.postgresql.statements import do, first, many, rows
from store.rows import ENCRYPTED
from store.secrets import HEAD_LENGTH, Vault, key_of, place

REPORT_EVERY = 1000
_MARK = place("mark", "value", "1")
_IS_THERE = "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s"


async def keys_in_use(connection: Connection) -> Counter[str]:
    """How many values there are under each key; those that are not encrypted under ""."""
    found: Counter[str] = Counter()
    for table, _, column in ENCRYPTED:
        if not await first(connection, _IS_THERE, table, column):
            continue  # before the step that makes it
        select = sql.SQL(
            "SELECT substr({column}, 1, {length}) AS head, count(*) AS count FROM {table} "
            "WHERE {column} != '' GROUP BY 1"
        ).format(column=sql.Identifier(column), length=HEAD_LENGTH, table=sql.Identifier(table))
        for row in await rows(connection, select):
            found[key_of(row["head"])] += row["count"]
    return found


async def key_of_mark(connection: Connection) -> set[str]:
    """The name of the key of the mark; nothing when it was not set."""
    row = await first(connection, "SELECT value FROM mark")
    return set() if row is None else {key_of(row["value"])}


async def set_mark(connection: Connection, vault: Vault) -> None:
    """Set the mark, with the key that encrypts."""
    await do(
        connection,
        "INSERT INTO mark VALUES (1, %s) ON CONFLICT (one) DO UPDATE SET value = excluded.value",
        vault.seal("mark", _MARK),
    )


async def unreadable(connection: Connection, vault: Vault) -> list[str]:
    """What is wrong with each value that cannot be decrypted; nothing of the value itself."""
    values = [each async for each in _values(connection)]

    def look() -> list[str]:
        faults = []
        for table, _, column, key, value in values:
            try:
                vault.unseal(value, place(table, column, key))
            except SecretsUnreadable as error:
                faults.append(str(error))
        return faults

    return await asyncio.to_thread(look)


async def seal_again(connection: Connection, vault: Vault, *, progress: Callable[[int, int], None]) -> int:
    """Encrypt every value with the first key, a new one if the keys are ours; returns how many there are.

    progress: called with (done, all), now and then. Raises SecretsUnreadable, before anything is written.
    """
    values = [each async for each in _values(connection)]

    def seal() -> list[tuple[str, str, str, str, str]]:
        plain = [
            (table, primary, column, key, vault.unseal(value, place(table, column, key)))
            for table, primary, column, key, value in values
        ]
        # Before the values: an unused key does no harm, while values without their key cannot be read.
        vault.add_key()
        sealed = []
        for number, (table, primary, column, key, value) in enumerate(plain, 1):
            sealed.append((table, primary, column, key, vault.seal(value, place(table, column, key))))
            if number % REPORT_EVERY == 0:
                progress(number, len(plain))
        return sealed

    sealed = await asyncio.to_thread(seal)
    for table, primary, column in ENCRYPTED:
        statement = sql.SQL("UPDATE {} SET {} = %s WHERE {} = %s").format(
            sql.Identifier(table), sql.Identifier(column), sql.Identifier(primary)
        )
        own = [(value, key) for *of, key, value in sealed if of == [table, primary, column]]
        if own:
            await many(connection, statement, own)
    await set_mark(connection, vault)
    return len(sealed)


async def _values(connection: Connection) -> AsyncIterator[tuple[str, str, str, str, str]]:
    """(table, its primary key, column, the row's key, the value), for every value that is not empty."""
    for table, primary, column in ENCRYPTED:
        select = sql.SQL(
            "SELECT {primary} AS key, {column} AS value FROM {table} WHERE {column} != '' ORDER BY 1"
        ).format(primary=sql.Identifier(primary), column=sql.Identifier(column), table=sql.Identifier(table))
        for row in await rows(connection, select):
            yield table, primary, column, row["key"], row["value"]
