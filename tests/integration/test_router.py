"""The router on a real RabbitMQ: what it declares, repairs and removes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractQueue
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from structlog.testing import capture_logs
from yarl import URL

from ledger.losses import LedgerLosses
from ledger.opening import ledger_of
from ledger.values import GapOpened, Scope
from nrc.rabbitmq.private_node import Node
from router import names
from router.catalogue import Catalogue
from router.changes import follow_changes
from router.declaring.channels import Channels
from router.declaring.declarer import Declarer
from router.declaring.existence import Thing, missing
from router.declaring.request_handling import RECONCILE
from router.declaring.service import serve
from router.publishing import Outgoing, Publisher
from router.requests import RouterClient
from router.routing import route
from router.topology import REQUESTS_QUEUE, Binding, of_abonnement
from runtime.lifecycle import Tasks
from schemas.abonnement import Abonnement, FilterGroup
from schemas.errors import BrokerUnavailable, BrokerUnfit, QueueRefused
from schemas.notificatie import Notificatie
from store.opening import open_registry
from store.registry import Declared, DeclaredKind
from tests.broker import Broker, private_broker
from tests.eventually import eventually
from tests.integration.conftest import Running, open_link, running, running_router, settings_for
from tests.make import a_kanaal, an_abonnement
from tests.unit.router.test_routing import NOW

pytestmark = pytest.mark.usefixtures("broker")


async def queue_of(running: Running, name: str) -> AbstractQueue:
    channel = running.connection.channel()
    await channel.initialize()
    return await channel.declare_queue(name, passive=True)


async def is_there(running: Running, *, queue: str = "", exchange: str = "") -> bool:
    channel = running.connection.channel()
    await channel.initialize()
    try:
        if queue:
            await channel.declare_queue(queue, passive=True)
        else:
            await channel.declare_exchange(exchange, passive=True)
    except ChannelNotFoundEntity:
        return False
    await channel.close()
    return True


async def publish(running: Running, outgoing: Outgoing) -> None:
    channel = running.connection.channel()
    await channel.initialize()
    exchange = await channel.get_exchange(outgoing.exchange, ensure=False)
    message = aio_pika.Message(outgoing.body, headers=dict(outgoing.headers), message_id=outgoing.message_id)
    await exchange.publish(message, outgoing.routing_key, mandatory=False)
    await channel.close()


def zaak(**kenmerken: str) -> Notificatie:
    return Notificatie("zaken", "zaak", "create", kenmerken, b'{"kenmerken":{}}')


async def test_a_rabbitmq_without_streams_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Node.environment
    monkeypatch.setattr(
        Node, "environment", lambda *given: {**usual(*given), "RABBITMQ_FEATURE_FLAGS": "quorum_queue"}
    )
    async with private_broker() as old:
        if await old.eval("rabbit_feature_flags:is_enabled(stream_queue).") == "true":
            pytest.skip("this RabbitMQ always has streams")
        with pytest.raises(BrokerUnfit, match="stream_queue is off"):
            settings = settings_for(old.url, tmp_path)
            await serve(settings, stop=asyncio.Event(), ready=lambda: None, losses_of=LedgerLosses)


async def test_fixed_topology_stands_and_a_wait_queue_leads_back(router: Running) -> None:
    for name in (names.UNDELIVERABLE, names.wait_queue(1), names.wait_queue(2048)):
        assert await is_there(router, queue=name)
    assert await is_there(router, exchange=names.READY)
    await router.registry.add_kanaal(a_kanaal("zaken"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {})))
    await router.client.apply_abonnement(abonnement.uuid)
    queue = names.abonnement_queue(abonnement.uuid)
    await publish(router, Outgoing(names.wait_queue(1), queue, b"{}", "id-1"))
    found = await queue_of(router, queue)
    message = await eventually(lambda: found.get(fail=False))
    assert message.message_id == "id-1"


async def test_a_waiting_message_of_a_removed_abonnement_becomes_undeliverable(router: Running) -> None:
    await publish(router, Outgoing(names.wait_queue(1), "nrc.abonnement.gone", b"{}", "id-2"))
    found = await queue_of(router, names.UNDELIVERABLE)
    message = await eventually(lambda: found.get(fail=False))
    assert message.message_id == "id-2"
    await message.ack()


async def test_a_changed_abonnement_loses_its_former_bindings_and_empty_filter_exchanges(
    router: Running,
) -> None:
    kanaal = await router.registry.add_kanaal(a_kanaal("zaken", "a", "b"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {"a": "1"})))
    await router.client.apply_abonnement(abonnement.uuid)
    queue = await queue_of(router, names.abonnement_queue(abonnement.uuid))
    first = {thing.key for thing in await router.registry.declared_by(str(abonnement.uuid))}

    changed = replace(abonnement, kanalen=(FilterGroup("zaken", (("b", "2"),)),))
    await router.registry.change_abonnement(changed.uuid, lambda _: changed)
    await router.client.apply_abonnement(abonnement.uuid)
    await publish(router, route(kanaal, zaak(a="1", b="1"), message_id="old", accepted_at=NOW))
    await publish(router, route(kanaal, zaak(a="9", b="2"), message_id="new", accepted_at=NOW))
    message = await eventually(lambda: queue.get(fail=False))
    assert message.message_id == "new"
    await message.ack()
    assert await queue.get(fail=False) is None
    second = {thing.key for thing in await router.registry.declared_by(str(abonnement.uuid))}
    assert not any("nrc.filter" in key for key in first & second)

    assert await router.registry.remove_abonnement(abonnement.uuid)
    await router.client.apply_abonnement(abonnement.uuid)
    assert not await is_there(router, queue=names.abonnement_queue(abonnement.uuid))
    for key in first | second:
        if names.marked(key):
            assert not await is_there(router, exchange=key)
        if "nrc.filter" in key:
            assert not await is_there(router, exchange=Binding.thaw(key).source), "with the last bound to it"
    assert await router.registry.declared_by(str(abonnement.uuid)) == ()


async def test_a_kanaal_may_be_named_as_an_abonnement_is_numbered(router: Running) -> None:
    await router.registry.add_kanaal(a_kanaal("zaken"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {})))
    await router.client.apply_abonnement(abonnement.uuid)
    kanaal = await router.registry.add_kanaal(a_kanaal(str(abonnement.uuid)))
    await router.client.apply_kanaal(kanaal.naam)
    exchange = names.kanaal_exchange(kanaal.naam)

    await router.client.apply_abonnement(abonnement.uuid)
    assert await is_there(router, exchange=exchange)

    assert await router.registry.remove_abonnement(abonnement.uuid)
    await router.client.apply_abonnement(abonnement.uuid)
    assert not await is_there(router, queue=names.abonnement_queue(abonnement.uuid))
    assert await is_there(router, exchange=exchange)


async def test_reconcile_repairs_what_was_deleted_by_hand(router: Running) -> None:
    before = await router.registry.add_kanaal(a_kanaal("zaken", "a"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {"a": "1"})))
    await router.client.apply_abonnement(abonnement.uuid)
    (way,) = of_abonnement(abonnement, {"zaken": before}).filtered
    assert await router.client.reconcile() == []

    channel = router.connection.channel()
    await channel.initialize()
    queue = names.abonnement_queue(abonnement.uuid)
    await channel.queue_delete(queue)
    for name in (names.kanaal_exchange("zaken"), names.RETURN, names.wait_queue(2)):
        await channel.exchange_delete(name)

    dry = await router.client.reconcile(dry_run=True)
    assert not await is_there(router, queue=queue)
    done = await router.client.reconcile()
    assert done == dry
    assert {line.split(" of ")[0].split(" with ")[0] for line in done} == {
        f"declare exchange {names.RETURN}",
        f"declare exchange {names.wait_queue(2)}",
        f"declare exchange {names.kanaal_exchange('zaken')}",
        f"declare exchange {way.exchange.name}",
        f"declare queue {queue}",
    }
    assert await router.client.reconcile() == []
    await publish(router, route(before, zaak(a="1"), message_id="after", accepted_at=NOW))
    found = await queue_of(router, queue)
    assert (await eventually(lambda: found.get(fail=False))).message_id == "after"
    await publish(router, Outgoing(names.wait_queue(2), queue, b"{}", "waited"))
    assert (await eventually(lambda: found.get(fail=False))).message_id == "waited"


async def test_an_orphan_is_removed_when_seen_twice_and_empty(router: Running) -> None:
    channel = router.connection.channel()
    await channel.initialize()
    arguments = {"x-queue-type": "quorum"}
    for name in ("nrc.wait.77", "nrc.abonnement.stray"):
        await channel.declare_queue(name, durable=True, arguments=arguments)
        await router.registry.note_declared([Declared(DeclaredKind.QUEUE, name)])
    await channel.default_exchange.publish(aio_pika.Message(b"{}"), "nrc.abonnement.stray")

    first = await router.client.reconcile()
    assert sorted(first) == [
        "orphan queue nrc.abonnement.stray: seen for the first time, kept",
        "orphan queue nrc.wait.77: seen for the first time, kept",
    ]
    second = await router.client.reconcile()
    assert sorted(second) == [
        "orphan queue nrc.abonnement.stray still holds 1 messages: kept",
        "remove orphan queue nrc.wait.77",
    ]
    assert not await is_there(router, queue="nrc.wait.77")
    stray = await queue_of(router, "nrc.abonnement.stray")
    message = await eventually(lambda: stray.get(fail=False))
    await message.ack()
    assert await router.client.reconcile() == ["remove orphan queue nrc.abonnement.stray"]
    assert await router.client.reconcile() == []


async def test_no_queue_is_deleted_before_it_may_be(router: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ 3.10 ends all dead-lettering when a queue is deleted just after it started: decision 25."""
    asked, may = asyncio.Semaphore(0), asyncio.Event()

    async def may_delete(_: Declarer) -> None:
        asked.release()
        await may.wait()

    monkeypatch.setattr(Declarer, "_may_delete", may_delete)

    async def waits(request: Coroutine[Any, Any, object], queue: str) -> None:
        asking = asyncio.create_task(request)
        await asyncio.wait_for(asked.acquire(), 20)
        assert await is_there(router, queue=queue)
        may.set()
        await asking
        assert not await is_there(router, queue=queue)
        may.clear()

    channel = router.connection.channel()
    await channel.initialize()
    await channel.declare_queue("nrc.wait.7", durable=True)
    await router.registry.note_declared([Declared(DeclaredKind.QUEUE, "nrc.wait.7", orphan_since=1.0)])
    await waits(router.client.reconcile(), "nrc.wait.7")
    abonnement = await router.registry.add_abonnement(an_abonnement())
    await router.client.apply_abonnement(abonnement.uuid)
    await router.registry.remove_abonnement(abonnement.uuid)
    await waits(router.client.apply_abonnement(abonnement.uuid), names.abonnement_queue(abonnement.uuid))


