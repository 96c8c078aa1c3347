"""The short form of the loss certificate, as a part of `make test`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WITHIN = 600.0  # seconds; it takes about a minute where nothing else runs


async def test_the_short_form_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "certificate.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos", "--short", "--json", str(file)),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WITHIN):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()  # it stops what it started
            await process.wait()
    assert process.returncode == 0, output.decode()
    told = json.loads(file.read_bytes())
    assert told["holds"]
    assert told["together"]["lost"] == 0
    assert all(scenario["accepted"] > 300 for scenario in told["scenarios"])
