"""A queue deleted by hand on a real RabbitMQ: what is published meanwhile arrives, where it belongs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import aio_pika
import orjson
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from router import names
from router.publishing import Publisher
from router.requests import RouterClient
from router.routing import ABSENT, route, slot_pattern
from router.service import serve
from router.topology import Binding, of_abonnement, of_kanaal
from runtime.amqp import AMQP_ERRORS
from schemas.abonnement import Abonnement, FilterGroup
from schemas.errors import BrokerUnavailable
from schemas.kanaal import Kanaal
from schemas.notificatie import Notificatie
from store.opening import open_registry
from store.registry import Declared, DeclaredKind
from tests.eventually import eventually
from tests.integration.conftest import Running, open_link, running, settings_for
from tests.make import a_kanaal, an_abonnement
from tests.unit.test_routing import NOW

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for seconds in case a message comes late is kept for a moment."""
    monkeypatch.setattr("router.renewals.GRACE", 0.2)
    monkeypatch.setattr("router.strays.LOOK_AFTER", 0.1)


class Stage:
    """A kanaal with abonnementen, a publisher, and what arrived where."""

    def __init__(self, router: Running, kanaal: Kanaal, publisher: Publisher, channel: AbstractChannel):
        self.router = router
        self.kanaal = kanaal
        self.publisher = publisher
        self.channel = channel
        self.sent: list[str] = []

    async def subscribe(self, **filters: str) -> Abonnement:
        added = await self.router.registry.add_abonnement(an_abonnement((self.kanaal.naam, filters)))
        await self.router.client.apply_abonnement(added.uuid)
        return added

    async def publish(self, count: int = 1, **kenmerken: str) -> list[str]:
        ids = []
        for _ in range(count):
            ids.append(f"id-{len(self.sent)}")
            self.sent.append(ids[-1])
            body = orjson.dumps({"kanaal": self.kanaal.naam, "kenmerken": kenmerken, "n": len(self.sent)})
            sent = Notificatie(self.kanaal.naam, "zaak", "create", kenmerken, body)
            await self.publisher.publish(
                route(self.kanaal, sent, message_id=ids[-1], accepted_at=NOW, hops=2)
            )
        return ids

    async def delete_queue(self, abonnement: Abonnement) -> None:
        await self.channel.queue_delete(names.abonnement_queue(abonnement.uuid))

    async def depth(self, queue: str) -> int:
        channel = self.router.connection.channel()
        await channel.initialize()
        found = await channel.declare_queue(queue, passive=True)
        await channel.close()
        return found.declaration_result.message_count or 0

    async def holds(self, abonnement: Abonnement, count: int) -> bool:
        """Whether its queue is there and has so many ready."""
        try:
            return await self.depth(names.abonnement_queue(abonnement.uuid)) == count
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return False

    async def arrived(self, abonnement: Abonnement) -> list[AbstractIncomingMessage]:
        """What is in its queue; it is taken out."""
        return await self.router.taken(names.abonnement_queue(abonnement.uuid))

    async def handled(self) -> None:
        """Everything that is in `nrc.stray` now has been dealt with: what comes after the next batch has."""
        exchange = await self.channel.declare_exchange(
            "fence", "fanout", arguments={"alternate-exchange": names.STRAY}
        )
        for _ in range(2):
            before = await self.depth(names.UNDELIVERABLE)
            await exchange.publish(aio_pika.Message(b"cannot be read"), "")

            async def done(before: int = before) -> bool:
                return await self.depth(names.UNDELIVERABLE) == before + 1

            await eventually(done)

    async def no_renewals(self) -> bool:
        """Whether every mark has been seen, and nothing explains a stray any more."""
        noted = await self.router.registry.declared()
        return not any(thing.kind is DeclaredKind.RENEWED for thing in noted)


def ids(messages: list[AbstractIncomingMessage]) -> list[str]:
    return sorted((message.message_id or "" for message in messages), key=lambda each: (len(each), each))


@asynccontextmanager
async def staged(router: Running) -> AsyncIterator[Stage]:
    kanaal = await router.registry.add_kanaal(a_kanaal("zaken", "a", "b"))
    await router.client.apply_kanaal(kanaal.naam)
    publisher = Publisher(router.settings.amqp_url, name="test", mandatory=False)
    task = asyncio.create_task(publisher.run())
    try:
        await publisher.wait_ready(10)
        channel = router.connection.channel()
        await channel.initialize()
        yield Stage(router, kanaal, publisher, channel)
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
async def stage(router: Running) -> AsyncIterator[Stage]:
    async with staged(router) as stage:
        yield stage


