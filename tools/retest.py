"""`make retest`: the few tests that failed in the last run, once more and with nothing beside them.

A test that passes then depended on the load of the machine or on an order that no rule promises. That is a
fault of the test or of the product, which is named at the end; it says nothing against the change at hand.
More than FEW failures are not tried again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

FAILED = Path(".pytest_cache/v/cache/lastfailed")
FEW = 3
TESTS_FAILED = 1  # pytest's exit code of a run that went to its end, and in which tests failed


def main() -> int:
    """Run them in the folder that this is run in; 0 where all pass."""
    parser = argparse.ArgumentParser(prog="make retest", description=__doc__)
    parser.add_argument("tested", type=Path, help="the file with the exit code of the last run")
    try:
        failed = _failed(parser.parse_args().tested)
    except NotTriedAgain as error:
        print(f"retest: {error}", file=sys.stderr)
        return 1
    if subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *failed]).returncode:
        print("retest: failed again, with nothing beside it", file=sys.stderr)
        return 1
    print("", *(f"UNSTABLE: {each} failed at first, and passed alone" for each in failed), sep="\n")
    return 0


class NotTriedAgain(Exception):
    """Why the last run stays failed."""


def _failed(tested: Path) -> list[str]:
    """The tests that failed in the last run. Raises NotTriedAgain."""
    try:
        code, failed = int(tested.read_text()), sorted(json.loads(FAILED.read_text()))
    except (OSError, ValueError) as error:
        raise NotTriedAgain(f"no failed run is known: first run make test ({error})") from error
    if code != TESTS_FAILED:
        raise NotTriedAgain(f"the last run ended with {code}, not by tests that failed: see its output")
    if not 0 < len(failed) <= FEW:
        raise NotTriedAgain(f"{len(failed)} tests failed; one to {FEW} are tried again")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
