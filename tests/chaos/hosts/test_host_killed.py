"""The short form of the scenarios of hosts: one of three is killed under load, and nothing is lost."""

from __future__ import annotations

from itertools import count

from tests.chaos.clients import load
from tests.chaos.clients.consumer_process import consumer
from tests.chaos.hosts.system import HostsSystem, on_hosts
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.hosts.network import need_hosts


async def _one_killed(run: Run) -> None:
    assert isinstance(run.system, HostsSystem)
    async with run.system.may_be_away(0):
        async with run.fault():
            await run.system.host_dies(0)
        await run.more(100)
        await run.system.host_returns(0)
    run.problems += run.system.problems_of(run.publisher.unanswered)


async def test_a_host_is_killed_and_nothing_is_lost() -> None:
    need_hosts()
    abonnementen = {"everything": load.EVERYTHING, "fetched": load.FETCHED}
    scenario = Scenario("host killed", "", _one_killed, least=0, rate=20.0, abonnementen=abonnementen)
    async with consumer() as callbacks, on_hosts() as system:
        result = await Run(scenario, system, callbacks, numbers=count(1), share=0.3).carry_out()
    assert result.ok, result.account.problems
    assert result.account.accepted > 100
    assert result.account.lost == []