async def test_what_is_published_while_a_queue_is_missing_arrives_there_and_nowhere_else(
    stage: Stage,
) -> None:
    mine = await stage.subscribe(a="1")
    others = [await stage.subscribe(), await stage.subscribe(a="1"), await stage.subscribe(b="2")]
    await stage.delete_queue(mine)
    both = await stage.publish(50, a="1", b="2")
    absent = await stage.publish(3, b="2")
    await stage.publish(3, a="3", b="3")
    await eventually(lambda: stage.holds(mine, 53))
    arrived = await stage.arrived(mine)
    assert ids(arrived) == both + absent
    first = next(each for each in arrived if each.message_id == "id-0")
    assert first.timestamp == NOW
    assert {name: each for name, each in first.headers.items() if name != "x-delivery-count"} == {
        "k.a": "1",
        "k.b": "2",
        "nrc-hops": "2",
    }
    assert orjson.loads(first.body) == {"kanaal": "zaken", "kenmerken": {"a": "1", "b": "2"}, "n": 1}
    assert first.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    for other in others:
        assert set(Counter(ids(await stage.arrived(other))).values()) == {1}
    assert await stage.depth(names.STRAY) == 0
    await eventually(stage.no_renewals)
    after = await stage.publish(a="1")
    assert ids(await stage.arrived(mine)) == after


async def test_under_load_nothing_is_lost_and_each_other_gets_it_once(stage: Stage) -> None:
    """Deleted again and again while 16 publish; what a deleted queue held is gone with it, so it is empty."""
    mine, other = await stage.subscribe(a="1"), await stage.subscribe()
    stopped = asyncio.Event()
    received: set[str] = set()

    async def consume() -> None:
        """Take whatever arrives, as a deliverer does; a queue that is away is asked for again."""
        while not stopped.is_set():
            try:
                connection = await link.connected(within=10)
                channel = connection.channel()
                await channel.initialize()
                queue = await channel.get_queue(names.abonnement_queue(mine.uuid), ensure=False)
                while not stopped.is_set():
                    message = await queue.get(fail=False)
                    if message is not None:
                        received.add(message.message_id or "")
                        await message.ack()
                    else:
                        await asyncio.sleep(0.005)
            except aio_pika.exceptions.ChannelNotFoundEntity:
                await stage.router.client.apply_abonnement(mine.uuid)
            except AMQP_ERRORS:
                await asyncio.sleep(0.05)  # a connection that is lost is made again

    confirmed: list[str] = []

    def all_received() -> bool:
        return received >= set(confirmed)

    # A connection of its own: RabbitMQ may cut one that asks a queue which is half deleted.
    async with open_link(stage.router.settings.amqp_url[0]) as link:
        consuming = asyncio.create_task(consume())
        for _ in range(3):
            # RabbitMQ confirms what comes in while it is deleting a queue, and deletes it too: none then.
            await stage.delete_queue(mine)
            for some in await asyncio.gather(*(stage.publish(10, a="1") for _ in range(16))):
                confirmed += some
            await eventually(all_received, within=20)
        stopped.set()
        await consuming
    assert Counter(ids(await stage.arrived(other))) == Counter(confirmed)


