"""Consumers that read a queue of their own in RabbitMQ, with a router that has RabbitMQ's HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, AbstractQueue
from yarl import URL

from router import names
from router.amqp_direct.connecting import amqp_abonnement
from router.amqp_direct.passwords import new_password
from router.amqp_direct.queues import AmqpQueue
from router.amqp_direct.registering import add_amqp
from runtime.amqp import connect
from schemas.abonnement import FilterGroup
from tests.integration.deliverer.delivering import Delivering


@dataclass
class Consumer:
    """The consumer of one abonnement, with the password that it was told."""

    uuid: UUID
    password: str
    vhost: str
    ready: bool

    @property
    def queue(self) -> str:
        return names.amqp_queue(self.uuid)

    @property
    def url(self) -> str:
        return str(URL(self.vhost).with_user(self.queue).with_password(self.password))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[AbstractConnection]:
        connection = await connect(self.url, name="consumer")
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def reading(self, **arguments: Any) -> AsyncIterator[Reading]:
        """As a consumer that acknowledges what it gets."""
        async with self.connected() as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=10)
            queue = await channel.get_queue(self.queue, ensure=False)
            yield Reading(queue, arguments)


@dataclass
class Reading:
    """An open queue. arguments: of the consumer, such as x-stream-offset."""

    queue: AbstractQueue
    arguments: dict[str, Any]

    async def next(self, count: int) -> list[AbstractIncomingMessage]:
        """The next so many messages, acknowledged."""
        found: list[AbstractIncomingMessage] = []
        arguments = {name.replace("_", "-"): value for name, value in self.arguments.items()}
        async with asyncio.timeout(15), self.queue.iterator(arguments=arguments) as messages:
            async for message in messages:
                await message.ack()
                found.append(message)
                if len(found) == count:
                    break
        return found


async def a_consumer(spine: Delivering, *, filters: dict[str, str] | None = None, **of: Any) -> Consumer:
    """A new abonnement of type amqp on the kanaal, as a gateway makes it."""
    password = new_password()
    new = amqp_abonnement(
        uuid4(),
        of=AmqpQueue.model_validate(of),
        kanalen=(FilterGroup(spine.kanaal.naam, tuple((filters or {}).items())),),
        client_id="test",
        password=password,
    )
    ready = await add_amqp(spine.router.registry, spine.router.client, new)
    return Consumer(new.uuid, password, spine.router.settings.amqp_url[0], ready)


def with_password(consumer: Consumer, password: str) -> Consumer:
    """The same consumer, with another password."""
    return replace(consumer, password=password)
