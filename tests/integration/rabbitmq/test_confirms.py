"""A ConfirmChannel on a real RabbitMQ: what it sends arrives unchanged, and each publish gets its outcome."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aiormq.exceptions import ChannelClosed, ChannelNotFoundEntity, ChannelPreconditionFailed
from yarl import URL

from runtime.amqp import AMQP_ERRORS, Link
from runtime.amqp.confirms import ConfirmChannel, Outcome
from schemas.errors import BrokerUnavailable
from tests.broker import Broker
from tests.chaos.faults.proxy import Proxy
from tests.eventually import eventually

AT = datetime(2026, 1, 31, 1, 46, 3, tzinfo=UTC)
CONFIRMED, REFUSED, RETURNED = Outcome.CONFIRMED, Outcome.REFUSED, Outcome.RETURNED


class Setting:
    """A link that publishes, and an ordinary channel beside it for what a test prepares and looks at."""

    def __init__(self, link: Link, beside: AbstractChannel) -> None:
        self.link, self.beside = link, beside
        self.ended: list[str] = []

    async def channel(self, exchange: str, *, mandatory: bool = False) -> ConfirmChannel:
        return await self.link.confirm_channel(
            exchange, mandatory=mandatory, on_end=lambda: self.ended.append(exchange)
        )

    async def queue(self, exchange: str, *keys: str, **arguments: Any) -> AbstractQueue:
        """A queue (quorum, unless told otherwise) named as the exchange, bound to it by these keys."""
        made = await self.beside.declare_exchange(exchange, "direct", durable=True)
        arguments = {"x-queue-type": "quorum", **arguments}
        queue = await self.beside.declare_queue(exchange, durable=True, arguments=arguments)
        for key in keys:
            await queue.bind(made, key)
        return queue

    async def count(self, name: str) -> int:
        found = await self.beside.declare_queue(name, passive=True)
        return found.declaration_result.message_count or 0

    @property
    def numbers(self) -> set[int]:
        """Those of the channels that are open on the link's connection."""
        transport = getattr(self.link.connection, "transport", None)
        assert transport is not None
        return set(transport.connection.channels)


@asynccontextmanager
async def open_setting(url: str, through: str = "") -> AsyncIterator[Setting]:
    link, up = Link([through or url], name="test", publishes=True), asyncio.Event()

    async def session(connection: AbstractConnection) -> None:
        up.set()
        await connection.closed()

    async with AsyncExitStack() as opened:
        task = asyncio.create_task(link.run(session))

        async def stop() -> None:
            task.cancel()
            await asyncio.wait({task})

        opened.push_async_callback(stop)
        await asyncio.wait_for(up.wait(), 10)
        connection = await opened.enter_async_context(await aio_pika.connect(url))
        yield Setting(link, await connection.channel())


@pytest.fixture
async def setting(vhost: str) -> AsyncIterator[Setting]:
    async with open_setting(vhost) as setting:
        yield setting


async def publish(
    channel: ConfirmChannel,
    key: str = "k",
    *,
    body: bytes = b"{}",
    message_id: str = "id",
    headers: dict[str, Any] | None = None,
    at: datetime | None = None,
) -> Outcome:
    return await channel.publish(
        routing_key=key, body=body, message_id=message_id, headers=headers or {}, timestamp=at
    )


@pytest.mark.parametrize("headers", [{}, {"naam": "ë€😀", "leeg": "", "n": 12, "ja": True, "veel": 2**40}])
@pytest.mark.parametrize("size", [0, 1, 131_064, 131_065, 1_000_000])
async def test_a_message_arrives_as_it_was_sent(setting: Setting, size: int, headers: dict[str, Any]) -> None:
    """Also one of several frames: RabbitMQ takes 131,072 bytes in one."""
    queue = await setting.queue("x", "zaak.creëer")
    channel = await setting.channel("x")
    body = (bytes(range(256)) * 4000)[:size]
    sent = publish(channel, "zaak.creëer", body=body, message_id="n-é", headers=headers, at=AT)
    assert await sent is CONFIRMED

    found = await queue.get(no_ack=True)
    assert found is not None
    assert found.body == body
    assert {name: value for name, value in found.headers.items() if name != "x-delivery-count"} == headers
    assert (found.routing_key, found.message_id, found.timestamp) == ("zaak.creëer", "n-é", AT)
    assert (found.content_type, found.delivery_mode) == ("application/json", 2)


