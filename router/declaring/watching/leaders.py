"""Finds quorum queues without a leader: they seem empty, and every process that uses them hangs.

RabbitMQ reports such a queue as empty and without consumers. So each queue that it reports so is asked for a
message (basic.get), which any other queue answers at once. RabbitMQ closes the whole connection when it could
not answer for a minute, and at once when a queue has no process at all: its declaration was cut off. So each
look has connections of its own. Changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.exceptions import AMQPChannelError, ConnectionInternalError

from router.queue_depth import depths
from runtime.amqp import AMQP_ERRORS, connect_to_first, open_channel
from runtime.log import logger
from schemas.errors import BrokerUnavailable

ANSWER_TIMEOUT = 5.0  # seconds
CLOSE_TIMEOUT = 1.0  # seconds
FIRST_LOOK, INTERVAL = 20.0, 60.0  # seconds

log = logger(__name__)


async def watch_leaders(urls: Sequence[str], queues: Callable[[], Iterable[str]]) -> None:
    """Log each of `queues` that has no leader, every INTERVAL, until cancelled.

    The first look is FIRST_LOOK seconds from now: while nobody consumes yet, each queue has to be asked.
    """
    await asyncio.sleep(FIRST_LOOK)
    while True:
        with suppress(BrokerUnavailable, *AMQP_ERRORS):
            for name in await leaderless(urls, queues()):
                log.warning("queue has no leader", queue=name)
        await asyncio.sleep(INTERVAL)


async def leaderless(urls: Sequence[str], queues: Iterable[str]) -> list[str]:
    """Those of the queues that have no leader. Raises BrokerUnavailable or AMQP_ERRORS."""
    connection = await connect_to_first(urls, name="router looking")
    try:
        found = await depths(connection, queues)
    finally:
        await _close(connection)
    suspects = deque(name for name, depth in found.items() if depth and not depth.messages + depth.consumers)
    silent = []
    while suspects:
        connection = await connect_to_first(urls, name="router looking")
        try:
            if name := await _first_silent(connection, suspects):
                silent.append(name)
        finally:
            await _close(connection)
    return silent


async def _first_silent(connection: AbstractConnection, suspects: deque[str]) -> str | None:
    """The first that does not answer; it and those before it are taken out of `suspects`."""
    while suspects:
        channel = await open_channel(connection)
        with suppress(AMQPChannelError):  # it was deleted meanwhile
            while suspects:
                name = suspects.popleft()
                try:
                    async with asyncio.timeout(ANSWER_TIMEOUT):
                        message = await channel.basic_get(name)
                except (TimeoutError, ConnectionInternalError):
                    return name
                if isinstance(message.delivery, spec.Basic.GetOk):
                    await channel.basic_nack(message.delivery_tag or 0, requeue=True)
            await channel.close()
    return None


async def _close(connection: AbstractConnection) -> None:
    with suppress(*AMQP_ERRORS):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await connection.close()
