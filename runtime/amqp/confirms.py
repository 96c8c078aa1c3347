"""A channel that publishes to one exchange with confirms, at a fraction of the client library's cost.

It writes whole publishes straight to the connection's socket and counts delivery tags itself. The client
library keeps the connection (handshake, heartbeats, close); `DivertingReader` takes the frames of these
channels out of what the library reads. It does not reconnect (`runtime/amqp/connection.py:Link` does) and
does not retry (`router/publishing.py` does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from time import monotonic
from typing import Any, Protocol

import pamqp.frame
from aiormq.channel import exception_by_code
from aiormq.exceptions import ChannelClosed
from pamqp import commands
from pamqp.base import Frame
from pamqp.common import FieldValue
from pamqp.header import ContentHeader

from runtime.amqp import frames
from schemas.errors import BrokerUnavailable

ALIVE_INTERVAL = 1.0  # seconds between two heartbeats in place of frames that the client library does not see


class Outcome(Enum):
    """RabbitMQ's answer to a publish. REFUSED: a nack. RETURNED: mandatory, and routed to no queue."""

    CONFIRMED = auto()
    REFUSED = auto()
    RETURNED = auto()


class _Receiver(Protocol):
    def frame(self, kind: int, data: bytes, start: int, end: int) -> None:
        """A frame came; its payload is data[start:end]."""

    def lost(self) -> None:
        """The connection was lost."""


class DivertingReader(asyncio.StreamReader):
    """Gives whole frames of some channels to their receivers; the client library reads all others.

    Only for connections with few other frames, since it looks at every frame.
    """

    def __init__(self) -> None:
        super().__init__()
        self.receivers: dict[int, _Receiver] = {}
        self._rest = b""
        self._amqp = True
        self._alive = 0.0

    def feed_data(self, data: Any) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        receivers, length = self.receivers, len(data)
        others = start = 0  # data[others:start]: whole frames that are not diverted
        while self._amqp and length - start >= frames.OVERHEAD:
            kind, channel, size = frames.START.unpack_from(data, start)
            if kind > frames.HEARTBEAT:  # not AMQP: a server that wants another version sends a text
                self._amqp = False
                break
            end = start + size + frames.OVERHEAD
            if end > length:
                break
            receiver = receivers.get(channel)
            if receiver is not None:
                if start > others:
                    super().feed_data(data[others:start])
                others = end
                receiver.frame(kind, data, start + 7, end - 1)
            start = end
        if not self._amqp:
            start = length
        if start > others:
            super().feed_data(data[others:start])
        elif others and (now := monotonic()) - self._alive > ALIVE_INTERVAL:
            # RabbitMQ sends no heartbeat while it sends other frames, and the client library gives the
            # connection up after some 33 s without a frame.
            self._alive = now
            super().feed_data(frames.HEARTBEAT_FRAME)
        if start < length:
            self._rest = data[start:]

    def feed_eof(self) -> None:
        super().feed_eof()
        self._lost()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self._lost()

    def _lost(self) -> None:
        receivers, self.receivers = self.receivers, {}
        for receiver in receivers.values():
            receiver.lost()


@dataclass(slots=True)
class _Turn:
    """A mandatory publish. over: set when its confirm came, or cannot come any more."""

    key: tuple[str, str]
    returned: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)


