"""A PostgreSQL database as the source or the target of a move: one transaction, with every writer locked out.

The target's tables are made before it; nothing else of a move that was broken off stays.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from schemas.errors import RegistryInUse, UsageError
from store.alert_rows import first_settings
from store.database.address import Address, Connection, connect
from store.database.faults import told
from store.database.looking import listening
from store.faults import REGISTRY, Faults
from store.moving.side import Values
from store.moving.tables import CHUNK, TABLES, moved_columns
from store.postgresql.acts import about_facts
from store.postgresql.encrypted_columns import key_of_mark, keys_in_use
from store.postgresql.registry import PostgresqlRegistry
from store.postgresql.schema import STEPS
from store.postgresql.statements import first, rows
from store.rows import Row
from store.secrets import Vault

_BEGIN = (
    "BEGIN; SET LOCAL search_path = \"{schema}\"; SET LOCAL lock_timeout = '10 s'; "
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; "
    "SET LOCAL synchronous_commit = on; LOCK TABLE {tables} IN {mode} MODE"
)


class PostgresqlSide:
    """The registry on a connection, within a transaction."""

    takes_nul = False

    def __init__(self, address: Address, connection: Connection) -> None:
        self.shown = address.shown
        self.address = address
        self.connection = connection
        self._types: dict[str, dict[str, str]] = {}

    async def columns(self, table: str) -> tuple[str, ...]:
        return moved_columns(table, [*await self._types_of(table)])

    async def count(self, table: str) -> int:
        count = sql.SQL("SELECT count(*) AS count FROM {}").format(sql.Identifier(table))
        with _faults(self.address):
            row = await first(self.connection, count)
        assert row is not None  # noqa: S101 - an aggregate
        return int(row["count"])

    async def rows(self, table: str) -> AsyncIterator[Sequence[Values]]:
        types = await self._types_of(table)
        keys = [
            sql.SQL('{} COLLATE "C"' if types[key] == "text" else "{}").format(sql.Identifier(key))
            for key in TABLES[table]
        ]
        order = sql.SQL(", ").join(keys or [sql.SQL("1").format()])
        select = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
            identifiers(await self.columns(table)),
            sql.Identifier(table),
            order,
        )
        with _faults(self.address):
            async with self.connection.cursor(name="moved", row_factory=tuple_row) as cursor:
                await cursor.execute(select)
                while found := await cursor.fetchmany(CHUNK):
                    yield found

    async def put(self, table: str, rows: Sequence[Values]) -> None:
        columns = [*await self.columns(table)]
        if table == "act":
            facts = columns.index("facts")
            columns.append("about")
            rows = [(*row, about_facts(json.loads(row[facts]))) for row in rows]
        elif table == "counter":
            columns.append("one")
            rows = [(*row, 1) for row in rows]
        with _faults(self.address):
            await copy_rows(self.connection, table, columns, rows)

    async def _types_of(self, table: str) -> dict[str, str]:
        if table not in self._types:
            select = (
                "SELECT column_name AS name, data_type AS type FROM information_schema.columns "
                "WHERE table_schema = %s AND table_name = %s"
            )
            with _faults(self.address):
                found = await rows(self.connection, select, self.address.schema, table)
            self._types[table] = {row["name"]: row["type"] for row in found}
        return self._types[table]


@asynccontextmanager
async def postgresql_source(address: Address, vault: Vault) -> AsyncIterator[PostgresqlSide]:
    """The registry in a database, which nobody can write meanwhile; opens the vault. Raises RegistryError.

    RegistryInUse: a process waits for its changes, or keeps it locked.
    """
    async with _connected(address) as connection:
        with _faults(address):
            await refuse_unfit(connection, address, STEPS, REGISTRY)
            await _begin(connection, address, mode="SHARE")
            in_use = {*await keys_in_use(connection)} | await key_of_mark(connection)
        vault.open(in_use - {""})
        yield PostgresqlSide(address, connection)
        with _faults(address):
            await connection.rollback()


@asynccontextmanager
async def postgresql_target(address: Address, vault: Vault) -> AsyncIterator[PostgresqlSide]:
    """A registry with nothing in it, in which all that is put counts once the context has ended well.

    Its tables are made when need be; opens the vault. Raises UsageError when something is in it, and
    RegistryError.
    """
    async with PostgresqlRegistry(address, vault=vault):
        pass
    async with _connected(address) as connection:
        side = PostgresqlSide(address, connection)
        with _faults(address):
            await _begin(connection, address, mode="EXCLUSIVE")
            await _refuse_used(side, connection)
            await connection.execute("DELETE FROM counter; DELETE FROM alert_setting")
        yield side
        with _faults(address):
            await go_on_counting(connection, "state_version")
            await connection.commit()


@asynccontextmanager
async def _connected(address: Address) -> AsyncIterator[Connection]:
    with _faults(address):
        connection = await connect(address)
    try:
        yield connection
    finally:
        await connection.close()


async def _begin(connection: Connection, address: Address, *, mode: str) -> None:
    """Begin the transaction. Raises RegistryInUse when a process has the registry open."""
    if count := await listening(connection, address):
        raise RegistryInUse(
            f"the registry {address.shown} is in use by {count} process(es): stop every one first "
            "(pg_stat_activity shows their hosts)."
        )
    tables = ", ".join(TABLES)
    begin = _BEGIN.format(schema=address.schema, tables=tables, mode=mode)
    await connection.execute(begin.encode())


async def refuse_unfit(
    connection: Connection, address: Address, steps: Collection[str], faults: Faults
) -> None:
    """Raise when the schema has not exactly these steps of a store. No search path is needed."""
    table = sql.Identifier(address.schema, "schema_step")
    there = await first(connection, "SELECT to_regclass(%s) AS steps", table.as_string(connection))
    done = set()
    if there is not None and there["steps"] is not None:
        select = sql.SQL("SELECT name FROM {} WHERE part = %s").format(table)
        done = {row["name"] for row in await rows(connection, select, faults.name)}
    if done != set(steps):
        raise faults.error(
            f"there is no {faults.name} of this version of nrc in {address.shown}: `nrc migrate` with it "
            "brings an older one up to date."
        )


async def _refuse_used(side: PostgresqlSide, connection: Connection) -> None:
    """Raise when it is not as a new registry is."""
    used = [
        table for table in TABLES if table not in ("counter", "alert_setting") and await side.count(table)
    ]
    counter = await first(connection, "SELECT change FROM counter")
    if counter is None or counter["change"]:
        used.append("counter")
    if _but_source(await rows(connection, "SELECT * FROM alert_setting")) != _but_source([first_settings()]):
        used.append("alert_setting")
    if used:
        raise UsageError(
            f"{side.shown} has a registry already, with something in {', '.join(used)}: name another "
            "database or schema (?schema=…), or drop that. Nothing was changed."
        )


def _but_source(settings: list[Row]) -> list[Row]:
    """Rows of alert_setting without the id that each new registry makes."""
    return [
        row | {"value": {name: value for name, value in json.loads(row["value"]).items() if name != "source"}}
        for row in settings
    ]


async def copy_rows(
    connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Values]
) -> None:
    """Insert these rows. COPY writes the numbers of an identity column as they are given."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), identifiers(columns))
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            await copy.write_row(row)


async def go_on_counting(connection: Connection, table: str) -> None:
    """Have the identity column `nr` go on after the numbers that were copied into it."""
    select = "SELECT setval(pg_get_serial_sequence({}, 'nr'), max(nr)) FROM {} HAVING count(*) > 0"
    await connection.execute(sql.SQL(select).format(sql.Literal(table), sql.Identifier(table)))


def identifiers(names: Iterable[str]) -> sql.Composed:
    """Names of tables or columns, with commas between them."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


@contextmanager
def guarded(address: Address, faults: Faults) -> Generator[None, None, None]:
    """What PostgreSQL and the way to it raise becomes an error of `faults`."""
    try:
        yield
    except (psycopg.Error, OSError) as error:
        raise told(faults, address, error) from error


def _faults(address: Address) -> AbstractContextManager[None]:
    return guarded(address, REGISTRY)
