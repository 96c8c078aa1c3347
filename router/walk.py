"""Looking at every message of a queue, first to last, and taking some of them out.

AMQP has no way to look into a queue: a message is taken without being acknowledged, and given back. Owns how
that is done for a queue of any length, so that no body is kept for longer than a look, and what is given back
is in its place again. Decides nothing.

RabbitMQ gives out first what was given back, and keeps its order when at most 32 messages come with one nack,
and at most 32 nacks of one channel are not applied yet. So messages are taken by one consumer after another,
each with room for so many and no more, and given back consumer by consumer: that one is cancelled is answered
when everything before it has been applied.

Acknowledgements beyond 32 that are not applied yet RabbitMQ keeps for later, and forgets when the channel
closes. So one is for as many messages as can be. Where each message needs its own, a consumer takes only 16:
that the next one starts is answered when those have been applied.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel, DeliveredMessage, FieldValue
from aiormq.exceptions import ChannelNotFoundEntity

from router.depth import Depth
from runtime.amqp import AMQP_ERRORS, close_reason, describe, open_channel
from runtime.lifecycle import cancelled
from schemas.errors import BrokerUnavailable

FARTHEST = 200_000  # messages in one walk
NEAR = 10_000  # and when somebody delivers from the queue, who has nothing to do meanwhile
IN_ONE_NACK = 32  # messages; of more RabbitMQ loses the order
FEWEST, MOST = IN_ONE_NACK, 16 * IN_ONE_NACK  # messages in the hands of one consumer
BYTES = 16 * 1024 * 1024  # of bodies under way to one consumer
UNKNOWN_SIZE = 256 * 1024  # bytes; what the first messages are taken for
REMOVED_AT_ONCE = 64  # messages
ONE_BY_ONE = 16  # messages in the hands of one consumer, when each needs an acknowledgement of its own
LOOK_AGAIN = 0.1  # seconds without a message, after which it is asked whether there are more
ANSWER_TIMEOUT = 10.0  # seconds
GIVE_BACK_TIMEOUT = 60.0  # seconds
AFTER_OTHERS: dict[str, FieldValue] = {"x-priority": -1}
"""Whoever delivers to a callback comes first."""

Look = Callable[[DeliveredMessage], bool]
Remove = Callable[[DeliveredMessage], Awaitable[bool]]


def reach(depth: Depth) -> int:
    """How many messages of an abonnement's queue one walk may take."""
    return min(depth.messages, NEAR if depth.consumers else FARTHEST)


async def walk(
    connection: AbstractConnection,
    queue: str,
    *,
    at_most: int | Callable[[], int],
    look: Look,
    remove: Remove | None = None,
) -> None:
    """Show the first `at_most` messages that are ready to `look`; those that it is True of go to `remove`.

    at_most: a number, or what gives it and is asked before every few hundred.

    What `remove` returns True of is acknowledged: it must be elsewhere by then. All else is back in its place
    (after a loss of the connection, in order only within what one consumer held). Raises what `remove`
    raises, BrokerUnavailable or AMQP_ERRORS.
    """
    channel = await open_channel(connection)
    lost = channel.closing
    walking = asyncio.create_task(_walk(channel, queue, at_most=at_most, look=look, remove=remove))
    try:
        # What is written to a connection that is lost may wait for ever.
        await asyncio.wait({walking, lost}, return_when=asyncio.FIRST_COMPLETED)
        if walking.done():
            await walking
        else:
            raise close_reason(channel) or BrokerUnavailable("the connection to RabbitMQ was lost")
    finally:
        lost.cancel()
        await cancelled(walking)
        if not walking.cancelled():
            walking.exception()  # raised above already, or drowned by the loss of the connection
        with suppress(*AMQP_ERRORS):
            await channel.close()


