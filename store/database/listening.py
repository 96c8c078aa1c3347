"""Waits for NOTIFY, on a connection of its own.

A notification may be lost with its connection, and behind PgBouncer in transaction mode none comes at all: so
each wait has an end, at which the waiting process looks by itself.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import psycopg
from psycopg import sql

from runtime.log import logger
from schemas.errors import SettingsError
from store.database.address import Address, connect
from store.database.faults import said

PAUSE = 1.0  # seconds before the first other try to connect; twice as long before each next one
LONGEST_PAUSE = 30.0

log = logger(__name__)


class Listener:
    """Notifications on one channel. Connects at the first wait; `close` ends that."""

    def __init__(self, address: Address, channel: str) -> None:
        self._address = address
        self._channel = channel
        self._came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def wait(self, at_most: float) -> None:
        """Return when a notification came since the last wait or may have been missed, or `at_most` s on."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"listen {self._channel}")
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                await self._came.wait()
        self._came.clear()

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        pause, told = PAUSE, False
        while True:
            try:
                async with await connect(self._address, listening=True) as connection:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
                    pause, told = PAUSE, False
                    # What was notified before is not told again.
                    self._came.set()
                    async for _ in connection.notifies():
                        self._came.set()
            except (psycopg.Error, OSError, SettingsError) as error:
                if not told:
                    told = True
                    log.warning(
                        "database does not notify; going on with NRC_REFRESH_INTERVAL",
                        database=self._address.shown,
                        reason=said(error),
                    )
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
