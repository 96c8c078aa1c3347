"""What a ledger still has to do, for a move of the registry to a place where another ledger begins.

Reads the tables as they are: opens nothing by itself, makes and changes nothing.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ledger.opening import ledger_file
from ledger.tables.rows import STATES
from ledger.values import State
from runtime.settings import Settings
from store.database.extra import postgresql_needed
from store.faults import LEDGER
from store.files.faults import told

if TYPE_CHECKING:
    from store.database.address import Address

_COUNTS = (
    "SELECT (SELECT count(*) FROM {schema}delivery WHERE open = 1), "  # noqa: S608
    f"(SELECT count(*) FROM {{schema}}delivery WHERE state = {STATES[State.UNDELIVERABLE]}), "
    "(SELECT count(*) FROM {schema}unrouted WHERE open = 1), "
    "(SELECT count(*) FROM (SELECT 1 FROM {schema}notificatie LIMIT 1) AS any_)"
)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """open: deliveries to come. unrouted: notificaties that RabbitMQ lacks. any: it has notificaties."""

    open: int = 0
    undeliverable: int = 0
    unrouted: int = 0
    any: bool = False


async def unfinished(settings: Settings) -> Unfinished:
    """That of the ledger of these settings; nothing where there is none. Raises LedgerError."""
    if settings.on_postgresql:
        with postgresql_needed():
            from store.database.address import address_of
        return await _in_postgresql(address_of(settings))
    file = ledger_file(settings)
    return _in_file(file) if file.exists() else Unfinished()


def _in_file(file: Path) -> Unfinished:
    try:
        uri = f"file:{quote(str(file.absolute()))}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'unrouted'").fetchone():
                return Unfinished()
            return _counted(db.execute(_COUNTS.format(schema="")).fetchone())
    except sqlite3.Error as error:
        raise told(LEDGER, file, error) from error


async def _in_postgresql(address: Address) -> Unfinished:
    import psycopg

    from store.database.address import connect
    from store.database.faults import told as told_of
    from store.database.statements import first

    table = f'"{address.schema}".unrouted'
    try:
        async with await connect(address) as connection:
            there = await first(connection, "SELECT to_regclass(%s) IS NOT NULL", table)
            if there is None or not there[0]:
                return Unfinished()
            counts = await first(
                connection,
                psycopg.sql.SQL(_COUNTS.format(schema=f'"{address.schema}".')),
            )
    except (psycopg.Error, OSError) as error:
        raise told_of(LEDGER, address, error) from error
    assert counts is not None  # noqa: S101 - it has no condition
    return _counted(counts)


def _counted(row: tuple[int, ...]) -> Unfinished:
    open_, undeliverable, unrouted, any_ = row
    return Unfinished(open_, undeliverable, unrouted, bool(any_))
