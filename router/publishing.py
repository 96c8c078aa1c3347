"""Publishing with a confirm: when `publish` returns, the broker has the message.

One connection of its own per process, and on it one channel per exchange: an error closes a whole channel,
so what is wrong with one exchange disturbs nobody else. Declares nothing.
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

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.abc import FieldValue as HeaderValue
from aiormq.abc import AbstractChannel as AbstractUnderlayChannel
from aiormq.exceptions import ChannelNotFoundEntity, DeliveryError, PublishError

from router import names
from router.readiness import topology_stands
from runtime.amqp import AMQP_ERRORS, Link, close_reason, describe, size_limit
from runtime.log import logger
from schemas.errors import BrokerUnavailable, MessageTooLarge, Unroutable

CONFIRM_TIMEOUT = 4.0  # seconds; a publisher hears 503 within 5
MAX_LANES = 500  # channels kept open, where RabbitMQ allows as many on a connection (2,047 by default)
OTHER_CHANNELS = 1  # that this connection opens beside its lanes: the look at whether the topology stands
LATE = 0.5  # seconds; when a time-out is noticed this much late, this process was held up itself
TRIES = 4  # to publish a message whose channel closes over others
REFUSED_LANE = 0.5  # seconds after which a channel on which RabbitMQ refuses messages is given up

log = logger(__name__)


class _LimitLearned(Exception):
    """The channel closed over another message, which was too large for RabbitMQ; this one is not."""


class ExchangeMissing(BrokerUnavailable):
    """The exchange to publish to is not there; the router has to declare it again."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way into RabbitMQ; always persistent, always JSON."""

    exchange: str
    routing_key: str
    body: bytes
    message_id: str
    headers: Mapping[str, HeaderValue] = field(default_factory=dict)
    timestamp: datetime | None = None


@dataclass(slots=True)
class _Lane:
    """The channel for one exchange, and how many publishes are under way on it. retired: takes no more."""

    channel: AbstractChannel
    exchange: AbstractExchange
    underlay: AbstractUnderlayChannel
    busy: int = 0
    retired: bool = False
    opened: float = field(default_factory=monotonic)

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return monotonic() - self.opened


