"""Walking through a queue, and taking messages out of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import aio_pika
import pytest
from aio_pika.abc import Arguments
from aiormq.abc import DeliveredMessage
from yarl import URL

from router.depth import Depth, depths
from router.walk import oldest, walk
from tests.broker import Broker
from tests.eventually import eventually

QUORUM: Arguments = {"x-queue-type": "quorum", "x-delivery-limit": 100_000}
"""As our queues have it: without a limit what is given back goes behind all else."""


@pytest.mark.parametrize("_", range(3), ids=["once", "twice", "thrice"])
async def test_all_that_was_removed_is_gone_when_the_queue_is_slow(
    broker: Broker, vhost: str, _: int
) -> None:
    """RabbitMQ forgets acknowledgements that it keeps for later when their channel is closed."""
    if broker.private is None:
        pytest.skip("a queue can be suspended on a private node only")
    process = f"'{URL(vhost).path.removeprefix('/')}_slow'"
    async with await aio_pika.connect(vhost) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("slow", durable=True, arguments=QUORUM)
        for number in range(130):
            message = aio_pika.Message(b"{}", delivery_mode=2, message_id=str(number))
            await channel.default_exchange.publish(message, queue.name)
        going: list[DeliveredMessage] = []
        resumed = []

        async def resume() -> None:
            await asyncio.sleep(0.5)
            await broker.eval(f"sys:resume({process}).")

        async def remove(message: DeliveredMessage) -> bool:
            if len(going) == 100:
                await broker.eval(f"sys:suspend({process}).")
                resumed.append(asyncio.create_task(resume()))
            going.append(message)
            return True

        def wanted(message: DeliveredMessage) -> bool:
            return message.header.properties.message_id not in ("3", "120")

        async with await aio_pika.connect(vhost) as another:
            await walk(another, queue.name, at_most=1000, look=wanted, remove=remove)
        await asyncio.gather(*resumed)
        left = []
        while (found := await queue.get(fail=False, timeout=5)) is not None:
            left.append(found.message_id)
    assert len(going) == 128
    assert left == ["3", "120"]


async def test_to_ask_since_when_something_waits_leaves_its_order(broker: Broker, vhost: str) -> None:
    """RabbitMQ puts what is given back behind what was given back before."""
    since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    async with await aio_pika.connect(vhost) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("looked-at", durable=True, arguments=QUORUM)
        for number in range(100):
            at = since + timedelta(seconds=number)
            message = aio_pika.Message(b"{}", delivery_mode=2, message_id=str(number), timestamp=at)
            await channel.default_exchange.publish(message, queue.name)
        seen: list[str | None] = []

        def look(message: DeliveredMessage) -> bool:
            seen.append(message.header.properties.message_id)
            return False

        async def full() -> bool:
            """What was given back last may not be there yet."""
            return (await depths(connection, [queue.name]))[queue.name] == Depth(100, 0)

        async def first() -> datetime:
            await eventually(full)
            return (await oldest(connection, {queue.name: Depth(100, 0)}))[queue.name]

        assert [await first() for _ in range(3)] == [since] * 3
        await eventually(full)
        await walk(connection, queue.name, at_most=1000, look=look)
        assert [await first() for _ in range(3)] == [since] * 3
        await eventually(full)
        await walk(connection, queue.name, at_most=1000, look=look)
    assert seen == 2 * [str(number) for number in range(100)]
