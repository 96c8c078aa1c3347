"""Places for requests under way: so many in this process, and at most half of them to one host.

So a host that hangs, whoever of its abonnementen it hangs for, leaves the other half to all others. Who
waits is served in turn by host, not by age: a long queue for one does not come before everyone else.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """`take` a place for a host, `give` it back. Once closed, nobody gets one."""

    def __init__(self, total: int) -> None:
        self._free = total
        self._per_host = max(1, total // 2)
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[bool]]] = {}
        self._closed = False

    async def take(self, host: str) -> bool:
        """Wait for a place; False when there will be none, since the process stops."""
        if self._closed:
            return False
        if self._fits(host) and host not in self._waiting:
            self._occupy(host)
            return True
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(host, deque()).append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.give(host)  # it was given in the same moment
            elif (waiting := self._waiting.get(host)) is not None and place in waiting:
                waiting.remove(place)
                if not waiting:
                    del self._waiting[host]
            raise

    def give(self, host: str) -> None:
        """Give a place back; whoever's turn it is gets it."""
        self._free += 1
        self._taken[host] -= 1
        if not self._taken[host]:
            del self._taken[host]
        for name in [name for name in self._waiting if self._fits(name)]:
            if self._serve(name):
                return

    def close(self) -> None:
        """Send everyone who waits away."""
        self._closed = True
        for waiting in self._waiting.values():
            for place in waiting:
                if not place.done():
                    place.set_result(False)
        self._waiting.clear()

    def _fits(self, host: str) -> bool:
        return self._free > 0 and self._taken.get(host, 0) < self._per_host

    def _occupy(self, host: str) -> None:
        self._free -= 1
        self._taken[host] = self._taken.get(host, 0) + 1

    def _serve(self, host: str) -> bool:
        """Give a place to the first who waits for this host, and put the host at the end of the row.

        False when nobody does any more: those in the row were cancelled, and did not run since.
        """
        waiting = self._waiting.pop(host)
        while waiting:
            place = waiting.popleft()
            if not place.done():
                self._occupy(host)
                place.set_result(True)
                if waiting:
                    self._waiting[host] = waiting
                return True
        return False
