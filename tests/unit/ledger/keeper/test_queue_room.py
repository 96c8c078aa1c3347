"""How many messages the queue of an abonnement may get, by the last look at it."""

from __future__ import annotations

from uuid import uuid4

import pytest

from ledger.keeper.giving_back.queue_room import Room
from router.publishing import Publisher


def test_one_without_room_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was refused once, or came to a full queue, would wait until the keeper is started again."""
    now = 100.0
    monkeypatch.setattr("ledger.keeper.giving_back.queue_room.monotonic", lambda: now)
    room = Room(Publisher(["amqp://127.0.0.1:1"], name="test", mandatory=True), most=5, rest=10.0)
    full = uuid4()
    room.none(full)
    assert room.resting == {full}
    assert not room.take(full)
    now += 10.1
    assert room.resting == frozenset()
