"""Ends a command that runs until it is told to stop, so that it can remove what it made."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nrc.exits import Exit


@asynccontextmanager
async def until_told() -> AsyncIterator[asyncio.Event]:
    """Set by Ctrl-C, SIGTERM or SIGHUP. A second one ends the process; the next such command tidies up."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop() -> None:
        if told.is_set():
            os._exit(Exit.FAILED)
        told.set()

    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield told
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
