"""Places for requests: never more than there are, half for one host, in turn by host."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliverer.slots import Slots


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def start(work: Coroutine[Any, Any, bool]) -> asyncio.Task[bool]:
    return asyncio.create_task(work)


async def test_one_host_gets_half() -> None:
    slots = Slots(4)
    tasks = [start(slots.take("slow")) for _ in range(3)]
    await settle()
    assert [task.done() for task in tasks] == [True, True, False]
    assert await slots.take("other")
    slots.give("other")
    await settle()
    assert not tasks[2].done()
    slots.give("slow")
    assert await tasks[2]


async def test_hosts_are_served_in_turn() -> None:
    slots = Slots(2)
    assert await slots.take("x")
    assert await slots.take("y")
    order: list[str] = []

    async def wait_for(host: str) -> bool:
        granted = await slots.take(host)
        order.append(host)
        return granted

    tasks = [start(wait_for(host)) for host in ("a", "a", "a", "b", "c")]
    await settle()
    slots.give("x")
    slots.give("y")
    await settle()
    for host in ("a", "b", "c", "a"):
        slots.give(host)
        await settle()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c", "a", "a"]


async def test_a_single_place_is_a_place() -> None:
    slots = Slots(1)
    assert await slots.take("a")
    slots.give("a")
    assert await slots.take("b")


async def test_closing_sends_away_who_waits_and_who_comes() -> None:
    slots = Slots(1)
    assert await slots.take("a")
    waiting = start(slots.take("b"))
    await settle()
    slots.close()
    assert await waiting is False
    assert await slots.take("c") is False
    slots.give("a")


async def test_a_place_given_to_one_who_is_cancelled_is_not_lost() -> None:
    slots = Slots(1)
    assert await slots.take("a")
    cancelled = start(slots.take("b"))
    next_one = start(slots.take("c"))
    await settle()
    slots.give("a")
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert await asyncio.wait_for(next_one, 1)


async def test_a_place_goes_past_a_host_for_which_nobody_waits_any_more() -> None:
    slots = Slots(1)
    assert await slots.take("a")
    cancelled, next_one = start(slots.take("b")), start(slots.take("c"))
    await settle()
    cancelled.cancel()  # it stands in the row until it runs
    slots.give("a")
    assert await asyncio.wait_for(next_one, 1)
    assert cancelled.cancelled()
    slots.give("c")
    assert await asyncio.wait_for(slots.take("b"), 1)


async def test_nobody_waits_behind_one_who_is_cancelled_for_a_place_that_is_free() -> None:
    slots = Slots(4)
    assert await slots.take("a")
    assert await slots.take("a")
    cancelled = start(slots.take("a"))
    await settle()
    cancelled.cancel()
    slots.give("a")
    async with asyncio.timeout(1):
        assert await slots.take("a")


async def test_who_is_cancelled_while_waiting_leaves_the_row() -> None:
    slots = Slots(2)
    assert await slots.take("a")
    cancelled = start(slots.take("a"))
    await settle()
    cancelled.cancel()
    await asyncio.wait({cancelled})
    slots.give("a")
    assert await asyncio.wait_for(slots.take("a"), 1)


@given(
    total=st.integers(1, 6),
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["take", "give", "cancel"])), max_size=60
    ),
)
def test_places_are_never_more_than_there_are_nor_lost(total: int, steps: list[tuple[str, str]]) -> None:
    async def run() -> None:
        slots = Slots(total)
        holding: list[str] = []
        tasks: dict[asyncio.Task[bool], str] = {}

        async def collect() -> None:
            await settle()
            for task in [task for task in tasks if task.done()]:
                host = tasks.pop(task)
                if not task.cancelled():
                    holding.append(host)
            assert len(holding) <= total
            assert all(holding.count(host) <= max(1, total // 2) for host in holding)

        for host, step in steps:
            if step == "take":
                tasks[start(slots.take(host))] = host
            elif step == "give" and host in holding:
                holding.remove(host)
                slots.give(host)
            elif step == "cancel":
                for task in [task for task, waits in tasks.items() if waits == host][:1]:
                    task.cancel()
            if len(holding) % 2:
                await collect()
        await collect()
        # Everybody who still waits is served once the others are done.
        while holding:
            slots.give(holding.pop())
            await collect()
        assert not tasks

    asyncio.run(run())
