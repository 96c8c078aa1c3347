"""Publishing on a real RabbitMQ: a fault of one exchange or message affects no other."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity
from yarl import URL

from router import names
from router.publishing import ExchangeMissing, Outgoing, Publisher, Refused, Unconfirmed
from router.queue_depth import depths
from runtime.amqp import connect
from runtime.lifecycle import Tasks
from schemas.abonnement import Abonnement
from schemas.errors import BrokerError, BrokerUnavailable, Unroutable
from tests.broker import Broker
from tests.chaos.faults.proxy import Proxy
from tests.eventually import eventually
from tests.integration.conftest import Running
from tests.integration.deliverer.delivering import delivering


@asynccontextmanager
async def publishing(vhost: str, *, mandatory: bool) -> AsyncIterator[tuple[Publisher, AbstractChannel]]:
    """A ready publisher, and a channel on which to prepare what it publishes to."""
    publisher = Publisher([vhost], name="test", mandatory=mandatory)
    connection = await aio_pika.connect(vhost)
    async with connection, Tasks() as tasks:
        channel = await connection.channel()
        await channel.declare_exchange(names.READY, "fanout", durable=True)
        tasks.start("publisher", publisher.run())
        await publisher.wait_ready(10)
        yield publisher, channel


async def outcome(publisher: Publisher, exchange: str, number: int) -> type[BrokerError] | None:
    try:
        await publisher.publish(Outgoing(exchange, "zaak.create", b"{}", f"{exchange}-{number}"))
    except BrokerError as error:
        return type(error)
    return None


async def test_an_exchange_that_is_deleted_under_load_disturbs_no_other(vhost: str) -> None:
    async with publishing(vhost, mandatory=False) as (publisher, channel):
        await channel.declare_exchange("good", "topic")
        before = publisher.link.connection
        for _ in range(5):
            await channel.declare_exchange("bad", "topic")
            assert await outcome(publisher, "bad", -1) is None
            await channel.exchange_delete("bad")
            found = await asyncio.gather(
                *(outcome(publisher, name, number) for number in range(30) for name in ("bad", "good"))
            )
            assert Counter(found[0::2]) == {ExchangeMissing: 30}
            assert Counter(found[1::2]) == {None: 30}
            assert publisher.link.connection is before


async def test_a_channel_on_which_rabbitmq_refuses_is_given_up(
    vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may go on refusing when the reason is over; what is under way on it is brought to its end."""
    monkeypatch.setattr("router.publishing.REFUSED_LANE", 0.0)
    async with publishing(vhost, mandatory=False) as (publisher, channel):
        exchange = await channel.declare_exchange("full", "fanout")
        arguments = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue("full", arguments=arguments, durable=True)
        await queue.bind(exchange)
        connection = publisher.link.connection
        assert connection is not None
        assert connection.transport is not None
        channels = connection.transport.connection.channels
        assert await outcome(publisher, "full", 0) is None
        (first,) = channels

        async def refused() -> bool:
            found = await asyncio.gather(*(outcome(publisher, "full", number) for number in range(10)))
            assert set(found) <= {None, Refused}
            return Refused in found

        await eventually(refused)
        await queue.purge()

        async def taken() -> bool:
            return await outcome(publisher, "full", 1) is None

        await eventually(taken)
        await eventually(lambda: len(channels) == 1)
        assert first not in channels
        assert publisher.link.connection is connection


async def test_messages_with_the_same_id_are_not_taken_for_each_other(vhost: str) -> None:
    """One notificatie waits for many abonnementen at once; those without a queue must be told apart."""
    async with publishing(vhost, mandatory=True) as (publisher, channel):
        exchange = await channel.declare_exchange("wait", "direct")
        queue = await channel.declare_queue("there", arguments={"x-queue-type": "quorum"}, durable=True)
        await queue.bind(exchange, "there")

        async def one(key: str) -> bool:
            try:
                await publisher.publish(Outgoing("wait", key, b"{}", "same-id"))
            except Unroutable:
                return False
            return True

        keys = ["there", "gone", "there", "gone", "gone", "there"] * 10
        assert await asyncio.gather(*map(one, keys)) == [key == "there" for key in keys]

        async def count() -> int:
            found = await channel.declare_queue("there", passive=True)
            return found.declaration_result.message_count or 0

        async def all_are_there() -> bool:
            return await count() == keys.count("there")

        await eventually(all_are_there)