async def _walk(
    channel: AbstractChannel,
    queue: str,
    *,
    at_most: int | Callable[[], int],
    look: Look,
    remove: Remove | None,
) -> None:
    taking = _Taking(channel, queue, look)
    try:
        size, shown = UNKNOWN_SIZE, 0
        while (left := (at_most() if callable(at_most) else at_most) - shown) > 0:
            wanted = min(left, max(FEWEST, min(MOST, BYTES // size)))
            all_went = not taking.keeps
            if remove is not None:
                # The next one may stay: then those behind it in the same hands go one by one.
                wanted = min(wanted, max(ONE_BY_ONE, shown) if all_went else ONE_BY_ONE)
            taken = await taking.next(wanted)
            if remove is not None:
                await taken.remove(remove, all_went=all_went)
            if taken.count < wanted:
                return
            shown += taken.count
            size = max(1, taken.largest)
    finally:
        with suppress(*AMQP_ERRORS):
            async with asyncio.timeout(GIVE_BACK_TIMEOUT):
                await taking.give_back()


async def oldest(connection: AbstractConnection, queues: Mapping[str, Depth]) -> dict[str, datetime]:
    """When the first message of each queue was accepted (UTC), of those that have one that says so.

    Only the first is taken and given back: RabbitMQ gives it out first again. When it was given back before,
    as by a walk, it would come behind all others that were, so then all are taken and given back. Raises
    BrokerUnavailable.
    """
    found: dict[str, datetime] = {}
    for name, depth in queues.items():
        first: list[DeliveredMessage] = []

        def look(message: DeliveredMessage, first: list[DeliveredMessage] = first) -> bool:
            if not first:
                first.append(message)
            return False

        def how_far(first: list[DeliveredMessage] = first, depth: Depth = depth) -> int:
            return reach(depth) if first and first[0].redelivered else 1

        try:
            with suppress(ChannelNotFoundEntity):  # removed meanwhile
                await walk(connection, name, at_most=how_far, look=look)
        except AMQP_ERRORS as error:
            raise BrokerUnavailable(describe(error)) from error
        at = first[0].header.properties.timestamp if first else None
        if at is not None:
            found[name] = at if at.tzinfo else at.replace(tzinfo=UTC)
    return found


class _Taken:
    """What one consumer holds: the tags of what goes back, and the messages that are to go."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self.tag: str | None = None
        self.kept = array("Q")
        self.going: list[DeliveredMessage] = []
        self.largest = 0
        self.count = 0

    @property
    def to_give_back(self) -> list[int]:
        """The tags of all that it holds, in order."""
        return sorted([*self.kept, *(message.delivery_tag or 0 for message in self.going)])

    async def remove(self, remove: Remove, *, all_went: bool) -> None:
        """Remove and acknowledge what is to go. Raises the first that `remove` raised, after the others.

        all_went: what was taken before, so that one acknowledgement may be for all up to a message.
        """
        while self.going:
            some, rest = self.going[:REMOVED_AT_ONCE], self.going[REMOVED_AT_ONCE:]
            results = await asyncio.gather(*map(remove, some), return_exceptions=True)
            last = some[-1].delivery_tag or 0
            if all_went and results == [True] * len(some) and not (self.kept and self.kept[0] < last):
                await self._channel.basic_ack(last, multiple=True, wait=False)
                self.going = rest
                continue
            all_went = False
            stays, reasons = [], []
            for message, result in zip(some, results, strict=True):
                tag = message.delivery_tag or 0
                if result is True:
                    await self._channel.basic_ack(tag, wait=False)
                elif isinstance(result, BaseException):
                    stays.append(message)
                    reasons.append(result)
                else:
                    self.kept.append(tag)
            self.going = stays + rest
            if reasons:
                raise reasons[0]

    async def cancel(self) -> None:
        """It gets no more messages, and all that was done on the channel before has been applied."""
        if self.tag is not None:
            tag, self.tag = self.tag, None
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._channel.basic_cancel(tag)


class _Taking:
    """A walk's channel and consumers."""

    def __init__(self, channel: AbstractChannel, queue: str, look: Look) -> None:
        self._channel = channel
        self._queue = queue
        self._look = look
        self._all: list[_Taken] = []

    @property
    def keeps(self) -> bool:
        """Whether something that was taken stays in the queue."""
        return any(taken.kept for taken in self._all)

    async def next(self, wanted: int) -> _Taken:
        """The next `wanted` messages, or all that there are."""
        taken = _Taken(self._channel)
        self._all.append(taken)
        changed = asyncio.Event()

        async def on_message(message: DeliveredMessage) -> None:
            taken.count += 1
            taken.largest = max(taken.largest, len(message.body))
            if self._look(message):
                taken.going.append(message)
            else:
                taken.kept.append(message.delivery_tag or 0)
            changed.set()

        async with asyncio.timeout(ANSWER_TIMEOUT):
            await self._channel.basic_qos(prefetch_count=wanted)
            consuming = await self._channel.basic_consume(self._queue, on_message, arguments=AFTER_OTHERS)
        taken.tag = consuming.consumer_tag
        loop = asyncio.get_running_loop()
        give_up, before = loop.time() + ANSWER_TIMEOUT, -1
        while taken.count < wanted:
            if taken.count > before:
                give_up = loop.time() + ANSWER_TIMEOUT
            elif loop.time() > give_up:
                raise TimeoutError(f"{self._queue} does not give what is ready in it")
            before = taken.count
            changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    await changed.wait()
            if taken.count == before and not await self._ready():
                break
        if taken.count < wanted or taken.going:
            # It would get more: now, or as soon as something is acknowledged.
            await taken.cancel()
        return taken

    async def _ready(self) -> int:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            declared = await self._channel.queue_declare(self._queue, passive=True)
        return declared.message_count or 0

    async def give_back(self) -> None:
        """All that was kept is in the queue again, or about to be."""
        for taken in self._all:
            if taken.tag is None:
                await self._ready()  # an answer, so that not too much is under way
            await taken.cancel()
            tags = iter(taken.to_give_back)
            while group := list(islice(tags, IN_ONE_NACK)):
                await self._channel.basic_nack(group[-1], multiple=True, requeue=True, wait=False)
