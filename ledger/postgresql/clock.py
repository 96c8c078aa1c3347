"""The database's clock, and up to when all that was written can be seen.

Of several writers one that stamped its rows later may commit first. A reader that goes by such stamps asks
for the horizon: what was stamped before it is committed, or never will be.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from store.database.address import Connection
from store.database.database import Database
from store.database.faults import is_lost
from store.database.statements import number

STAMPED = "SELECT pg_current_xact_id(); "
"""Begins a transaction that stamps rows: from here on others see that it runs (`horizon`)."""

TIMELINE = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"
"""Which history of the database this is: another one begins when a standby takes over."""
STARTED = "extract(epoch FROM pg_postmaster_start_time())::text"
"""In its place, where that may not be asked: each server was started at another moment."""
_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
# Of transactions that may have stamped rows: their number is given before their clock is read.
_OLDEST = (
    "SELECT (extract(epoch FROM min(xact_start)) * 1000)::bigint FROM pg_stat_activity "
    "WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
)


def beginning(*, timeline: str, room: bool) -> str:
    """The question that begins a transaction that stamps rows: its clock, its timeline and how full it is.

    timeline: as `sign_of_history` gives it. room: whether the last is asked.
    """
    full = (
        ', (SELECT bytes FROM budget) AS budget, (SELECT "full" FROM budget) AS "full", '
        "(SELECT sum(bytes) FROM volume)::bigint AS used"
    )
    return f"{STAMPED}{_NOW} AS now, {timeline} AS timeline{full if room else ''}"


async def sign_of_history(connection: Connection) -> str:
    """By what this server tells its history: TIMELINE, or STARTED; in the caller's transaction."""
    try:
        async with connection.transaction():
            await connection.execute(f"SELECT {TIMELINE}")
    except psycopg.Error as error:
        if is_lost(error):
            raise
        return STARTED
    return TIMELINE


class Clock:
    """Milliseconds since 1970, by the database's clock; by `given` (Unix seconds) in tests."""

    def __init__(self, given: Callable[[], float] | None = None) -> None:
        self._given = given

    async def now(self, connection: Connection) -> int:
        """The moment."""
        if self._given is not None:
            return int(self._given() * 1000)
        return await number(connection, _NOW)

    def told(self, now: int) -> int:
        """The moment, of which the database says that it is `now`."""
        return now if self._given is None else int(self._given() * 1000)

    async def horizon(self, database: Database) -> int:
        """A moment such that what was stamped by then is seen by every read that begins after this call.

        It lies at most as far back as the longest transaction under way. All processes must use the same
        user of the database, or one that may read pg_stat_activity.
        """
        if self._given is not None:
            return int(self._given() * 1000)

        async def look(connection: Connection) -> int:
            # In this order: what gets its number after the second look has a clock after the first.
            now = await number(connection, _NOW)
            oldest = await number(connection, _OLDEST)
            return min(now, oldest or now) - 1

        return await database.read(look)