@pytest.mark.parametrize("mandatory", [False, True])
async def test_a_lost_connection_is_made_again(vhost: str, mandatory: bool) -> None:
    async with publishing(vhost, mandatory=mandatory) as (publisher, channel):
        queue = await channel.declare_queue("there", arguments={"x-queue-type": "quorum"}, durable=True)
        await queue.bind(await channel.declare_exchange("x", "fanout"), "")
        assert await outcome(publisher, "x", 1) is None
        publisher.link.abort()

        async def again() -> bool:
            return await outcome(publisher, "x", 2) is None

        await eventually(again)


async def test_many_channels_that_rabbitmq_closes_cost_nobody_the_connection(vhost: str) -> None:
    connection = await connect(vhost, name="test")

    async def ask_in_vain() -> None:
        for _ in range(200):
            channel = connection.channel()
            await channel.initialize()
            with pytest.raises(ChannelNotFoundEntity):
                await channel.declare_queue("nobody.has.it", passive=True)

    # Two at a time: the number that one has freed is the next that the other would take.
    await asyncio.gather(ask_in_vain(), ask_in_vain())

    assert not connection.is_closed
    await connection.close()


@asynccontextmanager
async def stalling(vhost: str) -> AsyncIterator[tuple[Publisher, Proxy]]:
    """A ready publisher, and the proxy through which it goes."""
    url = URL(vhost)
    assert url.port
    async with AsyncExitStack() as opened:
        proxy = await opened.enter_async_context(Proxy(url.port))
        through = str(url.with_port(proxy.port))
        publisher, _ = await opened.enter_async_context(publishing(through, mandatory=False))
        yield publisher, proxy


async def test_a_channel_whose_opening_is_broken_off_cancels_no_publisher(vhost: str) -> None:
    """When the connection is lost the session breaks openings off; who waits for one must hear why."""
    async with stalling(vhost) as (publisher, proxy):
        proxy.stall()
        task = asyncio.create_task(outcome(publisher, "x", 1))
        await eventually(lambda: "x" in publisher._opening)
        publisher._opening["x"].cancel()

        done, _ = await asyncio.wait({task}, timeout=10)

        proxy.resume()
        assert done
        assert not task.cancelled()
        assert task.result() is BrokerUnavailable


async def test_a_publisher_that_is_cancelled_is(vhost: str) -> None:
    async with stalling(vhost) as (publisher, proxy):
        proxy.stall()
        task = asyncio.create_task(outcome(publisher, "x", 1))
        await eventually(lambda: publisher._opening)
        task.cancel()

        await asyncio.wait({task}, timeout=10)

        proxy.resume()
        assert task.cancelled()


@pytest.mark.parametrize("allowed", [2, 4])
async def test_more_exchanges_than_rabbitmq_allows_channels(broker: Broker, vhost: str, allowed: int) -> None:
    """Each of twelve exchanges is published to all the time, on a connection with room for a few channels."""
    if broker.private is None:
        pytest.skip("the limit can be set on a private node only")
    before = await broker.eval("{ok, M} = application:get_env(rabbit, channel_max), M.")
    await broker.eval(f"application:set_env(rabbit, channel_max, {allowed}).")
    try:
        async with publishing(vhost, mandatory=False) as (publisher, channel):
            exchanges = [f"kanaal{number}" for number in range(12)]
            for name in exchanges:
                await channel.declare_exchange(name, "topic")
            connection = publisher.link.connection
            found = await asyncio.gather(
                *(several(publisher, name, count=40) for name in exchanges for _ in range(3))
            )
            assert Counter(chain.from_iterable(found)) == {None: 12 * 3 * 40}
            assert publisher.link.connection is connection
    finally:
        await broker.eval(f"application:set_env(rabbit, channel_max, {before}).")


async def test_more_looks_at_once_than_rabbitmq_allows_channels(broker: Broker, vhost: str) -> None:
    if broker.private is None:
        pytest.skip("the limit can be set on a private node only")
    before = await broker.eval("{ok, M} = application:get_env(rabbit, channel_max), M.")
    await broker.eval("application:set_env(rabbit, channel_max, 4).")
    try:
        connection = await connect(vhost, name="test")
        looks = await asyncio.gather(*(depths(connection, ["none"]) for _ in range(20)))
        assert looks == [{"none": None}] * 20
        await connection.close()
    finally:
        await broker.eval(f"application:set_env(rabbit, channel_max, {before}).")


