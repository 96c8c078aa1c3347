"""Look-ups of deliveries for operators' commands, in the SQLite ledger."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlite_utils import Database

from ledger.sqlite.numbers import Texts
from ledger.sqlite.rows import STATES, Row, delivery_of
from ledger.values import Delivery, State


def deliveries_between(
    db: Database, first: UUID, last: UUID, *, limit: int, texts: Texts
) -> Sequence[Delivery]:
    """As `Ledger.deliveries_between`."""
    select = "SELECT * FROM delivery WHERE id >= ? AND id <= ? ORDER BY id, abonnement, replay LIMIT ?"
    rows = (Row._make(row) for row in db.execute(select, [first.bytes, last.bytes, limit]))
    return [delivery_of(row, texts.abonnement(db, row.abonnement)) for row in rows]


def undeliverable_count(db: Database) -> int:
    """As `Ledger.undeliverable_count`."""
    select = (
        "SELECT count(*) FROM delivery INDEXED BY delivery_uncommon WHERE state = ? AND state NOT IN (0, 7)"
    )
    return int(db.execute(select, [STATES[State.UNDELIVERABLE]]).fetchone()[0])
