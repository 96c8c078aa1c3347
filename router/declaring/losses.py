"""Who is told of a queue or an exchange that was lost, with the notificaties that were in it.

Implemented by `ledger.losses.LedgerLosses`, which `nrc` gives to the router.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from runtime.settings import Settings


class Losses(Protocol):
    """Told of what is lost and what stands again. A context manager; `run` must run meanwhile."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def run(self) -> None:
        """Pass on what is told, until cancelled."""

    async def close(self) -> None:
        """Pass on what is left, within a short time."""

    async def queue_lost(self, abonnement: UUID, why: str) -> None:
        """What its queue held is gone. To be called before it is declared again."""

    def queue_stands(self, abonnement: UUID | None) -> None:
        """The queue of this abonnement stands again, with its bindings. None: all that is wanted stands."""

    async def exchange_lost(self, kanaal: str, why: str) -> None:
        """What was published on this kanaal may be lost. To be called before its exchange is made again."""

    def exchange_stands(self, kanaal: str) -> None:
        """The exchange of this kanaal stands again, with all bindings."""


LossesOf = Callable[[Settings], Losses]
