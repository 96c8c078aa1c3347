"""`python -m tests.chaos [--short] [--only NAME ...]`: runs scenarios, prints and writes the certificate.

Exit code 1 when anything was lost, a bound was exceeded, or a log has a line that is not allowed.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import orjson
import uvloop

from tests.chaos.accounting.account import Account
from tests.chaos.certificate import Circumstances, as_json, markdown, onto, write
from tests.chaos.clients.consumer_process import Consumer, consumer
from tests.chaos.run import Run
from tests.chaos.scenario import Make, Result, Scenario
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.short import short_form
from tests.chaos.system import System, system

SHORT_SHARE = 0.12
"""How much of its load a scenario has in the short form."""


def say(text: str) -> None:
    """A line of progress, at once."""
    print(text, file=sys.stderr, flush=True)


class Runner:
    """Runs scenarios one after the other, in one system as long as that stays whole."""

    def __init__(self, *, share: float, keep: bool) -> None:
        self._share = share
        self._keep = keep
        self._numbers = count(1)
        self._shared: tuple[AsyncExitStack, System] | None = None
        self._made_by: Make = system
        self.rabbitmq = ""

    async def until_signalled(self, scenarios: Sequence[Scenario]) -> list[Result]:
        """The same; SIGTERM and SIGINT break it off, with everything stopped that was started."""
        work = asyncio.ensure_future(self.run(scenarios))
        signalled = False

        def stop() -> None:
            nonlocal signalled
            if not signalled:  # stopping is not to be broken off as well
                signalled = True
                work.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        return await work

    async def run(self, scenarios: Sequence[Scenario]) -> list[Result]:
        """A result for each, whatever becomes of it."""
        results = []
        async with consumer() as callbacks:
            try:
                for index, scenario in enumerate(scenarios, 1):
                    say(f"[{index}/{len(scenarios)}] {scenario.name} …")
                    result = await self._one(scenario, callbacks)
                    results.append(result)
                    say(f"    {told(result)}")
            finally:
                await self._drop()
        return results

    async def _one(self, scenario: Scenario, callbacks: Consumer) -> Result:
        began = time.monotonic()
        if why := scenario.unfit():
            return Result(scenario, Account(), {}, 0.0, not_run=why)
        try:
            if not scenario.needs_own_system:
                return await self._in(await self._system(scenario.make or system), scenario, callbacks)
            await self._drop()
            async with system(
                settings=scenario.settings,
                per_process=scenario.per_process,
                prefixes=scenario.prefixes,
                keep=self._keep,
            ) as own:
                if self._keep:
                    say(f"    logs in {own.folder}")
                return await self._in(own, scenario, callbacks)
        except Exception as error:
            traceback.print_exc()
            await self._drop()
            broken = Account(problems=[f"broke off: {type(error).__name__}: {error}"])
            return Result(scenario, broken, {}, time.monotonic() - began)

    async def _in(self, running: System, scenario: Scenario, callbacks: Consumer) -> Result:
        self.rabbitmq = self.rabbitmq or await running.broker.version()
        run = Run(scenario, running, callbacks, numbers=self._numbers, share=self._share)
        return await run.carry_out()

    async def _system(self, make: Make) -> System:
        if self._shared is not None and not (self._made_by is make and self._shared[1].healthy()):
            await self._drop()
        if self._shared is None:
            stack = AsyncExitStack()
            self._shared = stack, await stack.enter_async_context(make(keep=self._keep))
            self._made_by = make
            if self._keep:
                say(f"    logs in {self._shared[1].folder}")
        return self._shared[1]

    async def _drop(self) -> None:
        if self._shared is not None:
            stack, self._shared = self._shared[0], None
            await stack.aclose()


def told(result: Result) -> str:
    """A result in a line, and a line for each problem."""
    if result.not_run:
        return f"not run: {result.not_run}"
    made = result.account
    recovered = "-" if made.time_to_recover is None else f"{made.time_to_recover:.1f} s"
    line = (
        f"{'ok' if result.ok else 'FAILED'}: accepted {made.accepted}, to deliver {made.to_deliver}, "
        f"delivered {made.delivered}, waiting {made.waiting}, undeliverable {made.undeliverable}, apart "
        f"{sum(made.apart.values())}, lost {len(made.lost)}, duplicated {made.duplicated} "
        f"({made.duplicates_bound}), own retries {made.own_retries}, never answered {made.never_answered}, "
        f"longest delay {made.longest_delay:.1f} s, recovered in {recovered}; {result.seconds:.0f} s; "
        f"{result.outcomes}"
    )
    parts = [
        f"{name}: to deliver {part.to_deliver}, delivered {part.delivered}, waiting {part.waiting}, "
        f"undeliverable {part.undeliverable}, lost {len(part.lost)}, duplicated {part.duplicated}, "
        f"longest delay {part.longest_delay:.1f} s"
        for name, part in result.parts.items()
    ]
    return "\n    ".join([line, *parts, *(f"! {problem}" for problem in made.problems)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the short form, part of `make test`")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="scenarios with one of these in their name")
    parser.add_argument("--out", type=Path, help="write the certificate as Markdown")
    parser.add_argument("--json", type=Path, help="write it as JSON")
    parser.add_argument(
        "--onto", type=Path, help="a certificate as JSON, in which these scenarios take the place of its own"
    )
    parser.add_argument("--power", type=Path, help="show what tests.chaos.power wrote to this file")
    parser.add_argument("--share", type=float, default=None, help="of the load; 1 is the full form")
    parser.add_argument("--keep", action="store_true", help="leave the folders with logs")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    options = parser.parse_args()
    chosen: Sequence[Scenario] = SCENARIOS
    if options.only:
        chosen = [each for each in SCENARIOS if any(word in each.name for word in options.only)]
    elif options.short:
        chosen = short_form(SCENARIOS)
    if options.list or not chosen:
        for scenario in chosen or SCENARIOS:
            print(f"{scenario.name}: {scenario.text}")
        return 0 if options.list else 2
    power = orjson.loads(options.power.read_bytes()) if options.power else None
    share = options.share or (SHORT_SHARE if options.short else 1.0)
    began = time.monotonic()
    runner = Runner(share=share, keep=options.keep)
    results = uvloop.run(runner.until_signalled(chosen))
    circumstances = Circumstances(
        date=datetime.now(UTC).strftime("%d %B %Y").lstrip("0"),
        command="python -m tests.chaos " + shlex.join(sys.argv[1:]),
        rabbitmq=runner.rabbitmq,
        seconds=time.monotonic() - began,
    )
    if options.onto:
        earlier = orjson.loads(options.onto.read_bytes())
        circumstances = circumstances.after(earlier, [each.scenario.name for each in results])
        results = onto(earlier, results, SCENARIOS)
    page = markdown(results, circumstances, power=power)
    if options.out:
        write(options.out, page)
    if options.json:
        shown = orjson.dumps(as_json(results, circumstances), option=orjson.OPT_INDENT_2)
        write(options.json, shown.decode() + "\n")
    print(page)
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
