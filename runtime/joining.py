"""Work that several ask for at once: one run serves all who asked before it began."""

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

        delay: seconds before it begins, for who is the first to ask for it.
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
    """Nobody may be left who waits for it."""
    if not run.cancelled():
        run.exception()
