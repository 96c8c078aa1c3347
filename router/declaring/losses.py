"""The protocol by which the router opens and closes gaps: times in which RabbitMQ lost messages.

Implemented by `ledger.losses.LedgerLosses`, which `nrc` gives to the router.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from runtime.settings import Settings


class Losses(Protocol):
    """Opens and closes gaps. A context manager; `run` must run meanwhile."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def run(self) -> None:
        """Write gaps to the ledger, until cancelled."""

    async def close(self) -> None:
        """Write what is left, within a short time."""

    async def queue_lost(self, abonnement: UUID, why: str) -> None:
        """Open a gap: what its queue held is gone. To be called before it is declared again."""

    def queue_stands(self, abonnement: UUID | None) -> None:
        """Close its gap: its queue is declared again, with its bindings. None: everything is declared."""

    async def exchange_lost(self, kanaal: str, why: str) -> None:
        """Open a gap of the kanaal. To be called before its exchange is declared again."""

    def exchange_stands(self, kanaal: str) -> None:
        """Close its gap: its exchange is declared again, with all bindings."""


LossesOf = Callable[[Settings], Losses]
