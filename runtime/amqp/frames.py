"""The AMQP 0-9-1 frames of a publish, of RabbitMQ's answers to it, and of acknowledgements. Pure.

A publish is a method frame, a header frame and as many body frames as `frame_max` requires. They are made as
one piece of bytes, equal to pamqp's (tests/unit/runtime/test_frames.py compares them), at less cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from struct import Struct

from pamqp.common import FieldValue
from pamqp.encode import encode_table_value

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
"""Types of frames."""

OPEN_OK = (20 << 16) | 11
CLOSE, CLOSE_OK = (20 << 16) | 40, (20 << 16) | 41
RETURN = (60 << 16) | 50
ACK, NACK = (60 << 16) | 80, (60 << 16) | 120
SELECT_OK = (85 << 16) | 11
"""Class and method of a method frame, as one number."""

START = Struct(">BHL")
"""Type, channel and length of the payload, with which each frame begins."""

METHOD_ID = Struct(">L")
"""Class and method, with which the payload of a method frame begins."""

CONFIRM = Struct(">QB")
"""Delivery tag and bits of an ack or a nack, after the METHOD_ID. Bit 1: all tags up to this one."""

END = 0xCE
OVERHEAD = 8  # bytes of a frame beside its payload
HEARTBEAT_FRAME = START.pack(HEARTBEAT, 0, 0) + bytes([END])
SHORT = 255  # bytes of the longest short string

_END = bytes([END])
_ACK = Struct(">BHLLQBB")  # a whole frame: START, METHOD_ID, CONFIRM and END
_PUBLISH = Struct(">HHH").pack(60, 40, 0)
_CONTENT = Struct(">BHLHHQH")  # a header frame up to and with the flags: which properties follow
_LENGTH, _TIMESTAMP = Struct(">L"), Struct(">Q")
_MANDATORY, _NOT_MANDATORY = b"\x01\xce", b"\x00\xce"  # the last bits of the method, and its frame's end
_FLAGS = 1 << 15 | 1 << 13 | 1 << 12 | 1 << 7  # content type, headers, delivery mode, message id
_WITH_TIMESTAMP = 1 << 6
JSON = "application/json"
_JSON = b"\x10application/json"
_PERSISTENT = b"\x02"


class HeadersTooLong(ValueError):
    """The headers of a message do not fit in one frame, and AMQP has no way to divide them."""


def acks(channel: int, delivery_tags: Iterable[int]) -> bytes:
    """A basic.ack frame for each of these tags on this channel."""
    return b"".join(_ACK.pack(METHOD, channel, 13, ACK, tag, 0, END) for tag in delivery_tags)


class PublishEncoder:
    """Makes the frames of publishes to one exchange on one channel; persistent messages.

    frame_max: bytes of the largest frame that RabbitMQ accepts; 0: any.
    """

    def __init__(self, *, channel: int, exchange: str, mandatory: bool, frame_max: int) -> None:
        self._channel = channel
        self._method = _PUBLISH + _short(exchange, "the exchange")
        self._last = _MANDATORY if mandatory else _NOT_MANDATORY
        self._largest = frame_max - OVERHEAD if frame_max else 0xFFFFFFFF

    def encode(
        self,
        *,
        routing_key: str,
        body: bytes,
        message_id: str,
        headers: Mapping[str, FieldValue],
        timestamp: datetime | None,
        content_type: str = JSON,
    ) -> bytes:
        """All frames of one publish, to be written at once: frames of others may not come in between.

        Raises HeadersTooLong; ValueError for a routing key, a message id or a header's name of more than 255
        bytes; TypeError for a header of a type that AMQP lacks.
        """
        channel = self._channel
        method, key = self._method, _short(routing_key, "the routing key")
        flags, end = _FLAGS, b""
        kind = _JSON if content_type is JSON else _short(content_type, "the content type")
        properties = (kind, field_table(headers), _PERSISTENT, _short(message_id, "the message id"))
        if timestamp is not None:
            flags |= _WITH_TIMESTAMP
            end = _TIMESTAMP.pack(int(timestamp.timestamp()))
        content = b"".join(properties)
        size = 14 + len(content) + len(end)
        if size > self._largest:
            raise HeadersTooLong(f"headers of {size} bytes; a frame of RabbitMQ's holds {self._largest}")
        return b"".join((
            START.pack(METHOD, channel, len(method) + len(key) + 1), method, key, self._last,
            _CONTENT.pack(HEADER, channel, size, 60, 0, len(body), flags), content, end, _END,
            *self._body(body),
        ))  # fmt: skip

    def _body(self, body: bytes) -> Sequence[bytes | memoryview]:
        if not body:
            return ()
        largest = self._largest
        if len(body) <= largest:
            return (START.pack(BODY, self._channel, len(body)), body, _END)
        pieces: list[bytes | memoryview] = []
        view = memoryview(body)
        for start in range(0, len(body), largest):
            piece = view[start : start + largest]
            pieces += (START.pack(BODY, self._channel, len(piece)), piece, _END)
        return pieces


def field_table(headers: Mapping[str, FieldValue]) -> bytes:
    """Headers as AMQP's table. Raises ValueError for a name that is too long, TypeError for an odd value."""
    pieces = []
    for name in sorted(headers):
        value = headers[name]
        pieces.append(_short(name, "the name of a header"))
        if type(value) is str:
            text = value.encode()
            pieces.append(b"S" + _LENGTH.pack(len(text)) + text)
        else:
            pieces.append(encode_table_value(value))
    table = b"".join(pieces)
    return _LENGTH.pack(len(table)) + table


def _short(text: str, what: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > SHORT:
        raise ValueError(f"{what} is {len(encoded)} bytes long, and AMQP allows {SHORT}")
    return bytes((len(encoded),)) + encoded
