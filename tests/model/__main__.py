"""`python -m tests.model [--examples N] [--without RULE ...]`: random schedules, and the shortest that fails.

Exit code 1 when an invariant is violated; with `--without`, that shows what the rule prevents.
"""

from __future__ import annotations

import argparse
import sys

from tests.model.machine import search
from tests.model.rules import SWITCHES, Rules
from tests.model.system.world import Violated


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--examples", type=int, default=2000, help="random schedules (2000)")
    parser.add_argument("--steps", type=int, default=40, help="steps in each at most (40)")
    parser.add_argument(
        "--without", nargs="*", default=[], choices=SWITCHES, metavar="RULE", help="rules turned off"
    )
    parser.add_argument(
        "--no-shrink", action="store_true", help="stop at the first that fails, however long it is"
    )
    chosen = parser.parse_args()
    rules = Rules().without(*chosen.without)
    try:
        search(
            rules,
            examples=chosen.examples,
            steps=chosen.steps,
            derandomize=False,
            shrink=not chosen.no_shrink,
        )
    except Violated as failure:
        print(failure, *getattr(failure, "__notes__", []), sep="\n")
        return 1
    print(f"{chosen.examples} schedules, and every invariant held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
