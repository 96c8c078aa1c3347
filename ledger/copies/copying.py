"""Copies a ledger's file while processes use it, and checks such a copy."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlite_utils import Database

from ledger.sqlite.schema import STEPS, hash_key
from schemas.errors import LedgerError
from store.faults import LEDGER
from store.files.faults import told
from store.secrets import Vault, key_of
from store.sqlite.backup import copy_file


@dataclass(frozen=True, slots=True)
class Counts:
    """How many notificaties and how many open deliveries a ledger has."""

    notificaties: int
    open: int


def copy_ledger(file: Path, copy: Path) -> None:
    """As `copy_registry`. Raises LedgerError."""
    copy_file(file, copy, faults=LEDGER)


def look_at(copy: Path, *, secret_keys: Sequence[str], keys_file: Path) -> Counts:
    """Check that a copy is intact and its key can be decrypted; returns its counts. Raises LedgerError.

    Nobody may use the copy meanwhile. It is read in place, unchanged: it may exceed the free space.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(copy))}?mode=ro&immutable=1", uri=True)) as opened:
            db = Database(opened, execute_plugins=False)
            (fault,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if fault != "ok":
                raise LedgerError(f"the ledger {copy} is damaged ({fault}); make or restore another copy")
            applied = {name for (name,) in db.execute("SELECT name FROM _sqlite_migrations")}
            if newer := sorted(applied - STEPS.keys()):
                raise LedgerError(
                    f"{copy} was written by a newer version of nrc (step {newer[-1]}): restore with that"
                )
            vault = Vault(secret_keys, keys_file)
            (sealed,) = db.execute("SELECT value FROM secret").fetchone()
            vault.open({key_of(sealed)})
            hash_key(db, vault)
            (notificaties,) = db.execute("SELECT count(*) FROM notificatie").fetchone()
            (open_,) = db.execute("SELECT count(*) FROM delivery WHERE open = 1").fetchone()
    except sqlite3.Error as error:
        raise told(LEDGER, copy, error) from error
    return Counts(notificaties, open_)
