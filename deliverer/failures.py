"""The last failed attempt of each abonnement, for operators (`nrc abonnement list`).

Kept here and written now and then, all at once: no delivery waits for it, and what is lost of it is no harm.
"""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from deliverer.client import Failure
from runtime.log import logger
from schemas.errors import RegistryError
from store.registry import LastFailure, Registry

WRITE_INTERVAL = 5.0  # seconds

log = logger(__name__)


class LastFailures:
    """`note` as often as one likes; `run` writes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._unwritten: dict[UUID, LastFailure] = {}

    def note(self, abonnement: UUID, failure: Failure) -> None:
        """An attempt failed just now."""
        self._unwritten[abonnement] = LastFailure(time.time(), failure.in_words)

    async def run(self) -> None:
        """Write what was noted, every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(WRITE_INTERVAL)
            await self.write()

    async def write(self) -> None:
        """Write what was noted since the last time."""
        noted, self._unwritten = self._unwritten, {}
        try:
            await self._registry.note_failures(noted)
        except RegistryError as error:
            log.warning("last failures not written", abonnementen=len(noted), reason=str(error))
