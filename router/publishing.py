"""Publishing with a confirm: when `publish` returns, the broker has the message.

One connection per process, with one channel per exchange, and per queue that is published to directly: an
error closes a whole channel, so a fault of one does not affect others. Declares nothing.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from time import monotonic

from aio_pika.abc import AbstractConnection
from aio_pika.abc import FieldValue as HeaderValue
from aiormq.exceptions import ChannelNotFoundEntity

from router import names
from router.readiness import topology_stands
from runtime.amqp import AMQP_ERRORS, Link, describe, size_limit
from runtime.amqp.confirms import ConfirmChannel, Outcome
from runtime.amqp.frames import JSON, HeadersTooLong
from runtime.log import logger
from schemas.errors import BrokerUnavailable, MessageTooLarge, Unroutable

CONFIRM_TIMEOUT = 4.0  # seconds; a source gets 503 within 5
MAX_LANES = 500  # channels kept open, where RabbitMQ allows as many on a connection (2,047 by default)
OTHER_CHANNELS = 1  # that this connection has beside its lanes: for the look at `nrc.ready`
ANSWER_TIMEOUT = 1.0  # seconds for RabbitMQ to open a channel when it confirms nothing
LATE = 0.5  # seconds; a time-out that is noticed this much later means that this process itself hung
TRIES = 4  # to publish a message whose channel is closed because of other messages
TURN = 0.1  # seconds that an exchange may keep its channel while others wait for one
REFUSED_LANE = 0.5  # seconds after which a channel on which RabbitMQ refuses messages is replaced

log = logger(__name__)


class _LimitLearned(Exception):
    """The channel was closed because another message was too large; this one is not."""


class ExchangeMissing(BrokerUnavailable):
    """The exchange to publish to does not exist; the router has to declare it again."""


class Refused(BrokerUnavailable):
    """RabbitMQ refused the message: a queue is full or lost."""


class Unconfirmed(BrokerUnavailable):
    """RabbitMQ has read the message and works, but did not confirm it in time: a queue has no leader."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish; always persistent, and JSON unless `content_type` says otherwise."""

    exchange: str
    routing_key: str
    body: bytes
    message_id: str
    headers: Mapping[str, HeaderValue] = field(default_factory=dict)
    timestamp: datetime | None = None
    content_type: str = JSON


@dataclass(slots=True)
class _Lane:
    """The channel for one exchange, or one queue. busy: publishes under way. retired: it gets no more."""

    name: str
    channel: ConfirmChannel
    busy: int = 0
    retired: bool = False
    opened: float = field(default_factory=monotonic)

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return monotonic() - self.opened


