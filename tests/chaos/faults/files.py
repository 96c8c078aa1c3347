"""Faults of files under a running system: locked, cannot grow, cannot be written.

Each applies to our own files or processes only, and is undone at the end of its context.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.broker import ErlangControl

_HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
db.execute("ROLLBACK")
"""

USUAL_FREE = 50_000_000  # bytes: RabbitMQ's default for disk_free_limit


@asynccontextmanager
async def locked(file: Path) -> AsyncIterator[None]:
    """Another process has the SQLite file locked for writing."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _HOLD, str(file)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    try:
        assert await process.stdout.readline() == b"locked\n"
        yield
    finally:
        process.stdin.close()
        await process.wait()


@contextmanager
def no_file_grows(pids: Iterable[int], *, beyond: int = 1024) -> Iterator[None]:
    """These processes write no byte of a file past its first so many: as on a full disk, EFBIG for ENOSPC.

    Files that are larger stay readable; pipes and sockets are no files.
    """
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    try:
        for pid, (_, hard) in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (beyond, hard))
        yield
    finally:
        for pid, limits in before.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@asynccontextmanager
async def disk_alarm(control: ErlangControl) -> AsyncIterator[None]:
    """RabbitMQ finds too little disk free, and takes nothing from publishers."""
    await control.eval("rabbit_disk_monitor:set_disk_free_limit(1000000000000000).")
    try:
        yield
    finally:
        await control.eval(f"rabbit_disk_monitor:set_disk_free_limit({USUAL_FREE}).")


def as_nobody_special() -> list[str]:
    """In front of a command: it runs as this user, but a mode that forbids writing holds for root too."""
    if os.geteuid():
        return []
    without = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}", "--"]
