"""`python -m tests.fuzz --minutes N`: fuzz with other examples each time, and tell what was found."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
from pathlib import Path

from tests.broker import any_broker
from tests.fuzz.run import Report, fuzz
from tests.fuzz.system import fuzzed


async def run(minutes: float) -> Report:
    """The report; what the logs hold is among its findings."""
    report, stop = Report(), threading.Event()
    async with any_broker() as broker:
        url = await broker.fresh_vhost()
        with tempfile.TemporaryDirectory(prefix="nrc-fuzz-") as folder:
            try:
                async with fuzzed(url, Path(folder)) as system:
                    report = await asyncio.to_thread(
                        fuzz,
                        system,
                        examples=None,
                        minutes=minutes,
                        tell=lambda line: print(line, flush=True),
                        stop=stop,
                    )
            except AssertionError as error:
                report.findings.append(f"at the end: {error}")
            finally:
                stop.set()
        await broker.remove_vhost(url)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    report = asyncio.run(run(parser.parse_args().minutes))
    for finding in report.findings:
        print(f"\nFINDING {finding}")
    print(f"\n{report}")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