class Publisher:
    """The publishing connection of a process.

    mandatory: a message that is routed to no queue raises Unroutable. Else RabbitMQ confirms and drops it.
    largest: bytes of the largest body to expect. Whether RabbitMQ accepts that many is tried at the start,
    since a message over its limit closes the channel for others too. 0: not tried.
    asks: whether a missing confirm makes it ask whether RabbitMQ works, before the connection is cut: where
    one queue must not hurt others, also when nothing else is published. It takes ANSWER_TIMEOUT longer.
    limit: bytes of the largest body that RabbitMQ accepts, as far as that is known.
    """

    def __init__(
        self, urls: Sequence[str], *, name: str, mandatory: bool, largest: int = 0, asks: bool = False
    ) -> None:
        self.link = Link(urls, name=f"{name} publishing", publishes=True)
        self._mandatory = mandatory
        self._largest = largest
        self._asks = asyncio.Lock() if asks else None
        self.limit = sys.maxsize
        self._lanes: dict[str, _Lane] = {}
        self._opening: dict[str, asyncio.Task[_Lane]] = {}
        self._channels: set[object] = set()  # open, being opened or being closed: a mark for each
        self._want_room = 0
        self._sent = self._confirmed = 0  # numbers of the last message sent, and of the youngest confirmed
        self._room = asyncio.Event()
        self._ready = asyncio.Event()

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        await self.link.run(self._session)

    async def _session(self, connection: AbstractConnection) -> None:
        try:
            await topology_stands(connection)
            self.limit = await self._try_largest()
            self._ready.set()
            await connection.closed()
        finally:
            self._ready.clear()
            self._lanes.clear()
            self._channels.clear()
            for task in self._opening.values():
                task.cancel()
            self._opening.clear()

    async def _try_largest(self) -> int:
        """RabbitMQ's limit, if it is below `largest`: by a message to `nrc.ready`, which has no queue."""
        if not self._largest:
            return sys.maxsize
        channel = None
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT):
                channel = await self.link.confirm_channel(names.READY, mandatory=False, on_end=lambda: None)
                await channel.publish(
                    routing_key="", body=bytes(self._largest), message_id="", headers={}, timestamp=None
                )
        except TimeoutError:  # an alarm: the first message that is too large will show it
            pass
        except AMQP_ERRORS as error:
            limit = size_limit(error)
            if limit is None:
                raise
            log.warning("RabbitMQ takes no larger messages", limit=limit, largest=self._largest)
            return limit
        if channel is not None:
            channel.close()
        return sys.maxsize

    @property
    def ready(self) -> bool:
        """Whether it is connected, the topology is declared, and RabbitMQ accepts messages."""
        return self._ready.is_set() and not self.link.blocked

    @property
    def why_not(self) -> str:
        """Why it is not ready, in a line; "" when it is."""
        if self.ready:
            return ""
        if self.link.blocked:
            return "RabbitMQ refuses publishers (memory or disk alarm)"
        if self.link.connection is not None:
            return "the router has not declared the exchanges and queues in RabbitMQ yet"
        return self.link.why_not

    async def wait_ready(self, timeout: float) -> None:
        """Return once ready; BrokerUnavailable after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            raise BrokerUnavailable(self.why_not) from None

    async def publish(self, message: Outgoing) -> None:
        """Return once RabbitMQ confirmed the message.

        Raises Unroutable (mandatory only), ExchangeMissing, Refused, Unconfirmed, MessageTooLarge, or
        BrokerUnavailable. After BrokerUnavailable it may have arrived, but is not sent any more.
        """
        if not self.ready:
            raise BrokerUnavailable(self.why_not)
        for _ in range(TRIES):
            with suppress(_LimitLearned):
                await self._publish(message)
                return
        raise BrokerUnavailable("RabbitMQ closes its channels over other messages that are too large")

    async def _publish(self, message: Outgoing) -> None:
        """Publish it once. Raises what `publish` raises, or _LimitLearned."""
        name = message.exchange or message.routing_key
        lane, began, before, size = None, monotonic(), self._sent, len(message.body)
        number = before

        def sending() -> None:
            nonlocal number
            self._sent = number = self._sent + 1

        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT):
                while (lane := self._lanes.get(name)) is None:
                    await self._open(name, message.exchange)
                if size > self.limit:
                    raise MessageTooLarge(size, self.limit)
                lane.busy += 1
                try:
                    outcome = await lane.channel.publish(
                        routing_key=message.routing_key,
                        body=message.body,
                        message_id=message.message_id,
                        headers=message.headers,
                        timestamp=message.timestamp,
                        content_type=message.content_type,
                        sending=sending,
                    )
                finally:
                    lane.busy -= 1
                    if lane.retired:
                        self._close_when_idle(lane)
                    elif not lane.busy or (self._want_room and lane.age > TURN):
                        self._room.set()
        except TimeoutError:
            works = await self._unconfirmed(lane, number=number, began=began)
            fault = Unconfirmed if works and number > before else BrokerUnavailable
            raise fault(f"RabbitMQ gave no confirm within {CONFIRM_TIMEOUT:g} s") from None
        except asyncio.CancelledError:
            # Either somebody cancelled us, or the connection was lost while a channel was being opened.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise BrokerUnavailable("the connection to RabbitMQ was lost") from None
        except HeadersTooLong as error:
            raise BrokerUnavailable(str(error)) from error
        except AMQP_ERRORS as error:
            if lane is not None and self._lanes.get(name) is lane:
                del self._lanes[name]
            if isinstance(error, ChannelNotFoundEntity):
                raise ExchangeMissing(f"exchange {message.exchange} is not there") from error
            if (limit := size_limit(error)) is not None:
                self.limit = limit
                raise MessageTooLarge(size, limit) if size > limit else _LimitLearned from error
            raise BrokerUnavailable(describe(error)) from error
        if outcome is Outcome.REFUSED:
            self._retire(lane)
            raise Refused("RabbitMQ refused the message (a queue is full or lost)")
        self._confirmed = max(self._confirmed, number)
        if outcome is Outcome.RETURNED:
            raise Unroutable(f"no queue takes {message.routing_key} from {message.exchange}")

    async def _unconfirmed(self, lane: _Lane | None, *, number: int, began: float) -> bool:
        """Close the channel or the connection, so that a message without a confirm is not sent later.

        If RabbitMQ confirmed a later message it has received this one, and a queue has no leader: closing the
        channel is enough. So it is when this process hung and the confirm may be in the socket. Else the
        connection is cut. Returns whether RabbitMQ works, and this process did not hang.

        lane: None when no channel became free, so that it was not sent.
        number: its own, or, when it was not sent, that of the last message before it.
        """
        late = monotonic() - began > CONFIRM_TIMEOUT + LATE
        works = self._confirmed > number or await self._answers(number)
        if not works and not (late and self.link.all_sent):
            self._ready.clear()  # at once, so that who goes on waits for the next connection
            self.link.abort()
        elif lane is not None and self._lanes.get(lane.name) is lane:
            self._give_up(lane)
        return works and not late

    async def _answers(self, number: int) -> bool:
        """Whether RabbitMQ opens a channel now: then it has read all before that, up to this message."""
        if self._asks is None or not self.ready:
            return False
        async with self._asks:  # one asks for all that wait
            if self._confirmed <= number:
                self._sent = asked = self._sent + 1
                with suppress(BrokerUnavailable, *AMQP_ERRORS):
                    async with asyncio.timeout(ANSWER_TIMEOUT):
                        channel = await self.link.confirm_channel(
                            names.READY, mandatory=False, on_end=lambda: None
                        )
                        channel.close()
                        self._confirmed = max(self._confirmed, asked)
        return self._confirmed > number

    def _retire(self, lane: _Lane | None) -> None:
        """Let the next publish open another channel.

        A channel that published to a queue without a leader keeps refusing messages for that queue, even
        after it has a leader on another node (RabbitMQ 3.10).
        """
        if lane is not None and self._lanes.get(lane.name) is lane and lane.age > REFUSED_LANE:
            self._give_up(lane)

    def _give_up(self, lane: _Lane) -> None:
        del self._lanes[lane.name]
        lane.retired = True
        self._close_when_idle(lane)

    def _close_when_idle(self, lane: _Lane) -> None:
        if not lane.busy:
            lane.channel.close()

    async def _open(self, name: str, exchange: str) -> _Lane:
        """The lane with this name; concurrent callers share one."""
        task = self._opening.get(name)
        if task is None:
            task = self._opening[name] = asyncio.create_task(self._new_lane(name, exchange))
            task.add_done_callback(partial(self._opened, name))
        return await asyncio.shield(task)

    def _opened(self, name: str, task: asyncio.Task[_Lane]) -> None:
        self._opening.pop(name, None)
        if not task.cancelled():
            task.exception()  # retrieved here too: its callers may be gone

    async def _new_lane(self, name: str, exchange: str) -> _Lane:
        connection = self.link.connection
        if connection is None:
            raise BrokerUnavailable(self.why_not)
        await self._wait_for_room(connection)
        self._channels.add(mark := object())
        lane: _Lane | None = None

        def ended() -> None:
            if lane is not None and self._lanes.get(name) is lane:
                del self._lanes[name]
            self._channels.discard(mark)
            self._room.set()

        channel = await self.link.confirm_channel(exchange, mandatory=self._mandatory, on_end=ended)
        lane = self._lanes[name] = _Lane(name, channel)
        return lane

    async def _wait_for_room(self, connection: AbstractConnection) -> None:
        """Return once another channel may be opened: RabbitMQ closes a connection that opens too many.

        Closes an idle channel, or retires the oldest and closes it when its publishes have ended.
        """
        others = OTHER_CHANNELS + (self._asks is not None)
        limit = max(1, min(MAX_LANES, channel_max(connection) - others))
        self._want_room += 1
        try:
            while len(self._channels) >= limit:
                self._room.clear()
                lanes = self._lanes
                retired = len(self._channels) - len(lanes)  # or being opened
                if lanes and retired < self._want_room:
                    self._give_up(min(lanes.values(), key=lambda lane: (lane.busy > 0, lane.opened)))
                await self._room.wait()
        finally:
            self._want_room -= 1


def channel_max(connection: AbstractConnection) -> int:
    """How many channels RabbitMQ allows on this connection."""
    tune = connection.transport.connection.connection_tune if connection.transport else None
    return int(getattr(tune, "channel_max", 0)) or 65_535  # AMQP: 0 is no limit
