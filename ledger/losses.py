"""Opens a gap in the ledger for a queue or an exchange that was lost; closes it once that is declared again.

For the router process, which cannot import this package and knows it as `router.declaring.losses.Losses`.
"""

from __future__ import annotations

from functools import partial
from types import TracebackType
from typing import Self
from uuid import UUID

from ledger.opening import ledger_of
from ledger.reopening import ReopenedLedger
from ledger.values import GapClosed, GapOpened, Scope
from ledger.writer import Writer
from runtime.log import logger
from runtime.settings import Settings
from schemas.errors import LedgerError

GAP_WITHIN = 5.0  # seconds to write a gap; after that the queue is declared without it
LAST_COMMITS = 1.0  # seconds, at most, to write what is left when the process ends

log = logger(__name__)


class LedgerLosses:
    """Writes gaps in group commits; while the ledger is away they wait."""

    def __init__(self, settings: Settings) -> None:
        self._ledger = ReopenedLedger(partial(ledger_of, settings))
        self._writer = Writer(self._ledger)
        self._late: list[GapOpened] = []  # opened while the ledger was away

    async def __aenter__(self) -> Self:
        await self._ledger.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._ledger.__aexit__(kind, error, trace)

    async def run(self) -> None:
        """Write gaps, until cancelled."""
        await self._writer.run()

    async def close(self) -> None:
        """Write what is left, within LAST_COMMITS; `run` must still run."""
        await self._writer.close(within=LAST_COMMITS)

    async def queue_lost(self, abonnement: UUID, why: str) -> None:
        """Open a gap of its queue; it is written when this returns, or GAP_WITHIN has passed."""
        await self._open(GapOpened(Scope.ABONNEMENT, str(abonnement), why))

    def queue_stands(self, abonnement: UUID | None) -> None:
        """Close the gap of its queue; None: all gaps but those of operators."""
        if abonnement is None:
            self._close(GapClosed(), self._late)
        else:
            of = str(abonnement)
            self._close(GapClosed(Scope.ABONNEMENT, of), self._late_of(Scope.ABONNEMENT, of))

    async def exchange_lost(self, kanaal: str, why: str) -> None:
        """As `queue_lost`, for the exchange of the kanaal."""
        await self._open(GapOpened(Scope.KANAAL, kanaal, why))

    def exchange_stands(self, kanaal: str) -> None:
        """Close its gap."""
        self._close(GapClosed(Scope.KANAAL, kanaal), self._late_of(Scope.KANAAL, kanaal))

    async def _open(self, gap: GapOpened) -> None:
        try:
            await self._writer.add(gap, within=GAP_WITHIN)
        except LedgerError as error:
            log.warning("gap not written yet", scope=gap.scope, of=gap.of, reason=str(error))
            self._late.append(gap)

    def _late_of(self, scope: Scope, of: str) -> list[GapOpened]:
        return [gap for gap in self._late if (gap.scope, gap.of) == (scope, of)]

    def _close(self, closed: GapClosed, late: list[GapOpened]) -> None:
        """In one transaction with openings that are not written yet, which could else be written after it."""
        self._late = [gap for gap in self._late if gap not in late]
        self._writer.note(*late, closed)
