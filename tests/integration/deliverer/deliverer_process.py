"""A deliverer in a process of its own, for tests that kill it. Settings from the environment."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop

from deliverer.service import serve
from runtime.log import configure_logging
from runtime.settings import load_settings


async def main() -> None:
    settings = load_settings(_env_file=None)
    configure_logging(form="console", level="warning", process="deliverer")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(settings, stop=stop, ready=lambda: print("ready", flush=True))


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
