"""Channels for declaring: many methods without an answer (`nowait`) in one write, then one with an answer.

RabbitMQ processes the methods of a channel in order, so after that answer all of them are done. It reports a
fault of a method without an answer by closing the channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import chain

from aio_pika.abc import AbstractConnection
from aiormq import Channel, spec
from aiormq.abc import ChannelFrame, FieldValue
from aiormq.exceptions import ChannelInvalidStateError
from pamqp.base import Frame

from router.topology import AbonnementTopology, Binding, Exchange, Queue
from runtime.amqp import close_reason, open_channel

AT_ONCE = 8  # channels


class Channels:
    """Channels of one connection that are kept and used again; AT_ONCE of them at most."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._idle: list[Channel] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Channel]:
        """A channel for exclusive use within the context. Raises BrokerUnavailable or AMQP_ERRORS."""
        async with self._turns:
            channel = self._idle.pop() if self._idle else None
            if channel is None or channel.is_closed:
                opened = await open_channel(self._connection)
                assert isinstance(opened, Channel)  # noqa: S101 - the client library's only one
                channel = opened
            yield channel
            if not channel.is_closed:
                self._idle.append(channel)

    async def do(self, methods: Iterable[Frame]) -> None:
        """Return when these methods, none of which has an answer, are done.

        When RabbitMQ closes the channel over one of them, raises its reason, such as ChannelNotFoundEntity:
        the methods before that one are done, those after it are not. Else BrokerUnavailable or AMQP_ERRORS.
        """
        if not (frames := list(methods)):
            return
        async with self.one() as channel:
            try:
                await channel.write_queue.put(ChannelFrame.marshall(channel.number, frames))
                await channel.basic_qos(prefetch_count=1)
            except ChannelInvalidStateError as error:  # closed before all was written
                raise close_reason(channel) or error from error


def declare_queue(queue: Queue) -> Frame:
    """The method that declares a queue."""
    return spec.Queue.Declare(queue=queue.name, durable=True, arguments=dict(queue.arguments), nowait=True)


def declare_exchange(exchange: Exchange) -> Frame:
    """The method that declares an exchange."""
    return spec.Exchange.Declare(
        exchange=exchange.name,
        exchange_type=exchange.type,
        durable=True,
        auto_delete=exchange.auto_delete,
        arguments=dict(exchange.arguments),
        nowait=True,
    )


def delete_exchange(name: str) -> Frame:
    """The method that deletes an exchange with its bindings, if it exists."""
    return spec.Exchange.Delete(exchange=name, nowait=True)


def bind(binding: Binding) -> Frame:
    """The method that binds a queue or an exchange."""
    to, of, key = binding.destination, binding.source, binding.key
    arguments: dict[str, FieldValue] = dict(binding.arguments)
    if binding.to == "queue":
        return spec.Queue.Bind(queue=to, exchange=of, routing_key=key, arguments=arguments, nowait=True)
    return spec.Exchange.Bind(destination=to, source=of, routing_key=key, arguments=arguments, nowait=True)


def bind_all(topology: AbonnementTopology) -> list[Frame]:
    """The methods that bind the queue of an abonnement, filter exchanges included, its marker not."""
    filtered = [
        (declare_exchange(way.exchange), bind(way.feed), bind(way.match)) for way in topology.filtered
    ]
    return [bind(topology.back), *chain.from_iterable(filtered), *map(bind, topology.direct)]


async def unbind(channel: Channel, binding: Binding) -> None:
    """Remove a binding, if it exists. Raises ChannelNotFoundEntity or AMQP_ERRORS."""
    to, of, key = binding.destination, binding.source, binding.key
    arguments: dict[str, FieldValue] = dict(binding.arguments)
    if binding.to == "queue":
        await channel.queue_unbind(to, of, key, arguments)
    else:
        await channel.exchange_unbind(to, of, key, arguments=arguments)
