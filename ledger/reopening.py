"""Opens the ledger when it is first needed, and again when it could not be written, or read.

So a process starts and goes on while the ledger's file is locked, damaged, replaced or on a full disk; its
methods raise LedgerError meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Self

from ledger.copies.recent import Recent
from ledger.ledger import Ledger
from ledger.opening import ledger_of
from ledger.values import Event
from runtime.log import logger
from runtime.settings import Settings
from schemas.errors import LedgerError, LedgerFull

OPEN_AGAIN = 5.0  # seconds without a successful commit, after which it is closed and opened again
CLOSE_WITHIN = 1.0  # seconds; a lock or a disk that hangs must not keep a process from stopping

log = logger(__name__)


class ReopenedLedger:
    """The ledger that `open_` makes, to write; entering it never fails. One task may write at a time.

    Opened again after OPEN_AGAIN seconds in which it could not be written.
    """

    def __init__(self, open_: Callable[[], Ledger]) -> None:
        self._open = open_
        self._ledger: Ledger | None = None
        self._failing_since: float | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """That of these settings; what it wrote last is remembered from one opening to the next."""
        return cls(partial(ledger_of, settings, recent=Recent()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    @property
    def ledger(self) -> Ledger:
        """The ledger, to read from. Raises LedgerError while it is not open."""
        if self._ledger is None:
            raise LedgerError("the ledger is not open (yet)")
        return self._ledger

    async def write(self, events: Sequence[Event]) -> None:
        """As `Ledger.write`; opens it first where need be."""
        if self._ledger is None:
            ledger = self._open()
            self._ledger = await ledger.__aenter__()
            log.info("ledger opened")
        try:
            await self._ledger.write(events)
        except LedgerFull:
            raise
        except LedgerError:
            now = monotonic()
            self._failing_since = self._failing_since or now
            if now - self._failing_since > OPEN_AGAIN:
                await self._close()
            raise
        self._failing_since = None

    async def _close(self) -> None:
        ledger, self._ledger, self._failing_since = self._ledger, None, None
        if ledger is not None:
            with suppress(LedgerError, TimeoutError):
                async with asyncio.timeout(CLOSE_WITHIN):
                    await ledger.__aexit__(None, None, None)


class ReadLedger:
    """The ledger that `open_` makes, to read for whoever asks; entering it opens nothing, and never fails."""

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

    async def get(self) -> Ledger:
        """The ledger, after a look whether it can be read still. Raises LedgerError."""
        await self.failed()
        return await self.opened()

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
