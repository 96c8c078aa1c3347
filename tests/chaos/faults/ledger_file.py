"""Reads the ledger from outside, in a file or in PostgreSQL: what is being committed, and its deliveries.

Reads while processes write. A ledger that cannot be read because of a scenario counts as empty.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from ledger.tables.rows import STATES, Kind
from ledger.values import CONSOLIDATED, RETURNED, State
from runtime.settings import DEFAULT_SCHEMA

OfAbonnement = tuple[str, UUID]
"""(notificatie's id, abonnement)."""

_GIVES_BACK = """SELECT EXISTS (SELECT 1 FROM unrouted WHERE open = 1)
    OR EXISTS (SELECT 1 FROM delivery WHERE open = 1 AND state = ?)
    OR EXISTS (SELECT 1 FROM gap WHERE closed IS NOT NULL AND done = 0)"""
_BULK = """SELECT (SELECT count(*) FROM lane JOIN unrouted ON unrouted.id = lane.id WHERE unrouted.open = 1),
    (SELECT count(*) FROM delivery WHERE open = 1 AND id IN (SELECT id FROM lane) AND round > 0)"""
_IN_NO_QUEUE = """d.open = 1 AND (d.state = ? OR d.round = 0 AND d.id IN
    (SELECT lane.id FROM lane JOIN unrouted ON unrouted.id = lane.id WHERE unrouted.open = 1))"""
_DELIVERIES = """SELECT d.id, name.text FROM delivery d
    JOIN name ON name.kind = ? AND name.nr = d.abonnement WHERE """
_NOTES = """SELECT a.id, name.text, a.detail FROM attempt a
    JOIN name ON name.kind = ? AND name.nr = a.abonnement WHERE a.kind = ? ORDER BY a.at"""


class LedgerRows(ABC):
    """The ledger's rows, read by one connection for each question."""

    def gives_back(self) -> bool:
        """Whether something is on its way from the ledger into RabbitMQ, or soon is."""
        found = self._asked(_GIVES_BACK, [STATES[State.RETURNING]])
        return bool(found and found[0][0])

    def in_state(self, state: State) -> list[OfAbonnement]:
        """Every delivery in this state."""
        return self._deliveries("d.state = ?", STATES[state])

    def open_of(self, abonnementen: Collection[UUID]) -> list[OfAbonnement]:
        """Every open delivery of these."""
        return [each for each in self._deliveries("d.open = ?", 1) if each[1] in abonnementen]

    def waiting(self) -> list[OfAbonnement]:
        """Every delivery that waits in the ledger alone: in the lane for bulk, or to return to its queue."""
        return self._deliveries(_IN_NO_QUEUE, STATES[State.RETURNING])

    def given_back(self) -> dict[OfAbonnement, str]:
        """The last Cause of each delivery that was given back."""
        return self._noted(RETURNED)

    def consolidated(self) -> dict[OfAbonnement, str]:
        """The id of the newer one in which each delivery ended, of those that did."""
        noted = self._noted(CONSOLIDATED)
        return {each: noted[each] for each in self.in_state(State.NOT_WANTED) if each in noted}

    def _noted(self, kind: str) -> dict[OfAbonnement, str]:
        """The detail of the last note of this kind, of each delivery that has one."""
        found = self._asked(_NOTES, [Kind.ABONNEMENT, kind])
        return {(str(UUID(bytes=id_)), UUID(text)): detail for id_, text, detail in found}

    def bulk(self) -> tuple[int, int]:
        """How many notificaties wait in the lane for bulk, and how many of its deliveries are under way."""
        found = self._asked(_BULK, [])
        return (found[0][0], found[0][1]) if found else (0, 0)

    def _deliveries(self, where: str, value: int) -> list[OfAbonnement]:
        found = self._asked(_DELIVERIES + where, [Kind.ABONNEMENT, value])
        return [(str(UUID(bytes=id_)), UUID(text)) for id_, text in found]

    @abstractmethod
    def _asked(self, question: str, values: Sequence[Any]) -> list[Any]:
        """What a query gives; `?` stands for each value."""


class LedgerFile(LedgerRows):
    """The ledger in this file."""

    def __init__(self, file: Path) -> None:
        self.file = file

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

    def link_to(self, name: str) -> LedgerFile:
        """The same file under another name beside it, by which it can be read once it is deleted."""
        for file in self._all():
            file.with_name(file.name.replace(self.file.name, name, 1)).hardlink_to(file)
        return LedgerFile(self.file.with_name(name))

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


class LedgerDatabase(LedgerRows):
    """The ledger in PostgreSQL, in the usual schema of the database at this URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def _asked(self, question: str, values: Sequence[Any]) -> list[Any]:
        try:
            with psycopg.connect(self._url, connect_timeout=5, autocommit=True) as connection:
                connection.execute(f"SET search_path = {DEFAULT_SCHEMA}")
                return connection.execute(question.replace("?", "%s"), values).fetchall()  # type: ignore[call-overload]
        except psycopg.Error:
            return []
