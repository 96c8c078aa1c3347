"""Waits for futures at most a fixed time, with one timer for all waits.

A timer for each would cost more than the rest of a wait that ends in time, as nearly all do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any


class Deadlines:
    """Waits of at most `within` seconds each."""

    def __init__(self, within: float) -> None:
        self._within = within
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()  # (loop time, who waits), in order
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, future: asyncio.Future[Any]) -> bool:
        """Return when the future is done, whatever its result, or after `within` seconds; whether it is done.

        Does not cancel it. May be a little late, since one timer serves all deadlines.
        """
        if future.done():
            return True
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def wake(_: object) -> None:
            if not waiter.done():
                waiter.set_result(None)

        future.add_done_callback(wake)
        self._waiting.append((loop.time() + self._within, waiter))
        if self._timer is None:
            self._timer = loop.call_later(self._within, self._expire)
        try:
            await waiter
        finally:
            if not future.done():
                future.remove_done_callback(wake)
        return future.done()

    def _expire(self) -> None:
        """Wake callers whose time is over, forget those that are done, and set the timer for the next."""
        loop, waiting = asyncio.get_running_loop(), self._waiting
        while waiting and (waiting[0][1].done() or waiting[0][0] <= loop.time()):
            _, waiter = waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
        self._timer = loop.call_at(waiting[0][0], self._expire) if waiting else None
