"""Three nodes are one cluster, and what NRC declares in it outlives any of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.losses import LedgerLosses
from router import names
from router.declaring.service import check_fitness, serve
from router.publishing import Outgoing, Publisher
from router.requests import RouterClient
from runtime.amqp import AMQP_ERRORS, Link, connect
from runtime.lifecycle import Tasks
from schemas.errors import BrokerError, BrokerUnavailable
from store.opening import open_registry
from tests.chaos.faults.cluster import Cluster, cluster
from tests.eventually import eventually
from tests.integration.conftest import open_link, running, settings_for
from tests.make import a_kanaal, an_abonnement


@pytest.fixture
async def nodes() -> AsyncIterator[Cluster]:
    async with cluster() as started:
        yield started


async def nobody_is_unfit(url: str) -> None:
    """For a moment after a node went the others can't tell everything; that is no reason to give up."""
    until = time.monotonic() + 2
    while time.monotonic() < until:
        with contextlib.suppress(BrokerUnavailable, *AMQP_ERRORS):
            connection = await connect(url, name="test")
            try:
                await check_fitness(connection)
            finally:
                await connection.close()


async def ready_in(link: Link, queue: str) -> int | None:
    async with (await link.connected(within=5)).channel() as channel:
        found = await channel.declare_queue(queue, passive=True)
        return found.declaration_result.message_count


async def test_a_node_that_is_killed_is_missed_by_nobody(nodes: Cluster, tmp_path: Path) -> None:
    assert [await nodes.running(index) for index in range(3)] == [3, 3, 3]
    settings = settings_for(",".join(nodes.urls), tmp_path, reconcile_interval=600)
    publisher = Publisher(nodes.urls, name="test", mandatory=True)
    async with (
        running(serve, settings, losses_of=LedgerLosses),
        open_registry(settings.registry_file) as registry,
        open_link(nodes.urls[2]) as link,
        Tasks() as tasks,
    ):
        router = RouterClient(link)
        tasks.start("publishing", publisher.run())
        await registry.add_kanaal(a_kanaal("zaken", "zaaktype"))
        await router.apply_kanaal("zaken")
        abonnementen = [
            await registry.add_abonnement(an_abonnement(("zaken", {}))),
            await registry.add_abonnement(an_abonnement(("zaken", {"zaaktype": "x"}))),
        ]
        for abonnement in abonnementen:
            await router.apply_abonnement(abonnement.uuid)
        for name in (*(names.abonnement_queue(each.uuid) for each in abonnementen), names.UNDELIVERABLE):
            assert (await nodes.members(0, name))[0] == 3

        await nodes[0].kill()
        await asyncio.gather(*(nobody_is_unfit(url) for url in nodes.urls[1:]))

        await eventually(lambda: sees(nodes, 1, count=2))
        await publisher.wait_ready(10)
        for number in range(20):
            await publisher.publish(
                Outgoing(names.kanaal_exchange("zaken"), "zaak.create", b"{}", f"id-{number}")
            )
        first = names.abonnement_queue(abonnementen[0].uuid)
        await eventually(lambda: has(link, first, 20))
        # Another one is declared meanwhile, by a router that was connected to the node that is gone.
        another = await registry.add_abonnement(an_abonnement(("zaken", {})))
        await router.apply_abonnement(another.uuid)

        await nodes[0].start()

        await eventually(lambda: sees(nodes, 0, count=3))
        assert await has(link, first, 20)
        await publisher.publish(Outgoing(names.kanaal_exchange("zaken"), "zaak.create", b"{}", "last"))
        await eventually(lambda: has(link, first, 21))
        print(
            "members of one declared meanwhile:", await nodes.members(0, names.abonnement_queue(another.uuid))
        )

        # Who first publishes to a queue in the moment without a leader is not refused for longer than that.
        _, leads = await nodes.members(0, first)
        (leader,) = [index for index in range(3) if nodes[index].node.name == leads]
        late = Publisher([nodes.urls[(leader + 1) % 3]], name="late", mandatory=True)
        tasks.start("publishing late", late.run())
        await late.wait_ready(10)
        await nodes[leader].kill()
        outcomes: list[bool] = []

        async def gets_through() -> bool:
            message = Outgoing(names.kanaal_exchange("zaken"), "zaak.create", b"{}", f"late-{len(outcomes)}")
            try:
                await late.publish(message)
            except BrokerError:
                outcomes.append(False)
            else:
                outcomes.append(True)
            return outcomes[-1]

        await eventually(gets_through, within=20)
        print("refused before it got through:", outcomes.count(False))


async def sees(nodes: Cluster, index: int, *, count: int) -> bool:
    return await nodes.running(index) == count


async def has(link: Link, queue: str, count: int) -> bool:
    return await ready_in(link, queue) == count
