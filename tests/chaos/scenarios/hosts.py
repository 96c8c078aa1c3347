"""Hosts that die, restart, or are cut off, of three that share a cluster of RabbitMQ and a database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.accepting import MOST_LATE
from tests.chaos.clients import load
from tests.chaos.hosts.system import NODES, HostsSystem, on_hosts
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.hosts.network import unfit

QUEUES_MATCHED = 2
"""Queues that a notificatie of the load goes to, at most."""


def _system(run: Run) -> HostsSystem:
    assert isinstance(run.system, HostsSystem)
    return run.system


async def hosts_killed(run: Run) -> None:
    system = _system(run)
    for index in range(NODES):
        async with system.may_be_away(index):
            async with run.fault():
                await system.host_dies(index)
            await run.more(600)
            await system.host_returns(index)
        await run.more(300)
    _check_answers(run)


async def hosts_restarted(run: Run) -> None:
    system = _system(run)
    for index in range(NODES):
        async with system.may_be_away(index), run.fault():
            await system.restart_host(index)
        await run.more(300)
    _check_answers(run)


async def host_without_power(run: Run) -> None:
    system = _system(run)
    async with system.may_be_away(0):
        async with run.fault():
            await system.host_dies(0, silently=True)
            await system.noticed(0)
        await run.more(300)
        await system.host_returns(0)
    await run.more(300)
    _check_answers(run)


async def host_parted(run: Run) -> None:
    system = _system(run)
    system.part(0)
    async with run.fault():
        await system.noticed(0)
        await run.more(300)
        await system.mend(0)
    await run.more(600)
    _check_answers(run)


async def two_nodes_killed(run: Run) -> None:
    system = _system(run)
    system.in_flight("two nodes killed", *system.deliverers)
    # The node that is left holds them without a confirm, while the ledger has them to be given back.
    late = len(system.gateways) * len(load.KANALEN) * MOST_LATE
    run.may_repeat("published without a confirm in time", late * QUEUES_MATCHED)
    async with run.fault():
        await asyncio.gather(system.nodes[0].kill(), system.nodes[1].kill())
        await run.lasting(10)
        await run.more(300)
        # What was acknowledged without a majority is delivered again when there is one.
        system.in_flight("two nodes back", *system.deliverers)
        await asyncio.gather(system.nodes[0].start(), system.nodes[1].start())
        await system.all_nodes_run()
    await run.more(300)
    _check_answers(run)


async def database_host_killed(run: Run) -> None:
    system = _system(run)
    async with run.fault():
        await system.host_dies(NODES)
        await run.lasting(20)
        await run.more(300)
        await system.host_returns(NODES)
    await run.more(600)
    _check_answers(run)


def _check_answers(run: Run) -> None:
    """A host that is there answers each POST, with 201 or with 503 and when to come again."""
    run.problems += _system(run).problems_of(run.publisher.unanswered)


def _scenario(
    name: str, text: str, work: Callable[[Run], Awaitable[None]], *, no_errors: bool = False
) -> Scenario:
    return Scenario(
        name, text, work, make=on_hosts, rate=60.0, least=2500, unfit=unfit, no_errors=no_errors
    )  # fmt: skip


SCENARIOS = (
    _scenario(
        "hosts killed",
        "Three hosts with a RabbitMQ node, a gateway, a router, a deliverer and a keeper each; a fourth with "
        "PostgreSQL with registry and ledger. Everything on one of the three is killed with -9 at once, "
        "the load goes on, and it is started again; each in turn. A host that is there answers every POST, "
        "with 201 or with 503 and a Retry-After.",
        hosts_killed,
    ),
    _scenario(
        "hosts restarted",
        "The same hosts. Everything on one of the three is stopped cleanly and started again; each in turn.",
        hosts_restarted,
    ),
    _scenario(
        "host without power",
        "The same hosts. One of the three ends at once, and no packet of it comes any more. It is started "
        "again after the others have noticed (RabbitMQ's net_ticktime, a minute).",
        host_without_power,
    ),
    _scenario(
        "host parted from the others",
        "The same hosts. All packets between one of the three and the other hosts are lost, the database's "
        "too; it still reaches publishers and callbacks. It ends after the others have noticed. A node that "
        "RabbitMQ lets hang then (3.10.8 may do so) is restarted.",
        host_parted,
    ),
    _scenario(
        "two of three nodes killed",
        "The same hosts. Two nodes of RabbitMQ are killed with -9, and started again after some seconds. No "
        "publisher sees an error.",
        two_nodes_killed,
        no_errors=True,
    ),
    _scenario(
        "host of the database killed",
        "The same hosts. PostgreSQL is killed with -9 and is away for 20 s. No publisher sees an error.",
        database_host_killed,
        no_errors=True,
    ),
)
