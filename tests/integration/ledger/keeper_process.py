"""A keeper in a process of its own, for tests that kill or freeze it. Settings from the environment.

Its argument is a JSON object of ledger.keeper.service.Limits.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import uvloop

from ledger.keeper.service import Limits, serve
from runtime.log import configure_logging
from runtime.settings import load_settings


async def main() -> None:
    settings = load_settings(_env_file=None)
    configure_logging(form="console", level="info", process="ledger")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    limits = Limits(**json.loads(sys.argv[1]))
    await serve(settings, stop=stop, ready=lambda: print("ready", flush=True), limits=limits)


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
