"""A SQLite file as the source or the target of a ledger's move: one transaction, or a file not used yet.

A target is made under another name, without a journal, and gets its own by a link when all is in it. The
other name stays until the registry has its own name too: a ledger that has both, with no registry beside it,
is what a move that was broken off left, and the next one removes it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

from sqlite_utils import Database

from ledger.moving.reading import Texts, in_order, numbered
from ledger.moving.side import LedgerSide, Values
from ledger.moving.tables import TABLES
from ledger.sqlite.ledger import SqliteLedger
from ledger.sqlite.schema import CACHE, STEPS
from ledger.sqlite.writing import Places
from ledger.tables.hash_key import NAME
from ledger.tables.rows import Kind
from schemas.errors import UsageError
from store.faults import LEDGER
from store.files.durable import make_folder, sync_file, sync_folder
from store.moving.sqlite_side import (
    beside,
    fetched,
    guarded,
    insert_rows,
    opened,
    quoted,
    refuse_unfit,
    remove,
)
from store.secrets import Vault

_FROM = {
    "body": (
        "m.id, b.body, t.traceparent FROM notificatie m CROSS JOIN body b ON b.n = m.n "
        "LEFT JOIN trace t ON t.n = m.n ORDER BY m.id"
    ),
    "term": "x.t, m.id FROM term x CROSS JOIN notificatie m ON m.n = x.n ORDER BY x.t, m.id",
}
# What has the number of its notificatie, which is there by then.
_INTO = {
    "body": "INSERT INTO body SELECT n, ? FROM notificatie WHERE id = ?",
    "trace": "INSERT INTO trace SELECT n, ? FROM notificatie WHERE id = ?",
    "term": "INSERT INTO term SELECT ?, n FROM notificatie WHERE id = ?",
}


class SqliteLedgerSide:
    """The ledger in an open file."""

    takes_nul = True

    def __init__(self, file: Path, shown: Path, db: Database) -> None:
        self.shown = str(shown)
        self._file = file
        self._shown = shown
        self._db = db
        self._numbers: dict[tuple[Kind, str], int] = {}
        self._indexes: list[str] = []

    async def count(self, table: str) -> int:
        with self._faults():
            return int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608

    async def sealed(self) -> str:
        with self._faults():
            row = self._db.execute("SELECT value FROM secret WHERE name = ?", [NAME]).fetchone()
        return str(row[0])

    async def first_from(self, id_: bytes) -> bytes | None:
        select = "SELECT id FROM notificatie WHERE id >= ? ORDER BY id LIMIT 1"
        with self._faults():
            row = self._db.execute(select, [id_]).fetchone()
        return None if row is None else bytes(row[0])

    async def rows(self, table: str, *, nul: bool) -> AsyncIterator[Sequence[Values]]:
        async for rows in in_order(table, self._chunks(table), self._texts(), nul=nul):
            yield rows

    async def begin(self, source: LedgerSide) -> None:
        # Made last, each at once: else every row changes a page of its own in each of them.
        indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        with self._faults():
            # What is left half is thrown away, so nothing need be put back, nor survive a power cut.
            self._db.execute("PRAGMA journal_mode=OFF")
            self._db.execute("PRAGMA synchronous=OFF")
            self._db.execute(f"PRAGMA cache_size=-{CACHE}")
            self._db.execute("BEGIN EXCLUSIVE")
            for name, made in self._db.execute(indexes).fetchall():
                self._db.execute(f'DROP INDEX "{name}"')
                self._indexes.append(made)
            self._db.execute("DELETE FROM instance")

    async def seal(self, sealed: str) -> None:
        with self._faults():
            self._db.execute("INSERT OR REPLACE INTO secret VALUES (?, ?)", [NAME, sealed])

    async def put(self, table: str, rows: Sequence[Values]) -> None:
        with self._faults():
            if table == "name":
                self._put_names(rows)
            elif table == "notificatie":
                # Of these few at once: a moment that was asked for is remembered.
                places = Places(self._db)
                numbers = numbered(table, rows, self._number)
                placed = [(places.take(row[1]), *row) for row in numbers]
                insert_rows(self._db, table, ("n", *TABLES[table].columns), placed)
            elif table == "body":
                self._db.conn.executemany(_INTO[table], [(body, id_) for id_, body, _ in rows])
                traced = [(trace, id_) for id_, _, trace in rows if trace is not None]
                self._db.conn.executemany(_INTO["trace"], traced)
            elif table == "term":
                self._db.conn.executemany(_INTO[table], rows)
            else:
                numbers = numbered(table, rows, self._number)
                insert_rows(self._db, table, TABLES[table].columns, numbers)

    async def filled(self) -> None:
        with self._faults():
            for made in self._indexes:
                self._db.execute(made)
            self._db.execute("COMMIT")

    async def finish(self) -> None:
        with self._faults():
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.close()
            sync_file(self._file)
            os.link(self._file, self._shown)
            sync_folder(self._shown.parent)

    async def _chunks(self, table: str) -> AsyncIterator[Sequence[Values]]:
        of = TABLES[table]
        order = f" ORDER BY {', '.join(of.columns[: of.ordered])}" if of.ordered else ""
        plain = f"{quoted(of.columns)} FROM {table}{order}"
        for found in fetched(self._db, f"SELECT {_FROM.get(table, plain)}", of.chunk, self._faults):
            yield found

    def _texts(self) -> Texts:
        with self._faults():
            return {
                (kind, nr): text for kind, nr, text in self._db.execute("SELECT kind, nr, text FROM name")
            }

    def _put_names(self, rows: Sequence[Values]) -> None:
        for kind, text in rows:
            self._numbers[kind, text] = len(self._numbers) + 1
        named = [(*row, self._numbers[row[0], row[1]]) for row in rows]
        insert_rows(self._db, "name", ("kind", "text", "nr"), named)

    def _number(self, kind: Kind, text: str) -> int:
        return self._numbers[kind, text]

    def _faults(self) -> AbstractContextManager[None]:
        return guarded(self._file, LEDGER)


@asynccontextmanager
async def sqlite_ledger_source(file: Path) -> AsyncIterator[SqliteLedgerSide]:
    """The ledger in `file`, which nobody can write meanwhile. Raises LedgerError.

    LedgerInUse: a process has it open, or had until less than 30 s ago without closing it.
    """
    with opened(file, LEDGER) as db:
        with guarded(file, LEDGER):
            db.execute("BEGIN IMMEDIATE")
            refuse_unfit(db, file, STEPS, LEDGER)
        yield SqliteLedgerSide(file, file, db)


@asynccontextmanager
async def sqlite_ledger_target(
    file: Path, vault: Vault, *, registry: Path
) -> AsyncIterator[SqliteLedgerSide]:
    """A new ledger, which is in `file` from `finish` on, if this context then ends well; opens the vault.

    registry: the file that counts: as long as it is not there, the ledger is no ledger of anything.
    Raises UsageError when the file is there, and LedgerError.
    """
    new = beside(file)
    refuse_ledger(file, registry=registry)
    try:
        with guarded(file, LEDGER):
            make_folder(file.parent)
            _remove_left(file, registry)
        async with SqliteLedger(new, vault=vault):
            pass
        with opened(new, LEDGER) as db:
            yield SqliteLedgerSide(new, file, db)
    finally:
        with guarded(file, LEDGER):
            _remove_left(file, registry)


def refuse_ledger(file: Path, *, registry: Path) -> None:
    """Raise UsageError when there is a ledger in `file` that no move that was broken off left."""
    if os.path.lexists(file) and not _is_left(file, registry):
        raise UsageError(
            f"there is a ledger in {file} already, of another registry: move that away. Nothing was changed."
        )


def _is_left(file: Path, registry: Path) -> bool:
    """Whether this file has the name that it has while it is moved, and there is no registry beside it."""
    new = beside(file)
    return file.exists() and new.exists() and new.samefile(file) and not registry.exists()


def _remove_left(file: Path, registry: Path) -> None:
    if _is_left(file, registry):
        file.unlink()
    remove(beside(file))
