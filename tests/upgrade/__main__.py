"""`python -m tests.upgrade [--from COMMIT] [--store sqlite|postgresql]`: prints an account for each store.

Exit code 1 when a publisher saw an error, anything was lost, or came twice at a callback without a reason.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import uvloop

from tests.chaos.__main__ import Runner, told
from tests.chaos.run import Run
from tests.chaos.scenario import Result, Scenario
from tests.chaos.system import system
from tests.databases.postgresql import any_postgresql
from tests.upgrade.earlier import code_of, default_commit, named
from tests.upgrade.steps import LOST, there_and_back

STORES = ("sqlite", "postgresql")
RATE = 100.0  # notificaties a second


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade", description=__doc__)
    parser.add_argument("--from", dest="commit", help="the earlier version; the last release by default")
    parser.add_argument("--store", choices=STORES, help="on this one only")
    parser.add_argument("--keep", action="store_true", help="leave the folders with logs")
    options = parser.parse_args()
    commit = options.commit or default_commit()
    print(f"from {named(commit)}", file=sys.stderr, flush=True)
    with code_of(commit) as earlier:
        stores = [options.store] if options.store else STORES
        results = uvloop.run(_all(stores, earlier, keep=options.keep))
    for result in results:
        print(f"{result.scenario.name}: {told(result)}; may repeat: {result.account.bounds}")
        print(f"    twice at callbacks: {twice(result)}, of at most {may_come_twice(result)}")
    return 0 if all(each.ok and twice(each) <= may_come_twice(each) for each in results) else 1


def twice(result: Result) -> int:
    """How many deliveries came twice at callbacks; a consumer that fetches has a bound of its own."""
    parts = result.parts.values()
    return result.account.duplicated - sum(part.duplicated for part in parts)


def may_come_twice(result: Result) -> int:
    """How many may have, by what the logs of deliverers tell."""
    return sum(bound for why, bound in result.account.bounds.items() if why.endswith(LOST))


async def _all(stores: Sequence[str], earlier: Path, *, keep: bool) -> list[Result]:
    runner = Runner(share=1.0, keep=keep)
    results = []
    for store in stores:
        if store == "postgresql":
            async with any_postgresql() as postgresql:
                url = postgresql.fresh_schema()
                results += await runner.until_signalled([_scenario(store, earlier, NRC_DATABASE_URL=url)])
                await postgresql.remove_schema(url)
        else:
            results += await runner.until_signalled([_scenario(store, earlier)])
    return results


def _scenario(store: str, earlier: Path, **settings: str) -> Scenario:
    async def work(run: Run) -> None:
        await there_and_back(run, earlier)

    return Scenario(
        f"upgrade {store}",
        "Upgraded kind by kind, and rolled back.",
        work,
        least=0,
        rate=RATE,
        no_errors=True,
        parts={"fetched": "its consumer is killed now and then, and gets again what it did not acknowledge"},
        make=partial(system, settings=settings, root=earlier),
    )


if __name__ == "__main__":
    raise SystemExit(main())