class ConfirmChannel:
    """A channel for one exchange. Made by `runtime/amqp/connection.py:Link.confirm_channel`, then `opened`.

    on_end: called once when the channel has ended: closed by either side, or its connection lost.
    """

    def __init__(
        self,
        *,
        number: int,
        exchange: str,
        mandatory: bool,
        frame_max: int,
        reader: DivertingReader,
        writer: asyncio.StreamWriter,
        on_end: Callable[[], object],
    ) -> None:
        self.number = number
        self.ended: Exception | None = None
        """Why nothing can be published any more."""
        self._encoder = frames.PublishEncoder(
            channel=number, exchange=exchange, mandatory=mandatory, frame_max=frame_max
        )
        self._mandatory = mandatory
        self._reader, self._writer, self._on_end = reader, writer, on_end
        self._tag = 0  # of the last publish
        self._settled = 0  # all tags up to this one are
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._turns: dict[int, _Turn] = {}
        self._by_key: dict[tuple[str, str], _Turn] = {}
        self._returned_key = ""
        self._loop = asyncio.get_running_loop()
        self._open: asyncio.Future[None] = self._loop.create_future()
        self._closing = False
        reader.receivers[number] = self

    async def opened(self) -> None:
        """Return once RabbitMQ has opened the channel. Raises AMQP_ERRORS or BrokerUnavailable."""
        self._write(commands.Channel.Open(), commands.Confirm.Select())
        try:
            await self._open
        except BaseException:
            self.close()
            raise

    async def publish(
        self,
        *,
        routing_key: str,
        body: bytes,
        message_id: str,
        headers: Mapping[str, FieldValue],
        timestamp: datetime | None,
        content_type: str = frames.JSON,
        sending: Callable[[], object] | None = None,
    ) -> Outcome:
        """Publish, and return RabbitMQ's answer.

        sending: called at the moment when it is written; if the wait ends before that, nothing is sent.
        Mandatory publishes with the same routing key and message id take turns, since a returned message is
        recognised by those only.

        Raises what closed the channel, BrokerUnavailable when the connection was lost (both: it may or may
        not have arrived), and what `PublishEncoder.encode` does.
        """
        if self.ended is not None:
            raise self.ended
        try:
            await self._writer.drain()
        except OSError:  # the socket may hear of a loss before `lost` is called
            raise BrokerUnavailable("the connection to RabbitMQ was lost") from None
        key = (routing_key, message_id)
        while self._mandatory and (before := self._by_key.get(key)) is not None:
            await before.over.wait()
        if self.ended is not None:
            raise self.ended
        data = self._encoder.encode(
            routing_key=routing_key,
            body=body,
            message_id=message_id,
            headers=headers,
            timestamp=timestamp,
            content_type=content_type,
        )
        self._tag = tag = self._tag + 1
        if self._mandatory:
            self._turns[tag] = self._by_key[key] = _Turn(key)
        waiting: asyncio.Future[Outcome] = self._loop.create_future()
        self._waiting[tag] = waiting
        if sending is not None:
            sending()
        self._writer.write(data)
        return await waiting

    def close(self) -> None:
        """Send Channel.Close; `on_end` is called at RabbitMQ's answer. Open publishes get no confirm."""
        if self.ended is None:
            self._end(ChannelClosed(None, "closed by this side"))
            self._closing = True
            self._write(commands.Channel.Close(200, "", 0, 0))

    def frame(self, kind: int, data: bytes, start: int, end: int) -> None:
        if kind == frames.METHOD:
            (method,) = frames.METHOD_ID.unpack_from(data, start)
            if method == frames.ACK:
                tag, bits = frames.CONFIRM.unpack_from(data, start + 4)
                self._confirmed(tag, bits, Outcome.CONFIRMED)
            elif method == frames.NACK:
                tag, bits = frames.CONFIRM.unpack_from(data, start + 4)
                self._confirmed(tag, bits, Outcome.REFUSED)
            else:
                self._rare(method, data[start - 7 : end + 1])
        elif kind == frames.HEADER:
            self._came_back(_unmarshal(data[start - 7 : end + 1]))

    def lost(self) -> None:
        self._end(BrokerUnavailable("the connection to RabbitMQ was lost"))
        self._gone()

    def _confirmed(self, tag: int, bits: int, outcome: Outcome) -> None:
        if not bits & 1:
            self._settle(tag, outcome)
            return
        for each in range(self._settled + 1, tag + 1):
            self._settle(each, outcome)
        self._settled = max(self._settled, tag)

    def _settle(self, tag: int, outcome: Outcome) -> None:
        waiting = self._waiting.pop(tag, None)
        if waiting is None:
            return
        if self._turns and (turn := self._turns.pop(tag, None)) is not None:
            del self._by_key[turn.key]
            turn.over.set()
            if turn.returned:
                outcome = Outcome.RETURNED
        if not waiting.done():  # it is done when its publisher was cancelled
            waiting.set_result(outcome)

    def _rare(self, method: int, data: bytes) -> None:
        if method == frames.RETURN:
            self._returned_key = _unmarshal(data).routing_key
        elif method == frames.SELECT_OK:
            if not self._open.done():
                self._open.set_result(None)
        elif method == frames.CLOSE:
            self._end(exception_by_code(_unmarshal(data)))
            self._write(commands.Channel.CloseOk())
            if not self._closing:  # else RabbitMQ's answer to our own Channel.Close is still to come
                self._gone()
        elif method == frames.CLOSE_OK:
            self._gone()

    def _came_back(self, header: ContentHeader) -> None:
        """Handle the header of a returned message. Its body frames are ignored; its confirm follows."""
        turn = self._by_key.get((self._returned_key, header.properties.message_id or ""))
        if turn is not None:
            turn.returned = True

    def _end(self, reason: Exception) -> None:
        """Give the reason to all who wait, and publish nothing more."""
        if self.ended is not None:
            return
        self.ended = reason
        waiting, self._waiting = self._waiting, {}
        turns, self._turns = self._turns, {}
        self._by_key.clear()
        if not self._open.done():
            self._open.set_exception(reason)
            self._open.exception()  # counts as retrieved: its caller may have been cancelled
        for future in waiting.values():
            if not future.done():
                future.set_exception(reason)
        for turn in turns.values():
            turn.over.set()

    def _gone(self) -> None:
        self._reader.receivers.pop(self.number, None)
        on_end, self._on_end = self._on_end, _nothing
        on_end()

    def _write(self, *methods: Frame) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(b"".join(pamqp.frame.marshal(method, self.number) for method in methods))


def _unmarshal(data: bytes) -> Any:
    _, _, frame = pamqp.frame.unmarshal(data)
    return frame


def _nothing() -> None:
    pass
