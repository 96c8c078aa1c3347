"""A gateway whose event loop is watched. Run as `python -m bench.load.watched_gateway`.

Its settings are those of any gateway. To each line on stdin it answers one on stdout: by how many
milliseconds the event loop was late at most since the line before. The first one it writes unasked, when it
is ready.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import gateway.service
from nrc.processes import run_process
from runtime.settings import load_settings

TICK = 0.001  # seconds

_serve = gateway.service.serve


async def _watched(settings: Any, *, ready: Callable[[], None], **rest: Any) -> None:
    loop = asyncio.get_running_loop()
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            worst = max(worst, loop.time() - due)

    def tell() -> None:
        nonlocal worst
        sys.stdin.readline()
        print(f"{worst * 1000:.1f}", flush=True)
        worst = 0.0

    def begin() -> None:
        loop.add_reader(sys.stdin, tell)
        print("ready", flush=True)
        ready()

    ticking = asyncio.create_task(tick(), name="ticking")
    try:
        await _serve(settings, ready=begin, **rest)
    finally:
        ticking.cancel()


if __name__ == "__main__":
    gateway.service.serve = _watched
    sys.exit(run_process("gateway", load_settings()))
