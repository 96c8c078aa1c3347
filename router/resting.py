"""The waits that RabbitMQ needs: before a message gets into a new queue, before one is declared by the name
of one that was deleted, and before one is deleted. Pure but for the waiting. Decisions 0023 and 0025 say why.

* RabbitMQ keeps the name of a quorum queue's log in a table that it writes to disk once nothing was added to
  it for half a second, and after three seconds at most. Killed before that, it comes back with the queue and
  without its log: all that was confirmed in it is gone. So nothing leads to a new queue before.
* A queue that is declared within some 20 ms of the deletion of one by the same name gets its consumers too,
  without their knowing, and RabbitMQ then hands them messages that never arrive.
* A queue that is deleted while RabbitMQ starts its dead-letter worker, in the first half second in which it
  takes connections, ends the dead-lettering of every queue, and with it the queues.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

AFTER_NEWEST = 1.5  # seconds; what was seen to be lost was at most 1.0 s old
LONGEST = 4.0  # seconds, when others go on being made
BEFORE_AGAIN = 1.0  # seconds from the deletion of a queue until one of that name is declared
BEFORE_DELETING = 3.0  # seconds since connecting, when RabbitMQ may have started just before


class Resting:
    """When queues were made, and the waits. One for each connection, from its beginning."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._connected = clock()
        self._newest = self._connected - AFTER_NEWEST

    def made(self) -> None:
        """A queue was made just now."""
        self._newest = self._clock()

    def left(self, since: float) -> float:
        """Seconds that a queue made at `since` has still to rest; 0 or less when it has rested."""
        return min(self._newest + AFTER_NEWEST, since + LONGEST) - self._clock()

    async def rested(self) -> None:
        """Return once all that was made up to now is safe."""
        since = self._clock()
        while True:
            left = self.left(since)
            if left <= 0:
                return
            await asyncio.sleep(left)

    async def may_delete(self) -> None:
        """Return once a queue may be deleted."""
        await asyncio.sleep(max(0.0, self._connected + BEFORE_DELETING - self._clock()))