async def several(publisher: Publisher, exchange: str, *, count: int) -> list[type[BrokerError] | None]:
    return [await outcome(publisher, exchange, number) for number in range(count)]


async def test_a_queue_that_hangs_disturbs_no_other_exchange(broker: Broker, vhost: str) -> None:
    """RabbitMQ confirms nothing that goes to a queue without a leader; here its process is suspended."""
    if broker.private is None:
        pytest.skip("a queue can be suspended on a private node only")
    async with publishing(vhost, mandatory=False) as (publisher, channel):
        for name in ("hung", "good"):
            exchange = await channel.declare_exchange(name, "fanout")
            queue = await channel.declare_queue(name, arguments={"x-queue-type": "quorum"}, durable=True)
            await queue.bind(exchange)
            assert await outcome(publisher, name, 0) is None
        connection = publisher.link.connection
        process = f"'{URL(vhost).path.removeprefix('/')}_hung'"
        await broker.eval(f"sys:suspend({process}).")
        try:
            hung = asyncio.gather(*(outcome(publisher, "hung", number) for number in range(20)))
            found = []
            while not hung.done():
                found.append(await outcome(publisher, "good", len(found)))
            assert Counter(await hung) == {Unconfirmed: 20}
            found += await several(publisher, "good", count=20)
            assert Counter(found) == {None: len(found)}
            assert publisher.link.connection is connection
        finally:
            await broker.eval(f"sys:resume({process}).")

        async def taken() -> bool:
            return await outcome(publisher, "hung", 1) is None

        await eventually(taken)
        assert publisher.link.connection is connection


async def test_who_gets_no_channel_in_time_cuts_nobody_off(
    vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of that message was sent, and RabbitMQ works for all others."""
    async with publishing(vhost, mandatory=False) as (publisher, channel):
        for name in ("good", "waits"):
            await channel.declare_exchange(name, "fanout")
        assert await outcome(publisher, "good", 0) is None
        connection = publisher.link.connection
        no_room = asyncio.Event()
        monkeypatch.setattr(publisher, "_wait_for_room", lambda _: no_room.wait())
        waiting = asyncio.create_task(outcome(publisher, "waits", 0))
        found = []
        while not waiting.done():
            found.append(await outcome(publisher, "good", len(found)))
        assert await waiting is BrokerUnavailable
        no_room.set()
        assert await outcome(publisher, "waits", 1) is None
        assert Counter(found) == {None: len(found)}
        assert publisher.link.connection is connection


async def test_retries_for_a_queue_that_hangs_hold_up_no_others(broker: Broker, router: Running) -> None:
    """They all come out of one wait queue. More hang than RabbitMQ's own 32 that it has under way at once."""
    if broker.private is None:
        pytest.skip("a queue can be suspended on a private node only")
    vhost = URL(router.settings.amqp_url[0]).path.removeprefix("/")
    async with delivering(router) as setting:
        hung, good = await setting.subscribe(), await setting.subscribe()
        process = f"'{vhost}_{names.abonnement_queue(hung.uuid)}'"

        async def wait(abonnement: Abonnement, count: int) -> None:
            key = names.abonnement_queue(abonnement.uuid)
            await asyncio.gather(
                *(
                    setting.publisher.publish(Outgoing(names.wait_queue(1), key, b"{}", f"{key}-{number}"))
                    for number in range(count)
                )
            )

        await wait(hung, 1)  # who first publishes to a queue asks it first, and RabbitMQ waits for that
        await eventually(lambda: setting.depth_is(hung, 1))
        await broker.eval(f"sys:suspend({process}).")
        try:
            await wait(hung, 100)
            await wait(good, 1)
            await eventually(lambda: setting.depth_is(good, 1))
        finally:
            await broker.eval(f"sys:resume({process}).")
        await eventually(lambda: setting.depth_is(hung, 101))


async def test_a_virtual_host_that_is_not_there_is_named(vhost: str) -> None:
    elsewhere = URL(vhost).with_path("/not-there")
    with pytest.raises(
        BrokerUnavailable, match=r"there is no virtual host 'not-there', or user '.+' may not"
    ):
        await connect(str(elsewhere), name="test")
