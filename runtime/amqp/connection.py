"""One AMQP connection that reconnects for as long as a process runs.

Not aio-pika's own robust connection: that declares again what it remembers, so a deleted queue comes back
without its bindings. Here a new connection only runs its owner's session.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import AbstractChannel as AbstractUnderlayChannel
from aiormq.abc import AbstractConnection as AbstractUnderlayConnection
from aiormq.abc import ChannelFrame
from aiormq.connection import DEFAULT_PORTS, TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import (
    AMQPConnectionError,
    AMQPError,
    ChannelInvalidStateError,
    ChannelPreconditionFailed,
    InvalidFrameError,
)
from yarl import URL

from runtime.amqp.confirms import ConfirmChannel, DivertingReader
from runtime.amqp.frames import acks
from runtime.lifecycle import cancelled
from runtime.log import Occasional, logger
from schemas.errors import BrokerUnavailable

HEARTBEAT = 10  # seconds
CONNECT_TIMEOUT = 5.0  # seconds
CLOSE_TIMEOUT = 1.0  # seconds to close; a broker that hangs must not keep a process from stopping
MAX_CHANNELS = 65535  # on a connection for which RabbitMQ sets no limit
CHANNEL_TIMEOUT, CHANNEL_PAUSE = 3.0, 0.02  # seconds to wait for a free channel, and between two looks
REPORT_INTERVAL = 30.0  # seconds between two lines about a broker that stays away
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between two attempts to connect
STEADY = 5.0  # seconds; a session that ends sooner counts as a failure to connect

AMQP_ERRORS = (AMQPError, ChannelInvalidStateError, OSError, TimeoutError)
"""What the client library may raise when the broker, the connection or a channel fails."""

log = logger(__name__)

Session = Callable[[AbstractConnection], Awaitable[None]]
T = TypeVar("T")


class _KeepsWriter(TransportFactory):
    """Opens the socket and keeps a reference to it, so that it can be aborted instead of closed.

    diverts: whether it reads with a DivertingReader, for ConfirmChannels.
    """

    def __init__(self, url: URL, *, diverts: bool) -> None:
        self._factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        self._diverts = diverts
        self.reader: DivertingReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not self._diverts:
            reader, self.writer = await self._factory.create(url, **kwargs)
            return reader, self.writer
        provider = kwargs.pop("ssl_context_provider")
        tls = await provider.get_context() if url.scheme == "amqps" else None
        loop = asyncio.get_running_loop()
        self.reader = DivertingReader()
        protocol = asyncio.StreamReaderProtocol(self.reader)
        port = url.port or DEFAULT_PORTS[url.scheme]
        try:
            transport, _ = await loop.create_connection(
                lambda: protocol, host=url.host or "", port=port, ssl=tls, **kwargs
            )
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        self.writer = asyncio.StreamWriter(transport, protocol, self.reader, loop)
        return self.reader, self.writer


class _UntilClosed:
    """A channel's write queue that accepts nothing after the channel's close.

    The client library lets callers that wait for their turn on a channel write after its close was answered.
    RabbitMQ then closes the whole connection, with all other channels on it.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._queue: asyncio.Queue[Any] = channel.write_queue
        self._closed = False
        self._goodbye: asyncio.Task[None] | None = None

    async def put(self, frame: Any) -> None:
        await self._put(frame, last=self._check(frame))

    def put_nowait(self, frame: Any) -> None:
        # The library's own would drop the close when the queue is full, and overtake callers that wait.
        self._goodbye = asyncio.create_task(
            self._put(frame, last=self._check(frame)), name="closing a channel"
        )

    def _check(self, frame: Any) -> bool:
        if self._closed:
            raise close_reason(self._channel) or ChannelInvalidStateError("channel closed")
        self._closed = frame.payload[7:11] in _GOODBYES
        return self._closed

    async def _put(self, frame: Any, *, last: bool) -> None:
        await self._queue.put(frame)
        if last:
            _numbers(self._channel.connection).open.discard(self._channel.number)


_GOODBYES = (b"\x00\x14\x00\x28", b"\x00\x14\x00\x29")
"""Class and method of Channel.Close and Channel.CloseOk: what follows the 7 bytes of a frame's header."""


