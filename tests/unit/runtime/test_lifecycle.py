"""Background tasks: watched while they run, and ended when their context is left."""

from __future__ import annotations

import asyncio

import pytest

from runtime import lifecycle
from runtime.lifecycle import Tasks


async def test_a_task_that_misses_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does that waits for something that comes at the same moment."""
    monkeypatch.setattr(lifecycle, "CANCEL_AGAIN", 0.01)
    missed = 0

    async def deaf() -> None:
        nonlocal missed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                missed += 1
                if missed == 3:
                    raise

    async with asyncio.timeout(10):
        async with Tasks() as tasks:
            task = tasks.start("deaf", deaf())
            await asyncio.sleep(0)
    assert task.cancelled()
    assert missed == 3
