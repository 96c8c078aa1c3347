"""Reads the ledger in PostgreSQL from outside, as tests/chaos/faults/ledger_file.py reads that in a file.

A ledger that cannot be read because of a scenario counts as empty.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import psycopg

from ledger.tables.rows import STATES, Kind
from ledger.values import RETURNED, State
from tests.chaos.faults.ledger_file import OfAbonnement

_GIVES_BACK = """SELECT EXISTS (SELECT 1 FROM nrc.unrouted WHERE open = 1)
    OR EXISTS (SELECT 1 FROM nrc.delivery WHERE open = 1 AND state = %s)
    OR EXISTS (SELECT 1 FROM nrc.gap WHERE closed IS NOT NULL AND done = 0)"""
_DELIVERIES = """SELECT d.id, name.text FROM nrc.delivery d
    JOIN nrc.name ON name.kind = %s AND name.nr = d.abonnement WHERE """
_RETURNED = """SELECT a.id, name.text, a.detail FROM nrc.attempt a
    JOIN nrc.name ON name.kind = %s AND name.nr = a.abonnement WHERE a.kind = %s ORDER BY a.at"""


class LedgerRows:
    """The ledger in the schema `nrc` of this database, read by one connection for each question."""

    def __init__(self, url: str) -> None:
        self._url = url

    def gives_back(self) -> bool:
        """Whether something is on its way from the ledger into RabbitMQ, or soon is."""
        found = self._asked(_GIVES_BACK, [STATES[State.RETURNING]])
        return bool(found and found[0][0])

    def in_state(self, state: State) -> list[OfAbonnement]:
        """Every delivery in this state."""
        return self._deliveries("d.state = %s", STATES[state])

    def open_of(self, abonnementen: Collection[UUID]) -> list[OfAbonnement]:
        """Every open delivery of these."""
        return [each for each in self._deliveries("d.open = %s", 1) if each[1] in abonnementen]

    def given_back(self) -> dict[OfAbonnement, str]:
        """The last Cause of each delivery that was given back."""
        found = self._asked(_RETURNED, [Kind.ABONNEMENT, RETURNED])
        return {(str(UUID(bytes=bytes(id_))), UUID(text)): cause for id_, text, cause in found}

    def keeper(self) -> str:
        """The name of the keeper that works, by its lease; "" when none does."""
        asked = "SELECT holder FROM nrc.keeper WHERE until > extract(epoch FROM now()) * 1000"
        found = self._asked(asked, [])
        return str(found[0][0]) if found else ""

    def _deliveries(self, where: str, value: int) -> list[OfAbonnement]:
        found = self._asked(_DELIVERIES + where, [Kind.ABONNEMENT, value])
        return [(str(UUID(bytes=bytes(id_))), UUID(text)) for id_, text in found]

    def _asked(self, question: str, values: Sequence[Any]) -> list[Any]:
        try:
            with psycopg.connect(self._url, connect_timeout=5, autocommit=True) as connection:
                return connection.execute(question, values).fetchall()
        except psycopg.Error:
            return []