def _write_until_closed(channel: Any) -> None:
    """Let this channel write nothing after its close, and keep its number until then."""
    channel.write_queue = _UntilClosed(channel)
    _numbers(channel.connection).open.add(channel.number)


def close_reason(channel: AbstractUnderlayChannel) -> AMQPError | None:
    """Why the broker closed this channel, for all its users."""
    reason = getattr(channel, "_close_exception", None)
    return reason if isinstance(reason, AMQPError) else None


class _Numbers:
    """The numbers of the channels of one connection."""

    def __init__(self) -> None:
        self.last = 0
        self.open: set[int] = set()
        """Of channels that have not sent their close."""


_numbers_of: WeakKeyDictionary[AbstractUnderlayConnection, _Numbers] = WeakKeyDictionary()


def _numbers(connection: AbstractUnderlayConnection) -> _Numbers:
    return _numbers_of.setdefault(connection, _Numbers())


async def _free_number(connection: AbstractUnderlayConnection) -> int:
    """`_next_number`, waiting for a channel to be closed where RabbitMQ allows few of them."""
    until = time.monotonic() + CHANNEL_TIMEOUT
    while True:
        try:
            return _next_number(connection)
        except ChannelInvalidStateError:
            if time.monotonic() > until or connection.is_closed:
                raise
            await asyncio.sleep(CHANNEL_PAUSE)


def _next_number(connection: AbstractUnderlayConnection) -> int:
    """The number for a new channel: in turn, so that one that was closed lately is not used again.

    The client library frees a number as soon as it has read RabbitMQ's close, before its own answer to that
    is written. When an open with that number overtakes the answer, RabbitMQ closes the whole connection
    (504, second 'channel.open' seen).
    """
    most = connection.connection_tune.channel_max or MAX_CHANNELS
    numbers, taken = _numbers(connection), connection.channels
    for step in range(1, most + 1):
        number = (numbers.last + step - 1) % most + 1
        if number not in taken and number not in numbers.open:
            numbers.last = number
            return number
    raise ChannelInvalidStateError(f"all {most} channels of the connection are in use")


async def open_channel(connection: AbstractConnection, *, confirms: bool = False) -> AbstractUnderlayChannel:
    """A channel of the client library's lower layer, which makes one task for each message instead of two.

    confirms: whether a publish returns only when RabbitMQ has confirmed it.

    Raises BrokerUnavailable or AMQP_ERRORS.
    """
    transport = connection.transport
    # For a closed connection the client library raises a bare RuntimeError.
    if transport is None or transport.connection.is_closed:
        raise BrokerUnavailable("the connection to RabbitMQ was lost")
    channel = await transport.connection.channel(
        channel_number=await _free_number(transport.connection), publisher_confirms=confirms
    )
    _write_until_closed(channel)
    return channel


async def acknowledge(channel: Any, delivery_tags: Iterable[int]) -> None:
    """Acknowledge the messages that came with these tags, in one write. Raises AMQP_ERRORS."""
    if channel.is_closed:
        raise ChannelInvalidStateError("channel closed")
    payload = acks(channel.number, delivery_tags)
    await channel.write_queue.put(ChannelFrame(payload=payload, should_close=False))


class _Channel(aio_pika.Channel):
    async def _open(self) -> None:
        try:
            if (transport := self._connection.transport) is not None:
                self._channel_number = await _free_number(transport.connection)
            await super()._open()
            _write_until_closed(await self.get_underlay_channel())
        except ChannelInvalidStateError:
            raise
        except RuntimeError as error:
            # The client library raises this when the connection was lost a moment ago.
            raise ChannelInvalidStateError(str(error)) from error


class _Connection(aio_pika.Connection):
    CHANNEL_CLASS = _Channel

    def __del__(self) -> None:
        # The library's own makes a coroutine of close(), which nobody awaits where no event loop runs.
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            super().__del__()

    async def _on_connection_close(self, closing: asyncio.Future[Any]) -> None:
        await super()._on_connection_close(closing)
        # The library's own closed() only ends when this side closes, not when the connection is lost.
        if not self._closed.done():
            self._closed.set_result(True)

    def channel(self, *args: Any, **kwargs: Any) -> AbstractChannel:
        if not self.transport:
            raise ChannelInvalidStateError("the connection was lost")
        return super().channel(*args, **kwargs)


