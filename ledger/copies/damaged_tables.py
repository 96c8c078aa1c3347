"""A damaged ledger in PostgreSQL: what is wrong with it, putting its tables aside, what can be read of them.

Loaded only where psycopg is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from ledger.copies.salvaging import Unreadable
from ledger.postgresql.days import TABLES as BY_DAY
from schemas.errors import UsageError
from store.database.address import Address, connect, options
from store.database.faults import is_lost, said, told
from store.database.looking import listening
from store.database.statements import rows
from store.faults import LEDGER

_WHOLE = (
    *("secret", "name", "unrouted", "minute", "took", "backlog", "first_attempt", "volume", "process"),
    *("gap", "keeper", "budget", "incomplete", "replay", "instance", "lane", "passed_on"),
)
_TABLES = (*BY_DAY, *_WHOLE)
# Also a partition that was detached: it would be in the way of a new one.
_THERE = (
    "SELECT c.relname, c.relkind = 'r' FROM pg_class c WHERE c.relnamespace = to_regnamespace(%s) "
    "AND c.relkind IN ('r', 'p') AND (c.relname = ANY(%s) OR c.relname ~ %s) ORDER BY c.relname"
)
_PARTITIONS = f"^({'|'.join(BY_DAY)})_([0-9]+|default)$"
_NOTIFICATIE = (
    "SELECT m.received, m.client, m.kanaal, m.resource, m.actie, m.catalogue, m.hops, b.body "
    "FROM {schema}.notificatie m JOIN {schema}.body b ON b.id = m.id WHERE m.id = %s AND b.id = %s"
)
_ATTEMPTS = (
    "SELECT number, at, kind, status, us, detail FROM {schema}.attempt "
    "WHERE id = %s AND abonnement = %s AND replay = %s"
)


def what_is_wrong(address: Address) -> str | None:
    """Why these tables cannot be used any more, in a line; "" when they can; None: there is no ledger.

    Every row is read. Raises LedgerError when the database cannot be reached, or does not let us.
    """
    with damaged_tables(address, address.schema) as damaged:
        try:
            there = damaged.tables()
            if not there:
                return None
            for table in _TABLES:
                if table not in there:
                    return f"its table {table} is not there"
            for table in damaged.with_rows():
                damaged.read(table)
        except Unreadable as error:
            return f"it is damaged: {error}"
    return ""


def refuse_missing(address: Address, schema: str) -> None:
    """Return when this schema, another than the ledger's, has tables of a ledger. Raises UsageError."""
    if schema == address.schema:
        raise UsageError(f"{schema} is the schema of the ledger in use: give the one that was put aside")
    with damaged_tables(address, schema) as damaged:
        if "delivery" not in damaged.tables():
            raise UsageError(f"there is no ledger in a schema {schema} of {address.shown}")


async def put_aside(address: Address) -> str:
    """Move the ledger's tables to a new schema; returns its name. All or nothing. Raises LedgerError."""
    aside = f"{address.schema[:40]}_damaged_{time.strftime('%Y%m%dt%H%M%S')}"
    here, there = sql.Identifier(address.schema), sql.Identifier(aside)
    try:
        async with await connect(address) as connection, connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '10 s'")
            found = await rows(connection, _THERE, _quoted(address.schema), [*_TABLES], _PARTITIONS)
            await connection.execute(sql.SQL("CREATE SCHEMA {}").format(there))
            for name, _ in found:
                table = sql.Identifier(address.schema, name)
                await connection.execute(sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(table, there))
            forget = sql.SQL("DELETE FROM {}.schema_step WHERE part = %s").format(here)
            await connection.execute(forget, [LEDGER.name])
    except (psycopg.Error, OSError) as error:
        raise told(LEDGER, address, error) from error
    return aside


async def refuse_in_use(address: Address) -> None:
    """Raise UsageError when a process has this database open, of those that can be seen."""
    try:
        async with await connect(address) as connection:
            count = await listening(connection, address)
    except (psycopg.Error, OSError) as error:
        raise told(LEDGER, address, error) from error
    if count:
        raise UsageError(
            f"the ledger {address.shown} is in use by {count} process(es): stop every one first, on every "
            "host (pg_stat_activity shows their hosts). Nothing was changed"
        )


