"""How full queues are, who consumes them, and since when, as RabbitMQ itself says. Only looks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity

from runtime.amqp import AMQP_ERRORS, describe
from schemas.errors import BrokerUnavailable

GET_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Depth:
    """messages: those ready to be delivered, so without those that a consumer holds."""

    messages: int
    consumers: int


async def depths(connection: AbstractConnection, queues: Iterable[str]) -> dict[str, Depth | None]:
    """The depth of each queue by name; None when it is not there. Raises BrokerUnavailable."""
    found: dict[str, Depth | None] = {}
    channel = connection.channel()
    try:
        for name in queues:
            if not channel.is_initialized or channel.is_closed:
                # The answer that a queue is not there closes the channel.
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


async def oldest(connection: AbstractConnection, queues: Iterable[str]) -> dict[str, datetime]:
    """When the first message of each queue was accepted (UTC), of those that have one that says so.

    It is taken and given back at once: a quorum queue gives it out first again. Raises BrokerUnavailable.
    """
    found: dict[str, datetime] = {}
    try:
        async with connection.channel() as channel:
            for name in queues:
                queue = await channel.get_queue(name, ensure=False)
                message = await queue.get(fail=False, timeout=GET_TIMEOUT)
                if message is None:
                    continue
                await message.nack(requeue=True)
                if message.timestamp is not None:
                    at = message.timestamp
                    found[name] = at if at.tzinfo else at.replace(tzinfo=UTC)
    except AMQP_ERRORS as error:
        raise BrokerUnavailable(describe(error)) from error
    return found
