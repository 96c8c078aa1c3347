"""The keeper: killed, hanging, and two of them, while it has work: RabbitMQ was away under load.

A keeper commits that something is given back before it publishes it. What it had committed and not published
when it ended is published a minute later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from ledger.values import State
from tests.chaos.process import hanging
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.chaos.system import System, system
from tests.eventually import eventually

OUTAGE = 3.0  # seconds
LEASE = 15.0  # seconds after which another keeper works
MOMENTS = 20


@asynccontextmanager
async def two_keepers(*, keep: bool = False) -> AsyncIterator[System]:
    """A system with two keepers."""
    async with system(more={"ledger 2": "ledger"}, keep=keep) as made:
        yield made


async def _in_the_middle(run: Run) -> None:
    """Return while a keeper gives back what was accepted without RabbitMQ."""
    await run.system.stop_broker()
    await run.lasting(OUTAGE)
    await run.system.broker.start()

    async def gives_back() -> bool:
        return bool(await asyncio.to_thread(run.system.ledger.in_state, State.RETURNING))

    try:
        await eventually(gives_back, within=40, every=0.005)
    except AssertionError:
        run.problems.append("no keeper was met at its work")


async def keepers(run: Run) -> None:
    """The one that works hangs for longer than its lease, and goes on. Then both are killed at their work."""
    ledger = run.system.ledger
    async with run.fault():
        await _in_the_middle(run)
        pid = ledger.keeper()
        assert pid in {run.system.processes[name].pid for name in run.system.keepers}
        for _ in range(MOMENTS):
            with hanging(pid):
                # In the middle of a commit it keeps everybody from writing: the scenario "ledger locked".
                if not await asyncio.to_thread(ledger.is_locked):
                    await eventually(partial(_another_works, run, pid), within=LEASE + 10, every=0.5)
                    await run.lasting(3)
                    break
            await asyncio.sleep(0.02)
        else:
            run.problems.append("the keeper could not be met between two commits")
    await run.more(600)
    async with run.fault():
        await _in_the_middle(run)
        await run.system.kill(*run.system.keepers)
        await run.lasting(1)
    await run.system.start_all()
    await run.more(600)


def _another_works(run: Run, pid: int) -> bool:
    return run.system.ledger.keeper() not in (0, pid)


SCENARIOS = (
    Scenario(
        "keepers hang and are killed",
        "Two keepers. RabbitMQ is away for three seconds under load, and the keeper that works hangs "
        "(SIGSTOP) while it brings on what was accepted meanwhile, until the other works; then it goes on. "
        "RabbitMQ is away once more, and both keepers are killed with -9 at the same work. What a keeper had "
        "noted and not sent comes a minute later. No publisher sees an error.",
        keepers,
        make=two_keepers,
        rate=300.0,
        no_errors=True,
        settle=90.0,
    ),
)
