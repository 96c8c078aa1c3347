"""A SQLite file as the source or the target of a move. The source is not changed in any way.

A target is made under another name, and gets its own when all is in it: what a move that was broken off
leaves is `<file>.moving`, which the next one removes.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

from sqlite_utils import Database

from schemas.errors import UsageError
from store.faults import REGISTRY, Faults
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
        select = f"SELECT {quoted(self._columns(table))} FROM {table} ORDER BY {order}"  # noqa: S608
        for found in fetched(self._db, select, CHUNK, partial(_faults, self._file)):
            yield found

    async def put(self, table: str, rows: Sequence[Values]) -> None:
        columns = self._columns(table)
        with _faults(self._file):
            insert_rows(self._db, table, columns, rows)

    def clear_new(self) -> None:
        """Remove what a new registry has in it."""
        with _faults(self._file):
            self._db.execute("DELETE FROM counter")
            self._db.execute("DELETE FROM alert_setting")

    def _columns(self, table: str) -> tuple[str, ...]:
        with _faults(self._file):
            return moved_columns(table, [each.name for each in self._db.table(table).columns])


@asynccontextmanager
async def sqlite_source(file: Path, vault: Vault) -> AsyncIterator[SqliteSide]:
    """The registry in `file`, which nobody can write meanwhile; opens the vault. Raises RegistryError.

    RegistryInUse: a process has it open, or had until less than 30 s ago without closing it.
    """
    with opened(file, REGISTRY) as db:
        with _faults(file):
            db.execute("BEGIN IMMEDIATE")
            refuse_unfit(db, file, STEPS, REGISTRY)
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
    new = beside(file)
    try:
        with _faults(file):
            make_folder(file.parent)
            remove(new)
        async with SqliteRegistry(new, vault=vault):
            pass
        with opened(new, REGISTRY) as db:
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
        remove(new)


def beside(file: Path) -> Path:
    """The name of a target until it counts."""
    return file.with_name(f"{file.name}.moving")


def fetched(
    db: Database, select: str, size: int, faults: Callable[[], AbstractContextManager[None]]
) -> Iterator[Sequence[Values]]:
    """So many rows of an answer at once. faults: around each access to the file."""
    with faults():
        cursor = db.execute(select)
    while True:
        with faults():
            found = cursor.fetchmany(size)
        if not found:
            return
        yield found


def insert_rows(db: Database, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
    """Insert these rows. Raises sqlite3.Error."""
    marks = ", ".join("?" * len(columns))
    db.conn.executemany(f"INSERT INTO {table} ({quoted(columns)}) VALUES ({marks})", rows)  # noqa: S608


def quoted(names: Iterable[str]) -> str:
    """Names of columns, with commas between them."""
    return ", ".join(f'"{name}"' for name in names)


@contextmanager
def opened(file: Path, faults: Faults) -> Generator[Database, None, None]:
    """A file that is there, to be read and written. Raises the error of `faults`."""
    with guarded(file, faults):
        uri = f"file:{quote(str(file.absolute()))}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=WAIT, isolation_level=None)
    with closing(connection):
        connection.execute("PRAGMA synchronous=FULL")
        yield Database(connection, execute_plugins=False)


def refuse_unfit(db: Database, file: Path, steps: Collection[str], faults: Faults) -> None:
    """Raise when it has not exactly these schema steps, or is in use."""
    if steps_in(db, faults.name) != set(steps):
        raise faults.error(
            f"{file} is no {faults.name} of this version of nrc: `nrc migrate` with it brings an older one "
            "up to date."
        )
    for host, at in db.execute("SELECT host, at FROM lease ORDER BY at DESC"):
        if abs(time.time() - at) < AGE:
            raise faults.in_use(
                f"{file} is in use on host {host}: stop every process first. After one that was killed, wait "
                f"{AGE:.0f} s."
            )


@contextmanager
def guarded(file: Path, faults: Faults) -> Generator[None, None, None]:
    """What SQLite and the file system raise becomes an error of `faults`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise told(faults, file, error) from error


def remove(file: Path) -> None:
    """Remove a file of SQLite's, with those beside it."""
    for end in ("", "-wal", "-shm", "-journal"):
        file.with_name(file.name + end).unlink(missing_ok=True)


def _faults(file: Path) -> AbstractContextManager[None]:
    return guarded(file, REGISTRY)
