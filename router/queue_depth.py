"""How many messages and consumers queues have, as RabbitMQ reports. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity

from router.names import abonnement_queue
from runtime.amqp import AMQP_ERRORS, describe
from schemas.errors import BrokerUnavailable

LOOK_TIMEOUT, LOOK_TIME = 5.0, 0.02  # seconds: for all, and for each queue


@dataclass(frozen=True, slots=True)
class Depth:
    """messages: those that are ready, without those that are unacknowledged."""

    messages: int
    consumers: int


async def ready_of(connection: AbstractConnection, abonnementen: Iterable[UUID]) -> dict[UUID, int | None]:
    """How many messages are ready in the queue of each; None where it is missing.

    Raises BrokerUnavailable, also when one of them has no leader.
    """
    queues = {uuid: abonnement_queue(uuid) for uuid in abonnementen}
    try:
        async with asyncio.timeout(LOOK_TIMEOUT + len(queues) * LOOK_TIME):
            found = await depths(connection, queues.values())
    except TimeoutError:
        raise BrokerUnavailable("RabbitMQ did not answer in time") from None
    return {
        uuid: None if (depth := found[queue]) is None else depth.messages for uuid, queue in queues.items()
    }


async def depth_of(connection: AbstractConnection, queue: str) -> Depth | None:
    """The depth of one queue; None when it does not exist. Raises BrokerUnavailable."""
    return (await depths(connection, [queue]))[queue]


async def depths(connection: AbstractConnection, queues: Iterable[str]) -> dict[str, Depth | None]:
    """The depth of each queue by name; None when it does not exist. Raises BrokerUnavailable."""
    found: dict[str, Depth | None] = {}
    channel = connection.channel()
    try:
        for name in queues:
            if not channel.is_initialized or channel.is_closed:
                # RabbitMQ closes the channel when a queue does not exist.
                channel = connection.channel()
                await channel.initialize()
            try:
                queue = await channel.declare_queue(name, passive=True)
            except ChannelNotFoundEntity:
                found[name] = None
                continue
            counted = queue.declaration_result
            found[name] = Depth(counted.message_count or 0, counted.consumer_count or 0)
        if channel.is_initialized and not channel.is_closed:
            await channel.close()
    except AMQP_ERRORS as error:
        raise BrokerUnavailable(describe(error)) from error
    return found
