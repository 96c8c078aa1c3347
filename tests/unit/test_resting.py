"""How long a new queue rests, by a clock of our own."""

from __future__ import annotations

import pytest

from router import resting
from router.resting import LONGEST, Resting

AFTER = 1.5


@pytest.fixture(autouse=True)
def _as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resting, "AFTER_NEWEST", AFTER)


def test_it_rests_until_nothing_was_made_for_a_while_and_not_for_ever() -> None:
    now = 100.0
    queues = Resting(clock=lambda: now)
    assert queues.left(since=now) <= 0  # nothing was made yet

    queues.made()
    assert queues.left(since=now) == AFTER

    now = 101.0
    queues.made()
    assert queues.left(since=100.0) == AFTER

    now = 103.5
    queues.made()
    assert queues.left(since=100.0) == pytest.approx(100.0 + LONGEST - now)

    now = 105.0
    assert queues.left(since=100.0) <= 0
    assert queues.left(since=103.5) <= 0


class Clock:
    """A clock that goes on while somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        monkeypatch.setattr(resting.asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


async def test_it_returns_when_it_has_rested(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    queues = Resting(clock)
    queues.made()

    await queues.rested()
    await queues.rested()

    assert clock.slept == [AFTER]


async def test_nothing_is_deleted_just_after_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resting, "BEFORE_DELETING", 3.0)
    clock = Clock(monkeypatch)
    queues = Resting(clock)
    clock.now += 1.0

    await queues.may_delete()
    await queues.may_delete()

    assert clock.slept == [2.0, 0.0]
