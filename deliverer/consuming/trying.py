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
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import UUID

from aio_pika.abc import AbstractConnection
from aiormq import Channel
from aiormq.abc import DeliveredMessage, FieldValue

from router import names
from runtime.amqp import AMQP_ERRORS, connect_to_first, describe, open_channel
from schemas.errors import BrokerError

AT_ONCE = 8  # queues that are tried, each on a connection of its own
ANSWER_TIMEOUT = 5.0  # seconds
CLOSE_TIMEOUT = 1.0  # seconds
IDLE = 5.0  # seconds after which connections are closed on which nothing is tried
AFTER_OTHERS: dict[str, FieldValue] = {"x-priority": -1}


class QueueMissing(BrokerError):
    """A queue that should be consumed does not exist, or cannot be reached now."""


class Trying:
    """Tries queues by consuming them, and requeues at once what came in. A context manager.

    Connections are used again for what is tried soon after: abonnementen are often made many at once.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._places = asyncio.Semaphore(AT_ONCE)
        self._under_way = 0
        self._spare: list[_Place] = []
        self._closing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closing is not None:
            self._closing.cancel()
        while self._spare:
            await _close(self._spare.pop().connection)

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
            if self._spare and (self._closing is None or self._closing.done()):
                self._closing = asyncio.create_task(self._close_idle(), name="closing what tried queues")

    async def _close_idle(self) -> None:
        while True:
            await asyncio.sleep(IDLE)
            if not self._under_way:
                break
        while self._spare:
            await _close(self._spare.pop().connection)

    async def _consume(self, queue: str) -> None:
        place = await self._place()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await place.consume(queue)
        except AMQP_ERRORS as error:
            await _close(place.connection)
            raise QueueMissing(f"{queue}: {describe(error)}") from error
        except asyncio.CancelledError:
            await _close(place.connection)
            raise
        self._spare.append(place)

    async def _place(self) -> _Place:
        while self._spare:
            place = self._spare.pop()
            if place.channel is None or not place.channel.is_closed:
                return place
            await _close(place.connection)
        return _Place(await connect_to_first(self._urls, name="deliverer trying"))


@dataclass(slots=True)
class _Place:
    """A connection on which one queue at a time is tried, and its channel."""

    connection: AbstractConnection
    channel: Channel | None = None

    async def consume(self, queue: str) -> None:
        """Consume the queue and cancel that. Raises AMQP_ERRORS."""
        channel = self.channel
        if channel is None:
            opened = await open_channel(self.connection)
            assert isinstance(opened, Channel)  # noqa: S101 - the client library's only one
            channel = self.channel = opened
            await channel.basic_qos(prefetch_count=1)
        came: list[DeliveredMessage] = []

        async def leave(message: DeliveredMessage) -> None:
            came.append(message)

        # RabbitMQ answers before it consumes. What it answers after that proves that it did.
        answer = await channel.basic_consume(queue, leave, arguments=AFTER_OTHERS)
        await channel.basic_cancel(answer.consumer_tag or "")
        if came:
            self.channel = None
            await channel.close()  # requeues


async def _close(connection: AbstractConnection) -> None:
    with suppress(*AMQP_ERRORS):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await connection.close()
