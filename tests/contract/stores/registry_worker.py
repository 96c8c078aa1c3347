"""Another process that uses the registry, for the tests that need several; run as a script.

registry_worker.py ADDRESS add NAMES…      add these kanalen, print the change number of each, or `taken`
registry_worker.py ADDRESS add-and-hang N  add a kanaal, print its number, wait to be killed
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parents[3]))

from runtime.log import configure_logging
from schemas.errors import Conflict
from schemas.kanaal import Kanaal
from tests.contract.stores.opened import registry_in


async def main(address: str, task: str, names: list[str]) -> None:
    async with registry_in(address) as registry:
        for naam in names:
            try:
                kanaal = await registry.add_kanaal(Kanaal(uuid4(), naam, "", (), ()))
                print(kanaal.change, flush=True)
            except Conflict:
                print("taken", flush=True)
        if task == "add-and-hang":
            await asyncio.Event().wait()


if __name__ == "__main__":
    configure_logging(form="json", level="info", process="worker")
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
