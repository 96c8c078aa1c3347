"""Slow start: how many requests pass, and that none waits for ever."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from deliverer.holding.slow_start import Gate, SlowStart
from tests.eventually import eventually

ONE, OTHER = uuid4(), uuid4()


class Crowd:
    """Messages that want to go through, each a task; `inside` are those that came through, in order."""

    def __init__(self, slow_start: SlowStart, count: int) -> None:
        self.inside: list[int] = []
        self._gates: list[Gate | None] = []
        self._slow_start = slow_start
        self.tasks = [asyncio.create_task(self._go(number)) for number in range(count)]

    async def _go(self, number: int) -> None:
        self._gates.append(await self._slow_start.enter(ONE))
        self.inside.append(number)

    def leave(self, *, succeeded: bool) -> None:
        """The one that is through for longest is done."""
        self._slow_start.leave(self._gates.pop(0), succeeded=succeeded)

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
    crowd.leave(succeeded=True)


async def test_each_success_doubles_and_a_failure_does_not() -> None:
    slow_start = SlowStart(8)
    slow_start.begin(ONE)
    crowd = Crowd(slow_start, 100)
    assert await crowd.come_in() == 1
    crowd.leave(succeeded=False)
    assert await crowd.come_in() == 2  # one in the place of the other
    crowd.leave(succeeded=True)
    assert await crowd.come_in() == 4  # two at once
    crowd.leave(succeeded=True)
    assert await crowd.come_in() == 7  # one is still inside: three more
    crowd.leave(succeeded=True)
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
    crowd.leave(succeeded=False)
    crowd.tasks[2].cancel()
    assert await crowd.come_in() == 2
    assert crowd.inside == [0, 3]
    await crowd.close()


async def test_whoever_came_through_a_former_gate_makes_no_room_in_the_new_one() -> None:
    slow_start = SlowStart(50)
    before = Crowd(slow_start, 1)  # when there was no gate
    assert await before.come_in() == 1
    slow_start.begin(ONE)
    former = Crowd(slow_start, 3)
    assert await former.come_in() == 1
    # In one moment: held again, released again, and one that was let through by that is cancelled.
    slow_start.end(ONE)
    slow_start.begin(ONE)
    former.tasks[1].cancel()
    now = Crowd(slow_start, 5)
    assert await former.come_in() == 2
    assert await now.come_in() == 1
    before.leave(succeeded=True)
    former.leave(succeeded=False)
    former.leave(succeeded=True)
    assert await now.come_in() == 1
    now.leave(succeeded=True)
    assert await now.come_in() == 3
    await now.close()


async def test_one_that_is_narrowed_pauses_and_grows_by_one() -> None:
    slow_start = SlowStart(8)
    before = Crowd(slow_start, 3)
    assert await before.come_in() == 3
    slow_start.narrow(ONE, pause=1.0)
    crowd = Crowd(slow_start, 100)
    assert await crowd.come_in() == 0
    await eventually(lambda: crowd.inside)
    assert await crowd.come_in() == 4
    before.leave(succeeded=True)
    assert await crowd.come_in() == 4, "it came through before"
    crowd.leave(succeeded=True)
    assert await crowd.come_in() == 6  # one in its place, and one more
    slow_start.narrow(ONE, pause=60)
    slow_start.narrow(ONE, pause=60)
    crowd.leave(succeeded=False)
    assert await crowd.come_in() == 6
    slow_start.end(ONE)
    assert await crowd.come_in() == 100


async def test_no_pause_is_longer_than_those_that_wait_may_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deliverer.holding.slow_start.LONGEST_PAUSE", 0.02)
    slow_start = SlowStart(8)
    slow_start.narrow(ONE, pause=3600)
    crowd = Crowd(slow_start, 2)
    await eventually(lambda: crowd.inside)
    await crowd.close()


async def test_successes_of_before_a_pause_do_not_end_it() -> None:
    slow_start = SlowStart(4)
    slow_start.narrow(ONE, pause=0.0)
    crowd = Crowd(slow_start, 100)
    await eventually(lambda: crowd.inside)
    crowd.leave(succeeded=True)
    assert await crowd.come_in() == 4  # three under way
    slow_start.narrow(ONE, pause=60)
    for _ in range(3):
        crowd.leave(succeeded=True)
    assert await crowd.come_in() == 4, "it asked for a pause"
    await crowd.close()


async def test_a_pause_of_one_that_has_a_single_place_anyhow() -> None:
    slow_start = SlowStart(1)
    slow_start.narrow(ONE, pause=0.0)
    crowd = Crowd(slow_start, 5)
    await eventually(lambda: crowd.inside)
    slow_start.narrow(ONE, pause=60)
    crowd.leave(succeeded=False)
    assert await crowd.come_in() == 1, "it asked for a pause"
    await crowd.close()
