"""What tests of the private node have RabbitMQ keep, and look at after it."""

from __future__ import annotations

import asyncio

import aio_pika


async def put(url: str, body: bytes) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
        await channel.default_exchange.publish(aio_pika.Message(body, delivery_mode=2), "kept")


async def first_of(url: str) -> bytes:
    """The first message; it stays in its queue."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("kept", passive=True)
        # Not basic.get: it hangs while a quorum queue that was killed elects its leader.
        async with asyncio.timeout(30), queue.iterator() as messages:
            async for message in messages:
                return message.body
    raise AssertionError("the queue was deleted")


async def classic_queue_works(url: str, body: bytes = b"new") -> bytes:
    """The first message of classic queue `kept-classic`, which is made when it is not there; it stays."""
    async with asyncio.timeout(20), await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("kept-classic", durable=True)
        await channel.default_exchange.publish(aio_pika.Message(body, delivery_mode=2), queue.name)
        return (await queue.get(timeout=5)).body
