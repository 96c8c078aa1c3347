"""What operators ask about attempts: the last that failed of each abonnement, and what waits for its next.

For `nrc abonnement list` and `nrc undeliverable show`; nothing is decided by it. Kept here and written to the
registry in a moment, together: no delivery waits for it, and what is lost of it is no harm.
"""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from uuid import UUID

from deliverer.client import Failure
from runtime.log import logger
from schemas.errors import RegistryError
from store.registry import BetweenAttempts, LastFailure, Registry

WRITE_INTERVAL = 1.0  # seconds between two writes
WRITE_AGAIN = 5.0  # seconds after one that failed
MOST = 20_000  # notificaties that are to be noted; of more, while nothing can be written, nothing is noted

log = logger(__name__)


class Notes:
    """`failed` and `waits` as often as one likes; `run` writes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._failures: dict[UUID, LastFailure] = {}
        self._waiting: dict[tuple[str, UUID], BetweenAttempts] = {}
        self._noted = asyncio.Event()

    def failed(self, abonnement: UUID, failure: Failure) -> None:
        """An attempt failed just now."""
        self._failures[abonnement] = LastFailure(time.time(), failure.in_words)
        self._noted.set()

    def waits(self, one: BetweenAttempts) -> None:
        """A notificatie was just put into a wait queue."""
        key = (one.notificatie, one.abonnement)
        if key in self._waiting or len(self._waiting) < MOST:
            self._waiting[key] = one
        self._noted.set()

    async def run(self) -> None:
        """Write what was noted, at once and then every second, until cancelled."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(WRITE_INTERVAL if await self.write() else WRITE_AGAIN)

    async def write(self) -> bool:
        """Whether what was noted since the last time was written; if not, the next time has it too."""
        failures, self._failures = self._failures, {}
        waiting, self._waiting = self._waiting, {}
        self._noted.clear()
        try:
            await self._registry.note_failures(failures)
            await self._registry.note_between_attempts(waiting.values())
        except RegistryError as error:
            log.warning("attempts not noted", notificaties=len(waiting), reason=str(error))
            now = time.time()
            self._failures = failures | self._failures
            waiting = {key: one for key, one in waiting.items() if one.due > now} | self._waiting
            self._waiting = dict(islice(waiting.items(), MOST))
            self._noted.set()
            return False
        return True
