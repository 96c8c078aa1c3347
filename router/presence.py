"""Which exchanges and queues are there. Only looks, and costs little however many there are.

Each is declared passively without waiting for an answer; after some hundred of them one question that has an
answer tells whether the channel still stands, and so whether all of them do. If not, what is missing is found
by halving.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from aio_pika.abc import AbstractConnection
from aiormq import Channel, spec
from aiormq.abc import ChannelFrame
from aiormq.exceptions import ChannelInvalidStateError, ChannelNotFoundEntity
from pamqp.base import Frame

from runtime.amqp import close_reason, open_channel
from store.registry import DeclaredKind

AT_ONCE = 128  # things about which one question is asked
CHANNELS = 4  # for a look at many


@dataclass(frozen=True, slots=True)
class Thing:
    """An exchange or a queue by name."""

    kind: DeclaredKind
    name: str

    @staticmethod
    def queue(name: str) -> Thing:
        """A queue."""
        return Thing(DeclaredKind.QUEUE, name)

    @staticmethod
    def exchange(name: str) -> Thing:
        """An exchange."""
        return Thing(DeclaredKind.EXCHANGE, name)


async def missing(connection: AbstractConnection, things: Sequence[Thing]) -> list[Thing]:
    """Those that are not there, in their order. Raises AMQP_ERRORS."""
    part = max(AT_ONCE, -(-len(things) // CHANNELS))
    starts = range(0, len(things), part)
    found = await asyncio.gather(*(_missing(connection, things[start : start + part]) for start in starts))
    return [*chain.from_iterable(found)]


async def _missing(connection: AbstractConnection, things: Sequence[Thing]) -> list[Thing]:
    look = _Look(connection)
    try:
        return await look.missing(things)
    finally:
        await look.close()


class _Look:
    """One look, on a channel that is made again after each answer that something is missing."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._channel: Channel | None = None

    async def missing(self, things: Sequence[Thing]) -> list[Thing]:
        """Asks about more at once as long as all are there, and halves a part in which one is missing."""
        found: list[Thing] = []
        start, size, bad = 0, AT_ONCE, 0
        while start < len(things):
            end = start + (max(1, (bad - start) // 2) if bad else min(size, len(things) - start))
            if bad == start + 1 or not await self._all_there(things[start:end]):
                if end > start + 1:
                    bad = end
                    continue
                found.append(things[start])
                # What is missing often comes in groups: the next is asked for by itself.
                size, bad = 1, 0
            elif not bad:
                size = min(2 * size, AT_ONCE)
            start = end
        return found

    async def _all_there(self, things: Sequence[Thing]) -> bool:
        channel = await self._open()
        try:
            frames = [_passive(thing) for thing in things]
            await channel.write_queue.put(ChannelFrame.marshall(channel.number, frames))
            await channel.basic_qos(prefetch_count=1)
        except ChannelNotFoundEntity:
            return False
        except ChannelInvalidStateError:
            # It closed before all was written.
            if isinstance(close_reason(channel), ChannelNotFoundEntity):
                return False
            raise
        return True

    async def _open(self) -> Channel:
        if self._channel is None or self._channel.is_closed:
            opened = await open_channel(self._connection)
            assert isinstance(opened, Channel)  # noqa: S101 - the client library's only one
            self._channel = opened
        return self._channel

    async def close(self) -> None:
        if self._channel is not None and not self._channel.is_closed:
            await self._channel.close()


def _passive(thing: Thing) -> Frame:
    # Without an answer RabbitMQ does not ask a queue how full it is either, only whether it is there.
    if thing.kind is DeclaredKind.QUEUE:
        return spec.Queue.Declare(queue=thing.name, passive=True, nowait=True)
    return spec.Exchange.Declare(exchange=thing.name, passive=True, nowait=True)