async def test_what_was_removed_while_no_router_ran_goes(vhost: str, tmp_path: Path) -> None:
    settings = settings_for(vhost, tmp_path, retry_schedule="1")
    async with open_registry(settings.registry_file) as registry, open_link(vhost) as link:
        client = RouterClient(link)
        kanaal = await registry.add_kanaal(a_kanaal("zaken"))
        abonnement = await registry.add_abonnement(an_abonnement(("zaken", {})))
        async with running(serve, settings, losses_of=LedgerLosses):
            me = Running(settings, registry, link, client)
            await publish(me, route(kanaal, zaak(), message_id="m", accepted_at=NOW))
        await registry.remove_abonnement(abonnement.uuid)
        with pytest.raises(BrokerUnavailable):
            await client.apply_abonnement(abonnement.uuid)
        async with running(serve, settings, losses_of=LedgerLosses):
            queue = names.abonnement_queue(abonnement.uuid)

            async def gone() -> bool:
                return not await is_there(me, queue=queue)

            await eventually(gone)


async def test_a_publisher_is_not_ready_before_the_topology_stands(vhost: str, tmp_path: Path) -> None:
    publisher = Publisher([vhost], name="test", mandatory=False)
    async with open_link(vhost):
        with pytest.raises(BrokerUnavailable):
            await publisher.publish(Outgoing("nrc.kanaal.zaken", "x", b"{}", "1"))
    assert not publisher.ready
    assert publisher.why_not


