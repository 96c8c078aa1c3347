"""The turns of one abonnement: by its rate, by its concurrency, and sent back when its consumer stops."""

from __future__ import annotations

import asyncio

import pytest

from deliverer.pacing.gates import MADE_UP, Gate
from tests.eventually import eventually


class Messages:
    """Messages that go through a gate, and stay in until `leave`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.sent_back = asyncio.Event()
        self.came: list[tuple[int, float]] = []
        self.back: list[int] = []
        self.inside = self.most_inside = 0
        self._left = asyncio.Semaphore(0)

    async def one(self, number: int) -> None:
        async with self._gate.turn(self.sent_back) as has_turn:
            if not has_turn:
                self.back.append(number)
                return
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            self.came.append((number, asyncio.get_running_loop().time()))
            await self._left.acquire()
            self.inside -= 1

    def leave(self, count: int) -> None:
        for _ in range(count):
            self._left.release()


async def test_a_rate_is_spread_evenly_and_in_order() -> None:
    gate = Gate()
    gate.limit(rate=40, room=None)
    messages = Messages(gate)
    messages.leave(20)
    await asyncio.gather(*(messages.one(number) for number in range(20)))
    numbers, times = zip(*messages.came, strict=True)
    assert numbers == tuple(range(20))
    for count in range(1, 20):  # a slow machine makes it longer, never shorter
        shortest = min(times[i + count] - times[i] for i in range(20 - count))
        assert shortest >= count / 40 - MADE_UP - 0.002
    assert gate.waiting == 0


async def test_so_many_are_inside_and_the_next_comes_when_one_leaves() -> None:
    gate = Gate()
    gate.limit(rate=None, room=2)
    messages = Messages(gate)
    tasks = [asyncio.create_task(messages.one(number)) for number in range(5)]
    await eventually(lambda: messages.inside == 2)
    assert gate.waiting == 3
    gate.limit(rate=None, room=3)
    await eventually(lambda: messages.inside == 3)
    tasks[3].cancel()
    messages.leave(4)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [number for number, _ in messages.came] == [0, 1, 2, 4]
    assert messages.most_inside == 3


async def test_what_waits_is_sent_back_when_its_consumer_stops() -> None:
    gate = Gate()
    gate.limit(rate=0.01, room=None)
    messages = Messages(gate)
    tasks = [asyncio.create_task(messages.one(number)) for number in range(3)]
    await eventually(lambda: gate.waiting == 2)
    messages.sent_back.set()
    await asyncio.gather(*tasks[1:])
    assert (sorted(messages.back), gate.waiting, messages.inside) == ([1, 2], 0, 1)
    messages.leave(1)
    await tasks[0]


@pytest.mark.parametrize("room", [0, 1])
async def test_what_is_not_limited_any_more_goes_at_once(room: int) -> None:
    gate = Gate()
    gate.limit(rate=0.01, room=room)
    messages = Messages(gate)
    tasks = [asyncio.create_task(messages.one(number)) for number in range(4)]
    await eventually(lambda: gate.waiting == 4 - room)
    gate.open()
    messages.leave(4)
    await asyncio.gather(*tasks)
    assert messages.inside == 0


async def test_another_rate_counts_from_now_on() -> None:
    gate = Gate()
    gate.limit(rate=0.01, room=None)
    messages = Messages(gate)
    messages.leave(3)
    tasks = [asyncio.create_task(messages.one(number)) for number in range(3)]
    await eventually(lambda: gate.waiting == 2)
    gate.limit(rate=1000, room=None)
    await asyncio.gather(*tasks)
    assert [number for number, _ in messages.came] == [0, 1, 2]
