"""The bytes that a deliverer has in hand: bounded, and fair to abonnementen that hold little."""

from __future__ import annotations

import asyncio
import random
from uuid import UUID, uuid4

import pytest

from deliverer.consuming.prefetch import STEP, Budget

MIB = 1024 * 1024


def test_everything_is_kept_while_it_fits_and_comes_free_again() -> None:
    budget, one = Budget(1000, prefetch=50), uuid4()
    assert [budget.take(one, 100) for _ in range(5)] == [True] * 5
    budget.sharers = 10
    assert not budget.take(one, 100), "more than the common half, and more than its share"
    budget.give(one, 100)
    assert budget.take(one, 100)
    assert budget.in_hand == 500


def test_one_that_holds_much_takes_nothing_from_the_share_of_another() -> None:
    budget, greedy, other = Budget(1000, prefetch=50), uuid4(), uuid4()
    budget.sharers = 5
    while budget.take(greedy, 50):
        pass
    assert budget.in_hand == 500
    assert [budget.take(other, 50) for _ in range(3)] == [True, True, False]


def test_the_first_of_each_is_kept_whatever_its_size() -> None:
    budget = Budget(1000, prefetch=50)
    budget.sharers = 100
    assert all(budget.take(uuid4(), 5000) for _ in range(100))


def test_what_is_narrowed_again_and_again_ends_at_one() -> None:
    budget, one = Budget(100 * MIB, prefetch=50), uuid4()
    budget.sharers = 10
    assert budget.narrow(one, MIB, now=0.0) == 5, "its share is 5 MiB"
    assert [budget.narrow(one, MIB, now=0.0) for _ in range(3)] == [2, 1, 1]
    assert budget.prefetch_of(one) == 1
    assert budget.prefetch_of(uuid4()) == 50


def test_queues_send_more_again_step_by_step_when_little_is_in_hand() -> None:
    budget, one, other = Budget(100 * MIB, prefetch=50), uuid4(), uuid4()
    budget.sharers = 2
    budget.narrow(one, 5 * MIB, now=0.0)
    budget.take(other, 26 * MIB)
    assert budget.widen(now=STEP) == []
    budget.give(other, 26 * MIB)
    assert budget.widen(now=STEP - 1) == []
    seen, now = [budget.prefetch_of(one)], STEP
    while budget.widen(now=now) == [one]:
        assert budget.widen(now=now) == [], "one step at a time"
        seen.append(budget.prefetch_of(one))
        now += STEP
    assert seen == [5, 10, 20, 40, 50]


@pytest.mark.parametrize("seed", range(20))
def test_never_more_is_in_hand_than_the_budget_and_one_of_each(seed: int) -> None:
    chance = random.Random(seed)
    abonnementen = [uuid4() for _ in range(chance.randint(1, 30))]
    budget = Budget(MIB, prefetch=50)
    budget.sharers = len(abonnementen)
    held: list[tuple[UUID, int]] = []
    for _ in range(3000):
        if held and chance.random() < 0.4:
            budget.give(*held.pop(chance.randrange(len(held))))
            continue
        abonnement, size = chance.choice(abonnementen), chance.randint(1, MIB // 4)
        nothing = all(each != abonnement for each, _ in held)
        kept = budget.take(abonnement, size)
        assert kept or not nothing
        if kept:
            held.append((abonnement, size))
        assert budget.in_hand == sum(size for _, size in held)
        assert budget.in_hand <= MIB + len(abonnementen) * MIB // 4
    for each in held:
        budget.give(*each)
    assert budget.in_hand == 0


async def test_who_waits_for_its_last_message_hears_of_it() -> None:
    budget, one = Budget(1000, prefetch=50), uuid4()
    await budget.emptied(one)
    budget.take(one, 10)
    budget.take(one, 20)
    waiting = asyncio.create_task(budget.emptied(one))
    await asyncio.sleep(0)
    budget.give(one, 10)
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.give(one, 20)
    await waiting