async def test_gateways_wait_until_a_restarted_rabbitmq_was_looked_at(
    mortal_broker: Broker, tmp_path: Path
) -> None:
    """A RabbitMQ that was killed may come back without the binding that it confirmed last."""
    assert mortal_broker.private
    publisher = Publisher([mortal_broker.url], name="test", mandatory=False)
    async with Tasks() as tasks:
        tasks.start("publisher", publisher.run())
        async with running_router(mortal_broker.url, tmp_path):
            await publisher.wait_ready(20)
        await mortal_broker.private.restart()

        await eventually(lambda: publisher.link.connection is not None)
        with pytest.raises(BrokerUnavailable):
            await publisher.wait_ready(1)
        assert "has not declared" in publisher.why_not

        async with running_router(mortal_broker.url, tmp_path):
            await publisher.wait_ready(20)


async def test_the_marker_goes_with_the_last_process_that_is_connected(vhost: str, tmp_path: Path) -> None:
    """So a restart of RabbitMQ ends it: version 4.3 keeps exchanges that are not durable, like all others."""
    settings = settings_for(vhost, tmp_path, retry_schedule="1")
    async with open_registry(settings.registry_file) as registry, open_link(vhost) as looking:
        await registry.add_kanaal(a_kanaal("zaken"))
        look = Running(settings, registry, looking, RouterClient(looking))
        catalogue = Catalogue(registry, refresh_interval=60)
        async with open_link(vhost) as other:
            async with running(serve, settings, losses_of=LedgerLosses):
                assert other.connection
                following = asyncio.create_task(follow_changes(other.connection, catalogue))
                await eventually(lambda: "zaken" in catalogue.kanalen, within=60)
            assert await is_there(look, exchange=names.READY), "another process is connected still"

        async def gone() -> bool:
            return not await is_there(look, exchange=names.READY)

        await eventually(gone, within=60)
        await asyncio.wait({following})


