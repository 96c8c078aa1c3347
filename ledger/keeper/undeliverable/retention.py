"""Ends what waits for too long, or exceeds the budget of an abonnement, as undeliverable, the oldest first.

By the rows of the ledger, whatever the state of the abonnement; not by arguments of its queue, which can
never change. Its messages are removed from the front of the queue after that (trimming.py).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from time import time
from uuid import UUID

from ledger.keeper.lease import Lease
from ledger.keeper.undeliverable.ending import end
from ledger.keeper.undeliverable.trimming import Trimming
from ledger.ledger import Ledger
from ledger.reopening import ReopenedLedger
from ledger.values import LIVE, Backlog, Delivery, WhyEnded, is_in_hand
from router.catalogue import Catalogue
from runtime.log import Occasional, logger
from runtime.settings import Settings
from schemas.errors import LedgerError

LONGEST_INTERVAL = 60.0  # seconds between two runs
FILLED = 0.9  # of the budget: what is left after a cut, else some would have to go every minute
PAGE = 500  # rows that end together
REPORT_INTERVAL = 60.0  # seconds between two lines that say the same

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class HoldLimits:
    """retention: seconds. budget: bytes of bodies, 0 for none."""

    retention: float
    budget: int

    @property
    def interval(self) -> float:
        """Seconds between two runs."""
        return max(1.0, min(LONGEST_INTERVAL, self.retention / 10))

    def excess(self, waiting: Backlog) -> float:
        """Bytes of the oldest that have to go."""
        return waiting.size - self.budget * FILLED if 0 < self.budget < waiting.size else 0.0

    def detail(self, why: WhyEnded) -> str:
        """Why one had to go, in a line for people."""
        if why is WhyEnded.RETENTION:
            return f"held longer than NRC_HOLD_RETENTION ({self.retention:g} s)"
        return f"among the oldest of a queue over NRC_HOLD_BUDGET ({self.budget} bytes)"


class Retention:
    """Enforces both limits while this keeper works."""

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: ReopenedLedger,
        lease: Lease,
        catalogue: Catalogue,
        trimming: Trimming,
        interval: float | None = None,
    ) -> None:
        self._limits = HoldLimits(settings.hold_retention, settings.hold_budget)
        self._ledger = ledger
        self._lease = lease
        self._catalogue = catalogue
        self._trimming = trimming
        self._interval = interval or self._limits.interval
        self._failures = Occasional(every=REPORT_INTERVAL)

    async def run(self) -> None:
        """Enforce them at each interval, until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            if not self._lease.held:
                self._trimming.forget()
                continue
            try:
                await self._enforce(self._ledger.ledger)
            except LedgerError as error:
                if times := self._failures.due():
                    log.warning("retention not enforced", reason=str(error), times=times)

    async def _enforce(self, ledger: Ledger) -> None:
        before = int((time() - self._limits.retention) * 1000)
        ended: set[UUID] = set()
        waiting = await ledger.backlogs()
        known = self._catalogue.everyone
        for uuid, backlog in waiting.items():
            if uuid in known and self._lease.held and await self._end(ledger, uuid, backlog, before=before):
                ended.add(uuid)
        if ended:
            waiting = await ledger.backlogs()
        open_ = {uuid: backlog.count - backlog.stuck for uuid, backlog in waiting.items()}
        queues = list(self._catalogue.abonnementen)
        await self._trimming.trim(ledger, queues, ended=ended, open_=open_, before=before)

    async def _end(self, ledger: Ledger, uuid: UUID, backlog: Backlog, *, before: int) -> int:
        """End what exceeds the limits of one abonnement; returns how many. Raises LedgerError."""
        ended: Counter[WhyEnded] = Counter()
        over = self._limits.excess(backlog)
        after = None
        while page := await ledger.keeping.waiting(uuid, before=before, limit=PAGE, after=after):
            after = page[-1].key
            rows = await self._free(ledger, page)
            await end(ledger, rows, WhyEnded.RETENTION, self._limits.detail(WhyEnded.RETENTION))
            ended[WhyEnded.RETENTION] += len(rows)
            over -= sum(row.size for row in rows)
        after = None
        while over > 0 and (page := await ledger.keeping.waiting(uuid, limit=PAGE, after=after)):
            after = page[-1].key
            rows = []
            for row in await self._free(ledger, page):
                if over > 0:
                    rows.append(row)
                    over -= row.size
            await end(ledger, rows, WhyEnded.BUDGET, self._limits.detail(WhyEnded.BUDGET))
            ended[WhyEnded.BUDGET] += len(rows)
        if count := ended.total():
            log.warning(
                "held notificaties became undeliverable",
                abonnement=str(uuid),
                too_old=ended[WhyEnded.RETENTION],
                over_budget=ended[WhyEnded.BUDGET],
            )
        return count

    async def _free(self, ledger: Ledger, rows: Sequence[Delivery]) -> list[Delivery]:
        """Those that no deliverer has in hand."""
        hands = (await ledger.keeping.hands(live=LIVE)).keys
        return [row for row in rows if not is_in_hand(row.key, hands)]
