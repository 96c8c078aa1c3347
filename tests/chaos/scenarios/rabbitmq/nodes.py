"""A cluster of three RabbitMQ nodes, of which one is down or cut off at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from router import names
from tests.chaos.faults.cluster import Cluster, ClusterBroker, cluster
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.chaos.system import System, system
from tests.eventually import eventually

PROCESSES = ("router", "gateway 1", "gateway 2", "deliverer 1", "deliverer 2")


@asynccontextmanager
async def clustered(*, keep: bool = False) -> AsyncIterator[System]:
    """A system on three nodes, every process with all three addresses and another one first."""
    async with cluster(keep=keep) as nodes:
        urls = {
            name: ",".join(nodes.urls[turn % 3 :] + nodes.urls[: turn % 3])
            for turn, name in enumerate(PROCESSES)
        }
        async with system(broker=ClusterBroker(nodes), amqp_urls=urls, keep=keep) as made:
            yield made


async def _all_run(nodes: Cluster) -> bool:
    return [await nodes.running(index) for index in range(3)] == [3, 3, 3]


async def _each_in_turn(run: Run, *, kill: bool) -> None:
    broker = run.system.broker
    assert isinstance(broker, ClusterBroker)
    nodes = broker.nodes
    for name in (*run.queues(), names.UNDELIVERABLE, names.wait_queue(1)):
        members, _ = await nodes.members(0, name)
        if members != 3:
            run.problems.append(f"queue {name} has {members} members, not 3")
    for index in range(3):
        await eventually(partial(nodes.can_spare, index), within=60)
        run.system.in_flight("a node went", *run.system.deliverers)
        broker.look_through((index + 1) % 3)
        async with run.fault():
            await (nodes[index].kill() if kill else nodes[index].stop())
        await run.more(600)
        await nodes[index].start()
        await eventually(lambda: _all_run(nodes), within=30)
        await run.more(300)


async def node_killed(run: Run) -> None:
    await _each_in_turn(run, kill=True)


async def node_restarted(run: Run) -> None:
    await _each_in_turn(run, kill=False)


SCENARIOS = (
    Scenario(
        "one of three nodes killed",
        "RabbitMQ is a cluster of three nodes. Each in turn, when every queue has a majority without it, is "
        "killed with -9, the load goes on, and it is started again.",
        node_killed,
        make=clustered,
        rate=250.0,
    ),
    Scenario(
        "one of three nodes restarted",
        "The same, each node stopped cleanly.",
        node_restarted,
        make=clustered,
        rate=250.0,
    ),
)
