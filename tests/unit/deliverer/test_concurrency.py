"""Places for requests: never more than there are, half for one host, in turn by host and abonnement."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliverer.attempting.concurrency import Slots


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


async def granted(slots: Slots, host: str, user: str, *, of: int) -> int:
    """How many of so many requests get a place at once; the others wait."""
    tasks = [start(slots.take(host, user)) for _ in range(of)]
    await settle()
    return sum(task.done() for task in tasks)


async def test_one_that_is_slow_leaves_room_for_those_beside_it() -> None:
    slots = Slots(200)
    assert await granted(slots, "host", "slow", of=500) == 50
    assert await granted(slots, "host", "slow too", of=500) == 25
    assert await granted(slots, "host", "fast", of=10) == 10
    for _ in range(100):  # a fast one among slow ones never waits for their answers
        slots.give("host", "fast")
        assert await granted(slots, "host", "fast", of=1) == 1


async def test_the_last_place_is_for_one_that_holds_none() -> None:
    slots = Slots(8)
    assert await granted(slots, "host", "a", of=9) == 2
    assert await granted(slots, "host", "b", of=9) == 1
    assert await granted(slots, "host", "b", of=1) == 0
    assert await granted(slots, "host", "c", of=9) == 1
    assert await granted(slots, "host", "d", of=1) == 0
    assert await granted(slots, "other", "a", of=1) == 1


class Row:
    """Those that wait for one host; `order` has who got a place."""

    def __init__(self, slots: Slots, users: str) -> None:
        self.order = ""
        self._slots = slots
        self._tasks = [start(self._wait(user)) for user in users]

    async def _wait(self, user: str) -> bool:
        granted = await self._slots.take("host", user)
        self.order += user
        return granted

    async def after(self, *given_back: str) -> str:
        """Who got a place, in order, after these gave theirs back."""
        await settle()
        for user in given_back:
            self._slots.give("host", user)
            await settle()
        return self.order

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def test_users_of_a_host_are_served_in_turn() -> None:
    slots = Slots(1)
    assert await slots.take("host", "x")
    row = Row(slots, "xxxyyz")
    assert await row.after("x") == "x"
    assert await row.after("x", "y", "z", "x", "y") == "xyzxyx"
    await row.close()


@pytest.mark.parametrize("users", ["aabb", "bbaa"])
async def test_who_holds_fewest_places_of_a_host_is_served_first(users: str) -> None:
    slots = Slots(12)
    assert await granted(slots, "host", "a", of=2) == 2
    assert await granted(slots, "host", "b", of=1) == 1
    for user in range(9):
        assert await slots.take(f"other {user % 2}", user)
    row = Row(slots, users)
    assert await row.after() == ""
    slots.give("other 0", 0)
    assert await row.after() == "b"
    slots.give("other 1", 1)
    assert await row.after() == "b"  # two are left, and either holds two: another may come
    assert await row.after("a") == "ba"
    await row.close()


async def test_who_holds_none_comes_before_one_that_waits_for_longer() -> None:
    slots = Slots(8)
    for user in "abcd":
        assert await slots.take("host", user)
    row = Row(slots, "aaxxyb")
    assert await row.after("c", "d") == "xy"
    assert await row.after("x", "b") == "xyxb"
    assert await row.after("y") == "xyxb"  # one is left, which is for one that holds none
    assert await row.after("x") == "xyxba"
    await row.close()


@given(
    total=st.integers(1, 12),
    steps=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from(["take", "give", "cancel"])),
        max_size=80,
    ),
)
def test_places_are_shared_and_never_lost(total: int, steps: list[tuple[str, str, str]]) -> None:
    half = max(1, total // 2)

    async def run() -> None:
        slots = Slots(total)
        holding: list[tuple[str, str]] = []
        tasks: dict[asyncio.Task[bool], tuple[str, str]] = {}

        def left(host: str) -> int:
            return half - sum(of == host for of, _ in holding)

        async def collect() -> None:
            await settle()
            for task in [task for task in tasks if task.done()]:
                key = tasks.pop(task)
                if not task.cancelled():
                    holding.append(key)
            assert len(holding) <= total
            assert left("a") >= 0
            assert left("b") >= 0
            # Nobody waits who could have a place.
            if len(holding) < total:
                assert all(holding.count((host, user)) >= left(host) for host, user in tasks.values())

        for host, user, step in steps:
            if step == "take":
                tasks[start(slots.take(host, user))] = host, user
            elif step == "give" and (host, user) in holding:
                holding.remove((host, user))
                slots.give(host, user)
            elif step == "cancel":
                for task in [task for task, waits in tasks.items() if waits == (host, user)][:1]:
                    task.cancel()
            if len(holding) % 2:
                await collect()
        await collect()
        while holding:
            slots.give(*holding.pop())
            await collect()
        assert not tasks

    asyncio.run(run())


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


async def test_a_user_has_no_more_than_its_places_whatever_is_free() -> None:
    slots = Slots(20, per_user=2)
    tasks = [start(slots.take("x", "a")) for _ in range(4)]
    other = start(slots.take("x", "b"))
    await settle()
    assert [task.done() for task in tasks] == [True, True, False, False]
    assert other.done()
    slots.give("x", "b")
    await settle()
    assert not tasks[2].done()
    slots.give("x", "a")
    await settle()
    assert [task.done() for task in tasks] == [True, True, True, False]
    slots.close()
    assert not await tasks[3]
