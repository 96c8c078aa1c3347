"""When a delivered message is acknowledged: once its outcome is stored, or after LATEST."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import monotonic

import pytest

from deliverer.outcomes.acknowledging import LATEST, Acknowledging
from tests.eventually import eventually


class Origin:
    """A channel; `takes` is cleared for a connection that takes nothing."""

    def __init__(self) -> None:
        self.later: set[int] = set()
        self.acked: list[int] = []
        self.takes = asyncio.Event()
        self.takes.set()

    def ack_later(self, tag: int) -> None:
        self.later.add(tag)

    async def ack_now(self, tags: Sequence[int]) -> None:
        await self.takes.wait()
        self.acked += tags


@pytest.fixture
async def acknowledging() -> AsyncIterator[Acknowledging]:
    acknowledging = Acknowledging()
    task = asyncio.create_task(acknowledging.run())
    yield acknowledging
    task.cancel()
    await asyncio.wait({task})


async def test_it_is_acknowledged_once_its_outcome_is_stored(acknowledging: Acknowledging) -> None:
    origin = Origin()
    first, second = acknowledging.begin(origin, 1), acknowledging.begin(origin, 2)
    second()
    await eventually(lambda: origin.acked == [2])
    first()
    first()
    await eventually(lambda: origin.acked == [2, 1])
    acknowledging.look(now=monotonic() + LATEST)
    assert acknowledging.late == 0


async def test_what_waits_for_too_long_is_acknowledged_and_others_do_not_wait_until_commits_work(
    acknowledging: Acknowledging,
) -> None:
    origin = Origin()
    stored = acknowledging.begin(origin, 1)
    acknowledging.look(now=monotonic())
    assert not acknowledging.is_behind
    acknowledging.look(now=monotonic() + LATEST)
    await eventually(lambda: origin.acked == [1])
    assert acknowledging.is_behind
    assert acknowledging.late == 1
    stored()
    assert not acknowledging.is_behind
    acknowledging.begin(origin, 2)()
    await eventually(lambda: origin.acked == [1, 2])


async def test_a_connection_that_takes_nothing_loses_no_acknowledgement(
    acknowledging: Acknowledging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deliverer.outcomes.acknowledging.ACK_TIMEOUT", 0.05)
    origin = Origin()
    origin.takes.clear()
    for tag in range(3):
        acknowledging.begin(origin, tag)()
    await asyncio.sleep(0.2)  # some timeouts
    origin.takes.set()
    await eventually(lambda: origin.acked == [0, 1, 2])
