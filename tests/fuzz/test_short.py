"""Half a minute of fuzzing, with the same examples each time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.fuzz.run import fuzz
from tests.fuzz.system import fuzzed

EXAMPLES = int(os.environ.get("NRC_TEST_FUZZ_EXAMPLES", "250"))


async def test_whatever_is_sent_is_answered_and_no_log_has_a_fault(vhost: str, tmp_path: Path) -> None:
    async with fuzzed(vhost, tmp_path) as system:
        report = await asyncio.to_thread(fuzz, system, examples=EXAMPLES)
    assert not report.findings, "\n\n".join(report.findings)
    assert report.examples.total() >= EXAMPLES * 0.9
    assert set(report.examples) == {"bodies", "tokens", "wire", "garbage", "filters"}