async def test_a_durable_marker_of_an_older_router_is_replaced(vhost: str, tmp_path: Path) -> None:
    async with open_link(vhost) as link:

        async def declares(*, durable: bool) -> bool:
            assert link.connection
            channel = link.connection.channel()
            await channel.initialize()
            try:
                kind = "fanout" if durable else "direct"
                await channel.declare_exchange(names.READY, kind, durable=durable, auto_delete=not durable)
            except ChannelPreconditionFailed:
                return False
            await channel.close()
            return True

        assert await declares(durable=True)
        async with running_router(vhost, tmp_path):
            await eventually(lambda: declares(durable=False))


async def test_two_routers_share_the_work_and_one_takes_over(vhost: str, tmp_path: Path) -> None:
    settings = settings_for(vhost, tmp_path, retry_schedule="1")
    async with open_registry(settings.registry_file) as registry, open_link(vhost) as link:
        client = RouterClient(link)
        await registry.add_kanaal(a_kanaal("zaken"))
        async with running(serve, settings, losses_of=LedgerLosses):
            first = running(serve, settings, losses_of=LedgerLosses)
            await first.__aenter__()
            await client.apply_kanaal("zaken")
            await first.__aexit__(None, None, None)
            await client.apply_kanaal("zaken")
            assert await client.reconcile() == []


async def test_what_new_queues_held_is_told_by_the_router_at_work_only(router: Running) -> None:
    """RabbitMQ was killed, and another router comes when the queues stand again and have new messages."""
    told: list[UUID] = []

    class Telling(LedgerLosses):
        async def queue_lost(self, abonnement: UUID, why: str) -> None:
            told.append(abonnement)

    await router.registry.add_kanaal(a_kanaal("zaken"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {})))
    await router.client.apply_abonnement(abonnement.uuid)
    queue = names.abonnement_queue(abonnement.uuid)
    assert Declared(DeclaredKind.YOUNG, queue) in await router.registry.declared()
    async with router.connection.channel() as channel:
        await channel.exchange_delete(names.READY)
    async with running(serve, router.settings, losses_of=Telling):
        assert await is_there(router, exchange=names.READY)
        assert told == []


