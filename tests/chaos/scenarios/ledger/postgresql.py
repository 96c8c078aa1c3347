"""Registry and ledger in PostgreSQL, whose server is killed: it comes back, or a standby takes over."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.chaos.system import System, system
from tests.databases.failover import Pair, pair
from tests.databases.postgresql import MISSING, binaries

AWAY = 8.0
"""Seconds; longer than a transaction is tried again for."""
LAG = 1.0
"""Seconds of commits that the standby lacks."""
PROMOTED = 3.0
"""Seconds after which whatever watches the servers has the standby take over."""


@asynccontextmanager
async def on_postgresql(*, keep: bool = False) -> AsyncIterator[System]:
    """A system with registry and ledger in a PostgreSQL of its own."""
    async with pair() as servers, system(settings={"NRC_DATABASE_URL": servers.url}, keep=keep) as made:
        made.databases = servers
        yield made


def _no_postgresql() -> str:
    return "" if binaries() else MISSING


def _servers(run: Run) -> Pair:
    assert run.system.databases
    return run.system.databases


async def _says_so(run: Run) -> None:
    """While PostgreSQL is away `nrc status` tells, and publishing goes on."""
    told = json.loads(await run.system.nrc("status", "--json", fails=True))
    if not told["ledgerFault"] or told["parts"]["registry"]["ok"]:
        run.problems.append("`nrc status` did not say that PostgreSQL is away")


async def killed(run: Run) -> None:
    servers = _servers(run)
    async with run.fault():
        await servers.primary.kill()
        await run.lasting(AWAY)
        await run.more(300)
        await _says_so(run)
        await servers.primary.start()
    await run.more(1000)


async def failed_over(run: Run) -> None:
    """To a standby that lacks the last commits: each process writes those that it made itself again.

    Until the gateway that took an acknowledgement has done so, another one may hand the same out again.
    """
    servers = _servers(run)
    await servers.attach()
    await run.more(1000)
    async with run.fault():
        unsent = time.monotonic()
        await servers.stop_sending()
        await run.lasting(LAG)
        await servers.primary.kill()
        await run.lasting(PROMOTED)
        run.acknowledgements_are_forgotten(since=unsent)
        await servers.promote()
    await run.more(1000)


async def failed_over_synchronously(run: Run) -> None:
    servers = _servers(run)
    await servers.attach(synchronous=True)
    await run.more(1000)
    async with run.fault():
        await servers.fail_over(after=PROMOTED)
    await run.more(1000)


SCENARIOS = (
    Scenario(
        "PostgreSQL killed",
        "Registry and ledger are in PostgreSQL. Its server is killed with -9, and started again when "
        f"at least {AWAY:g} s have passed and 300 more were accepted. No publisher sees an error.",
        killed,
        make=on_postgresql,
        no_errors=True,
        settle=90.0,
        unfit=_no_postgresql,
    ),
    Scenario(
        "PostgreSQL failed over, without the last commits",
        f"The same with an asynchronous standby. What the primary commits in its last {LAG:g} s does not get "
        f"to it; the primary is killed with -9, and {PROMOTED:g} s later the standby takes over. No "
        "publisher sees an error. What was acknowledged in those commits may be handed out once more.",
        failed_over,
        make=on_postgresql,
        no_errors=True,
        settle=150.0,
        unfit=_no_postgresql,
    ),
    Scenario(
        "PostgreSQL failed over, synchronously",
        "The same with a synchronous standby, which lacks nothing that was confirmed.",
        failed_over_synchronously,
        make=on_postgresql,
        no_errors=True,
        settle=90.0,
        unfit=_no_postgresql,
    ),
)
