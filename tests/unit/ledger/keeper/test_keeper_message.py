"""A delivery of the ledger as a message."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from ledger.ids import new_id
from ledger.keeper.giving_back.message import message_of
from ledger.values import Delivery, Key, Notificatie, State
from router.history import in_queue_since, read_history

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_time_of_a_replay_begins_anew() -> None:
    """Else a held queue would let go at once of what was accepted long ago."""
    received = int(LONG_AGO.timestamp() * 1000)
    notificatie = Notificatie(new_id(), received, "zac", "zaken", "status", "create", 2, 1, False, b"{}")
    row = Delivery(
        Key(notificatie.id, uuid4()),
        State.RETURNING,
        round=1,
        attempts=0,
        since=int(NOW.timestamp() * 1000),
        last_at=0,
    )
    original = message_of(row, notificatie, None)
    began = int(NOW.timestamp() * 1000)
    replayed = message_of(replace(row, key=replace(row.key, replay=4), again_at=began), notificatie, None)
    assert in_queue_since(original.headers, original.timestamp) == LONG_AGO
    assert in_queue_since(replayed.headers, replayed.timestamp) == NOW
    assert read_history(replayed.headers).replay == 4
