"""What a ledger still has to do, for a move of the registry to a place where another ledger begins.

Reads the tables as they are: opens nothing by itself, makes and changes nothing.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.opening import ledger_file
from ledger.sqlite.looking import opened_to_read
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
        with closing(opened_to_read(file)) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'unrouted'").fetchone():
                return Unfinished()
            return _counted(db.execute(_COUNTS.format(schema="")).fetchone())
    except sqlite3.Error as error:
        raise told(LEDGER, file, error) from error


async def _in_postgresql(address: Address) -> Unfinished:
    from psycopg import sql

    from store.database.looking import looked_at
    from store.database.statements import first

    async with looked_at(address, "unrouted", LEDGER) as connection:
        if connection is None:
            return Unfinished()
        counts = await first(connection, sql.SQL(_COUNTS.format(schema=f'"{address.schema}".')))
    assert counts is not None  # noqa: S101 - it has no condition
    return _counted(counts)


def _counted(row: tuple[int, ...]) -> Unfinished:
    open_, undeliverable, unrouted, any_ = row
    return Unfinished(open_, undeliverable, unrouted, bool(any_))
