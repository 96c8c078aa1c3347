"""Messages that the product never publishes, put into RabbitMQ by hand: any body, properties and headers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from hypothesis import strategies as st

from tests.fuzz.shapes import abonnementen, anything, body_of, notificaties

T = TypeVar("T")
PREFIXES = (
    "nrc-attempts",
    "nrc-failures",
    "nrc-due",
    "nrc-abonnement",
    "k.zaaktype",
    "x",
    "nrc-undeliverable-at",
)
field_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.binary(max_size=20).map(bytearray),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(
        ["[]", "{", '[{"at": 1}]', '[{"at": "x", "class": [], "status": "a", "detail": null}]', "9" * 30]
    ),
    st.just(datetime(2019, 1, 1, tzinfo=UTC)),
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 9), max_size=2),
)
REQUESTS = (
    {"do": "abonnement", "uuid": "x"},
    {"do": "abonnement", "uuid": "00000000-0000-4000-8000-000000000000"},
    {"do": "kanaal", "naam": 1},
    {"do": "kanaal", "naam": "fuzz1"},
    {"do": "announce", "x": None},
    {"do": "reconcile"},
    {"do": "reconcile", "dry_run": []},
    {"do": []},
)
bodies = st.one_of(
    st.binary(max_size=60),
    anything.map(body_of),
    notificaties("fuzz0").map(body_of),
    abonnementen("fuzz0").map(body_of),
    st.sampled_from(REQUESTS).map(body_of),
)
messages = st.fixed_dictionaries(
    {
        "body": bodies,
        "headers": st.dictionaries(st.sampled_from(PREFIXES), field_values, max_size=4),
        # An id that no header can hold is an attempt that fails, and enough of those hold the queue.
        "message_id": st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
        "reply_to": st.none() | st.sampled_from(["", "nobody"]),
        "correlation_id": st.none() | st.just("x"),
        "content_type": st.none() | st.just("text/plain"),
    }
)


class Garbage:
    """A connection of the fuzzing's own, to be used from another thread. `messages`: how many were put."""

    def __init__(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        self._connection = connection
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self.messages = 0

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str) -> AsyncIterator[Garbage]:
        async with await aio_pika.connect(url) as connection:
            yield cls(connection, await connection.channel())

    def put(self, exchange: str, key: str, message: dict[str, Any]) -> None:
        """It is in RabbitMQ when this returns."""
        self.messages += 1
        self._run(self._put(exchange, key, message))

    def left(self, queue: str) -> int:
        """How many messages of a queue are ready."""
        return self._run(self._left(queue))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _put(self, exchange: str, key: str, message: dict[str, Any]) -> None:
        channel = self._channel
        where = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        await where.publish(aio_pika.Message(**message), key, mandatory=False)

    async def _left(self, queue: str) -> int:
        declared = await self._channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0
