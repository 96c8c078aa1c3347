"""The time of day of a running process jumps; its monotonic clock does not."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.faults import clock

TELL = """
import sys, threading, time
wait = threading.Event().wait
for _ in sys.stdin:
    time.sleep(0.01), wait(0.01)
    print(time.time(), time.monotonic(), flush=True)
"""


@pytest.mark.skipif(bool(clock.unfit()) and "CI" not in os.environ, reason="there is no C compiler")
async def test_only_the_time_of_day_jumps_and_only_for_that_process(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    clock.jump(file, 0)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", TELL),
        env=os.environ | clock.environment(file),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin and process.stdout

    async def offsets() -> tuple[float, float]:
        assert process.stdin and process.stdout
        process.stdin.write(b"\n")
        day, monotonic = map(float, (await process.stdout.readline()).split())
        return day - time.time(), monotonic - time.monotonic()

    for seconds in (0, 5 * 3600, -24 * 3600, 0):
        clock.jump(file, seconds)
        day, monotonic = await offsets()
        assert day == pytest.approx(seconds, abs=30)
        assert monotonic == pytest.approx(0, abs=30)
    process.stdin.close()
    await process.wait()
