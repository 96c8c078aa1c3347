"""`python -m tests.chaos.power [--cuts N]`: cuts the power under load, and accounts for every notificatie.

Exit code 1 when anything was lost or is wrong, 2 when there can be no such disk here.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

import orjson
import uvloop

from tests.chaos.certificate import write
from tests.chaos.clients.consumer_process import consumer
from tests.chaos.power.cuts import KINDS, Cuts, Outcome
from tests.chaos.power.disk import disk, unusable
from tests.chaos.power.model import Loss
from tests.chaos.power.report import figures, table


def say(text: str) -> None:
    """A line of progress, at once."""
    print(text, file=sys.stderr, flush=True)


def turns(cuts: int, kinds: list[str]) -> list[tuple[str, Loss]]:
    """Each kind with each loss, in turns."""
    pairs = [(kind, loss) for loss in Loss for kind in kinds]
    return list(islice(cycle(pairs), cuts))


async def cut(given: argparse.Namespace, folder: Path) -> Outcome:
    """All of it. folder: for the mount, and the log beside it."""
    mount = folder / "disk"
    mount.mkdir()
    async with consumer() as callbacks:
        ordered = [] if given.posix else ["rabbitmq"]
        latency = given.latency / 1000
        with disk(mount, ordered_below=ordered, seed=given.seed, latency=latency, lies=given.lies) as made:
            log = folder / "nrc.log"
            say(f"seed {given.seed}; log: {log}")
            run = Cuts(made, callbacks, rate=given.rate, seed=given.seed, log=log, say=say)
            work = asyncio.current_task()
            assert work is not None
            for number in (signal.SIGTERM, signal.SIGINT):  # everything is stopped, and the disk unmounted
                asyncio.get_running_loop().add_signal_handler(number, work.cancel)
            return await run.run(turns(given.cuts, given.kinds))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.power", description=__doc__)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    parser.add_argument("--rate", type=float, default=40.0, help="notificaties a second")
    parser.add_argument("--latency", type=float, default=3.0, help="milliseconds that a sync takes")
    parser.add_argument(
        "--posix", action="store_true", help="RabbitMQ has no journal either: it loses all that it has"
    )
    parser.add_argument(
        "--lies", action="store_true", help="the disk syncs nothing: a check that losses are found"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write what came of it")
    parser.add_argument("--keep", action="store_true", help="leave the log")
    given = parser.parse_args()
    if why := unusable():
        say(why)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="nrc-power-"))
    try:
        outcome = uvloop.run(cut(given, folder))
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    told = figures(outcome, command=" ".join(["python -m tests.chaos.power", *sys.argv[1:]]))
    print(table(told))
    again = dict(sorted(outcome.duplicates_by_cut.items()))
    print(f"Posts: {outcome.posts}. Delivered again, by the number of cuts before: {again}.")
    for problem in [*outcome.account.problems, *map("did not start: {}".format, outcome.failed_starts)]:
        print(f"! {problem}")
    for each in outcome.traced:
        print(each)
    if given.json:
        write(given.json, orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n")
    return 0 if outcome.ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
