"""Slow start: how many come through, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from deliverer.slow_start import SlowStart

ONE, OTHER = uuid4(), uuid4()


class Crowd:
    """Messages that want to go through, each a task; `inside` are those that are through."""

    def __init__(self, slow_start: SlowStart, count: int) -> None:
        self.inside: list[int] = []
        self._slow_start = slow_start
        self.tasks = [asyncio.create_task(self._go(number)) for number in range(count)]

    async def _go(self, number: int) -> None:
        await self._slow_start.enter(ONE)
        self.inside.append(number)

    async def come_in(self) -> int:
        """How many are through when nothing more happens."""
        before = -1
        while before != len(self.inside):
            before = len(self.inside)
            for _ in range(3):
                await asyncio.sleep(0)
        return before

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_all_else_passes_at_once() -> None:
    slow_start = SlowStart(50)
    slow_start.begin(OTHER)
    crowd = Crowd(slow_start, 100)
    assert await crowd.come_in() == 100
    slow_start.leave(ONE, succeeded=True)


async def test_each_success_doubles_and_a_failure_does_not() -> None:
    slow_start = SlowStart(8)
    slow_start.begin(ONE)
    crowd = Crowd(slow_start, 100)
    assert await crowd.come_in() == 1
    slow_start.leave(ONE, succeeded=False)
    assert await crowd.come_in() == 2  # one in the place of the other
    slow_start.leave(ONE, succeeded=True)
    assert await crowd.come_in() == 4  # two at once
    slow_start.leave(ONE, succeeded=True)
    assert await crowd.come_in() == 7  # one is still inside: three more
    slow_start.leave(ONE, succeeded=True)
    assert await crowd.come_in() == 100  # eight would be all of them
    assert crowd.inside == sorted(crowd.inside)


@pytest.mark.parametrize("way", ["end", "close"])
async def test_whoever_waits_is_let_through_when_it_ends(way: str) -> None:
    slow_start = SlowStart(50)
    slow_start.begin(ONE)
    crowd = Crowd(slow_start, 10)
    assert await crowd.come_in() == 1
    if way == "end":
        slow_start.end(ONE)
    else:
        slow_start.close()
    assert await crowd.come_in() == 10


async def test_whoever_is_cancelled_keeps_no_place() -> None:
    slow_start = SlowStart(50)
    slow_start.begin(ONE)
    crowd = Crowd(slow_start, 4)
    assert await crowd.come_in() == 1
    crowd.tasks[1].cancel()
    # In one moment: the place is given to the third, and the third is cancelled.
    slow_start.leave(ONE, succeeded=False)
    crowd.tasks[2].cancel()
    assert await crowd.come_in() == 2
    assert crowd.inside == [0, 3]
    await crowd.close()
