"""What is in `nrc.undeliverable`: looking through it, sending from it once more, and removing.

A look takes nothing out: what was taken to be looked at goes back, in its order. Sending again publishes a
new message to the abonnement's queue, with no attempts on it, and removes the old one after the confirm. Does
not read the history of failures that a message carries (`history`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aiormq.exceptions import ChannelNotFoundEntity

from router import names
from router.depth import depths
from router.history import resent_headers
from router.names import ABONNEMENT_HEADER
from router.publishing import Outgoing, Publisher
from runtime.amqp import AMQP_ERRORS, describe
from schemas.errors import BrokerError, BrokerUnavailable

GET_TIMEOUT = 10.0  # seconds
GIVE_BACK = 16  # messages
GIVE_BACK_TIMEOUT = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A notificatie that did not reach one abonnement. abonnement: None when nothing on it says which."""

    message_id: str
    abonnement: UUID | None
    headers: Mapping[str, Any]
    body: bytes
    accepted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Resent:
    """What became of one that was asked for. problem: "" when it is in its abonnement's queue again."""

    item: Undeliverable
    problem: str = ""


def read(message: AbstractIncomingMessage) -> Undeliverable:
    """A message of `nrc.undeliverable`, whoever put it there."""
    return Undeliverable(
        message_id=message.message_id or "",
        abonnement=_abonnement(message.headers, message.routing_key or ""),
        headers=message.headers,
        body=message.body,
        accepted_at=message.timestamp,
    )


def _abonnement(headers: Mapping[str, Any], routing_key: str) -> UUID | None:
    """The deliverer's header names it; else the key (out of a wait queue), else the queue that dropped it."""
    with suppress(ValueError):
        return UUID(str(headers.get(ABONNEMENT_HEADER)))
    for name in (routing_key, headers.get("x-first-death-queue")):
        if isinstance(name, str) and (uuid := names.abonnement_of(name)) is not None:
            return uuid
    return None


async def look(
    connection: AbstractConnection, *, wanted: Callable[[Undeliverable], bool], limit: int
) -> list[Undeliverable]:
    """The first `limit` that are `wanted`, oldest first; they stay where they are."""
    found: list[Undeliverable] = []

    async def visit(item: Undeliverable) -> bool:
        if wanted(item):
            found.append(item)
        return False

    await _walk(connection, visit, enough=lambda: len(found) >= limit)
    return found


async def resend(
    connection: AbstractConnection,
    publisher: Publisher,
    *,
    wanted: Callable[[Undeliverable], bool],
    tell: Callable[[Resent], None],
) -> None:
    """Send each that is `wanted` again, to the one abonnement that it did not reach.

    publisher: a mandatory one. tell: called with what became of each. A message leaves `nrc.undeliverable`
    when RabbitMQ has confirmed the new one: a stop in between leaves both. Raises BrokerUnavailable.
    """
    sent: set[tuple[str, UUID | None]] = set()
    standing: dict[str, bool] = {}

    async def visit(item: Undeliverable) -> bool:
        key = (item.message_id, item.abonnement)
        # A queue may go while this runs, and `nrc.return` then brings the message here: not a second time.
        if key in sent or not wanted(item):
            return False
        problem = await _send(connection, publisher, item, standing)
        tell(Resent(item, problem))
        if problem:
            return False
        sent.add(key)
        return True

    await _walk(connection, visit)


async def remove(
    connection: AbstractConnection,
    *,
    wanted: Callable[[Undeliverable], bool],
    tell: Callable[[Undeliverable], None],
) -> None:
    """Take each that is `wanted` out for good. tell: called with each. Raises BrokerUnavailable."""

    async def visit(item: Undeliverable) -> bool:
        if not wanted(item):
            return False
        tell(item)
        return True

    await _walk(connection, visit)


async def _walk(
    connection: AbstractConnection,
    visit: Callable[[Undeliverable], Awaitable[bool]],
    *,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Show each message to `visit`, which says whether it goes; the others are back in their place after."""
    try:
        async with connection.channel() as channel:
            queue = await channel.declare_queue(names.UNDELIVERABLE, passive=True)
            kept: list[int] = []
            try:
                while not enough():
                    message = await queue.get(fail=False, timeout=GET_TIMEOUT)
                    if message is None:
                        break
                    if await visit(read(message)):
                        await message.ack()
                    elif message.delivery_tag is not None:
                        kept.append(message.delivery_tag)
            finally:
                await _give_back(channel, kept)
    except ChannelNotFoundEntity as error:
        raise BrokerUnavailable(f"{names.UNDELIVERABLE} is not there; has a router run?") from error
    except AMQP_ERRORS as error:
        raise BrokerUnavailable(describe(error)) from error


async def _give_back(channel: AbstractChannel, tags: Sequence[int]) -> None:
    """Give all of these back, in their order.

    Of more than 32 that it gets at once RabbitMQ 3.10 loses the order, also when each is given back by
    itself: so some, and the next when those are ready again.
    """
    underlay = await channel.get_underlay_channel()
    for start in range(0, len(tags), GIVE_BACK):
        some = tags[start : start + GIVE_BACK]
        before = await _ready(channel)
        for tag in some:
            await underlay.basic_nack(tag, requeue=True)
        with suppress(TimeoutError):  # others may take from it meanwhile
            async with asyncio.timeout(GIVE_BACK_TIMEOUT):
                while await _ready(channel) < before + len(some):
                    pass


async def _ready(channel: AbstractChannel) -> int:
    found = await channel.declare_queue(names.UNDELIVERABLE, passive=True)
    return found.declaration_result.message_count or 0


async def _send(
    connection: AbstractConnection, publisher: Publisher, item: Undeliverable, standing: dict[str, bool]
) -> str:
    """Why it could not be sent; "" when it was."""
    if item.abonnement is None:
        return "nothing on it says which abonnement it was for"
    queue = names.abonnement_queue(item.abonnement)
    if queue not in standing:
        standing[queue] = (await depths(connection, [queue]))[queue] is not None
    if not standing[queue]:
        return f"abonnement {item.abonnement} has no queue (any more)"
    again = Outgoing(
        exchange=names.RETURN,
        routing_key=queue,
        body=item.body,
        message_id=item.message_id,
        headers=resent_headers(item.headers, at=datetime.now(UTC)),
        timestamp=item.accepted_at,
    )
    try:
        await publisher.publish(again)
    except BrokerUnavailable:
        raise
    except BrokerError as error:
        return str(error)
    return ""
