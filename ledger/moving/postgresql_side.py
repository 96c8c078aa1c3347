"""A PostgreSQL database as the source or the target of a ledger's move, in the transaction of its registry.

So both count at once, or neither. Every writer is locked out until it ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import LiteralString
from uuid import uuid4

from psycopg import sql
from psycopg.rows import tuple_row

from ledger.moving.reading import Texts, in_order, numbered
from ledger.moving.side import LedgerSide, Values
from ledger.moving.tables import TABLES
from ledger.postgresql.clock import Clock
from ledger.postgresql.days import AHEAD, day_of, day_of_id, first_of, make_partitions
from ledger.postgresql.ledger import PostgresqlLedger
from ledger.postgresql.names import Names
from ledger.postgresql.schema import STEPS
from ledger.postgresql.writing import OF_ATTEMPT, OF_DELIVERY, OF_NOTIFICATIE, OF_TERM, add_volumes
from ledger.tables.hash_key import NAME
from ledger.tables.rows import Kind
from schemas.errors import UsageError
from store.database.address import Address, Connection
from store.database.looking import looked_at
from store.database.statements import do, first, number, rows
from store.faults import LEDGER
from store.moving.postgresql_side import (
    PostgresqlSide,
    copy_rows,
    go_on_counting,
    guarded,
    identifiers,
    refuse_unfit,
)
from store.secrets import Vault

DAYS_BACK = 400
"""Of so many days partitions are made, where there is something of them; what is older is in the default."""
_SLOT = 0
_SLOTTED = frozenset({"minute", "took", "backlog", "first_attempt"})
_FROM: dict[str, LiteralString] = {
    "body": "b.id, b.body, b.trace FROM body b JOIN notificatie m ON m.id = b.id ORDER BY b.id",
    "term": "x.t, x.id FROM term x JOIN notificatie m ON m.id = x.id ORDER BY x.t, x.id",
    "minute": "minute, what, who, sum(n)::bigint FROM minute GROUP BY minute, what, who ORDER BY minute",
    "took": "minute, bucket, sum(n)::bigint FROM took GROUP BY minute, bucket ORDER BY minute",
    "first_attempt": (
        "minute, abonnement, max(since) FROM first_attempt GROUP BY minute, abonnement ORDER BY minute"
    ),
    "backlog": "abonnement, sum(n)::bigint, sum(bytes)::bigint, sum(stuck)::bigint FROM backlog GROUP BY 1",
}


class PostgresqlLedgerSide:
    """The ledger on a connection, within a transaction."""

    takes_nul = False

    def __init__(self, address: Address, connection: Connection) -> None:
        self.shown = address.shown
        self._address = address
        self._connection = connection
        self._names = Names()
        self._volume: dict[int, int] = {}

    async def count(self, table: str) -> int:
        with self._faults():
            return await number(
                self._connection, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
            )

    async def sealed(self) -> str:
        with self._faults():
            row = await first(self._connection, "SELECT value FROM secret WHERE name = %s", NAME)
        assert row is not None  # noqa: S101 - made when it was opened
        return str(row[0])

    async def first_from(self, id_: bytes) -> bytes | None:
        select = "SELECT id FROM notificatie WHERE id >= %s ORDER BY id LIMIT 1"
        with self._faults():
            row = await first(self._connection, select, id_)
        return None if row is None else bytes(row[0])

    async def rows(self, table: str, *, nul: bool) -> AsyncIterator[Sequence[Values]]:
        async for found in in_order(table, self._chunks(table), await self._texts(), nul=nul):
            yield found

    async def begin(self, source: LedgerSide) -> None:
        """As `LedgerTarget.begin`; also makes the partitions of its days."""
        with self._faults():
            await _lock(self._connection, mode="EXCLUSIVE")
            used = [table for table in TABLES if table != "instance" and await self._has_rows(table)]
            if used:
                raise UsageError(
                    f"there is a ledger in {self.shown} already, with something in {', '.join(used)}: name "
                    "another database or schema (?schema=…), or drop that. Nothing was changed."
                )
            await do(self._connection, "DELETE FROM instance")
            today = day_of(await Clock().now(self._connection))
        days = set()
        id_ = await source.first_from(first_of(today - DAYS_BACK))
        while id_ is not None and (day := day_of_id(id_)) <= today + AHEAD:
            days.add(day)
            id_ = await source.first_from(first_of(day + 1))
        with self._faults():
            await make_partitions(self._connection, days)

    async def seal(self, sealed: str) -> None:
        with self._faults():
            await do(self._connection, "UPDATE secret SET value = %s WHERE name = %s", sealed, NAME)

    async def put(self, table: str, rows: Sequence[Values]) -> None:
        columns = [*TABLES[table].columns]
        if table == "name":
            columns.append("nr")
            rows = [(kind, text, self._names.number(Kind(kind), text)) for kind, text in rows]
        else:
            rows = numbered(table, rows, self._names.number)
        if table in _SLOTTED:
            columns.append("slot")
            rows = [(*row, _SLOT) for row in rows]
        with self._faults():
            await copy_rows(self._connection, table, columns, rows)
        self._grow(table, rows)

    async def filled(self) -> None:
        with self._faults():
            await add_volumes(self._connection, self._volume, slot=_SLOT)
            for table in ("gap", "replay"):
                await go_on_counting(self._connection, table)
            # Else the first questions are planned as for empty tables.
            await self._connection.execute(sql.SQL("ANALYZE {}").format(identifiers(TABLES)))

    async def finish(self) -> None:
        """Nothing: the transaction of the registry ends it."""

    async def _chunks(self, table: str) -> AsyncIterator[Sequence[Values]]:
        of = TABLES[table]
        plain = sql.SQL("{} FROM {}").format(identifiers(of.columns), sql.Identifier(table))
        if of.ordered:
            plain += sql.SQL(" ORDER BY ") + identifiers(of.columns[: of.ordered])
        select = sql.SQL("SELECT ") + (sql.SQL(_FROM[table]) if table in _FROM else plain)
        with self._faults():
            async with self._connection.cursor(
                name=f"moved {uuid4().hex}", row_factory=tuple_row, binary=True
            ) as cursor:
                await cursor.execute(select)
                while found := await cursor.fetchmany(of.chunk):
                    yield found

    async def _texts(self) -> Texts:
        with self._faults():
            found = await rows(self._connection, "SELECT kind, nr, text FROM name")
        return {(kind, nr): text for kind, nr, text in found}

    async def _has_rows(self, table: str) -> bool:
        select = sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table))
        return await first(self._connection, select) is not None

    def _grow(self, table: str, rows: Sequence[Values]) -> None:
        """Count the bytes of what was put, as who writes it does."""
        match table:
            case "notificatie":
                sizes = [(row[0], OF_NOTIFICATIE + OF_TERM * (len(row[-1]) // 8)) for row in rows]
            case "body":
                sizes = [(row[0], len(row[1])) for row in rows]
            case "delivery":
                sizes = [(row[0], OF_DELIVERY) for row in rows]
            case "attempt":
                sizes = [(row[0], OF_ATTEMPT) for row in rows]
            case _:
                return
        for id_, size in sizes:
            day = day_of_id(id_)
            self._volume[day] = self._volume.get(day, 0) + size

    def _faults(self) -> AbstractContextManager[None]:
        return guarded(self._address, LEDGER)


async def postgresql_ledger_source(registry: PostgresqlSide) -> PostgresqlLedgerSide | None:
    """The ledger beside a registry that is open as a source; None where there is none. Raises LedgerError."""
    address = registry.address
    async with looked_at(address, "unrouted", LEDGER) as there:
        if there is None:
            return None
    with guarded(address, LEDGER):
        await refuse_unfit(registry.connection, address, STEPS, LEDGER)
        await _lock(registry.connection, mode="SHARE")
    return PostgresqlLedgerSide(address, registry.connection)


async def make_postgresql_ledger(address: Address, vault: Vault) -> None:
    """Make its tables, where they are not there; opens the vault. Raises LedgerError."""
    async with PostgresqlLedger(address, vault=vault):
        pass


async def _lock(connection: Connection, *, mode: LiteralString) -> None:
    lock = sql.SQL("LOCK TABLE {} IN {} MODE").format(identifiers(TABLES), sql.SQL(mode))
    await connection.execute(lock)
