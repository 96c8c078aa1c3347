"""Frames made by hand are those of pamqp, byte for byte, and frames that come in pieces are read whole."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pamqp.frame
import pytest
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from runtime.amqp import frames
from runtime.amqp.confirms import DivertingReader
from runtime.amqp.frames import HeadersTooLong, PublishEncoder

AT = datetime(2026, 1, 31, 1, 46, 3, 412_000, tzinfo=UTC)
HEADERS: list[dict[str, Any]] = [
    {},
    {"a": ""},
    {"nrc-kenmerk-zaaktype": "https://catalogi.example.nl/1", "á": "ë€😀", "n": 3, "large": 2**40, "b": True},
    {"nested": {"a": [1, "x", None]}, "at": AT, "minus": -5, "none": None},
]


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("size", [0, 1, 992, 993, 1984, 1985, 4000])
@pytest.mark.parametrize(("mandatory", "at"), [(True, AT), (False, None)])
def test_a_publish_is_what_the_client_library_makes(
    headers: dict[str, Any], size: int, mandatory: bool, at: datetime | None
) -> None:
    body = (bytes(range(256)) * 16)[:size]
    properties = commands.Basic.Properties(
        content_type="application/json", headers=headers, delivery_mode=2, message_id="id-é", timestamp=at
    )
    expected: list[Any] = [
        commands.Basic.Publish(exchange="nrc.kanaal.a", routing_key="zaak.créate", mandatory=mandatory),
        ContentHeader(properties=properties, body_size=size),
    ]
    expected += [ContentBody(body[start : start + 992]) for start in range(0, size, 992)]

    made = PublishEncoder(channel=7, exchange="nrc.kanaal.a", mandatory=mandatory, frame_max=1000).encode(
        routing_key="zaak.créate", body=body, message_id="id-é", headers=headers, timestamp=at
    )
    assert made == b"".join(pamqp.frame.marshal(frame, 7) for frame in expected)


def test_acknowledgements_are_what_the_client_library_makes() -> None:
    tags = [1, 2, 300, 2**63 - 1]
    expected = b"".join(pamqp.frame.marshal(commands.Basic.Ack(tag), 513) for tag in tags)
    assert frames.acks(513, tags) == expected
    assert frames.acks(513, []) == b""


def test_a_connection_without_a_largest_frame_takes_a_body_whole() -> None:
    body = b"x" * 1_000_000
    made = PublishEncoder(channel=7, exchange="x", mandatory=False, frame_max=0).encode(
        routing_key="k", body=body, message_id="id", headers={}, timestamp=None
    )
    assert made.endswith(pamqp.frame.marshal(ContentBody(body), 7))


@pytest.mark.parametrize(
    ("key", "message_id", "headers", "error"),
    [
        ("k" * 256, "id", {}, ValueError),
        ("é" * 128, "id", {}, ValueError),
        ("k", "i" * 256, {}, ValueError),
        ("k", "id", {"n" * 256: "x"}, ValueError),
        ("k", "id", {"n": "x" * 200}, HeadersTooLong),
        ("k", "id", {"n": object()}, TypeError),
        ("k", "id", {"n": 2**70}, TypeError),
    ],
)
def test_what_amqp_cannot_carry_is_refused(
    key: str, message_id: str, headers: dict[str, Any], error: type[Exception]
) -> None:
    encoder = PublishEncoder(channel=1, exchange="x", mandatory=False, frame_max=200)
    with pytest.raises(error):
        encoder.encode(routing_key=key, body=b"", message_id=message_id, headers=headers, timestamp=None)
    longest = encoder.encode(
        routing_key="k" * 255, body=b"", message_id="i", headers={"n" * 128: ""}, timestamp=None
    )
    assert b"k" * 255 in longest


class Receiver:
    def __init__(self) -> None:
        self.got: list[tuple[int, bytes]] = []
        self.losses = 0

    def frame(self, kind: int, data: bytes, start: int, end: int) -> None:
        self.got.append((kind, bytes(data[start:end])))

    def lost(self) -> None:
        self.losses += 1


STREAM = [
    pamqp.frame.marshal(Heartbeat(), 0),
    pamqp.frame.marshal(commands.Basic.Ack(1, False), 5),
    pamqp.frame.marshal(commands.Queue.DeclareOk("q", 1, 2), 6),
    pamqp.frame.marshal(commands.Basic.Nack(2, True), 5),
    pamqp.frame.marshal(ContentBody(b"\xce\xce" * 40), 5),
    pamqp.frame.marshal(commands.Channel.CloseOk(), 6),
]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 8, 20, 21, 50, 1000])
async def test_frames_that_come_in_pieces_go_where_they_belong(step: int) -> None:
    reader, receiver = DivertingReader(), Receiver()
    reader.receivers[5] = receiver
    stream = b"".join(STREAM)
    for at in range(0, len(stream), step):
        reader.feed_data(stream[at : at + step])
    reader.feed_eof()

    others = (await reader.read()).replace(frames.HEARTBEAT_FRAME, b"")
    assert others == STREAM[2] + STREAM[5]
    assert receiver.got == [
        (frames.METHOD, STREAM[1][7:-1]), (frames.METHOD, STREAM[3][7:-1]), (frames.BODY, b"\xce\xce" * 40),
    ]  # fmt: skip
    assert receiver.losses == 1


async def test_who_reads_hears_that_the_connection_lives() -> None:
    """RabbitMQ sends no heartbeat beside other frames, and the client library sees none of those."""
    reader, receiver = DivertingReader(), Receiver()
    reader.receivers[5] = receiver
    reader.feed_data(STREAM[1])
    reader.feed_eof()
    assert await reader.read() == frames.HEARTBEAT_FRAME


async def test_a_server_that_speaks_another_version_is_passed_on() -> None:
    reader = DivertingReader()
    reader.feed_data(b"AMQP\x00\x00\x09\x01 and more")
    reader.feed_data(b" of it")
    reader.feed_eof()
    assert await reader.read() == b"AMQP\x00\x00\x09\x01 and more of it"


async def test_a_connection_that_fails_is_lost_for_its_receivers() -> None:
    reader, receiver = DivertingReader(), Receiver()
    reader.receivers[1] = receiver
    reader.set_exception(ConnectionResetError())
    assert receiver.losses == 1
    assert isinstance(reader.exception(), ConnectionResetError)
