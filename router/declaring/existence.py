"""Finds which exchanges and queues exist, at little cost. Changes nothing.

They are declared passively, AT_ONCE with one answer (Channels.do): either all exist, or RabbitMQ closes the
channel. Then what is missing is found by halving.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from aiormq import spec
from aiormq.exceptions import ChannelNotFoundEntity
from pamqp.base import Frame

from router.declaring.channels import Channels
from store.registry import DeclaredKind

AT_ONCE = 128  # things in one question
PARTS = 4  # parallel parts of a large look


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


async def missing(channels: Channels, things: Sequence[Thing]) -> list[Thing]:
    """Those that do not exist, in their order. Raises BrokerUnavailable or AMQP_ERRORS."""
    part = max(AT_ONCE, -(-len(things) // PARTS))
    starts = range(0, len(things), part)
    found = await asyncio.gather(*(_missing(channels, things[start : start + part]) for start in starts))
    return [*chain.from_iterable(found)]


async def _missing(channels: Channels, things: Sequence[Thing]) -> list[Thing]:
    """Asks about more at once while all exist, and halves a part in which one is missing."""
    found: list[Thing] = []
    start, size, bad = 0, AT_ONCE, 0
    while start < len(things):
        end = start + (max(1, (bad - start) // 2) if bad else min(size, len(things) - start))
        if bad == start + 1 or not await _all_there(channels, things[start:end]):
            if end > start + 1:
                bad = end
                continue
            found.append(things[start])
            # Missing things often come in groups: ask for the next alone.
            size, bad = 1, 0
        elif not bad:
            size = min(2 * size, AT_ONCE)
        start = end
    return found


async def _all_there(channels: Channels, things: Sequence[Thing]) -> bool:
    try:
        await channels.do(map(_passive, things))
    except ChannelNotFoundEntity:
        return False
    return True


def _passive(thing: Thing) -> Frame:
    # With nowait RabbitMQ does not count the messages of the queue.
    if thing.kind is DeclaredKind.QUEUE:
        return spec.Queue.Declare(queue=thing.name, passive=True, nowait=True)
    return spec.Exchange.Declare(exchange=thing.name, passive=True, nowait=True)
