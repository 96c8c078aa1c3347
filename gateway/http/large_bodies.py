"""A thread that reads and checks large bodies, which would block the event loop.

One thread, so that large bodies never take more than a share of the process's time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from runtime.memory.garbage_collection import collections_paused
from schemas.jsontext import LARGE

R = TypeVar("R")


class LargeBodies:
    """The worker thread; it starts with the first large body."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="large bodies")

    async def __call__(self, size: int, work: Callable[[], R]) -> R:
        """The result of `work` on `size` bytes of JSON: called at once for a small body, else in the thread.

        `work` must keep nothing but its result: parsed data is many times as large as the body.
        """
        if size <= LARGE:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._thread, collections_paused()(work))

    def close(self) -> None:
        """Begin nothing more; callers that wait are cancelled."""
        self._thread.shutdown(wait=False, cancel_futures=True)