@contextmanager
def damaged_tables(address: Address, schema: str) -> Iterator[DamagedTables]:
    """The ledger in this schema. Raises LedgerError when the database cannot be reached."""
    try:
        connection = psycopg.connect(
            **options(address), autocommit=True, prepare_threshold=None, row_factory=tuple_row
        )
    except (psycopg.Error, OSError) as error:
        raise told(LEDGER, address, error) from error
    with connection:
        yield DamagedTables(connection, address, schema)


class DamagedTables:
    """As `Damaged`. A block that cannot be read costs what stands in it and no more.

    What is no damage (the database is away, a right is lacking) is raised as LedgerError.
    """

    def __init__(self, connection: psycopg.Connection[Any], address: Address, schema: str) -> None:
        self._connection = connection
        self._address = address
        self._schema = schema

    def tables(self) -> dict[str, bool]:
        """Its tables and partitions, and whether each has rows of its own."""
        return dict(self._ask(_THERE, _quoted(self._schema), [*_TABLES], _PARTITIONS))

    def with_rows(self) -> list[str]:
        """Those that have rows of their own."""
        return [name for name, own in self.tables().items() if own]

    def read(self, table: str) -> None:
        """Read every value of every row."""
        value = "md5(t.body)" if table.startswith("body") else "t::text"
        self._ask(f"SELECT count({value}) FROM {{schema}}.{table} t")  # noqa: S608

    def names(self) -> Sequence[tuple[int, int, str]]:
        return self._ask("SELECT kind, nr, text FROM {schema}.name")

    def ids(self, table: str, where: str) -> tuple[set[bytes], bool]:
        found, whole = set[bytes](), True
        of_table = [name for name in self.with_rows() if name == table or name.startswith(f"{table}_")]
        for name in of_table:
            relation = sql.Identifier(self._schema, name).as_string()
            try:
                [(blocks,)] = self._ask(
                    "SELECT (pg_relation_size(%s) / current_setting('block_size')::int)::int", relation
                )
            except Unreadable:
                whole = False
                continue
            whole = self._between(name, where, 0, blocks, found) and whole
        return found, whole and bool(of_table)

    def notificatie(self, id_: bytes) -> Sequence[tuple[Any, ...]]:
        return self._ask(_NOTIFICATIE, id_, id_)

    def deliveries(self, id_: bytes) -> Sequence[tuple[Any, ...]]:
        return self._ask("SELECT * FROM {schema}.delivery WHERE id = %s", id_)

    def attempts(self, id_: bytes, abonnement: int, replay: int) -> Sequence[tuple[Any, ...]]:
        return self._ask(_ATTEMPTS, id_, abonnement, replay)

    def _between(self, table: str, where: str, first: int, end: int, found: set[bytes]) -> bool:
        """Add the ids in these blocks; returns whether all could be read."""
        if first >= end:
            return True
        select = (
            f"SELECT id FROM {{schema}}.{table} "  # noqa: S608
            f"WHERE ctid >= '({first},0)' AND ctid < '({end},0)' AND {where}"
        )
        try:
            found.update(id_ for (id_,) in self._ask(select))
        except Unreadable:
            if end - first == 1:
                return False
            middle = (first + end) // 2
            whole = self._between(table, where, first, middle, found)
            return self._between(table, where, middle, end, found) and whole
        return True

    def _ask(self, query: str, *values: object) -> list[Any]:
        statement = query.replace("{schema}", _quoted(self._schema)).encode()
        try:
            with self._connection.transaction():
                self._connection.execute("SET LOCAL statement_timeout = 0")
                return self._connection.execute(statement, values or None, binary=True).fetchall()
        except psycopg.Error as error:
            if _is_damage(error):
                raise Unreadable(said(error)) from error
            raise told(LEDGER, self._address, error) from error


def _quoted(schema: str) -> str:
    return sql.Identifier(schema).as_string()


def _is_damage(error: psycopg.Error) -> bool:
    """Whether what is stored is the reason: a file, a block, a value or a table that is not as it was."""
    state = "" if is_lost(error) else error.sqlstate or ""
    return state[:2] in ("XX", "58", "22") or state in ("42P01", "42703")
