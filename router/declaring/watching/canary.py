"""Detects policies that empty queues, by canary messages in `nrc.canary` that only a policy removes.

Owns that queue, its messages and how they are read: AMQP cannot list policies. The active router keeps a few
messages there and looks at them at an interval. One is young, since a time to live applies to messages that
come after it was set; one is old, for a long time to live. Each look requeues them, so the oldest has a
higher delivery count than messages elsewhere: while RabbitMQ keeps it, it keeps those. From version 4.3 on
what is requeued does not count for RabbitMQ's limit, so a policy with one is not seen here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from router import names
from router.history import aware
from runtime.amqp import AMQP_ERRORS, connect_to_first, open_channel
from runtime.log import Occasional, logger
from schemas.errors import BrokerUnavailable

INTERVAL = 15.0  # seconds
AGAIN = 0.25  # seconds after which the queue may have been declared
LIVES = (10, 900, 86_400)  # seconds after which each of them is replaced
TOLD_EVERY = 600.0  # seconds
TOLD_FOR = timedelta(days=1)
ANSWER_TIMEOUT = 10.0  # seconds
CLOSE_TIMEOUT = 1.0  # seconds
TRIES, PAUSE = 3, 0.2  # and seconds in between, in which another process that looks has requeued them
MANY_RETURNS = 50_000  # requeues after which one is replaced; our own queues allow 100,000

COUNTS = ("x-delivery-count", "x-acquired-count")  # from version 4.3 on only the second counts requeues
LIFE = "nrc-life"
LOST_AT = "nrc-lost-at"
"""On a message there: its life, and when one was last lost (RFC 3339 in UTC)."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Sight:
    """The result of a look. returns: how often a message may be requeued, at least, before it is dropped.

    lost: says that messages were lost there within the last day, and when; "" when none were.
    """

    returns: int
    lost: str


async def look(connection: AbstractConnection) -> Sight:
    """Look, and requeue all twice. Raises ChannelNotFoundEntity, BrokerUnavailable or AMQP_ERRORS."""
    channel = await open_channel(connection)
    try:
        for _ in range(TRIES):
            before = await _taken(channel)
            await _requeue(channel, before)
            after = await _taken(channel)
            await _requeue(channel, after)
            if after and len(after) >= len(before):
                return Sight(max(map(returns_of, after)), _in_words(max(map(_lost_at, after))))
            await asyncio.sleep(PAUSE)
        return Sight(1, _in_words(datetime.now(UTC)))
    finally:
        with suppress(*AMQP_ERRORS):
            await channel.close()


def returns_of(message: DeliveredMessage) -> int:
    """How often a message was requeued."""
    headers = message.header.properties.headers or {}
    return max(count if isinstance(count := headers.get(name), int) else 0 for name in COUNTS)


class Canary:
    """Keeps the messages there, and logs when one was removed."""

    def __init__(self) -> None:
        self._had: set[int] = set()
        self._told = Occasional(every=TOLD_EVERY)
        self._lost_at = _NEVER

    @property
    def lost(self) -> str:
        """Says that one was lost within the last day, and when; "" when none was."""
        return _in_words(self._lost_at)

    async def run(self, urls: Sequence[str]) -> None:
        """Look every INTERVAL, until cancelled. For the active router alone.

        On a connection of its own: under an alarm RabbitMQ reads nothing more from one that publishes.
        """
        self._had = set()  # another RabbitMQ may be there now
        while True:
            with suppress(BrokerUnavailable, *AMQP_ERRORS):
                connection = await connect_to_first(urls, name="router looking for policies")
                try:
                    while True:
                        there = await self._see_to_it(connection)
                        await asyncio.sleep(INTERVAL if there else AGAIN)
                finally:
                    with suppress(*AMQP_ERRORS):
                        async with asyncio.timeout(CLOSE_TIMEOUT):
                            await connection.close()
            await asyncio.sleep(INTERVAL)

    async def _see_to_it(self, connection: AbstractConnection) -> bool:
        """Look, and replace what is old or missing; whether the queue exists. Raises as `look` does."""
        channel = await open_channel(connection, confirms=True)
        try:
            for tries in range(TRIES + 1):
                taken = await _taken(channel)
                there = {_life(message): message for message in taken}
                if not self._had - there.keys() or tries == TRIES:
                    break
                await _requeue(channel, taken)
                await asyncio.sleep(PAUSE)
            if gone := self._had - there.keys():
                self._went(gone)
            now = datetime.now(UTC)
            for life in LIVES:
                message = there.get(life)
                if message is None or _is_old(message, life, now):
                    await self._put(channel, life, now)
            for message in taken:
                life = _life(message)
                # There are several of one life when a router ended before it removed the former one.
                if life not in LIVES or message is not there[life] or _is_old(message, life, now):
                    await channel.basic_ack(message.delivery_tag or 0)
                else:
                    await _requeue(channel, [message])
            self._had = set(LIVES)
            return True
        except ChannelNotFoundEntity:
            if self._had:  # it is declared again within seconds
                self._went(self._had)
            self._had = set()
            return False
        finally:
            with suppress(*AMQP_ERRORS):
                await channel.close()

    def _went(self, lives: set[int]) -> None:
        self._lost_at = datetime.now(UTC)
        if times := self._told.due():
            log.warning(
                "policy in RabbitMQ empties queues",
                queue=names.CANARY,
                reason=f"{len(lives)} of {len(LIVES)} messages of ours are gone: message-ttl, expires, "
                "max-length or delivery-limit; or somebody took them",
                times=times,
            )

    async def _put(self, channel: AbstractChannel, life: int, now: datetime) -> None:
        headers: dict[str, Any] = {LIFE: life}
        if self._lost_at > _NEVER:
            headers[LOST_AT] = self._lost_at.isoformat(timespec="seconds")
        properties = spec.Basic.Properties(delivery_mode=2, headers=headers, timestamp=now)
        async with asyncio.timeout(ANSWER_TIMEOUT):
            await channel.basic_publish(b"{}", routing_key=names.CANARY, properties=properties)


_NEVER = datetime.fromtimestamp(0, UTC)


async def _taken(channel: AbstractChannel) -> list[DeliveredMessage]:
    found: list[DeliveredMessage] = []
    while True:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            message = await channel.basic_get(names.CANARY)
        if not isinstance(message.delivery, spec.Basic.GetOk):
            return found
        found.append(message)


async def _requeue(channel: AbstractChannel, messages: Iterable[DeliveredMessage]) -> None:
    for message in messages:
        await channel.basic_nack(message.delivery_tag or 0, requeue=True)


def _life(message: DeliveredMessage) -> int:
    life = (message.header.properties.headers or {}).get(LIFE)
    return life if isinstance(life, int) else 0


def _is_old(message: DeliveredMessage, life: int, now: datetime) -> bool:
    born = message.header.properties.timestamp
    if born is None or returns_of(message) >= MANY_RETURNS:
        return True
    return now - aware(born) > timedelta(seconds=life)


def _lost_at(message: DeliveredMessage) -> datetime:
    with suppress(KeyError, TypeError, ValueError):
        return datetime.fromisoformat(str((message.header.properties.headers or {})[LOST_AT]))
    return _NEVER


def _in_words(lost_at: datetime) -> str:
    if datetime.now(UTC) - lost_at > TOLD_FOR:
        return ""
    return f"messages of ours were lost there, last at {lost_at.isoformat(timespec='seconds')}"
