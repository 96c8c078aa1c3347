"""Admission: when one more is refused, of which client, and that later ones are accepted again."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from gateway.http import admission
from gateway.http.admission import BODIES, CHANGES, IN_TURN, Publishes, Turns
from schemas.errors import Overloaded, Throttled


def test_one_client_gets_half_and_all_together_the_whole() -> None:
    publishes = Publishes(requests=6, largest_body=1000)
    with ExitStack() as under_way:
        for _ in range(3):
            under_way.enter_context(publishes.one("a", size=1))
        with pytest.raises(Throttled) as refused, publishes.one("a", size=1):
            raise AssertionError("more than half")
        assert refused.value.retry_after
        for client in "bcd":
            under_way.enter_context(publishes.one(client, size=1))
        for client in "ae":
            with pytest.raises(Overloaded), publishes.one(client, size=1):
                raise AssertionError("more than all")
    with publishes.one("a", size=1):
        pass


def test_bodies_count_by_their_size() -> None:
    publishes = Publishes(requests=10_000, largest_body=1000)
    with ExitStack() as under_way:
        for _ in range(BODIES // 2):
            under_way.enter_context(publishes.one("a", size=1000))
        with pytest.raises(Throttled), publishes.one("a", size=1):
            raise AssertionError("more than half")
        for number in range(BODIES // 2 - 1):
            under_way.enter_context(publishes.one(f"b{number}", size=1000))
        with pytest.raises(Overloaded), publishes.one("c", size=1001):
            raise AssertionError("more than all")
        under_way.enter_context(publishes.one("c", size=1000))


def test_what_was_not_announced_counts_as_it_comes() -> None:
    publishes = Publishes(requests=10_000, largest_body=1000)
    half = BODIES // 2
    with ExitStack() as under_way:
        coming = [under_way.enter_context(publishes.one("a", size=0)) for _ in range(BODIES)]
        for came in coming[:half]:
            came(400)
            came(600)
        with pytest.raises(Throttled):
            coming[half](1)
        for number in range(half):
            under_way.enter_context(publishes.one(f"b{number}", size=0))(1000)
        with pytest.raises(Overloaded):
            coming[half](1)
    with publishes.one("a", size=1000 * half), pytest.raises(Throttled):
        under_way.enter_context(publishes.one("a", size=1))
    assert not publishes._of_client


def test_what_fails_gives_its_place_back() -> None:
    publishes = Publishes(requests=1, largest_body=1000)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), publishes.one("a", size=1000):
            raise ZeroDivisionError
    assert not publishes._of_client, "nothing is kept of a client that has nothing under way"


async def test_a_client_that_fills_the_row_to_rabbitmq_leaves_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "TURN_WITHIN", 0.05)
    publishes = Publishes(requests=10_000, largest_body=1000)
    go_on = asyncio.Event()

    async def hold(client: str) -> None:
        async with publishes.turns.one(client):
            await go_on.wait()

    held = [asyncio.create_task(hold("a")) for _ in range(IN_TURN // 2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await hold("a")
    held.append(asyncio.create_task(hold("b")))
    go_on.set()
    await asyncio.gather(*held)
    await hold("a")


async def test_changes_wait_for_their_turn() -> None:
    changes = Turns(CHANGES, within=60.0)
    go_on, now = asyncio.Event(), 0

    async def change(client: str) -> None:
        nonlocal now
        async with changes.one(client):
            now += 1
            await go_on.wait()
            now -= 1

    under_way = [asyncio.create_task(change("a")) for _ in range(CHANGES)]
    await asyncio.sleep(0)
    assert now == CHANGES // 2
    changes._within = 0.05
    with pytest.raises(Overloaded):
        await change("a")
    under_way.append(asyncio.create_task(change("b")))
    await asyncio.sleep(0)
    assert now == CHANGES // 2 + 1, "another's turn comes all the same"
    go_on.set()
    await asyncio.gather(*under_way)
    assert now == 0
