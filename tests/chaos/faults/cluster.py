"""Three private RabbitMQ nodes on this machine that are one cluster.

    async with cluster() as nodes:
        nodes.urls                    # one AMQP URL per node, for NRC_AMQP_URL
        await nodes[0].kill()         # kill -9; the others go on
        await nodes[0].start()        # it joins again by itself

Each node is what `nrc up` would start in a folder of its own; what makes them one is the cookie and the
password that they share, and `join` below. Quorum queues have a member on each node that runs when they are
declared, so declare when all three do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from nrc.rabbitmq.private_node import prepare_node, write_secret
from tests.broker import QuickNode
from tests.chaos.broker import Broker

# One node after the other: two that join at once wait for each other's tables.
_JOIN = """
ok = rabbit:stop(),
ok = case code:ensure_loaded(rabbit_db_cluster) of
  {module, _} -> rabbit_db_cluster:join('FIRST', disc);
  _ -> rabbit_mnesia:join_cluster('FIRST', disc)
end,
ok = rabbit:start(),
rabbit_nodes:all_running().
"""

# The members of queue Q: a list, and a map by node from RabbitMQ 4.3 on.
_MEMBERS = "case maps:get(nodes, amqqueue:get_type_state(Q)) of N when is_map(N) -> maps:keys(N); N -> N end"


class Cluster:
    """The nodes, by their index; any of them may be killed, stopped and started."""

    def __init__(self, nodes: Sequence[QuickNode]) -> None:
        self.nodes = nodes
        self.controls = [node.control for node in nodes]

    def __getitem__(self, index: int) -> QuickNode:
        return self.nodes[index]

    @property
    def urls(self) -> list[str]:
        """The AMQP URL of each node."""
        return [node.node.url for node in self.nodes]

    async def join(self, count: int) -> None:
        """The first so many are one cluster. They run, and have nothing declared that is to stay."""
        for index in range(1, count):
            await self.add(index)

    async def add(self, index: int) -> None:
        """Make this node, which runs, one of the cluster of the first."""
        await self.eval(index, _JOIN.replace("FIRST", self.nodes[0].node.name))

    async def eval(self, index: int, expressions: str) -> str:
        """The value of Erlang expressions in one node."""
        return await self.controls[index].eval(expressions)

    async def running(self, index: int) -> int:
        """How many nodes run, as this one sees it."""
        return int(await self.eval(index, "length(rabbit_nodes:all_running())."))

    async def can_spare(self, index: int) -> bool:
        """Whether every quorum queue has a majority without this node."""
        asked = await self.eval(index, "rabbit_upgrade_preparation:await_online_quorum_plus_one(1000).")
        return asked == "true"

    async def members(self, index: int, queue: str) -> tuple[int, str]:
        """Of a quorum queue in the virtual host /: how many members it has, and which node leads it."""
        found = await self.eval(
            index,
            f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{queue}">>)), '
            "{_, Leader} = amqqueue:get_pid(Q), "
            f"{{length({_MEMBERS}), Leader}}.",
        )
        count, _, leader = found.strip("{}").partition(",")
        return int(count), leader.strip("'")

    async def places(self, index: int) -> dict[str, tuple[str, int]]:
        """Of each quorum queue of ours in the virtual host /: which node leads it, and its members."""
        told = await self.eval(
            index,
            "[{binary_to_list(element(4, amqqueue:get_name(Q))), element(2, amqqueue:get_pid(Q)), "
            f"length({_MEMBERS})}} "
            '|| Q <- rabbit_amqqueue:list(<<"/">>), amqqueue:get_type(Q) =:= rabbit_quorum_queue].',
        )
        found = re.findall(r"\{\"(nrc\.[^\"]*)\",'([^']*)',(\d+)\}", told)
        return {name: (leader, int(members)) for name, leader, members in found}

    async def close(self) -> None:
        """Every node has ended, with what was connected to it."""
        for control in self.controls:
            await control.close()
        # All at once, and not politely: a node that stops waits for the others.
        await asyncio.gather(*(node.kill() for node in self.nodes))


class ClusterBroker(Broker):
    """A cluster in place of the one node; looked into through its first node that runs."""

    def __init__(self, nodes: Cluster) -> None:
        super().__init__(Path("/nonexistent"))
        self.nodes = nodes
        self.look_through(0)

    def look_through(self, index: int) -> None:
        """Ask this node from now on."""
        self.private = self.nodes[index]
        self.control = self.nodes.controls[index]
        self.url = self.nodes.urls[index]

    async def start(self) -> None:
        """It runs already."""

    async def close(self) -> None:
        """Whoever started the cluster stops it."""


@contextlib.asynccontextmanager
async def cluster(size: int = 3, *, joined: int | None = None, keep: bool = False) -> AsyncIterator[Cluster]:
    """A running cluster in a temporary folder, which it may keep; it takes about 10 s to start.

    joined: how many of the nodes are in it, when not all are; the others run alone until they are added.
    """
    folder = Path(tempfile.mkdtemp(prefix="nrc-test-cluster-"))
    nodes = Cluster([QuickNode(folder / str(index)) for index in range(size)])
    try:
        _share_secrets([node.folder for node in nodes.nodes])
        await asyncio.gather(*(node.start() for node in nodes.nodes))
        await nodes.join(size if joined is None else joined)
        yield nodes
    finally:
        await nodes.close()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _share_secrets(folders: list[Path]) -> None:
    """Every node has the cookie and the password of the first, before any of them has started."""
    first = prepare_node(folders[0])
    cookie = (folders[0] / ".erlang.cookie").read_text()
    for folder in folders[1:]:
        node = replace(prepare_node(folder), password=first.password)
        write_secret(folder / "node.json", json.dumps(asdict(node)))
        write_secret(folder / ".erlang.cookie", cookie, mode=0o400)
