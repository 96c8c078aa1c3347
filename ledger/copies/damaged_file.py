"""A damaged ledger in a SQLite file: what is wrong with it, and what can be read of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ledger.copies.salvaging import Unreadable
from ledger.sqlite.looking import opened_to_read, seal_of
from store.faults import LEDGER
from store.files.faults import told
from store.secrets import Vault

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NOTIFICATIE = (
    "SELECT m.received, m.client, m.kanaal, m.resource, m.actie, m.catalogue, m.hops, b.body "
    "FROM notificatie m JOIN body b ON b.n = m.n WHERE m.id = ?"
)
_ATTEMPTS = (
    "SELECT number, at, kind, status, us, detail FROM attempt WHERE id = ? AND abonnement = ? AND replay = ?"
)


def what_is_wrong(file: Path, vault: Vault) -> str:
    """Why this ledger cannot be used any more, in a line; "" when it can.

    Raises LedgerError for a passing fault: it is locked, or cannot be reached.
    """
    try:
        with closing(opened_to_read(file)) as connection:
            (fault,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if fault != "ok":
                return f"it is damaged: {fault}"
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            return f"it is damaged: {error}"
        raise told(LEDGER, file, error) from error
    seal = seal_of(file, vault)
    return "" if seal is None else seal.fault


@contextmanager
def damaged_file(file: Path) -> Iterator[DamagedFile]:
    """The ledger in this file."""
    with closing(opened_to_read(file)) as db:
        yield DamagedFile(db)


class DamagedFile:
    """As `Damaged`. Ids are read from both ends of a table, up to the first row that cannot be read."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def names(self) -> Sequence[tuple[int, int, str]]:
        return self._ask("SELECT kind, nr, text FROM name")

    def ids(self, table: str, where: str) -> tuple[set[bytes], bool]:
        found: set[bytes] = set()
        for order in ("ASC", "DESC"):
            try:
                # In the order of the primary key: the table itself, and no index beside it.
                select = f"SELECT id FROM {table} WHERE {where} ORDER BY id {order}"  # noqa: S608
                for (id_,) in self._db.execute(select):
                    found.add(id_)
                return found, order == "ASC"
            except sqlite3.Error:
                continue
        return found, False

    def notificatie(self, id_: bytes) -> Sequence[tuple[Any, ...]]:
        return self._ask(_NOTIFICATIE, id_)

    def deliveries(self, id_: bytes) -> Sequence[tuple[Any, ...]]:
        return self._ask("SELECT * FROM delivery WHERE id = ?", id_)

    def attempts(self, id_: bytes, abonnement: int, replay: int) -> Sequence[tuple[Any, ...]]:
        return self._ask(_ATTEMPTS, id_, abonnement, replay)

    def _ask(self, query: str, *values: object) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise Unreadable(str(error)) from error
