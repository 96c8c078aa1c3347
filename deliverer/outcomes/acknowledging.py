"""Acknowledges delivered messages once the ledger has their outcome, or LATEST seconds after the delivery.

So when a process is killed, RabbitMQ or the ledger knows of every delivery. Nothing waits for this: one task
acknowledges all messages.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Protocol

LATEST = 2.0  # seconds
LOOK = 0.5  # seconds between two looks for late ones
ACK_TIMEOUT = 5.0  # seconds for a write to a connection, after which it is tried again


class Origin(Protocol):
    """The channel of a message: `deliverer.attempting.settle.Origin`."""

    def ack_later(self, tag: int) -> None:
        """Acknowledge it at the next `ack_now`."""

    async def ack_now(self, tags: Sequence[int]) -> None:
        """Acknowledge these, unless that was done."""


class _Waiting:
    """A message that was delivered and is not acknowledged yet."""

    __slots__ = ("done", "origin", "since", "tag")

    def __init__(self, origin: Origin, tag: int) -> None:
        self.origin = origin
        self.tag = tag
        self.since = monotonic()
        self.done = False


class Acknowledging:
    """Call `begin`, and the function that it returns when the outcome is stored; `run` acknowledges.

    late: how many were acknowledged before the ledger had their outcome.
    """

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._ready: dict[Origin, list[int]] = {}
        self._wake = asyncio.Event()
        self.is_behind = False
        self.late = 0

    def begin(self, origin: Origin, tag: int) -> Callable[[], None]:
        """Register a delivered message. Returns a function to call when its outcome is stored."""
        origin.ack_later(tag)
        waiting = _Waiting(origin, tag)
        self._waiting.append(waiting)
        return partial(self._stored, waiting)

    def caught_up(self) -> None:
        """Called when an outcome was stored: wait for others again."""
        self.is_behind = False

    async def run(self) -> None:
        """Acknowledge what is due, until cancelled."""
        looking = asyncio.create_task(self._look(), name="looking for late commits")
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._ready:
                    origin = next(iter(self._ready))
                    tags = self._ready.pop(origin)
                    try:
                        async with asyncio.timeout(ACK_TIMEOUT):
                            await origin.ack_now(tags)
                    except TimeoutError:
                        # A connection that accepts nothing is lost in time, and its origin closed.
                        self._ready.setdefault(origin, []).extend(tags)
        finally:
            looking.cancel()
            await asyncio.wait({looking})

    def _stored(self, waiting: _Waiting) -> None:
        self.is_behind = False
        self._acknowledge(waiting)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            self.look(now=monotonic())

    def look(self, *, now: float) -> None:
        """Acknowledge those that have waited for too long. now: monotonic seconds."""
        waiting = self._waiting
        while waiting and (waiting[0].done or waiting[0].since + LATEST <= now):
            first = waiting.popleft()
            if not first.done:
                self.is_behind = True
                self.late += 1
                self._acknowledge(first)

    def _acknowledge(self, waiting: _Waiting) -> None:
        if not waiting.done:
            waiting.done = True
            self._ready.setdefault(waiting.origin, []).append(waiting.tag)
            self._wake.set()
