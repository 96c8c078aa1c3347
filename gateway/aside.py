"""What would keep the event loop for long is done beside it: the reading and checking of large bodies.

In one thread, so that it never has more than a share of the process's time. Knows nothing of what it does.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from schemas.jsontext import LARGE

R = TypeVar("R")


class Aside:
    """The thread of a process for it, from the first large body on until `close`."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="large bodies")

    async def __call__(self, body: bytes, work: Callable[[], R]) -> R:
        """What `work` makes of this body: at once of a small one, in the thread of a large one.

        All that it reads of a large one should be gone when it returns, but for what it gives.
        """
        if len(body) <= LARGE:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._thread, _uncollected, work)

    def close(self) -> None:
        """Begin with nothing more; whoever waits is cancelled."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _uncollected(work: Callable[[], R]) -> R:
    """Do it without collections, of the whole process: each stops all threads to look everything over.

    A megabyte of JSON is half a million objects, in no cycle, for which there are many of 0.1 s.
    """
    gc.disable()
    try:
        return work()
    finally:
        gc.enable()
