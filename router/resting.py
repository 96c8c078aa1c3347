"""How long a queue that was just made rests before a message may get into it. Pure but for the waiting.

RabbitMQ keeps the name of a quorum queue's log in a table that it writes to disk once nothing was added to it
for half a second, and after three seconds at most. Killed before that, it comes back with the queue and
without its log: all that was confirmed in it is gone. So nothing leads to a new queue before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

AFTER_NEWEST = 1.5  # seconds; what was seen to be lost was at most 1.0 s old
LONGEST = 4.0  # seconds, when others go on being made


class Resting:
    """When queues were made, and the wait that follows. One for all that one process makes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._newest = clock() - AFTER_NEWEST

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
