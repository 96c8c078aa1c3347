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


async def test_it_returns_when_it_has_rested(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    slept = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    monkeypatch.setattr(resting.asyncio, "sleep", sleep)
    queues = Resting(clock=lambda: now)
    queues.made()

    await queues.rested()
    await queues.rested()

    assert slept == [AFTER]