async def test_what_everyone_needs_is_watched(
    vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted by hand: back within seconds, long before the next comparison."""
    monkeypatch.setattr("router.declaring.service.WATCH_INTERVAL", 0.2)
    async with running_router(vhost, tmp_path) as router:
        channel = router.connection.channel()
        await channel.initialize()
        gone = [names.RETURN, names.CHANGES, names.UNDELIVERABLE]
        for name in gone:
            await channel.exchange_delete(name)

        async def all_back() -> bool:
            return all([await is_there(router, exchange=name) for name in gone])

        await eventually(all_back, within=25, every=0.2)


async def test_what_an_abonnement_needs_is_watched(
    vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of one that nobody consumes and nothing is published for."""
    monkeypatch.setattr("router.declaring.service.WATCH_INTERVAL", 0.2)
    async with running_router(vhost, tmp_path) as router:
        kanaal = await router.registry.add_kanaal(a_kanaal("zaken", "a"))
        await router.client.apply_kanaal("zaken")
        mine, other = [
            await router.registry.add_abonnement(an_abonnement(("zaken", {"a": value}))) for value in "12"
        ]
        for abonnement in (mine, other):
            await router.client.apply_abonnement(abonnement.uuid)
        channel = router.connection.channel()
        await channel.initialize()
        queue = names.abonnement_queue(mine.uuid)

        async def gets(exchange: str) -> bool:
            message_id = f"after {exchange}"
            sent = route(kanaal, zaak(a="1"), message_id=message_id, accepted_at=NOW)
            await publish(router, sent)
            if not await is_there(router, queue=queue):
                return False
            message = await (await queue_of(router, queue)).get(fail=False, no_ack=True)
            return message is not None and message.message_id == message_id

        await channel.queue_delete(queue)
        await eventually(lambda: is_there(router, queue=queue))
        (way,) = of_abonnement(mine, {"zaken": kanaal}).filtered
        for exchange in (names.kanaal_exchange("zaken"), way.exchange.name):
            await channel.exchange_delete(exchange)
            await eventually(lambda: is_there(router, exchange=exchange))  # noqa: B023 - awaited here
            await eventually(lambda: gets(exchange))  # noqa: B023
        assert await router.client.reconcile() == []


async def test_watches_while_it_binds_all_again(
    vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many abonnementen that takes minutes: slowly, for the sake of deliverers that start."""
    monkeypatch.setattr("router.declaring.service.WATCH_INTERVAL", 0.2)
    async with running_router(vhost, tmp_path) as router:
        await router.registry.add_kanaal(a_kanaal("zaken"))
        await router.client.apply_kanaal("zaken")
        made = [await router.registry.add_abonnement(an_abonnement(("zaken", {}))) for _ in range(3)]
        for abonnement in made:
            await router.client.apply_abonnement(abonnement.uuid)
    monkeypatch.setattr("router.declaring.reconcile.GENTLE_PAUSE", 600.0)
    # The first may be found missing when the router starts, and another is bound again before the pause.
    async with running_router(vhost, tmp_path) as router, router.connection.channel() as channel:
        for queue in [names.abonnement_queue(abonnement.uuid) for abonnement in made]:
            await channel.queue_delete(queue)
            await eventually(lambda: is_there(router, queue=queue))  # noqa: B023 - awaited here


async def test_a_request_repairs_what_it_needs(router: Running) -> None:
    await router.registry.add_kanaal(a_kanaal("zaken"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {})))
    channel = router.connection.channel()
    await channel.initialize()
    await channel.exchange_delete(names.RETURN)
    await router.client.apply_abonnement(abonnement.uuid)
    assert await is_there(router, exchange=names.RETURN)


async def test_a_deleted_filter_exchange_is_found(router: Running) -> None:
    kanaal = await router.registry.add_kanaal(a_kanaal("zaken", "a"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {"a": "1"})))
    await router.client.apply_abonnement(abonnement.uuid)
    (way,) = of_abonnement(abonnement, {"zaken": kanaal}).filtered
    channel = router.connection.channel()
    await channel.initialize()
    await channel.exchange_delete(way.exchange.name)
    expected = [f"declare exchange {way.exchange.name} with its bindings"]
    assert await router.client.reconcile(dry_run=True) == expected
    assert await router.client.reconcile() == expected
    assert await router.client.reconcile() == []


async def gaps(running: Running) -> list[tuple[Scope, str]]:
    """What the ledger has gaps of, when all of them are closed."""

    async with ledger_of(running.settings) as ledger:

        async def all_closed() -> bool:
            return all(gap.closed is not None for gap in await ledger.keeping.gaps(done=False))

        await eventually(all_closed)
        return sorted((gap.scope, gap.of) for gap in await ledger.keeping.gaps(done=False))


async def test_what_was_lost_by_hand_is_a_gap(router: Running) -> None:
    """From before it is made again; what is new was not lost, and of nothing there are two."""
    kanaal = await router.registry.add_kanaal(a_kanaal("zaken", "a"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {"a": "1"})))
    await router.client.apply_abonnement(abonnement.uuid)
    topology = of_abonnement(abonnement, {"zaken": kanaal})
    (way,) = topology.filtered
    channel = router.connection.channel()
    await channel.initialize()
    assert await router.client.reconcile() == []
    assert await gaps(router) == []

    await channel.exchange_delete(topology.marker.name)
    await router.client.reconcile()
    assert await gaps(router) == []
    await channel.queue_delete(topology.queue.name)
    await router.client.reconcile()
    assert await gaps(router) == [(Scope.ABONNEMENT, str(abonnement.uuid))]
    await channel.exchange_delete(way.exchange.name)
    await router.client._ask({"do": "watch"})
    assert await gaps(router) == [(Scope.ABONNEMENT, str(abonnement.uuid)), (Scope.KANAAL, "zaken")]
    await channel.exchange_delete(names.kanaal_exchange("zaken"))
    await router.client.apply_kanaal("zaken")
    assert [scope for scope, _ in await gaps(router)] == [Scope.ABONNEMENT, Scope.KANAAL, Scope.KANAAL]
    # A RabbitMQ that was restarted has no marker, and got nothing since.
    for name in (names.READY, names.kanaal_exchange("zaken")):
        await channel.exchange_delete(name)
    await router.client.reconcile()
    assert [scope for scope, _ in await gaps(router)] == [Scope.ABONNEMENT, Scope.KANAAL, Scope.KANAAL]
    await publish(router, route(kanaal, zaak(a="1"), message_id="after", accepted_at=NOW))
    assert [each.message_id for each in await router.taken(topology.queue.name)] == ["after"]


@pytest.mark.parametrize(("request_", "second"), [({"do": "watch"}, 2), (RECONCILE, 1)])
async def test_what_is_declared_during_a_look_was_not_lost(
    router: Running, monkeypatch: pytest.MonkeyPatch, request_: dict[str, Any], second: int
) -> None:
    """Of one that comes meanwhile the exchanges are asked about before, and the queue after that."""
    await router.registry.add_kanaal(a_kanaal("zaken", "a"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {"a": "1"})))
    assert await router.client.reconcile(dry_run=True), "the router has read it, and not declared it yet"
    queue = Thing.queue(names.abonnement_queue(abonnement.uuid))
    ask, looks = Declarer.missing, 0

    async def look(declarer: Declarer, things: Sequence[Thing]) -> list[Thing]:
        nonlocal looks
        if queue not in things or len(things) == 1:
            return await ask(declarer, things)
        looks += 1
        found = await ask(declarer, [thing for thing in things if thing != queue])
        if looks == second:
            await declarer.declare_abonnement(abonnement.uuid)
        return found + await ask(declarer, [queue])

    monkeypatch.setattr(Declarer, "missing", look)
    with capture_logs() as lines:
        await router.client._ask(request_)
    assert looks >= second
    assert await gaps(router) == []
    assert "deleted by hand, declared again" not in [line["event"] for line in lines]


async def test_the_headers_exchanges_decide(router: Running) -> None:
    """Two values may have one word in the routing key; the headers hold the values themselves."""
    kanaal = await router.registry.add_kanaal(a_kanaal("zaken", "a"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {"a": "1"})))
    await router.client.apply_abonnement(abonnement.uuid)
    right = route(kanaal, zaak(a="1"), message_id="right", accepted_at=NOW)
    await publish(router, replace(right, message_id="wrong", headers={f"{names.KENMERK_PREFIX}a": "2"}))
    await publish(router, replace(right, message_id="none", headers={}))
    await publish(router, right)
    found = await router.taken(names.abonnement_queue(abonnement.uuid))
    assert [message.message_id for message in found] == ["right"]


async def test_a_marker_that_stands_says_that_all_stands(router: Running) -> None:
    """It goes with its queue, and comes when all is bound again."""
    kanaal = await router.registry.add_kanaal(a_kanaal("zaken", "a"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {"a": "1"})))
    await router.client.apply_abonnement(abonnement.uuid)
    topology = of_abonnement(abonnement, {"zaken": kanaal})
    assert await is_there(router, exchange=topology.marker.name)
    more = replace(kanaal, slots=("a", "b"))
    other = replace(abonnement, kanalen=(FilterGroup("zaken", (("a", "1"), ("b", "2"))),))
    assert of_abonnement(abonnement, {"zaken": more}).marker == topology.marker
    assert of_abonnement(other, {"zaken": more}).marker != of_abonnement(other, {"zaken": kanaal}).marker

    channel = router.connection.channel()
    await channel.initialize()
    await channel.queue_delete(topology.queue.name)
    assert not await is_there(router, exchange=topology.marker.name)
    await router.client.apply_abonnement(abonnement.uuid)
    assert await is_there(router, exchange=topology.marker.name)


async def foreign_queue(running: Running, abonnement: Abonnement) -> None:
    channel = running.connection.channel()
    await channel.initialize()
    await channel.declare_queue(names.abonnement_queue(abonnement.uuid), durable=True)


async def test_a_queue_that_rabbitmq_refuses_is_the_fault_of_one_abonnement(
    router: Running,
) -> None:
    await router.registry.add_kanaal(a_kanaal("zaken", "a"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {})))
    await foreign_queue(router, abonnement)
    refused = pytest.raises(QueueRefused, match=r"other arguments than ours.*PRECONDITION_FAILED")
    with capture_logs() as lines, refused:
        await router.client.apply_abonnement(abonnement.uuid)
    (line,) = (line for line in lines if line["event"] == "queue of an abonnement is unusable")
    assert "PRECONDITION_FAILED" in line["reason"]
    # The others, and the kanaal that they share, go on.
    other = await router.registry.add_abonnement(an_abonnement(("zaken", {})))
    await router.client.apply_abonnement(other.uuid)
    channel = router.connection.channel()
    await channel.initialize()
    await channel.exchange_delete(names.kanaal_exchange("zaken"))
    await router.client.apply_kanaal("zaken")
    assert await is_there(router, exchange=names.kanaal_exchange("zaken"))


async def test_a_queue_that_was_replaced_is_a_gap_once_it_is_made_again(router: Running) -> None:
    await router.registry.add_kanaal(a_kanaal("zaken", "a"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {})))
    await router.client.apply_abonnement(abonnement.uuid)
    queue = names.abonnement_queue(abonnement.uuid)
    channel = router.connection.channel()
    await channel.initialize()
    await channel.queue_delete(queue)
    await foreign_queue(router, abonnement)
    for _ in range(2):
        with pytest.raises(QueueRefused, match="other arguments than ours"):
            await router.client.apply_abonnement(abonnement.uuid)
    await channel.queue_delete(queue)
    await router.client._ask({"do": "watch"})
    assert await is_there(router, queue=queue)
    assert await gaps(router) == [(Scope.ABONNEMENT, str(abonnement.uuid))]


async def test_a_limit_on_queues_is_the_fault_of_one_abonnement(router: Running, broker: Broker) -> None:
    await router.registry.add_kanaal(a_kanaal("zaken", "a"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {})))
    vhost = URL(router.settings.amqp_url[0]).path.removeprefix("/")
    await broker.eval(f'rabbit_vhost_limit:set(<<"{vhost}">>, [{{<<"max-queues">>, 1}}], <<"test">>).')
    with capture_logs() as lines:
        with pytest.raises(QueueRefused, match=r"raise the limit on queues.*queue limit in vhost"):
            await router.client.apply_abonnement(abonnement.uuid)
        for _ in range(2):
            await router.client._ask({"do": "watch"})
        events = [line["event"] for line in lines if line["log_level"] in ("warning", "error")]
        # On a busy machine an answer may not be sent in time. Whoever asked asks again.
        late = "answer or announcement not sent"
        assert [event for event in events if event != late] == ["queue of an abonnement is unusable"]
    await broker.eval(f'rabbit_vhost_limit:clear(<<"{vhost}">>, <<"test">>).')
    with capture_logs() as lines:
        await router.client._ask({"do": "watch"})
    assert await is_there(router, queue=names.abonnement_queue(abonnement.uuid))
    assert "queue of an abonnement is usable again" in [line["event"] for line in lines]


async def test_a_gap_is_closed_when_its_queue_stands_whatever_else_is_refused(
    router: Running, broker: Broker
) -> None:
    """Until then the keeper gives nothing to that abonnement."""
    await router.registry.add_kanaal(a_kanaal("zaken"))
    await router.client.apply_kanaal("zaken")
    mine, other = [await router.registry.add_abonnement(an_abonnement(("zaken", {}))) for _ in range(2)]
    await router.client.apply_abonnement(mine.uuid)
    await foreign_queue(router, other)
    with pytest.raises(QueueRefused):
        await router.client.apply_abonnement(other.uuid)
    vhost = URL(router.settings.amqp_url[0]).path.removeprefix("/")
    channel = router.connection.channel()
    await channel.initialize()
    await channel.queue_delete(names.abonnement_queue(mine.uuid))
    await broker.eval(f'rabbit_vhost_limit:set(<<"{vhost}">>, [{{<<"max-queues">>, 1}}], <<"test">>).')
    with pytest.raises(QueueRefused, match="raise the limit on queues"):
        await router.client.apply_abonnement(mine.uuid)
    await broker.eval(f'rabbit_vhost_limit:clear(<<"{vhost}">>, <<"test">>).')
    await router.client._ask({"do": "watch"})
    assert await is_there(router, queue=names.abonnement_queue(mine.uuid))
    assert await gaps(router) == [(Scope.ABONNEMENT, str(mine.uuid))]

    # One that a router left which ended: a comparison closes it.
    async with ledger_of(router.settings) as ledger:
        await ledger.write([GapOpened(Scope.ABONNEMENT, str(mine.uuid), "by a test")])
    await router.client.reconcile()
    assert len(await gaps(router)) == 2


async def test_a_change_that_is_prepared_is_wanted_beside_what_was(router: Running) -> None:
    kanaal = await router.registry.add_kanaal(a_kanaal("zaken", "a"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {"a": "old"})))
    await router.client.apply_abonnement(abonnement.uuid)
    changed = replace(abonnement, kanalen=(FilterGroup("zaken", (("a", "new"),)),))
    queue = names.abonnement_queue(abonnement.uuid)

    async def arrives() -> list[str]:
        for value in ("old", "new"):
            await publish(router, route(kanaal, zaak(a=value), message_id=value, accepted_at=NOW))
        await asyncio.sleep(0.2)
        return sorted(message.message_id or "" for message in await router.taken(queue))

    await router.client.prepare_abonnement(abonnement.uuid, changed.kanalen)
    await router.client.reconcile()
    assert await arrives() == ["new", "old"]
    await router.registry.change_abonnement(changed.uuid, lambda _: changed)
    await router.client.finish_abonnement(abonnement.uuid)
    assert await arrives() == ["new"]


async def test_what_was_prepared_and_not_made_holds_up_no_other_change(router: Running) -> None:
    """A change of something else, one that was given up, and one that is made, within seconds."""
    kanaal = await router.registry.add_kanaal(a_kanaal("zaken", "a"))
    await router.client.apply_kanaal("zaken")
    abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {"a": "old"})))
    await router.client.apply_abonnement(abonnement.uuid)
    given_up, changed = (
        replace(abonnement, kanalen=(FilterGroup("zaken", (("a", value),)),)) for value in ("none", "new")
    )
    await router.client.prepare_abonnement(abonnement.uuid, ())
    await router.client.prepare_abonnement(abonnement.uuid, given_up.kanalen)
    assert await router.client.reconcile() == []
    await router.client.prepare_abonnement(abonnement.uuid, changed.kanalen)
    await router.registry.change_abonnement(changed.uuid, lambda _: changed)
    await router.client.finish_abonnement(abonnement.uuid)
    for value in ("old", "new"):
        await publish(router, route(kanaal, zaak(a=value), message_id=value, accepted_at=NOW))
    found = await router.taken(names.abonnement_queue(abonnement.uuid))
    assert [message.message_id for message in found] == ["new"]


async def with_rights(broker: Broker, vhost: str, *, write: str) -> str:
    """The URL for a user with rights on `nrc.` and these."""
    name, host = f"user-{uuid4()}", URL(vhost).path.removeprefix("/")
    await broker.eval(f'rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"secret">>, <<"test">>).')
    await broker.eval(
        f'rabbit_auth_backend_internal:set_permissions(<<"{name}">>, <<"{host}">>, '
        f'<<"^nrc[.]">>, <<"{write}">>, <<"^nrc[.]">>, <<"test">>).'
    )
    return str(URL(vhost).with_user(name).with_password("secret"))


async def test_a_user_with_few_rights(broker: Broker, vhost: str, tmp_path: Path) -> None:
    few = await with_rights(broker, vhost, write="^nrc[.]")
    stop = asyncio.Event()
    with capture_logs() as lines:
        settings = settings_for(few, tmp_path)
        task = asyncio.create_task(serve(settings, stop=stop, ready=lambda: None, losses_of=LedgerLosses))
        refused = "RabbitMQ refuses the router a right"
        line = await eventually(lambda: next((each for each in lines if each["event"] == refused), None))
        assert "amq.default" in line["reason"]
        stop.set()
        await task
    enough = await with_rights(broker, vhost, write="^(nrc[.]|amq[.]default$)")
    async with running_router(enough, tmp_path) as router:
        await router.registry.add_kanaal(a_kanaal("zaken", "a"))
        await router.client.apply_kanaal("zaken")
        abonnement = await router.registry.add_abonnement(an_abonnement(("zaken", {"a": "1"})))
        await router.client.apply_abonnement(abonnement.uuid)


async def test_what_is_missing_is_found_among_many(router: Running) -> None:
    channel = router.connection.channel()
    await channel.initialize()
    for number in range(400):
        await channel.declare_exchange(f"x-{number}", "fanout")
    things = [Thing.exchange(f"x-{number}") for number in range(400)]
    things.insert(7, Thing.queue(names.UNDELIVERABLE))
    assert await missing(Channels(router.connection), things) == []
    gone = [things[index] for index in (0, 6, 130, 131, 399, 400)]
    for thing in gone:
        await channel.exchange_delete(thing.name)
    gone.append(Thing.queue("x-5"))  # an exchange of that name is none
    assert await missing(Channels(router.connection), [*things, gone[-1]]) == gone
    assert await missing(Channels(router.connection), []) == []
    assert await missing(Channels(router.connection), gone) == gone


async def test_no_answer_is_a_fault_in_seconds(vhost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A router that takes requests and does not answer: stopped, or behind an alarm."""
    monkeypatch.setattr("router.requests.APPLY_TIMEOUT", 1.0)
    async with open_link(vhost) as link:
        assert link.connection is not None
        channel = link.connection.channel()
        await channel.initialize()
        queue = await channel.declare_queue(
            REQUESTS_QUEUE.name, durable=True, arguments=dict(REQUESTS_QUEUE.arguments)
        )

        async def silent(_: object) -> None:
            await asyncio.Event().wait()

        await queue.consume(silent)
        with pytest.raises(BrokerUnavailable, match="no answer from the router within 1 s"):
            await RouterClient(link).announce()
