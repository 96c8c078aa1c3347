"""Looks into the ledger's file from outside: what is under way in it, and what it knows of deliveries.

Reads beside the processes that write. A ledger that cannot be read, since a scenario did something to it, has
nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

from ledger.sqlite.rows import STATES, Kind
from ledger.values import RETURNED, State

OfAbonnement = tuple[str, UUID]
"""(notificatie's id, abonnement)."""

_GIVES_BACK = """SELECT EXISTS (SELECT 1 FROM unrouted WHERE open = 1)
    OR EXISTS (SELECT 1 FROM delivery WHERE open = 1 AND state = ?)
    OR EXISTS (SELECT 1 FROM gap WHERE closed IS NOT NULL AND done = 0)"""
_DELIVERIES = """SELECT d.id, name.text FROM delivery d
    JOIN name ON name.kind = ? AND name.nr = d.abonnement WHERE d.state = ?"""
_OPEN = """SELECT d.id, name.text FROM delivery d
    JOIN name ON name.kind = ? AND name.nr = d.abonnement WHERE d.open = 1"""
_RETURNED = """SELECT a.id, name.text, a.detail FROM attempt a
    JOIN name ON name.kind = ? AND name.nr = a.abonnement WHERE a.kind = ? ORDER BY a.at"""


class LedgerFile:
    """The ledger in this file, read by one connection for each question."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def gives_back(self) -> bool:
        """Whether something is on its way from the ledger into RabbitMQ, or soon is."""
        found = self._asked(_GIVES_BACK, [STATES[State.RETURNING]])
        return bool(found and found[0][0])

    def in_state(self, state: State) -> list[OfAbonnement]:
        """Every delivery in this state."""
        found = self._asked(_DELIVERIES, [Kind.ABONNEMENT, STATES[state]])
        return [(str(UUID(bytes=id_)), UUID(text)) for id_, text in found]

    def open_of(self, abonnementen: Collection[UUID]) -> list[OfAbonnement]:
        """Every delivery that is open of these."""
        found = ((str(UUID(bytes=id_)), UUID(text)) for id_, text in self._asked(_OPEN, [Kind.ABONNEMENT]))
        return [each for each in found if each[1] in abonnementen]

    def given_back(self) -> dict[OfAbonnement, str]:
        """Why each delivery was put into its queue again, of those that were: a Cause, the last one."""
        found = self._asked(_RETURNED, [Kind.ABONNEMENT, RETURNED])
        return {(str(UUID(bytes=id_)), UUID(text)): cause for id_, text, cause in found}

    def mark(self) -> tuple[str, int]:
        """Which ledger it is, and how often a keeper marked it; ("", 0) when that cannot be read."""
        found = self._asked("SELECT id, mark FROM instance", [])
        return found[0] if found else ("", 0)

    def keeper(self) -> int:
        """The process id of the keeper that works; 0 when none does."""
        found = self._asked("SELECT holder FROM keeper WHERE until > unixepoch() * 1000", [])
        return int(found[0][0].split(" ")[-2]) if found else 0

    def is_locked(self) -> bool:
        """Whether nobody can write it for a second."""
        try:
            with closing(sqlite3.connect(self.file, timeout=1.0, isolation_level=None)) as db:
                db.execute("BEGIN IMMEDIATE")
                db.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
        return False

    def copy_to(self, file: Path) -> None:
        """A copy as of this moment, whole, beside the processes that write."""
        with closing(sqlite3.connect(self.file)) as db, closing(sqlite3.connect(file)) as copy:
            db.backup(copy)

    def remove(self) -> None:
        """Delete it, with the files that SQLite has beside it."""
        for file in self._all():
            file.unlink(missing_ok=True)

    def replace_by(self, copy: Path) -> None:
        """Put a copy in its place, by hand."""
        self.remove()
        copy.rename(self.file)

    def _all(self) -> list[Path]:
        return [self.file.with_name(self.file.name + end) for end in ("", "-wal", "-shm")]

    def _asked(self, question: str, values: Sequence[Any]) -> list[Any]:
        try:
            with closing(sqlite3.connect(f"{self.file.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
                return db.execute(question, values).fetchall()
        except sqlite3.Error:
            return []
