"""Leaders of queues are spread over the nodes, and a node that is added gets a member of each queue.

By the commands of docs/high-availability.md, which are read from there.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from functools import partial
from pathlib import Path

from ledger.losses import LedgerLosses
from router.declaring.service import serve
from store.opening import open_registry
from tests.chaos.faults.cluster import Cluster, cluster
from tests.eventually import eventually
from tests.integration.conftest import running, settings_for
from tests.make import a_kanaal, an_abonnement

ABONNEMENTEN = 37
PAGE = Path(__file__).parents[3] / "docs" / "high-availability.md"


def documented(command: str, **words: str) -> list[str]:
    """A command of the page, with its placeholders filled in."""
    (line,) = re.findall(rf"^{re.escape(command)} .*$", PAGE.read_text(), re.MULTILINE)
    return [words.get(word, word) for word in shlex.split(line)]


async def leaders(nodes: Cluster) -> Counter[str]:
    """How many queues each node leads."""
    return Counter(leader for leader, _ in (await nodes.places(0)).values())


async def members(nodes: Cluster) -> set[int]:
    """How many members queues have."""
    return {members for _, members in (await nodes.places(0)).values()}


async def test_a_node_that_is_added_gets_its_part(tmp_path: Path) -> None:
    async with cluster(3, joined=2) as nodes:
        settings = settings_for(nodes.urls[0], tmp_path, reconcile_interval=600)
        async with open_registry(settings.registry_file) as registry:
            await registry.add_kanaal(a_kanaal("zaken", "zaaktype"))
            for _ in range(ABONNEMENTEN):
                await registry.add_abonnement(an_abonnement(("zaken", {})))
        async with running(serve, settings, losses_of=LedgerLosses):
            spread = await leaders(nodes)
            assert spread.total() >= 60
            assert len(spread) == 2
            # An election on a busy machine moves a few; without the policy one node has all.
            assert max(spread.values()) - min(spread.values()) <= 12, spread
            assert await members(nodes) == {2}

            await nodes.add(2)
            added = nodes[2].node.name
            await nodes[0].command(*documented("rabbitmq-queues grow", NODE=added))
            assert await members(nodes) == {3}
            assert added not in await leaders(nodes)

            await nodes[0].command(*documented("rabbitmq-queues rebalance"))

            async def is_spread() -> bool:
                spread = await leaders(nodes)
                return len(spread) == 3 and max(spread.values()) - min(spread.values()) <= 2

            await eventually(is_spread, within=30)
            for index in range(3):
                await eventually(partial(nodes.can_spare, index), within=30)
