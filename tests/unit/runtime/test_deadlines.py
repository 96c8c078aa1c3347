"""Time-outs with one timer for all waits: which are woken, and when."""

from __future__ import annotations

import asyncio

import pytest

from runtime.deadlines import Deadlines


async def test_what_is_done_in_time_and_what_is_not() -> None:
    deadlines, loop = Deadlines(0.05), asyncio.get_running_loop()
    futures: list[asyncio.Future[int]] = [loop.create_future() for _ in range(4)]
    done, failed, cancelled, late = futures
    waiting = [asyncio.create_task(deadlines.wait(each)) for each in futures]
    await asyncio.sleep(0)
    done.set_result(1)
    failed.set_exception(ValueError("told to whoever asks"))
    cancelled.cancel()
    assert await asyncio.gather(*waiting) == [True, True, True, False]
    assert not late.done()
    with pytest.raises(ValueError, match="told"):
        failed.result()
    assert await deadlines.wait(done)
    assert not await deadlines.wait(late), "the timer was set again"
    late.set_result(2)
    assert await deadlines.wait(late)


async def test_later_ones_are_looked_at_when_their_time_is_over_too() -> None:
    deadlines, loop = Deadlines(0.03), asyncio.get_running_loop()

    async def one(after: float) -> bool:
        await asyncio.sleep(after)
        return await deadlines.wait(loop.create_future())

    assert await asyncio.gather(*(one(number / 100) for number in range(10))) == [False] * 10
    assert not deadlines._waiting
    assert deadlines._timer is None


async def test_who_is_cancelled_waits_no_longer_and_the_future_stands() -> None:
    deadlines, future = Deadlines(30.0), asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(deadlines.wait(future))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not future.cancelled()
    future.set_result(None)
