"""Has the ledger remove every minute what is past its retention, and what exceeds its budget.

Every few seconds near the budget: the room that was made may be used again in less than a minute.
"""

from __future__ import annotations

import asyncio
import time

from ledger.keeper.lease import Lease
from ledger.reopening import ReopenedLedger
from ledger.values import moment_of
from runtime.log import Occasional, logger
from runtime.settings import Settings
from schemas.errors import LedgerError

EVERY = 60.0
"""Seconds between two runs; the first is when this keeper begins to work."""
SOON = 5.0
"""The same where the ledger uses more than NEAR of its budget."""
NEAR = 0.9
LOOK = 0.5  # seconds between two looks at whether this keeper works
REPORT_INTERVAL = 600.0  # seconds between two lines that say the same

log = logger(__name__)


class Shedding:
    """Sheds while this keeper works. every: seconds."""

    def __init__(
        self, settings: Settings, *, ledger: ReopenedLedger, lease: Lease, every: float = EVERY
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._lease = lease
        self._every = every
        self._full = Occasional(every=REPORT_INTERVAL)
        self._failures = Occasional(every=REPORT_INTERVAL)
        self._size = 0

    def warnings(self) -> list[str]:
        """A line when the ledger is full."""
        if not self._size:
            return []
        budget = self._settings.ledger_budget
        return [f"ledger: full: {self._size} bytes of {budget}, and all of it is still needed"]

    async def run(self) -> None:
        """Shed until cancelled, in small transactions between those of other processes."""
        while True:
            if not self._lease.held:
                await asyncio.sleep(min(LOOK, self._every))
                continue
            size = 0
            try:
                size = await self._shed()
            except LedgerError as error:
                if times := self._failures.due():
                    log.warning("shedding from the ledger failed", reason=str(error), times=times)
            near = size > NEAR * self._settings.ledger_budget
            await asyncio.sleep(min(SOON, self._every) if near else self._every)

    async def _shed(self) -> int:
        """Shed once; returns how many bytes the ledger has in use then."""
        settings = self._settings
        shed = await self._ledger.ledger.shed(
            now=int(time.time() * 1000),
            bodies_for=settings.ledger_bodies,
            rows_for=settings.ledger_rows,
            counts_for=settings.ledger_counts,
            budget=settings.ledger_budget,
        )
        self._size = shed.size if shed.full else 0
        if shed.bodies or shed.rows:
            log.info("shed", bodies=shed.bodies, rows=shed.rows, counts=shed.counts, bytes=shed.size)
        if (gone := shed.undeliverable) is not None:
            log.error(
                "undeliverable notificaties removed to make room",
                count=gone.count,
                since=moment_of(gone.since),
                until=moment_of(gone.until),
                budget=settings.ledger_budget,
            )
        if shed.full and (times := self._full.due()):
            log.error("the ledger is full", bytes=shed.size, budget=settings.ledger_budget, times=times)
        return shed.size
