"""Looks at tables that may not be there, without opening the store that they are of: nothing is made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg import sql

from store.database.address import Address, Connection, connect
from store.database.faults import told
from store.database.statements import first, number
from store.faults import Faults

# The last statement of a process that waits for changes of the registry (listening.py).
_LISTENING = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid != pg_backend_pid() AND query = %s"
)


async def listening(connection: Connection, address: Address) -> int:
    """How many processes have the registry in this schema open, of those that can listen."""
    channel = sql.Identifier(f"{address.schema}.registry").as_string()
    return await number(connection, _LISTENING, f"LISTEN {channel}")


@asynccontextmanager
async def looked_at(address: Address, table: str, faults: Faults) -> AsyncIterator[Connection | None]:
    """A connection; None when the schema has no such table. Raises the error of `faults`.

    The connection has no search path: name tables by their schema.
    """
    name = sql.Identifier(address.schema, table).as_string()
    try:
        async with await connect(address) as connection:
            there = await first(connection, "SELECT to_regclass(%s) IS NOT NULL", name)
            yield connection if there is not None and there[0] else None
    except (psycopg.Error, OSError) as error:
        raise told(faults, address, error) from error