async def connect(url: str, *, name: str) -> AbstractConnection:
    """An open connection to one node. Raises BrokerUnavailable, with the address but never the password."""
    connection, _ = await _connect(url, name=name)
    return connection


async def connect_to_first(urls: Sequence[str], *, name: str) -> AbstractConnection:
    """An open connection to the first node that answers. Raises BrokerUnavailable, of the last one."""
    *others, last = urls
    for url in others:
        with suppress(BrokerUnavailable):
            return await connect(url, name=name)
    return await connect(last, name=name)


async def _connect(url: str, *, name: str, diverts: bool = False) -> tuple[AbstractConnection, _KeepsWriter]:
    address = URL(url).update_query(heartbeat=str(HEARTBEAT))
    connection = _Connection(address, client_properties={"connection_name": name})
    transport = connection.kwargs["transport_factory"] = _KeepsWriter(address, diverts=diverts)
    try:
        await connection.connect(timeout=CONNECT_TIMEOUT)
    except BaseException as error:
        # Else the library closes it when it is collected, also where no event loop runs any more.
        await connection.close()
        if not isinstance(error, AMQP_ERRORS):
            raise
        port = address.port or DEFAULT_PORTS[address.scheme]
        why = _refused_host(error, address) or describe(error)
        raise BrokerUnavailable(f"no connection to RabbitMQ at {address.host}:{port}: {why}") from error
    return connection, transport


def _refused_host(error: BaseException, address: URL) -> str | None:
    """Why RabbitMQ closed the connection at the last step; the client library drops RabbitMQ's own text."""
    if not isinstance(error, InvalidFrameError) or "Connection.Close" not in str(error):
        return None
    host = address.path[1:] or "/"
    return f"there is no virtual host '{host}', or user '{address.user}' may not use it"


_TOO_LARGE = re.compile(r"message size \d+ is larger than (?:configured )?max size (\d+)")


def size_limit(error: BaseException) -> int | None:
    """RabbitMQ's limit on a body in bytes, when this error says that a message exceeded it; else None."""
    found = _TOO_LARGE.search(str(error)) if isinstance(error, ChannelPreconditionFailed) else None
    return int(found[1]) if found else None


def describe(error: BaseException) -> str:
    """One line for a log about an error of the client library."""
    return f"{type(error).__name__}: {error}".rstrip(": ").splitlines()[0]


