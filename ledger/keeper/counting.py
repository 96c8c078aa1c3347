"""Counts in every minute what waits for abonnementen that nothing is sent to: held and suspended ones.

Counts of what happened are written with it; this one is of what is, so somebody has to look.
"""

from __future__ import annotations

import asyncio
import time

from ledger.keeper.lease import Lease
from ledger.reopening import ReopenedLedger
from router.catalogue import Catalogue
from runtime.log import Occasional, logger
from schemas.abonnement import State
from schemas.errors import LeaseLost, LedgerError

EVERY = 60.0  # seconds: the length of a minute of the ledger
LOOK = 0.5  # seconds between two looks at whether this keeper works
REPORT_INTERVAL = 600.0  # seconds between two lines that say the same

log = logger(__name__)


class Counting:
    """Counts while this keeper works."""

    def __init__(self, *, ledger: ReopenedLedger, lease: Lease, catalogue: Catalogue) -> None:
        self._ledger = ledger
        self._lease = lease
        self._catalogue = catalogue
        self._failures = Occasional(every=REPORT_INTERVAL)

    async def run(self) -> None:
        """Count once in each minute until cancelled, and at once when this keeper begins to work."""
        while True:
            if not self._lease.held:
                await asyncio.sleep(LOOK)
                continue
            try:
                await self.count()
            except LeaseLost:
                await asyncio.sleep(LOOK)
                continue
            except LedgerError as error:
                if times := self._failures.due():
                    log.warning("counting what is held failed", reason=str(error), times=times)
            await asyncio.sleep(EVERY - time.time() % EVERY)

    async def count(self) -> int:
        """Count once; returns how many deliveries wait. Raises LedgerError, LeaseLost."""
        keeping = self._ledger.ledger.keeping
        epoch = await self._lease.keep(keeping)
        held = {uuid for uuid, each in self._catalogue.everyone.items() if each.state is not State.ACTIVE}
        return await keeping.count_held(epoch, held)
