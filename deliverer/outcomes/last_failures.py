"""The last failed attempt of each abonnement, for `nrc abonnement list`. Nothing depends on it.

Written to the registry in batches: no delivery waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from uuid import UUID

from deliverer.http.client import Failure
from runtime.log import logger
from schemas.errors import RegistryError
from store.registry import LastFailure, Registry

WRITE_INTERVAL = 1.0  # seconds between two writes
WRITE_AGAIN = 5.0  # seconds after one that failed

log = logger(__name__)


class LastFailures:
    """`failed` keeps a failure, `run` writes it. counts: failed attempts and probes, by abonnement."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._failures: dict[UUID, LastFailure] = {}
        self._noted = asyncio.Event()
        self.counts: Counter[UUID] = Counter()

    def failed(self, abonnement: UUID, failure: Failure) -> None:
        """Keep the failure of an attempt that just ended."""
        self.counts[abonnement] += 1
        self._failures[abonnement] = LastFailure(time.time(), failure.in_words)
        self._noted.set()

    async def run(self) -> None:
        """Write the failures, at once and then every second, until cancelled."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(WRITE_INTERVAL if await self.write() else WRITE_AGAIN)

    async def write(self) -> bool:
        """Write those since the last time; whether it succeeded. If not, the next call writes them too."""
        failures, self._failures = self._failures, {}
        self._noted.clear()
        try:
            await self._registry.note_failures(failures)
        except RegistryError as error:
            log.warning("last failures not written", abonnementen=len(failures), reason=str(error))
            self._failures = failures | self._failures
            self._noted.set()
            return False
        return True
