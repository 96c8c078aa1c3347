"""The turns of one abonnement in this process, by its rate and its concurrency.

A rate is spread evenly: of 5 a second one every 200 ms. A timer that is late may be made up for, within
MADE_UP seconds. Turns are given in the order in which they were asked for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MADE_UP = 0.05
"""Seconds of lateness that are made up for: in one second go at most 1.05 times the rate, and one."""


class Gate:
    """`rate` a second and `room` at once; None: as many as come. Both may be changed. A room of 0: none."""

    def __init__(self) -> None:
        self._rate: float | None = None
        self._room: int | None = None
        self._inside = 0
        self._next = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many messages wait for their turn."""
        return len(self._waiting)

    def limit(self, *, rate: float | None, room: int | None) -> None:
        """Give turns by these from now on."""
        if self._rate is not None and rate is not None:
            # What is left of the pause before the next, at the new rate.
            now = asyncio.get_running_loop().time()
            self._next = min(self._next, now + 1 / rate)
        self._rate, self._room = rate, room
        self._let_in()

    def open(self) -> None:
        """Let all that wait go on, and all that come: it is not limited any more."""
        self.limit(rate=None, room=None)

    @asynccontextmanager
    async def turn(self, sent_back: asyncio.Event) -> AsyncIterator[bool]:
        """Wait for a turn, and hold a place until the context ends.

        Gives False, without a place, when `sent_back` is set first: its message belongs to its queue again.
        """
        if not await self._enter(sent_back):
            yield False
            return
        try:
            yield True
        finally:
            self._inside -= 1
            self._let_in()

    async def _enter(self, sent_back: asyncio.Event) -> bool:
        if not self._waiting and self._is_due():
            self._take()
            return True
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._let_in()
        sending_back = asyncio.ensure_future(sent_back.wait())
        try:
            await asyncio.wait((place, sending_back), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if place.done():  # its turn came at the moment of the cancellation
                self._inside -= 1
                self._let_in()
            raise
        finally:
            sending_back.cancel()
            if not place.done():
                self._waiting.remove(place)
        return place.done()

    def _is_due(self) -> bool:
        return self._has_room and (self._rate is None or asyncio.get_running_loop().time() >= self._next)

    @property
    def _has_room(self) -> bool:
        return self._room is None or self._inside < self._room

    def _take(self) -> None:
        self._inside += 1
        if self._rate is not None:
            now = asyncio.get_running_loop().time()
            self._next = max(self._next, now - MADE_UP) + 1 / self._rate

    def _let_in(self) -> None:
        while self._waiting and self._is_due():
            self._take()
            self._waiting.popleft().set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and self._has_room:
            self._timer = asyncio.get_running_loop().call_at(self._next, self._let_in)