async def test_nothing_is_brought_to_a_queue_that_rests(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Declared again and not bound yet: what comes meanwhile waits, and does not become undeliverable."""
    monkeypatch.setattr("router.resting.AFTER_NEWEST", 1.0)
    mine = await stage.subscribe()
    await stage.delete_queue(mine)
    applying = asyncio.create_task(stage.router.client.apply_abonnement(mine.uuid))
    await eventually(lambda: stage.holds(mine, 0))
    sent = await stage.publish(3)
    assert not applying.done()
    await eventually(lambda: stage.holds(mine, 3))
    await applying
    assert ids(await stage.arrived(mine)) == sent
    assert await stage.depth(names.UNDELIVERABLE) == 0


async def test_two_queues_that_are_missing_get_their_own(stage: Stage) -> None:
    one, two, both = await stage.subscribe(a="1"), await stage.subscribe(a="2"), await stage.subscribe()
    for each in (one, two, both):
        await stage.delete_queue(each)
    ones, twos = await stage.publish(5, a="1"), await stage.publish(5, a="2")
    await eventually(lambda: stage.holds(both, 10))
    await eventually(lambda: stage.holds(one, 5))
    await eventually(lambda: stage.holds(two, 5))
    assert [ids(await stage.arrived(each)) for each in (one, two, both)] == [ones, twos, ones + twos]


async def test_a_queue_that_is_back_gets_no_strays_of_another(stage: Stage) -> None:
    one, two = await stage.subscribe(), await stage.subscribe()
    await stage.delete_queue(one)
    await stage.publish(2)
    await eventually(lambda: stage.holds(one, 2))
    await eventually(stage.no_renewals)
    await stage.delete_queue(two)
    await stage.publish(2)
    await eventually(lambda: stage.holds(two, 2))
    assert await stage.holds(one, 4)


async def test_a_removed_abonnement_leaves_no_strays(stage: Stage) -> None:
    gone, other = await stage.subscribe(), await stage.subscribe(a="1")
    await stage.delete_queue(gone)
    assert await stage.router.registry.remove_abonnement(gone.uuid)
    await stage.router.client.apply_abonnement(gone.uuid)
    await stage.publish(a="1")
    assert await stage.depth(names.STRAY) == 0
    assert len(await stage.arrived(other)) == 1


async def test_a_stray_that_nobody_wants_any_more_is_dropped(stage: Stage) -> None:
    abonnement = await stage.subscribe(a="1")
    changed = replace(abonnement, kanalen=(FilterGroup("zaken", (("a", "2"),)),))
    await stage.router.registry.change_abonnement(changed.uuid, lambda _: changed)
    # Its old bindings are still there, and its queue is not.
    await stage.delete_queue(abonnement)
    await stage.publish(2, a="1")
    await stage.handled()
    await stage.router.client.apply_abonnement(abonnement.uuid)
    assert await stage.holds(abonnement, 0)
    after = await stage.publish(a="2")
    assert ids(await stage.arrived(abonnement)) == after


async def test_a_binding_taken_off_by_hand_is_back_and_all_that_match_get_the_strays(stage: Stage) -> None:
    mine, match, other = await stage.subscribe(), await stage.subscribe(a="1"), await stage.subscribe(a="2")
    queue = await stage.channel.get_queue(names.abonnement_queue(mine.uuid), ensure=False)
    await queue.unbind(names.abonnement_exchange(mine.uuid))
    strays = await stage.publish(3, a="1")
    await eventually(lambda: stage.holds(mine, 3))
    assert ids(await stage.arrived(mine)) == strays
    # Those of them that strayed, before the binding was back.
    assert set(ids(await stage.arrived(match))) == set(strays)
    assert await stage.holds(other, 0)
    after = await stage.publish(1, a="1")
    assert ids(await stage.arrived(mine)) == after


async def test_an_exchange_of_no_abonnement_does_not_send_everything_twice(stage: Stage) -> None:
    """As after a registry was restored, and the queue that it does not know deleted by hand."""
    other = await stage.subscribe()
    left = await stage.channel.declare_exchange(
        "nrc.to.left", "fanout", durable=True, arguments={"alternate-exchange": names.STRAY}
    )
    await left.bind(of_kanaal(stage.kanaal).name, "#")
    await stage.publish()
    await eventually(lambda: stage.holds(other, 2))

    async def only_once() -> bool:
        """A moment later it is known to be nobody's."""
        await stage.arrived(other)
        await stage.publish(3)
        await stage.handled()
        return await stage.holds(other, 3)

    await eventually(only_once)


async def test_what_cannot_be_read_becomes_undeliverable(stage: Stage) -> None:
    mine = await stage.subscribe()
    await stage.delete_queue(mine)
    exchange = await stage.channel.get_exchange(names.abonnement_exchange(mine.uuid), ensure=False)
    for body in (b"{not json", b'{"kanaal": ["zaken"]}'):
        await exchange.publish(aio_pika.Message(body, message_id="by hand"), "key")

    async def undeliverable() -> bool:
        return await stage.depth(names.UNDELIVERABLE) == 2

    await eventually(undeliverable)


async def test_nrc_stray_itself_is_back_when_deleted_by_hand(stage: Stage) -> None:
    mine = await stage.subscribe()
    await stage.channel.queue_delete(names.STRAY)

    async def reconciled() -> bool:
        # RabbitMQ cuts a connection that asks for a queue which is half deleted; the router makes another.
        with suppress(BrokerUnavailable):
            await stage.router.client.reconcile()
            return True
        return False

    await eventually(reconciled, within=20)
    await stage.delete_queue(mine)
    await stage.publish(2)
    await eventually(lambda: stage.holds(mine, 2))


# Routers that come and go


@asynccontextmanager
async def without_router(vhost: str, folder: Path) -> AsyncIterator[tuple[Stage, Callable[[], object]]]:
    """A stage whose router ran and is gone, and what starts one again."""
    settings = settings_for(vhost, folder, retry_schedule="1")
    async with open_registry(settings.registry_file) as registry, open_link(vhost) as link:
        me = Running(settings, registry, link, RouterClient(link))
        async with running(serve, settings):
            kanaal = await registry.add_kanaal(a_kanaal("zaken", "a", "b"))
            await me.client.apply_kanaal(kanaal.naam)
        publisher = Publisher(settings.amqp_url, name="test", mandatory=False)
        task = asyncio.create_task(publisher.run())
        await publisher.wait_ready(10)
        channel = me.connection.channel()
        await channel.initialize()
        yield Stage(me, kanaal, publisher, channel), lambda: running(serve, settings)
        task.cancel()
        await asyncio.wait({task})


async def test_strays_wait_for_a_router(vhost: str, tmp_path: Path) -> None:
    async with without_router(vhost, tmp_path) as (stage, router):
        async with router():  # type: ignore[attr-defined]
            mine, other = await stage.subscribe(), await stage.subscribe()
        await stage.delete_queue(mine)
        sent = await stage.publish(5)
        assert await stage.depth(names.STRAY) == 5
        async with router():  # type: ignore[attr-defined]
            await eventually(lambda: stage.holds(mine, 5), within=30)
        assert ids(await stage.arrived(mine)) == sent
        assert ids(await stage.arrived(other)) == sent


async def test_the_next_router_knows_which_queue_was_missing(vhost: str, tmp_path: Path) -> None:
    """The one before noted it, declared the queue again, and died before it had seen the strays."""
    async with without_router(vhost, tmp_path) as (stage, router):
        async with router():  # type: ignore[attr-defined]
            mine, other = await stage.subscribe(), await stage.subscribe()
        await stage.delete_queue(mine)
        sent = await stage.publish(5)
        name = names.abonnement_queue(mine.uuid)
        await stage.router.registry.note_declared([Declared(DeclaredKind.RENEWED, name)])
        topology = of_abonnement(mine, {"zaken": stage.kanaal})
        queue = await stage.channel.declare_queue(
            name, durable=True, arguments=dict(topology.queue.arguments)
        )
        await queue.bind(names.RETURN, name)
        await queue.bind(topology.exchange.name)
        async with router():  # type: ignore[attr-defined]
            await eventually(lambda: stage.holds(mine, 5))
            await eventually(stage.no_renewals)
        assert ids(await stage.arrived(mine)) == sent
        assert ids(await stage.arrived(other)) == sent


async def test_queues_bound_the_old_way_are_moved_over_without_a_gap(vhost: str, tmp_path: Path) -> None:
    """As version 0.1 declared and noted them: the queue itself bound to kanalen and filter exchanges."""
    async with without_router(vhost, tmp_path) as (stage, router):
        registry, channel = stage.router.registry, stage.channel
        plain = await registry.add_abonnement(an_abonnement(("zaken", {})))
        filtered = await registry.add_abonnement(an_abonnement(("zaken", {"a": "1"})))
        for name in (names.STRAY,):
            await channel.queue_delete(name)
            await channel.exchange_delete(name)
        old: list[Binding] = []
        for abonnement in (plain, filtered):
            topology = of_abonnement(abonnement, {"zaken": stage.kanaal})
            queue = topology.queue.name
            source = of_kanaal(stage.kanaal).name
            await channel.declare_queue(queue, durable=True, arguments=dict(topology.queue.arguments))
            mine = [topology.back]
            if abonnement is plain:
                mine.append(Binding(source, queue, key="#"))
            for way in topology.filtered:
                exchange = await channel.declare_exchange(
                    way.exchange.name, way.exchange.type, durable=True, auto_delete=True
                )
                await exchange.bind(source, way.feed.key)
                mine.append(Binding(source, queue, key=slot_pattern({0: ABSENT})))
                mine.append(Binding(way.exchange.name, queue, arguments=way.match.arguments))
            for binding in mine:
                to = await channel.get_queue(queue, ensure=False)
                await to.bind(binding.source, binding.key, arguments=dict(binding.arguments))
            owner = str(abonnement.uuid)
            await registry.note_declared(
                [
                    Declared(DeclaredKind.QUEUE, queue, owner),
                    *(Declared(DeclaredKind.BINDING, binding.frozen(), owner) for binding in mine),
                ]
            )
            old += mine
        before = await stage.publish(2, a="1")
        stopped = asyncio.Event()
        confirmed: list[str] = []

        async def publish() -> None:
            while not stopped.is_set():
                confirmed.extend(await stage.publish(a="1"))

        publishing = asyncio.create_task(publish())
        async with router():  # type: ignore[attr-defined]
            await stage.router.client.reconcile()
            stopped.set()
            await publishing
            for abonnement in (plain, filtered):
                assert ids(await stage.arrived(abonnement)) == ids_of(before + confirmed)
        noted = {thing.key for thing in await registry.declared() if thing.kind is DeclaredKind.BINDING}
        wanted = [of_abonnement(each, {"zaken": stage.kanaal}).bindings for each in (plain, filtered)]
        assert {binding.frozen() for bindings in wanted for binding in bindings} <= noted
        former = {binding.frozen() for binding in old if binding.source.startswith("nrc.filter.")}
        assert former
        assert not former & noted


def ids_of(some: list[str]) -> list[str]:
    return sorted(some, key=lambda each: (len(each), each))
