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
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path

from nrc.rabbitmq.private_node import prepare_node, write_secret
from tests.broker import QuickNode

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


class Cluster:
    """The nodes, by their index; any of them may be killed, stopped and started."""

    def __init__(self, nodes: list[QuickNode]) -> None:
        self.nodes = nodes
        self.controls = [node.control for node in nodes]

    def __getitem__(self, index: int) -> QuickNode:
        return self.nodes[index]

    @property
    def urls(self) -> list[str]:
        """The AMQP URL of each node."""
        return [node.node.url for node in self.nodes]

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
            "{length(maps:get(nodes, amqqueue:get_type_state(Q))), Leader}.",
        )
        count, _, leader = found.strip("{}").partition(",")
        return int(count), leader.strip("'")

    async def close(self) -> None:
        """Every node has ended, with what was connected to it."""
        for control in self.controls:
            await control.close()
        # All at once, and not politely: a node that stops waits for the others.
        await asyncio.gather(*(node.kill() for node in self.nodes))


@contextlib.asynccontextmanager
async def cluster(size: int = 3, *, keep: bool = False) -> AsyncIterator[Cluster]:
    """A running cluster in a temporary folder, which it may keep; it takes about 10 s to start."""
    folder = Path(tempfile.mkdtemp(prefix="nrc-test-cluster-"))
    nodes = Cluster([QuickNode(folder / str(index)) for index in range(size)])
    try:
        _share_secrets([node.folder for node in nodes.nodes])
        await asyncio.gather(*(node.start() for node in nodes.nodes))
        for index in range(1, size):
            await nodes.eval(index, _JOIN.replace("FIRST", nodes[0].node.name))
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
