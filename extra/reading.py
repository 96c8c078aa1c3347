"""The ledger for questions: a connection of its own, opened at the first, with limits of its own.

One read at a time, and none for longer than LONGEST_READ: the gateway's own connection, by which it accepts
notificaties, never waits for what is asked here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from ledger.ledger import Ledger
from runtime.log import logger
from schemas.errors import LedgerError

LONGEST_READ = 2.0  # seconds

log = logger(__name__)


class ReadLedger:
    """The ledger that `open_` gives; entering it opens nothing, and never fails."""

    def __init__(self, open_: Callable[[], Ledger]) -> None:
        self._open = open_
        self._ledger: Ledger | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def opened(self) -> Ledger:
        """The ledger. Raises LedgerError when it cannot be opened."""
        async with self._opening:
            if self._ledger is None:
                self._ledger = await self._open().__aenter__()
                log.info("ledger opened for questions")
            return self._ledger

    async def failed(self) -> None:
        """Something could not be read: close it, to be opened anew, unless it can be read still."""
        async with self._opening:
            try:
                if self._ledger is not None:
                    await self._ledger.instance()
            except LedgerError:
                await self._close()

    async def _close(self) -> None:
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            with suppress(LedgerError):
                await ledger.__aexit__(None, None, None)
