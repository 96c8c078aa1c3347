"""Who is told of a queue or an exchange that was lost, with the notificaties that were in it.

The ledger, which this package knows nothing of: `nrc` gives the router `ledger.losses.LedgerLosses`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from runtime.settings import Settings


class Losses(Protocol):
    """Told of what is lost and what stands again. Open it as a context, and `run` it meanwhile."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def run(self) -> None:
        """Pass on what is told, until cancelled."""

    async def close(self) -> None:
        """Pass on what is left, for a moment; `run` must be running still."""

    async def queue_lost(self, abonnement: UUID, why: str) -> None:
        """What its queue held is gone. Before it is made again; durable when this returns, or in memory."""

    def queue_stands(self, abonnement: UUID | None) -> None:
        """The queue of this abonnement stands again, with its bindings; None: all that is wanted stands."""

    async def exchange_lost(self, kanaal: str, why: str) -> None:
        """What came for this kanaal may have gone nowhere. Before its exchange is made again."""

    def exchange_stands(self, kanaal: str) -> None:
        """The exchange of this kanaal stands again, with all bindings."""


class Untold:
    """Tells nobody."""

    def __init__(self, _: Settings | None = None) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None: ...

    async def queue_lost(self, abonnement: UUID, why: str) -> None: ...

    def queue_stands(self, abonnement: UUID | None) -> None: ...

    async def exchange_lost(self, kanaal: str, why: str) -> None: ...

    def exchange_stands(self, kanaal: str) -> None: ...


LossesOf = Callable[[Settings], Losses]
