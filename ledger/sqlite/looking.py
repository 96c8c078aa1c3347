"""Reads a ledger's file without opening it as the ledger: nothing in it is changed or made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlite_utils import Database

from ledger.tables.hash_key import Seal, how_sealed
from store.faults import LEDGER
from store.files.faults import told
from store.secrets import Vault


def opened_to_read(file: Path) -> sqlite3.Connection:
    """A connection that only reads. Raises sqlite3.Error."""
    return sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=1.0)


def seal_of(file: Path, vault: Vault) -> Seal | None:
    """How its key is encrypted; None when it has none yet. Raises LedgerError when it cannot be looked at."""
    try:
        with closing(opened_to_read(file)) as connection:
            db = Database(connection, execute_plugins=False)
            if not db.table("secret").exists():
                return None
            found = db.execute("SELECT value FROM secret").fetchone()
            if found is None:
                return None
            return how_sealed(found[0], vault)
    except sqlite3.Error as error:
        raise told(LEDGER, file, error) from error