class Publisher:
    """The publishing connection of a process.

    mandatory: whether a message that no queue takes is Unroutable (everyone but the gateway: RabbitMQ
    confirms such a message too, so without this it would be gone).

    largest: bytes of the largest body that may come, of which it is tried first whether RabbitMQ takes it:
    one that is over RabbitMQ's limit closes its channel, with all that is on it. 0: nothing is tried.
    """

    def __init__(self, urls: Sequence[str], *, name: str, mandatory: bool, largest: int = 0) -> None:
        self.link = Link(urls, name=f"{name} publishing")
        self._mandatory = mandatory
        self._largest = largest
        self._limit = sys.maxsize  # bytes of a body; RabbitMQ's, as soon as it is known
        self._lanes: dict[str, _Lane] = {}
        self._opening: dict[str, asyncio.Task[_Lane]] = {}
        self._under_way: dict[tuple[str, str], asyncio.Event] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._channels: set[AbstractChannel] = set()  # open, being opened or being closed
        self._want_room = 0
        self._confirmed = 0.0  # monotonic time at which the youngest message that was confirmed began
        self._room = asyncio.Event()
        self._ready = asyncio.Event()

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        await self.link.run(self._session)

    async def _session(self, connection: AbstractConnection) -> None:
        try:
            await topology_stands(connection)
            self._limit = await self._try_largest(connection)
            self._ready.set()
            await connection.closed()
        finally:
            self._ready.clear()
            self._lanes.clear()
            self._channels.clear()
            for task in self._opening.values():
                task.cancel()
            self._opening.clear()

    async def _try_largest(self, connection: AbstractConnection) -> int:
        """RabbitMQ's limit, if it is below `largest`: by a message to the marker, where nothing is bound."""
        if not self._largest:
            return sys.maxsize
        channel = connection.channel(publisher_confirms=True)
        await channel.initialize()
        underlay = await channel.get_underlay_channel()
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT):
                exchange = await channel.get_exchange(names.READY, ensure=False)
                await exchange.publish(Message(bytes(self._largest)), "", mandatory=False)
        except TimeoutError:  # an alarm: the first that is too large will tell
            pass
        except AMQP_ERRORS as error:
            limit = size_limit(close_reason(underlay) or error)
            if limit is None:
                raise
            log.warning("RabbitMQ takes no larger messages", limit=limit, largest=self._largest)
            return limit
        self._close_soon(channel)
        return sys.maxsize

    @property
    def ready(self) -> bool:
        """Connected, the topology stands, and RabbitMQ takes messages."""
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

    @property
    def limit(self) -> int:
        """Bytes of the largest body that RabbitMQ takes, as far as that is known."""
        return self._limit

    async def wait_ready(self, timeout: float) -> None:
        """Return once ready; BrokerUnavailable after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            raise BrokerUnavailable(self.why_not) from None

    async def publish(self, message: Outgoing) -> None:
        """Return once RabbitMQ confirmed the message.

        Raises Unroutable (mandatory only), ExchangeMissing, MessageTooLarge, or BrokerUnavailable; after the
        last the message may or may not have arrived, but nothing of it will go out later.
        """
        if not self.ready:
            raise BrokerUnavailable(self.why_not)
        if not self._mandatory:
            await self._publish_beside_large(message)
            return
        # The client library finds a returned message by its id. Two under way with the same id on one
        # channel would be taken for each other, and a lost one for a routed one.
        key = (message.exchange, message.message_id)
        while (before := self._under_way.get(key)) is not None:
            await before.wait()
        done = self._under_way[key] = asyncio.Event()
        try:
            await self._publish_beside_large(message)
        finally:
            del self._under_way[key]
            done.set()

    async def _publish_beside_large(self, message: Outgoing) -> None:
        """Publish it again if its channel closed over another that was too large.

        That is when the limit is learned, and seldom. RabbitMQ may have had it already: it then comes twice.
        """
        for _ in range(TRIES):
            with suppress(_LimitLearned):
                await self._publish(message)
                return
        raise BrokerUnavailable("RabbitMQ closes its channels over other messages that are too large")

    async def _publish(self, message: Outgoing) -> None:
        lane, began, size = None, monotonic(), len(message.body)
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT):
                lane = self._lanes.get(message.exchange) or await self._open(message.exchange)
                if size > self._limit:
                    raise MessageTooLarge(size, self._limit)
                lane.busy += 1
                try:
                    await lane.exchange.publish(
                        Message(
                            message.body,
                            headers=dict(message.headers),
                            content_type="application/json",
                            delivery_mode=DeliveryMode.PERSISTENT,
                            message_id=message.message_id,
                            timestamp=message.timestamp,
                        ),
                        message.routing_key,
                        mandatory=self._mandatory,
                    )
                    self._confirmed = max(self._confirmed, began)
                finally:
                    lane.busy -= 1
                    if lane.retired:
                        self._close_when_idle(lane)
                    elif not lane.busy:
                        self._room.set()
        except TimeoutError:
            self._unconfirmed(message.exchange, lane, began=began)
            raise BrokerUnavailable(f"RabbitMQ gave no confirm within {CONFIRM_TIMEOUT:g} s") from None
        except asyncio.CancelledError:
            # Of a channel that was being opened, or by the client library when the connection is lost: only
            # when nobody cancelled us. Taken for a cancellation, it would leave a publisher without answer.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise BrokerUnavailable("the connection to RabbitMQ was lost") from None
        except PublishError as error:
            raise Unroutable(f"no queue takes {message.routing_key} from {message.exchange}") from error
        except DeliveryError as error:
            self._retire(message.exchange, lane)
            raise BrokerUnavailable("RabbitMQ refused the message (a queue is full or lost)") from error
        except AMQP_ERRORS as error:
            self._lanes.pop(message.exchange, None)
            reason = error if lane is None else close_reason(lane.underlay) or error
            if isinstance(reason, ChannelNotFoundEntity):
                raise ExchangeMissing(f"exchange {message.exchange} is not there") from error
            if (limit := size_limit(reason)) is not None:
                self._limit = limit
                raise MessageTooLarge(size, limit) if size > limit else _LimitLearned from error
            raise BrokerUnavailable(describe(reason)) from error

    def _unconfirmed(self, exchange: str, lane: _Lane | None, *, began: float) -> None:
        """Let nothing of a message without a confirm go out later, and disturb as few others as that allows.

        Where RabbitMQ confirmed a message that began later, it has this one too, since they go out in order:
        its queue hangs (it has no leader), and only the channel of its exchange is given up. The same when
        this process was late itself: the confirm may lie in the socket. Else the connection is cut.

        lane: None when no channel came free for it, so that it was not sent at all.
        """
        late = monotonic() - began > CONFIRM_TIMEOUT + LATE
        works = self._confirmed > began or (late and self.link.all_sent)
        if not works:
            self.link.abort()
        elif lane is not None and self._lanes.get(exchange) is lane:
            self._give_up(exchange, lane)

    def _retire(self, exchange: str, lane: _Lane | None) -> None:
        """The next publish opens another channel.

        One that met a queue while its leader was gone goes on asking that node, and refuses all that is for
        that queue until the node is back (RabbitMQ 3.10), though the queue has had another leader for long.
        """
        if lane is not None and self._lanes.get(exchange) is lane and lane.age > REFUSED_LANE:
            self._give_up(exchange, lane)

    def _give_up(self, exchange: str, lane: _Lane) -> None:
        del self._lanes[exchange]
        lane.retired = True
        self._close_when_idle(lane)

    def _close_when_idle(self, lane: _Lane) -> None:
        if not lane.busy:
            self._close_soon(lane.channel)

    def _close_soon(self, channel: AbstractChannel) -> None:
        task = asyncio.create_task(_close(channel))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _open(self, exchange: str) -> _Lane:
        """The lane of an exchange; those who ask at the same moment share one."""
        task = self._opening.get(exchange)
        if task is None:
            task = self._opening[exchange] = asyncio.create_task(self._new_lane(exchange))
            task.add_done_callback(partial(self._opened, exchange))
        return await asyncio.shield(task)

    def _opened(self, exchange: str, task: asyncio.Task[_Lane]) -> None:
        self._opening.pop(exchange, None)
        if not task.cancelled():
            task.exception()  # looked at here too: whoever asked may have given up by now

    async def _new_lane(self, name: str) -> _Lane:
        connection = self.link.connection
        if connection is None:
            raise BrokerUnavailable(self.why_not)
        await self._wait_for_room(connection)
        channel = connection.channel(publisher_confirms=True, on_return_raises=self._mandatory)
        self._channels.add(channel)

        def freed(*_: object) -> None:
            self._channels.discard(channel)
            self._room.set()

        try:
            await channel.initialize()
            exchange = await channel.get_exchange(name, ensure=False)
            lane = _Lane(channel, exchange, await channel.get_underlay_channel())
        except BaseException:
            freed()
            raise

        def forget(*_: object) -> None:
            if self._lanes.get(name) is lane:
                del self._lanes[name]
            freed()

        channel.close_callbacks.add(forget)
        self._lanes[name] = lane
        return lane

    async def _wait_for_room(self, connection: AbstractConnection) -> None:
        """Return once another channel may be opened: RabbitMQ closes a connection that opens too many.

        Closes a channel without publishes. Where all have some, the oldest takes no more of them, and is
        closed when those that are under way have ended.
        """
        limit = max(1, min(MAX_LANES, channel_max(connection) - OTHER_CHANNELS))
        self._want_room += 1
        try:
            while len(self._channels) >= limit:
                self._room.clear()
                lanes = self._lanes
                retired = len(self._channels) - len(lanes)  # or being opened
                if lanes and retired < self._want_room:
                    self._give_up(*min(lanes.items(), key=lambda item: (item[1].busy > 0, item[1].opened)))
                await self._room.wait()
        finally:
            self._want_room -= 1


def channel_max(connection: AbstractConnection) -> int:
    """How many channels RabbitMQ allows on this connection."""
    tune = connection.transport.connection.connection_tune if connection.transport else None
    return int(getattr(tune, "channel_max", 0)) or 65_535  # AMQP: 0 is no limit


async def _close(channel: AbstractChannel) -> None:
    with suppress(*AMQP_ERRORS):
        await channel.close()
