"""Tells the ledger of queues and exchanges that were lost, and stand again.

For the router process, which cannot import this package and knows `router.declaring.losses.Losses`.
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

GAP_WITHIN = 5.0  # seconds in which a gap is written, before the queue is made again without
LAST_COMMITS = 1.0  # seconds, at most, for what is to be written still when the process ends

log = logger(__name__)


class LedgerLosses:
    """Losses that are written in group commits; while the ledger is away they wait."""

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
        """Write what is told, until cancelled."""
        await self._writer.run()

    async def close(self) -> None:
        """Write what is left, for a moment; `run` must be running still."""
        await self._writer.close(within=LAST_COMMITS)

    async def queue_lost(self, abonnement: UUID, why: str) -> None:
        """A gap, in the ledger when this returns. While that is away the queue does not wait for ever."""
        await self._open(GapOpened(Scope.ABONNEMENT, str(abonnement), why))

    def queue_stands(self, abonnement: UUID | None) -> None:
        """Its gap is closed, or those of all."""
        if abonnement is None:
            self._close(GapClosed(), self._late)
        else:
            of = str(abonnement)
            self._close(GapClosed(Scope.ABONNEMENT, of), self._late_of(Scope.ABONNEMENT, of))

    async def exchange_lost(self, kanaal: str, why: str) -> None:
        """As `queue_lost`, of what came for the kanaal."""
        await self._open(GapOpened(Scope.KANAAL, kanaal, why))

    def exchange_stands(self, kanaal: str) -> None:
        """Its gap is closed."""
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
        """In one transaction with those that were not written: noted apart, they could come after it."""
        self._late = [gap for gap in self._late if gap not in late]
        self._writer.note(*late, closed)
