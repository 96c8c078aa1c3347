"""One channel and the consumers on it.

Some fifty consumers share a channel, and an error closes it with all of them. So nothing that may fail is
done on it: whether a queue exists is asked on another channel first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self
from uuid import UUID

from aio_pika.abc import AbstractConnection
from aiormq import Channel, spec
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import AMQPChannelError
from pamqp.base import Frame

from deliverer.attempting.deliver import prepare
from deliverer.attempting.faults import Faults
from deliverer.attempting.settle import Delivery, Origin
from deliverer.consuming.prefetch import Budget
from deliverer.consuming.trying import QueueMissing
from router import names
from router.queue_depth import depths
from runtime.amqp import AMQP_ERRORS, ask_all, describe, open_channel
from runtime.log import logger
from schemas.errors import BrokerError, BrokerUnavailable

CAPACITY = 50  # consumers

log = logger(__name__)

Deliver = Callable[[Delivery], Awaitable[object]]


class ConsumeRefused(BrokerError):
    """An existing queue cannot be consumed, and RabbitMQ closed the channel with all its consumers."""


@dataclass(slots=True, eq=False)
class Consumer:
    """The consumer of one abonnement's queue.

    stopped: set when no more of its messages come in. not_kept: bytes of a message that exceeded the budget,
    0 when there was none.
    """

    abonnement: UUID
    channel: ConsumingChannel
    not_kept: int = 0
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def tag(self) -> str:
        """Its consumer tag, as shown in RabbitMQ's management pages."""
        return str(self.abonnement)


