"""The faults of files last for their context only."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.broker import Broker, ErlangControl
from tests.chaos.faults.files import as_nobody_special, disk_alarm, locked, no_file_grows
from tests.eventually import eventually


async def test_a_locked_file_can_be_read_and_not_written(tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    db = sqlite3.connect(file, isolation_level=None, timeout=0)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE t (n)")
    async with locked(file):
        assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            db.execute("INSERT INTO t VALUES (1)")
    db.execute("INSERT INTO t VALUES (1)")
    db.close()


WRITE = """
import sys
stream = open(sys.argv[1], "ab", buffering=0)
for _ in sys.stdin:
    try:
        print(stream.write(b"x" * 3000), flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"""


async def test_a_file_of_a_running_process_stops_growing(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WRITE, str(tmp_path / "file")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )

    async def written() -> int:
        assert process.stdin and process.stdout
        process.stdin.write(b"\n")
        return int(await process.stdout.readline())

    assert await written() == 3000
    with no_file_grows([process.pid], beyond=1024):
        assert await written() == errno.EFBIG
    assert await written() == 3000
    assert process.stdin
    process.stdin.close()
    await process.wait()


async def test_a_disk_alarm_blocks_publishers(mortal_broker: Broker) -> None:
    control = mortal_broker.control
    assert isinstance(control, ErlangControl)

    async def alarms(wanted: str) -> bool:
        return wanted in await control.eval("rabbit_alarm:get_alarms().")

    async with disk_alarm(control):
        await eventually(lambda: alarms("disk"))
    await eventually(lambda: alarms("[]"))


def test_a_mode_that_forbids_writing_holds(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch(mode=0o400)
    (tmp_path / "folder").mkdir(mode=0o500)
    for path, flags in ((file, os.O_WRONLY), (tmp_path / "folder" / "new", os.O_WRONLY | os.O_CREAT)):
        done = subprocess.run(
            [*as_nobody_special(), sys.executable, "-c", f"import os; os.open({str(path)!r}, {flags})"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "PermissionError" in done.stderr