async def test_many_at_once_are_confirmed_together(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ acks several with one frame; each is counted once, and large ones come out whole between."""
    await setting.queue("x", "k")
    channel = await setting.channel("x")
    acks = Counter[bool]()
    told = channel._confirmed

    def confirmed(tag: int, bits: int, outcome: Outcome) -> None:
        acks[bool(bits & 1)] += 1
        told(tag, bits, outcome)

    monkeypatch.setattr(channel, "_confirmed", confirmed)
    sizes = [200_000 if number % 100 == 50 else number for number in range(2000)]
    found = await asyncio.gather(*(publish(channel, body=bytes(size)) for size in sizes))
    assert Counter(found) == {CONFIRMED: 2000}
    assert acks[True]
    assert acks.total() < 2000
    assert not channel._waiting
    assert await setting.count("x") == 2000


async def test_what_a_full_queue_refuses_is_told_from_what_it_takes(setting: Setting) -> None:
    queue = await setting.queue("x", "k", **{"x-max-length": 5, "x-overflow": "reject-publish"})
    channel = await setting.channel("x")
    found = Counter[Outcome]()
    while not found[REFUSED]:
        found.update(await asyncio.gather(*(publish(channel) for _ in range(50))))
    assert set(found) == {CONFIRMED, REFUSED}
    assert await setting.count("x") == found[CONFIRMED]
    await queue.purge()

    async def taken() -> bool:
        return await publish(channel) is CONFIRMED

    await eventually(taken)


@pytest.mark.parametrize("size", [0, 10, 300_000])
async def test_what_no_queue_takes_comes_back(setting: Setting, size: int) -> None:
    """Told apart by routing key where they have one message id, and by their turn where both are the same."""
    await setting.queue("x", "there")
    channel = await setting.channel("x", mandatory=True)
    keys = ["there", "gone", "there", "gone", "gone-too", "there"] * 5
    found = await asyncio.gather(
        *(publish(channel, key, body=bytes(size), message_id="same") for key in keys)
    )
    assert found == [CONFIRMED if key == "there" else RETURNED for key in keys]
    assert await setting.count("x") == keys.count("there")
    assert not channel._turns
    assert not channel._by_key

    optional = await setting.channel("x")
    assert await publish(optional, "gone") is CONFIRMED


async def test_a_publish_that_is_cancelled_takes_no_other_with_it(setting: Setting) -> None:
    """Its confirm comes all the same, and a second one of the same id and key waits for that."""
    queue = await setting.queue("x", "k")
    channel = await setting.channel("x", mandatory=True)
    first = asyncio.create_task(publish(channel, "k", message_id="same"))
    await eventually(lambda: channel._waiting, every=0)
    others = [asyncio.create_task(publish(channel, "k", message_id=f"{number}")) for number in range(20)]
    second = asyncio.create_task(publish(channel, "k", message_id="same"))
    third = asyncio.create_task(publish(channel, "k", message_id="same"))
    await asyncio.sleep(0)
    assert first.cancel()
    assert second.cancel()
    assert await asyncio.gather(*others) == [CONFIRMED] * 20
    assert await third is CONFIRMED
    assert first.cancelled()
    assert second.cancelled()
    await queue.unbind("x", "k")
    assert await publish(channel, "k", message_id="same") is RETURNED
    assert not channel._turns
    assert not channel._waiting


async def test_a_missing_exchange_ends_its_channel_and_no_other(setting: Setting) -> None:
    await setting.queue("good", "k")
    connection = setting.link.connection
    good = await setting.channel("good")
    for _ in range(20):
        bad = await setting.channel("bad", mandatory=True)
        both = asyncio.gather(
            *(publish(channel, message_id=f"{n}") for n in range(20) for channel in (bad, good)),
            return_exceptions=True,
        )
        found = await both
        assert found[1::2] == [CONFIRMED] * 20
        assert {type(error) for error in found[0::2]} == {ChannelNotFoundEntity}
        with pytest.raises(ChannelNotFoundEntity, match="no exchange 'bad'"):
            await publish(bad)
    assert setting.ended == ["bad"] * 20
    assert setting.numbers == {good.number}
    assert setting.link.connection is connection


async def test_two_goodbyes_that_cross_give_the_number_back_once(setting: Setting) -> None:
    connection = setting.link.connection
    for _ in range(50):
        bad = await setting.channel("bad")
        lost = asyncio.create_task(publish(bad))
        await asyncio.sleep(0)
        bad.close()
        with pytest.raises(ChannelClosed, match="by this side"):
            await lost
        with pytest.raises(ChannelClosed):
            await publish(bad)
    await eventually(lambda: not setting.numbers, within=60)
    assert setting.ended == ["bad"] * 50
    assert setting.link.connection is connection


async def test_an_opening_that_is_broken_off_gives_the_number_back(setting: Setting) -> None:
    for _ in range(20):
        opening = asyncio.create_task(setting.channel("x"))
        await eventually(lambda: setting.numbers, every=0)
        opening.cancel()
        await asyncio.wait({opening})
        await eventually(lambda: not setting.numbers, every=0)
    assert setting.ended == ["x"] * 20


async def test_a_body_over_the_limit_ends_the_channel_with_its_reason(
    setting: Setting, broker: Broker
) -> None:
    if broker.private is None:
        pytest.skip("only on a node of our own")
    await setting.queue("x", "k")
    before = await broker.set_max_message_size(20_000)
    try:
        channel = await setting.channel("x")
        assert await publish(channel, body=bytes(20_000)) is CONFIRMED
        with pytest.raises(ChannelPreconditionFailed, match="larger than"):
            await publish(channel, body=bytes(300_000))
    finally:
        await broker.set_max_message_size(before)
    assert setting.ended == ["x"]
    assert await publish(await setting.channel("x"), body=bytes(300_000)) is CONFIRMED


async def test_what_amqp_cannot_carry_harms_nobody(setting: Setting) -> None:
    await setting.queue("x", "k")
    channel = await setting.channel("x", mandatory=True)
    for headers, key in (({"a": "x" * 140_000}, "k"), ({}, "k" * 256), ({"a": "b"}, "é" * 128)):
        with pytest.raises(ValueError, match="bytes"):
            await publish(channel, key, headers=headers)
    large = {"a": "x" * 120_000}
    assert await publish(channel, headers=large) is CONFIRMED
    assert not channel._turns


@pytest.mark.parametrize("mandatory", [True, False])
async def test_a_lost_connection_is_told_to_all_who_wait(vhost: str, mandatory: bool) -> None:
    port = URL(vhost).port
    assert port
    async with Proxy(port) as proxy, open_setting(vhost, str(URL(vhost).with_port(proxy.port))) as setting:
        await setting.queue("x", "k")
        channel = await setting.channel("x", mandatory=mandatory)
        proxy.stall(up=False)
        lost = [asyncio.create_task(publish(channel, message_id=f"{n % 5}")) for n in range(20)]
        sent = 5 if mandatory else 20
        await eventually(lambda: len(channel._waiting) == sent)
        await eventually(lambda: setting.link.all_sent)

        async def all_came() -> bool:
            return await setting.count("x") == sent

        await eventually(all_came)  # a reset drops what the proxy has not read yet
        setting.link.abort()
        found = await asyncio.gather(*lost, return_exceptions=True)
        assert {type(error) for error in found} == {BrokerUnavailable}
        assert setting.ended == ["x"]
        proxy.resume()
        await eventually(all_came)

        async def again() -> bool:
            try:
                return await publish(await setting.channel("x", mandatory=mandatory)) is CONFIRMED
            except (BrokerUnavailable, *AMQP_ERRORS):
                return False

        await eventually(again)


async def test_what_waits_for_room_in_the_socket_is_not_sent_when_its_wait_ends(vhost: str) -> None:
    port = URL(vhost).port
    assert port
    async with Proxy(port) as proxy, open_setting(vhost, str(URL(vhost).with_port(proxy.port))) as setting:
        await setting.queue("x", "k")
        channel = await setting.channel("x")
        proxy.stall()
        first = asyncio.create_task(publish(channel, body=bytes(15_000_000)))
        await eventually(lambda: channel._waiting)
        await asyncio.sleep(0)
        later = [asyncio.create_task(publish(channel, body=bytes(10))) for _ in range(10)]
        await asyncio.sleep(0)
        assert len(channel._waiting) == 1
        for task in later:
            task.cancel()
        await asyncio.wait(later)
        proxy.resume()
        assert await asyncio.wait_for(first, 30) is CONFIRMED
        assert await publish(channel) is CONFIRMED
        assert await setting.count("x") == 2


async def test_a_connection_lost_while_it_waits_for_room_is_told_like_any_other(vhost: str) -> None:
    port = URL(vhost).port
    assert port
    async with Proxy(port) as proxy, open_setting(vhost, str(URL(vhost).with_port(proxy.port))) as setting:
        await setting.queue("x", "k")
        channel = await setting.channel("x")
        proxy.stall()
        first = asyncio.create_task(publish(channel, body=bytes(15_000_000)))
        await eventually(lambda: channel._waiting)
        later = [asyncio.create_task(publish(channel)) for _ in range(10)]
        await asyncio.sleep(0)
        proxy.cut()
        found = await asyncio.gather(first, *later, return_exceptions=True)
        assert {type(error) for error in found} == {BrokerUnavailable}


async def test_what_was_confirmed_is_there_after_a_kill(mortal_broker: Broker) -> None:
    assert mortal_broker.private
    async with AsyncExitStack() as opened:
        setting = await opened.enter_async_context(open_setting(mortal_broker.url))
        # A quorum queue that was made a moment before a kill may stand without a leader after it.
        await setting.queue("x", "k", **{"x-queue-type": "classic"})
        channel = await setting.channel("x")
        confirmed = 0

        async def keep_publishing() -> None:
            nonlocal confirmed
            with pytest.raises(BrokerUnavailable):
                while True:
                    assert await publish(channel, body=bytes(1000)) is CONFIRMED
                    confirmed += 1

        all_of_them = asyncio.gather(*(keep_publishing() for _ in range(30)))
        await eventually(lambda: confirmed > 500)
        await mortal_broker.private.kill()
        await asyncio.wait_for(all_of_them, 20)
        assert setting.ended == ["x"]
    await mortal_broker.private.start()
    async with open_setting(mortal_broker.url) as setting:

        async def there() -> bool:
            return confirmed <= await setting.count("x") <= confirmed + 30

        await eventually(there)


async def test_a_connection_with_nothing_but_confirms_is_kept(
    vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client library gives up a connection on which it sees no frames, here after 6 s."""
    monkeypatch.setattr("runtime.amqp.connection.HEARTBEAT", 1)
    async with open_setting(vhost) as setting:
        await setting.queue("x", "k")
        channel = await setting.channel("x")
        until = asyncio.get_running_loop().time() + 8
        while asyncio.get_running_loop().time() < until:
            assert await publish(channel) is CONFIRMED
        assert setting.ended == []
