"""Whether a queue can be consumed, found out beside the connection on which messages are in hand.

RabbitMQ names a queue before it has started it, and while it deletes it. Who consumes it then loses the whole
connection (541, INTERNAL_ERROR), and RabbitMQ delivers once more what was in hand on that. A queue without a
leader hangs who consumes it, and a minute later the connection is lost too. Asked about, such a queue seems
to be there, and empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage, FieldValue

from router import names
from runtime.amqp import AMQP_ERRORS, connect_to_first, describe, open_channel
from schemas.errors import BrokerError

AT_ONCE = 8  # queues that are tried, each on a connection of its own
ANSWER_TIMEOUT = 5.0  # seconds
CLOSE_TIMEOUT = 1.0  # seconds
AFTER_OTHERS: dict[str, FieldValue] = {"x-priority": -1}


class QueueMissing(BrokerError):
    """A queue that should be consumed does not exist, or cannot be reached now."""


class Trying:
    """Tries queues by consuming them, and requeues at once what came in.

    Connections are shared by those that are tried at the same time, and closed when none is.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._places = asyncio.Semaphore(AT_ONCE)
        self._under_way = 0
        self._spare: list[AbstractConnection] = []

    async def consume(self, abonnement: UUID) -> None:
        """Return when the queue of this abonnement could be consumed.

        Raises QueueMissing when it could not, and BrokerUnavailable when there is no connection.
        """
        self._under_way += 1
        try:
            async with self._places:
                await self._consume(names.abonnement_queue(abonnement))
        finally:
            self._under_way -= 1
            while not self._under_way and self._spare:
                await _close(self._spare.pop())

    async def _consume(self, queue: str) -> None:
        connection = self._spare.pop() if self._spare else None
        if connection is None:
            connection = await connect_to_first(self._urls, name="deliverer trying")
        works = False
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await _try(connection, queue)
            works = True
        except AMQP_ERRORS as error:
            raise QueueMissing(f"{queue}: {describe(error)}") from error
        finally:
            if works:
                self._spare.append(connection)
            else:
                await _close(connection)


async def _try(connection: AbstractConnection, queue: str) -> None:
    channel = await open_channel(connection)
    await channel.basic_qos(prefetch_count=1)
    answer = await channel.basic_consume(queue, _leave, arguments=AFTER_OTHERS)
    # RabbitMQ answers before it consumes. What it answers after that proves that it did.
    await channel.basic_cancel(answer.consumer_tag or "")
    await channel.close()  # requeues


async def _leave(_: DeliveredMessage) -> None:
    pass


async def _close(connection: AbstractConnection) -> None:
    with suppress(*AMQP_ERRORS):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await connection.close()
