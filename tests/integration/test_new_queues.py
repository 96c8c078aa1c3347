"""Queues made or deleted a moment before or after RabbitMQ was killed: nothing is lost, and all goes on."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import aio_pika
import pytest

from ledger.losses import LedgerLosses
from ledger.opening import ledger_of
from router import names
from router.declaring import declarer
from router.declaring.channels import Channels
from router.declaring.existence import Thing, missing
from router.declaring.service import serve
from router.declaring.watching import new_queues
from router.declaring.watching.leaders import leaderless
from router.names import abonnement_queue, wait_queue
from router.publishing import Outgoing
from router.requests import RouterClient
from router.topology import REQUESTS_QUEUE
from runtime.amqp import AMQP_ERRORS
from store.opening import open_registry
from tests.broker import Broker
from tests.eventually import eventually
from tests.integration.conftest import Running, open_link, running_router, settings_for
from tests.integration.deliverer.delivering import delivering


@pytest.fixture(autouse=True)
def as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the waits that most tests are spared."""
    monkeypatch.setattr(declarer, "BEFORE_DELETING", 3.0)


async def queue_is_there(router: Running, name: str) -> bool:
    connection = router.link.connection
    return connection is not None and not await missing(Channels(connection), [Thing.queue(name)])


async def test_new_queues_work_after_a_kill_and_what_they_held_is_a_gap(
    mortal_broker: Broker, tmp_path: Path
) -> None:
    """RabbitMQ 3.10 brings some back without a leader: who publishes to them or consumes them would hang."""
    assert mortal_broker.private
    async with running_router(mortal_broker.url, tmp_path) as router, delivering(router) as setting:
        made = await asyncio.gather(*(setting.subscribe() for _ in range(10)))
        await setting.publish()
        await mortal_broker.private.kill()
        await mortal_broker.private.start()
        await setting.publisher.wait_ready(40)
        await setting.publish()
        for abonnement in made:
            assert await setting.depth(abonnement_queue(abonnement.uuid)) in (1, 2)

        async def gaps() -> bool:
            async with ledger_of(router.settings) as ledger:
                found = await ledger.keeping.gaps(done=False)
            return {gap.of for gap in found if gap.closed} == {str(each.uuid) for each in made}

        await eventually(gaps)


async def test_a_first_start_that_was_killed_is_made_again(mortal_broker: Broker, tmp_path: Path) -> None:
    """Everyone's queues, that of the requests too."""
    assert mortal_broker.private
    settings = settings_for(mortal_broker.url, tmp_path, retry_schedule="1")
    stop, ready = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(settings, stop=stop, ready=ready.set, losses_of=LedgerLosses))
    async with open_link(mortal_broker.url) as link, open_registry(settings.registry_file) as registry:
        router = Running(settings, registry, link, RouterClient(link))
        await eventually(lambda: queue_is_there(router, wait_queue(2048)), every=0.001)
        assert not ready.is_set()
        await mortal_broker.private.kill()
        await mortal_broker.private.start()
        await asyncio.wait_for(ready.wait(), 60)
        async with delivering(router) as setting:
            abonnement = await setting.subscribe()
            await setting.publish()
            assert await setting.depth(abonnement_queue(abonnement.uuid)) == 1
            for name in (names.UNDELIVERABLE, wait_queue(1024), wait_queue(2048)):
                await setting.publisher.publish(Outgoing(name, names.UNDELIVERABLE, b"{}", name))
    stop.set()
    await asyncio.wait_for(serving, 20)


async def test_a_queue_without_a_leader_is_found_and_the_documented_command_mends_it(
    mortal_broker: Broker,
) -> None:
    assert mortal_broker.private
    text = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    (command,) = re.findall(r"^rabbitmqctl eval '(.*)'$", text, re.MULTILINE)
    url = [mortal_broker.url]
    arguments = dict(REQUESTS_QUEUE.arguments)
    for attempt in range(5):
        connection = await aio_pika.connect(mortal_broker.url)
        channel = await connection.channel()
        made = [f"q-{attempt}-{number}" for number in range(5)]
        for name in made:
            await channel.declare_queue(name, durable=True, arguments=arguments)
        await mortal_broker.private.kill()
        with suppress(*AMQP_ERRORS, asyncio.CancelledError):
            await connection.close()
        await mortal_broker.private.start()
        if found := await leaderless(url, made):
            break
    else:
        pytest.skip("RabbitMQ kept them all")
    assert set(found) < set(made)
    assert mortal_broker.control
    await mortal_broker.control.close()  # its connection was to the node that was killed
    await mortal_broker.eval(command)
    assert await leaderless(url, [*made, "not there"]) == []


async def test_a_queue_whose_declaration_was_cut_off_is_made_again(
    broker: Broker, vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ has its name and no process: it closes the connection of whoever consumes it or asks it."""
    monkeypatch.setattr(declarer, "BEFORE_DELETING", 0.0)
    monkeypatch.setattr(new_queues, "YOUNG_FOR", 600.0)
    async with running_router(vhost, tmp_path) as router, delivering(router) as setting:
        one, other = [await setting.subscribe() for _ in range(2)]
    queue, vhost_name = abonnement_queue(one.uuid), vhost.rpartition("/")[2]
    await broker.eval(
        f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost_name}">>, queue, <<"{queue}">>)), '
        "ok = ra:stop_server(quorum_queues, amqqueue:get_pid(Q))."
    )
    assert await leaderless([vhost], [abonnement_queue(other.uuid), queue]) == [queue]

    async def has_a_leader() -> bool:
        return not await leaderless([vhost], [queue])

    async with running_router(vhost, tmp_path):
        await eventually(has_a_leader, within=60)
