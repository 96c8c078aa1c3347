"""Opens a registry with one schema step more, in a process that a test kills or lets run out of disk.

Run as `python upgrade_worker.py FILE MOMENT [LIMIT]`. It says "now" and stays there at MOMENT: `copy` (being
made), `step` (half done), or not at all at `never`. LIMIT: bytes that no file may exceed.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from sqlite_utils import Database

from schemas.errors import RegistryError
from store.opening import open_registry
from store.secrets import Vault
from store.sqlite import schema

NEXT_STEP = "9999_of_the_next_version"
PAYLOAD = 4_000_000  # bytes: more than SQLite keeps in memory, so half of it is in the file's log


def next_step(db: Database, _: Vault) -> None:
    db.execute("CREATE TABLE more (text TEXT)")
    db.execute("UPDATE counter SET change = change + 1000")
    db.execute("INSERT INTO more VALUES (?)", ["x" * PAYLOAD])
    stay("step")


def stay(moment: str) -> None:
    if moment == sys.argv[2]:
        print("now", flush=True)
        time.sleep(600)


async def main() -> None:
    schema.STEPS |= {NEXT_STEP: next_step}
    if sys.argv[2] == "copy":
        os.fsync = lambda _: stay("copy")  # the first to be asked for is that of the copy
    if sys.argv[3:]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
    try:
        async with open_registry(Path(sys.argv[1])) as registry:
            print("open", await registry.change_number())
    except RegistryError as error:
        print("refused", error)


if __name__ == "__main__":
    asyncio.run(main())
