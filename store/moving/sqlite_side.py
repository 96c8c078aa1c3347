"""A SQLite file as the source or the target of a move. The source is not changed in any way.

A target is made under another name, and gets its own when all is in it: what a move that was broken off
leaves is `<file>.moving`, which the next one removes.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlite_utils import Database

from schemas.errors import RegistryError, RegistryInUse, UsageError
from store.faults import REGISTRY
from store.files.durable import make_folder, sync_file, sync_folder
from store.files.faults import told
from store.files.host_lease import AGE
from store.files.schema_steps import steps_in
from store.moving.side import Values
from store.moving.tables import CHUNK, TABLES, moved_columns
from store.secrets import Vault
from store.sqlite.encrypted_columns import keys_in_use
from store.sqlite.registry import SqliteRegistry
from store.sqlite.schema import STEPS

WAIT = 5.0  # seconds for the lock


class SqliteSide:
    """The registry in an open file, within a write transaction."""

    takes_nul = True

    def __init__(self, file: Path, shown: Path, db: Database) -> None:
        self.shown = str(shown)
        self._file = file
        self._db = db

    async def columns(self, table: str) -> tuple[str, ...]:
        return self._columns(table)

    async def count(self, table: str) -> int:
        with _faults(self._file):
            return int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608

    async def rows(self, table: str) -> AsyncIterator[Sequence[Values]]:
        order = ", ".join(TABLES[table]) or "1"
        select = f"SELECT {self._named(table)} FROM {table} ORDER BY {order}"  # noqa: S608
        with _faults(self._file):
            cursor = self._db.execute(select)
        while True:
            with _faults(self._file):
                found = cursor.fetchmany(CHUNK)
            if not found:
                return
            yield found

    async def put(self, table: str, rows: Sequence[Values]) -> None:
        marks = ", ".join("?" * len(self._columns(table)))
        insert = f"INSERT INTO {table} ({self._named(table)}) VALUES ({marks})"  # noqa: S608
        with _faults(self._file):
            self._db.conn.executemany(insert, rows)

    def clear_new(self) -> None:
        """Remove what a new registry has in it."""
        with _faults(self._file):
            self._db.execute("DELETE FROM counter")
            self._db.execute("DELETE FROM alert_setting")

    def _columns(self, table: str) -> tuple[str, ...]:
        with _faults(self._file):
            return moved_columns(table, [each.name for each in self._db.table(table).columns])

    def _named(self, table: str) -> str:
        return ", ".join(f'"{name}"' for name in self._columns(table))


@asynccontextmanager
async def sqlite_source(file: Path, vault: Vault) -> AsyncIterator[SqliteSide]:
    """The registry in `file`, which nobody can write meanwhile; opens the vault. Raises RegistryError.

    RegistryInUse: a process has it open, or had until less than 30 s ago without closing it.
    """
    with _opened(file) as db:
        with _faults(file):
            db.execute("BEGIN IMMEDIATE")
            _refuse_unfit(db, file)
            vault.open(keys_in_use(db).keys() - {""})
        yield SqliteSide(file, file, db)


@asynccontextmanager
async def sqlite_target(file: Path, vault: Vault) -> AsyncIterator[SqliteSide]:
    """A new registry, which is in `file` once the context has ended well; opens the vault.

    Raises UsageError when the file is there, and RegistryError.
    """
    if os.path.lexists(file):  # noqa: ASYNC240 - also a link to nowhere
        raise UsageError(
            f"{file} is there already: name another file, or move that away. Nothing was changed."
        )
    new = file.with_name(f"{file.name}.moving")
    try:
        with _faults(file):
            make_folder(file.parent)
            _remove(new)
        async with SqliteRegistry(new, vault=vault):
            pass
        with _opened(new) as db:
            db.execute("BEGIN IMMEDIATE")
            side = SqliteSide(new, file, db)
            side.clear_new()
            yield side
            with _faults(file):
                db.execute("COMMIT")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with _faults(file):
            sync_file(new)
            os.link(new, file)
            sync_folder(file.parent)
    finally:
        _remove(new)


@contextmanager
def _opened(file: Path) -> Generator[Database, None, None]:
    with _faults(file):
        uri = f"file:{quote(str(file.absolute()))}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=WAIT, isolation_level=None)
    with closing(connection):
        connection.execute("PRAGMA synchronous=FULL")
        yield Database(connection, execute_plugins=False)


def _refuse_unfit(db: Database, file: Path) -> None:
    """Raise when it is no registry of this version, or is in use."""
    if steps_in(db, REGISTRY.name) != STEPS.keys():
        raise RegistryError(
            f"{file} is no registry of this version of nrc: `nrc migrate` with it brings an older one "
            "up to date."
        )
    for host, at in db.execute("SELECT host, at FROM lease ORDER BY at DESC"):
        if abs(time.time() - at) < AGE:
            raise RegistryInUse(
                f"{file} is in use on host {host}: stop every process first. After one that was killed, wait "
                f"{AGE:.0f} s."
            )


@contextmanager
def _faults(file: Path) -> Generator[None, None, None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise told(REGISTRY, file, error) from error


def _remove(file: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        file.with_name(file.name + end).unlink(missing_ok=True)
