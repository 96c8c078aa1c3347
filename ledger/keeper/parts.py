"""The parts of one running keeper, for observers such as metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger.keeper.giving_back.giving import Giving
from ledger.keeper.lease import Lease
from ledger.keeper.undeliverable.dead_letters import DeadLetters
from ledger.reopening import ReopenedLedger
from router.catalogue import Catalogue
from router.publishing import Publisher
from runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one keeper process. not_ready, warnings: lines, as of its health."""

    settings: Settings
    ledger: ReopenedLedger
    catalogue: Catalogue
    lease: Lease
    giving: Giving
    dead_letters: DeadLetters
    publisher: Publisher
    not_ready: Callable[[], Sequence[str]]
    warnings: Callable[[], Sequence[str]]