class ConsumingChannel:
    """Up to CAPACITY consumers on one channel. Make it with `open`.

    lost: called with each consumer that RabbitMQ ended (its queue was deleted, the channel closed). too_much:
    called with the consumer of a message that exceeds the budget; the caller cancels it, after which the
    message is requeued.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        channel: Channel,
        *,
        deliver: Deliver,
        faults: Faults,
        budget: Budget,
        lost: Callable[[Consumer], None],
        too_much: Callable[[Consumer], None],
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._deliver = deliver
        self._faults = faults
        self._budget = budget
        self._lost = lost
        self._too_much = too_much
        self._prefetch = 0
        self._origin = Origin(channel)
        self._asking: AbstractChannel | None = None
        self._consumers: dict[str, Consumer] = {}
        self._under_way: set[asyncio.Task[Any]] = set()
        channel.on_consumer_cancel_callbacks.add(self._cancelled_by_broker)
        channel.closing.add_done_callback(self._closed)

    @classmethod
    async def open(
        cls,
        connection: AbstractConnection,
        *,
        deliver: Deliver,
        faults: Faults,
        budget: Budget,
        lost: Callable[[Consumer], None],
        too_much: Callable[[Consumer], None],
    ) -> Self:
        """A new channel."""
        channel = await open_channel(connection)
        assert isinstance(channel, Channel)  # noqa: S101 - the client library's only one
        return cls(
            connection,
            channel,
            deliver=deliver,
            faults=faults,
            budget=budget,
            lost=lost,
            too_much=too_much,
        )

    @property
    def is_closed(self) -> bool:
        """Whether it can no longer be used."""
        return self._channel.is_closed

    @property
    def room(self) -> int:
        """How many more consumers fit on it."""
        return CAPACITY - len(self._consumers)

    async def consume(self, abonnement: UUID) -> Consumer:
        """Consume this abonnement's queue, with the prefetch that the budget gives it.

        One call at a time. Raises QueueMissing, with the channel still open, ConsumeRefused or AMQP_ERRORS.
        """
        await self._check_queue(names.abonnement_queue(abonnement))
        if (prefetch := self._budget.prefetch_of(abonnement)) != self._prefetch:
            # basic.qos applies to the consumers that begin on the channel after it.
            await self._channel.basic_qos(prefetch_count=prefetch)
            self._prefetch = prefetch
        consumer = Consumer(abonnement, self)
        self._consumers[consumer.tag] = consumer
        # RabbitMQ closes the connection (541) when a queue is consumed again while it has unacked messages.
        await self._origin.ack_all()
        try:
            await self._channel.basic_consume(
                names.abonnement_queue(abonnement),
                partial(self._on_message, consumer),
                consumer_tag=consumer.tag,
            )
            # RabbitMQ answers before it consumes. What it answers after that proves that it did.
            await self._channel.basic_qos(prefetch_count=self._prefetch)
        except AMQPChannelError as error:
            self._consumers.pop(consumer.tag, None)
            raise ConsumeRefused(describe(error)) from error
        return consumer

    async def consume_all(self, abonnementen: Sequence[UUID]) -> list[Consumer]:
        """Consume the queues of these, as `consume` does, in one write; leaves out those that are missing
        or cannot be looked at.

        One call at a time. Raises ConsumeRefused when RabbitMQ refused one of them and closed the channel,
        else AMQP_ERRORS.
        """
        queues = {uuid: names.abonnement_queue(uuid) for uuid in abonnementen}
        try:
            found = await depths(self._connection, queues.values())
        except BrokerUnavailable:  # the connection, or one of them, on which `consume` will fail
            return []
        consumers = [Consumer(uuid, self) for uuid in abonnementen if found[queues[uuid]] is not None]
        if not consumers:
            return []
        methods: list[Frame] = []
        for consumer in consumers:
            if (prefetch := self._budget.prefetch_of(consumer.abonnement)) != self._prefetch:
                methods.append(spec.Basic.Qos(prefetch_count=prefetch))
                self._prefetch = prefetch
            queue = queues[consumer.abonnement]
            methods.append(spec.Basic.Consume(queue=queue, consumer_tag=consumer.tag))
            self._consumers[consumer.tag] = consumer
            self._channel.consumers[consumer.tag] = partial(self._on_message, consumer)
        methods.append(spec.Basic.Qos(prefetch_count=self._prefetch))  # as in `consume`
        await self._origin.ack_all()
        try:
            await ask_all(self._channel, methods, answers=[])
        except AMQPChannelError as error:
            for consumer in consumers:
                self._consumers.pop(consumer.tag, None)
            raise ConsumeRefused(describe(error)) from error
        return consumers

    async def cancel(self, consumer: Consumer) -> None:
        """End a consumer. The messages that came in are still delivered."""
        if self._consumers.pop(consumer.tag, None) is None:
            return
        # Not nowait: messages that RabbitMQ sends before the cancel arrives would stay unacked until the end.
        with suppress(*AMQP_ERRORS):
            await self._channel.basic_cancel(consumer.tag)
        consumer.stopped.set()

    async def finish(self) -> None:
        """Return when no message is under way any more."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def close(self) -> None:
        """Cancel what is under way, and requeue all unsettled messages."""
        under_way = list(self._under_way)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._origin.ack_all()
        # Tag 0: all unsettled messages of this channel.
        await self._origin.requeue(0, all_before=True)
        self._origin.leave()
        with suppress(*AMQP_ERRORS):
            await self._channel.close()

    async def _check_queue(self, name: str) -> None:
        try:
            if self._asking is None or self._asking.is_closed:
                self._asking = await open_channel(self._connection)
            await self._asking.queue_declare(name, passive=True)
        except AMQPChannelError as error:
            raise QueueMissing(f"{name}: {describe(error)}") from error

    async def _on_message(self, consumer: Consumer, message: DeliveredMessage) -> None:
        """One task for each message; the client library cancels it when the channel closes."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we are in it
        self._under_way.add(task)
        tag, size = message.delivery_tag or 0, len(message.body)
        try:
            if not self._budget.take(consumer.abonnement, size):
                del message  # with its body
                consumer.not_kept = size
                self._too_much(consumer)
                await consumer.stopped.wait()
                await self._origin.requeue(tag)
                return
            try:
                await self._bring(consumer, message)
            finally:
                self._budget.give(consumer.abonnement, size)
        finally:
            self._under_way.discard(task)

    async def _bring(self, consumer: Consumer, message: DeliveredMessage) -> None:
        abonnement, origin, delivery = consumer.abonnement, self._origin, None
        try:
            delivery = prepare(
                message, abonnement=abonnement, origin=origin, consumer_stopped=consumer.stopped
            )
            await self._deliver(delivery)
        except Exception as error:
            tag = message.delivery_tag or 0
            await self._faults.settle(error, delivery, abonnement=abonnement, origin=origin, tag=tag)

    def _cancelled_by_broker(self, frame: Any) -> None:
        consumer = self._consumers.pop(frame.consumer_tag, None)
        if consumer is not None:
            # Mostly the router removed the abonnement; if not, warnings follow.
            log.info("queue was deleted", abonnement=consumer.tag)
            consumer.stopped.set()
            self._lost(consumer)

    def _closed(self, closing: asyncio.Future[Any]) -> None:
        self._origin.leave()
        lost = list(self._consumers.values())
        self._consumers.clear()
        if lost:
            error = None if closing.cancelled() else closing.exception()
            log.warning(
                "channel closed; its queues will be consumed on another",
                queues=len(lost),
                reason=describe(error) if error is not None else "",
            )
        for consumer in lost:
            consumer.stopped.set()
            self._lost(consumer)
