"""One run of a piece of work for several concurrent callers: it serves all that called before it began."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Joined:
    """Runs of `work`, one at a time. name: of their tasks."""

    def __init__(self, work: Callable[[], Awaitable[None]], *, name: str) -> None:
        self._work = work
        self._name = name
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def run(self, *, delay: float = 0.0) -> None:
        """Return when a run that began after this call has ended. Raises what it raised.

        delay: seconds before it begins, for the first caller of a run.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running, delay), name=self._name)
            self._next.add_done_callback(_heard)
        await asyncio.shield(self._next)

    async def _after(self, before: asyncio.Task[None] | None, delay: float) -> None:
        if before is not None:
            await asyncio.wait({before})
        if delay:
            await asyncio.sleep(delay)
        self._running, self._next = self._next, None
        await self._work()


def _heard(run: asyncio.Task[None]) -> None:
    """Mark its exception as retrieved: all callers may have been cancelled."""
    if not run.cancelled():
        run.exception()