class Link:
    """One AMQP connection that reconnects whenever it is lost, to the next of the list of nodes.

    longest_rest: seconds to which the pauses grow while connections are made but lost again within STEADY.
    publishes: whether `confirm_channel` may be called.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        name: str,
        longest_rest: float = LONGEST_PAUSE,
        publishes: bool = False,
    ) -> None:
        self._urls = tuple(urls)
        self._publishes = publishes
        self._name = name
        self._longest_rest = longest_rest
        self._turn = 0
        self._transport: _KeepsWriter | None = None
        self.connection: AbstractConnection | None = None
        self._up = asyncio.Event()
        self.why_not = "not connected to RabbitMQ yet"

    async def connected(self, *, within: float) -> AbstractConnection:
        """The connection, waiting `within` seconds for it. Raises BrokerUnavailable."""
        if self.connection is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._up.wait()
        if self.connection is None:
            raise BrokerUnavailable(self.why_not)
        return self.connection

    async def use(self, work: Callable[[AbstractConnection], Coroutine[Any, Any, T]]) -> T:
        """Run `work` on the present connection, beside the session; returns its result.

        For callers that outlive the connection: the client library cancels a task that waits on one that
        ends. Raises BrokerUnavailable then, and while there is no connection; and what `work` raises.
        """
        if (connection := self.connection) is None:
            raise BrokerUnavailable(self.why_not)
        working = asyncio.create_task(work(connection), name=f"using {self._name}")
        lost = asyncio.ensure_future(connection.closed())
        try:
            await asyncio.wait({working, lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            await cancelled(working)
        if working.cancelled():
            raise BrokerUnavailable("the connection to RabbitMQ was lost")
        return working.result()

    async def run(self, session: Session) -> None:
        """Keep the connection until cancelled, and run `session` on each new one.

        The session is cancelled when its connection is lost. When it fails with BrokerError or an error
        of the client library the connection is closed and made again; any other exception ends `run`.
        """
        pause = rest = FIRST_PAUSE
        failures = Occasional(every=REPORT_INTERVAL)
        while True:
            url = self._urls[self._turn % len(self._urls)]
            since = None
            try:
                self.connection, self._transport = await _connect(
                    url, name=self._name, diverts=self._publishes
                )
                since = time.monotonic()
                self._up.set()
                log.info("broker connected", link=self._name)
                await self._hold(self.connection, session)
                self.why_not = "the connection to RabbitMQ was lost"
            except (BrokerUnavailable, *AMQP_ERRORS) as error:
                self.why_not = str(error) if isinstance(error, BrokerUnavailable) else describe(error)
            finally:
                await self._drop()
            if since is not None:
                pause = FIRST_PAUSE
                if time.monotonic() - since >= STEADY:
                    rest = FIRST_PAUSE
                    failures = Occasional(every=REPORT_INTERVAL)
            if times := failures.due():
                log.warning(
                    "broker connection lost or refused", link=self._name, reason=self.why_not, times=times
                )
            self._turn += 1
            seconds = pause if since is None else rest
            await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            if since is None:
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                rest = min(rest * 2, self._longest_rest)

    async def _hold(self, connection: AbstractConnection, session: Session) -> None:
        work = asyncio.ensure_future(session(connection))
        lost = asyncio.ensure_future(connection.closed())
        try:
            await asyncio.wait({work, lost}, return_when=asyncio.FIRST_COMPLETED)
            if work.cancelled():
                # By the client library, which cancels who waits for an answer when the connection is lost.
                raise BrokerUnavailable("the connection to RabbitMQ was lost")
            if work.done():
                await work
                await lost
        finally:
            lost.cancel()
            # A session may still be requeueing what it holds.
            await cancelled(work)
            if not work.cancelled():
                work.exception()  # raised above already, or superseded by the loss of the connection

    async def _drop(self) -> None:
        connection, self.connection = self.connection, None
        self._up.clear()
        if connection is not None:
            with suppress(*AMQP_ERRORS):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await connection.close()
            self.abort()
        self._transport = None

    async def confirm_channel(
        self, exchange: str, *, mandatory: bool, on_end: Callable[[], object]
    ) -> ConfirmChannel:
        """An open channel that publishes to this exchange; of a Link that `publishes` only.

        on_end: called once when the channel has ended, also when it could not be opened.

        Raises BrokerUnavailable or AMQP_ERRORS.
        """
        channel = None
        try:
            transport = getattr(self.connection, "transport", None)
            reader = self._transport.reader if self._transport is not None else None
            writer = self._transport.writer if self._transport is not None else None
            if transport is None or reader is None or writer is None:
                raise BrokerUnavailable("the connection to RabbitMQ was lost")
            connection: AbstractUnderlayConnection = transport.connection
            number = await _free_number(connection)
            if reader.at_eof() or writer.transport.is_closing():
                raise BrokerUnavailable("the connection to RabbitMQ was lost")
            connection.channels[number] = None  # so that the client library does not use the number

            def ended() -> None:
                connection.channels.pop(number, None)
                on_end()

            channel = ConfirmChannel(
                number=number,
                exchange=exchange,
                mandatory=mandatory,
                frame_max=connection.connection_tune.frame_max or 0,
                reader=reader,
                writer=writer,
                on_end=ended,
            )
        finally:
            if channel is None:
                on_end()
        await channel.opened()
        return channel

    @property
    def all_sent(self) -> bool:
        """Whether all that was written to the connection has left this process."""
        transport = getattr(self.connection, "transport", None)
        if transport is None or self._transport is None or self._transport.writer is None:
            return False
        unsent: int = self._transport.writer.transport.get_write_buffer_size()
        return not unsent and bool(transport.connection.write_queue.empty())

    def abort(self) -> None:
        """Cut the connection without flushing: what is unsent is never sent."""
        if self._transport is not None and self._transport.writer is not None:
            self._transport.writer.transport.abort()

    @property
    def blocked(self) -> bool:
        """Whether RabbitMQ blocks publishers now (a memory or disk alarm)."""
        transport = getattr(self.connection, "transport", None)
        if transport is None:
            return False
        # ready() returns at once unless the broker has blocked the connection. Running one step of it is the
        # only way to ask that the client library offers.
        waiting = transport.connection.ready()
        try:
            waiting.send(None)
        except StopIteration:
            return False
        waiting.close()
        return True
