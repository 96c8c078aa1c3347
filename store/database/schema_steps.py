"""Carries out the schema steps (migrations) that a database lacks, by one process at a time.

The names of the applied ones are in the database itself. A step may say that programs from before it can go
on beside it: these then open a database that is newer than they are, and refuse any other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from psycopg import sql

from schemas.errors import NrcError
from store.database.address import Address, Connection
from store.faults import Faults

OLDEST = 14
"""The oldest major version of PostgreSQL with which this works."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_STEPS = (
    "CREATE TABLE IF NOT EXISTS schema_step (part text NOT NULL, name text NOT NULL, "
    "compatible boolean NOT NULL, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (part, name))"
)


@dataclass(frozen=True, slots=True)
class Step:
    """What a step does, within the transaction of all that are lacking.

    compatible: a program that does not know the step yet works beside it, so it need not be stopped first.
    """

    do: Callable[[Connection], Awaitable[None]]
    compatible: bool = False


Before = Callable[[Connection, frozenset[str]], Awaitable[None]]
After = Callable[[Connection, list[str]], Awaitable[None]]


async def apply_steps(
    connection: Connection,
    address: Address,
    steps: Mapping[str, Step],
    *,
    before: Before | None,
    after: After | None,
    faults: Faults,
) -> list[str]:
    """Do the steps that the database lacks, within the caller's transaction; returns their names.

    before: called first, with the names of those that it has; after: last, with those that were done. The
    caller's transaction must have the schema
    first in its search path; it is made when it is not there. Raises the errors of `faults`.
    """
    refuse_unfit(connection, address, faults)
    # Another process that opens the database waits here until this transaction has ended.
    await connection.execute(_LOCK, [f"nrc schema {address.schema}"])
    select = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
    if await (await connection.execute(select, [address.schema])).fetchone() is None:
        await connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(address.schema)))
    there = await (
        await connection.execute("SELECT to_regclass(%s) AS steps", [f'"{address.schema}".schema_step'])
    ).fetchone()
    if there is None or there["steps"] is None:
        await connection.execute(_STEPS)
    rows = await (
        await connection.execute("SELECT name, compatible FROM schema_step WHERE part = %s", [faults.name])
    ).fetchall()
    applied = {row["name"]: row["compatible"] for row in rows}
    if newer := sorted(name for name, compatible in applied.items() if name not in steps and not compatible):
        raise faults.too_new(
            f"the {faults.name} {address.shown} was written by a newer version of nrc (step {newer[-1]}): "
            "start that version, or restore the backup from before the upgrade."
        )
    if before is not None:
        await before(connection, frozenset(applied))
    pending = [name for name in steps if name not in applied]
    for name in pending:
        await steps[name].do(connection)
        await connection.execute(
            "INSERT INTO schema_step (part, name, compatible) VALUES (%s, %s, %s)",
            [faults.name, name, steps[name].compatible],
        )
    if after is not None:
        await after(connection, pending)
    return pending


def refuse_unfit(connection: Connection, address: Address, faults: Faults) -> None:
    """Raise when this server cannot have our tables."""

    def unfit(why: str) -> NrcError:
        return faults.error(f"the {faults.name} {address.shown}: {why}.")

    if (version := connection.info.server_version) < OLDEST * 10000:
        raise unfit(f"it is PostgreSQL {version // 10000}, and {OLDEST} or later is needed")
    if (encoding := connection.info.parameter_status("server_encoding")) not in (None, "UTF8"):
        raise unfit(f"its encoding is {encoding}, and UTF8 is needed: CREATE DATABASE … ENCODING 'UTF8'")
