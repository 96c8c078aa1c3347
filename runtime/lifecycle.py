"""Named background tasks that are watched: one that dies ends the process, with its exception."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

CANCEL_AGAIN = 1.0  # seconds


def instance_name() -> str:
    """A name of this process that no other has, for people: host, process id, eight hexadecimal digits."""
    return f"{socket.gethostname()} {os.getpid()} {uuid4().hex[:8]}"


async def cancelled(task: asyncio.Future[Any]) -> None:
    """Cancel a task and return when it has ended, however it did.

    One cancellation is not enough: until Python 3.12 asyncio.wait_for, which the AMQP library uses, swallows
    one that comes at the moment at which the awaited future is done.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN)


class Tasks:
    """A context manager over background tasks; on leaving they are cancelled, the last started first."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in reversed(self._tasks):
            await cancelled(task)
        for task in self._tasks:
            # Raised by run_until already, or superseded by another exception: avoids "never retrieved".
            if not task.cancelled():
                task.exception()

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` in the background until it ends or the context is left."""
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        return task

    async def run_until(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set. Raises what a task died of, and RuntimeError when one just ended."""
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            done, _ = await asyncio.wait({stopping, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
                if not stop.is_set():
                    raise RuntimeError(f"background task {task.get_name()!r} ended")
        finally:
            stopping.cancel()
