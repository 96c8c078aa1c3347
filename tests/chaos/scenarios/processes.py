"""Processes of ours that die or are restarted."""

from __future__ import annotations

from tests.chaos.run import Run
from tests.chaos.scenario import Scenario


async def _kill_each(run: Run, names: list[str], *, rounds: int, between: int) -> None:
    """Kill each in turn and start it again, while the others go on."""
    for _ in run.rounds(rounds):
        for name in names:
            async with run.fault():
                await run.system.kill(name)
                await run.lasting(0.5)
            await run.system.start(name)
            await run.more(between)


async def gateways_killed(run: Run) -> None:
    await _kill_each(run, run.system.gateways, rounds=3, between=400)


async def router_killed(run: Run) -> None:
    await _kill_each(run, run.system.routers, rounds=5, between=450)


async def deliverers_killed(run: Run) -> None:
    await _kill_each(run, run.system.deliverers, rounds=3, between=400)


async def all_killed(run: Run) -> None:
    for _ in run.rounds(3):
        async with run.fault():
            await run.system.kill(*run.system.processes)
            await run.lasting(1)
        await run.system.start_all()
        await run.more(800)


async def _restart_each(run: Run, names: list[str], *, rounds: int, between: int) -> None:
    for _ in run.rounds(rounds):
        for name in names:
            async with run.fault():
                await run.system.term(name)
            await run.system.start(name)
            await run.more(between)


async def gateways_restarted(run: Run) -> None:
    await _restart_each(run, run.system.gateways, rounds=3, between=350)


async def router_restarted(run: Run) -> None:
    await _restart_each(run, run.system.routers, rounds=5, between=400)


async def deliverers_restarted(run: Run) -> None:
    await _restart_each(run, run.system.deliverers, rounds=3, between=350)


SCENARIOS = (
    Scenario(
        "gateways killed",
        "Each of two gateways is killed with -9 in turn and started again, three times over.",
        gateways_killed,
        short=True,
    ),
    Scenario(
        "router killed",
        "The router is killed with -9 and started again, five times.",
        router_killed,
    ),
    Scenario(
        "deliverers killed",
        "Each of two deliverers is killed with -9 in turn and started again, three times over.",
        deliverers_killed,
        short=True,
    ),
    Scenario(
        "all killed at once",
        "Both gateways, the router, both deliverers and the keeper are killed with -9 at the same moment, "
        "three times.",
        all_killed,
        short=True,
    ),
    Scenario(
        "gateways restarted",
        "Each gateway is stopped with SIGTERM in turn and started again. No publisher sees an error.",
        gateways_restarted,
        short=True,
        no_errors=True,
    ),
    Scenario(
        "router restarted",
        "The router is stopped with SIGTERM and started again, five times. No publisher sees an error.",
        router_restarted,
        no_errors=True,
    ),
    Scenario(
        "deliverers restarted",
        "Each deliverer is stopped with SIGTERM in turn and started again. Nothing is delivered twice.",
        deliverers_restarted,
        no_errors=True,
    ),
)
