"""What is in `nrc.undeliverable`: looking through it, sending from it once more, and removing.

And a look through the queues of abonnementen, for what is not there.

A look takes nothing out: what was taken to be looked at goes back, in its order. RabbitMQ counts how often,
and a policy of others may have it drop a message after a few times. So when one was given back as often as is
known to be harmless (`canary`), the whole queue is published anew, to its own end, and each message
acknowledged after its confirm: a stop in between leaves both.

Sending again publishes a new message to the abonnement's queue, with no attempts on it, and removes the old
one after the confirm. Does not read the history of failures that a message carries (`history`).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from router import names
from router.declaring import canary
from router.depth import depths
from router.history import resent_headers, whose
from router.names import ABONNEMENT_HEADER
from router.publishing import CONFIRM_TIMEOUT, Outgoing, Publisher
from router.walk import Look, Remove, reach, walk
from runtime.amqp import AMQP_ERRORS, describe, open_channel
from schemas.errors import BrokerError, BrokerUnavailable, MessageTooLarge

WALK = "nrc-walk"
"""On a message that was published anew: by which walk, which ends when it comes to its own."""


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


def read(message: DeliveredMessage) -> Undeliverable:
    """A message of `nrc.undeliverable`, whoever put it there."""
    properties = message.header.properties
    headers = properties.headers or {}
    return Undeliverable(
        message_id=properties.message_id or "",
        abonnement=whose(headers, message.routing_key or ""),
        headers=headers,
        body=message.body,
        accepted_at=properties.timestamp,
    )


async def look(
    connection: AbstractConnection,
    *,
    wanted: Callable[[Undeliverable], bool],
    limit: int,
    at_most: int = sys.maxsize,
) -> list[Undeliverable]:
    """The first `limit` that are `wanted`, oldest first; they stay where they are.

    at_most: how many are looked at.
    """
    found: list[Undeliverable] = []

    def see(message: DeliveredMessage) -> bool:
        if len(found) < limit and wanted(item := read(message)):
            found.append(item)
        return False

    await _walk(connection, see, at_most=at_most)
    return found


async def look_in_queues(
    connection: AbstractConnection,
    abonnementen: Iterable[UUID],
    *,
    wanted: Callable[[Undeliverable], bool],
    tell: Callable[[UUID, int, int], None],
) -> list[Undeliverable]:
    """Those that are `wanted` and ready in the queues of these abonnementen; they stay where they are.

    tell: called with an abonnement, how many were looked at and how many there are, when that is not all.
    Raises BrokerUnavailable.
    """
    queues = {names.abonnement_queue(uuid): uuid for uuid in abonnementen}
    found: list[Undeliverable] = []

    def see(uuid: UUID, message: DeliveredMessage) -> bool:
        if wanted(item := replace(read(message), abonnement=uuid)):
            found.append(item)
        return False

    for queue, depth in (await depths(connection, queues)).items():
        if depth is None or not depth.messages:
            continue
        uuid, at_most = queues[queue], reach(depth)
        if at_most < depth.messages:
            tell(uuid, at_most, depth.messages)
        try:
            with suppress(ChannelNotFoundEntity):  # removed meanwhile
                await walk(connection, queue, at_most=at_most, look=partial(see, uuid))
        except AMQP_ERRORS as error:
            raise BrokerUnavailable(describe(error)) from error
    return found


async def resend(
    connection: AbstractConnection,
    publisher: Publisher,
    *,
    wanted: Callable[[Undeliverable], bool],
    tell: Callable[[Resent], None],
    overtaken: Callable[[Undeliverable], Awaitable[bool]] | None = None,
) -> None:
    """Send each that is `wanted` again, to the one abonnement that it did not reach.

    publisher: a mandatory one. tell: called with what became of each. overtaken: whether one was sent again
    since, or settled: it is taken out and not told of. A message leaves `nrc.undeliverable` when RabbitMQ has
    confirmed the new one: a stop in between leaves both. Raises BrokerUnavailable.
    """
    sent: set[tuple[str, UUID | None]] = set()
    standing: dict[str, bool] = {}

    async def send(message: DeliveredMessage) -> bool:
        item = read(message)
        key = (item.message_id, item.abonnement)
        # A queue may go while this runs, and `nrc.return` then brings the message here: not a second time.
        if key in sent:
            return False
        sent.add(key)
        if overtaken is not None and await overtaken(item):
            return True
        problem = await _send(connection, publisher, item, standing)
        tell(Resent(item, problem))
        return not problem

    await _walk(connection, lambda message: wanted(read(message)), remove=send)


async def remove(
    connection: AbstractConnection,
    *,
    wanted: Callable[[Undeliverable], bool],
    tell: Callable[[Undeliverable], None],
    overtaken: Callable[[Undeliverable], Awaitable[bool]] | None = None,
) -> None:
    """Take each that is `wanted` out for good. tell: called with each. Raises BrokerUnavailable.

    overtaken: as of `resend`.
    """

    async def out(message: DeliveredMessage) -> bool:
        item = read(message)
        if overtaken is None or not await overtaken(item):
            tell(item)
        return True

    await _walk(connection, lambda message: wanted(read(message)), remove=out)


async def _walk(
    connection: AbstractConnection, look: Look, *, remove: Remove | None = None, at_most: int = sys.maxsize
) -> None:
    try:
        await _Round(connection, look, remove).walk(at_most)
    except ChannelNotFoundEntity as error:
        raise BrokerUnavailable(f"{names.UNDELIVERABLE} is not there; has a router run?") from error
    except AMQP_ERRORS as error:
        raise BrokerUnavailable(describe(error)) from error


class _Round:
    """One walk through the queue. anew: whether it is published to its end again on the way.

    ended: whether that has come round. were_returned: whether the last one seen was given back before.
    """

    def __init__(self, connection: AbstractConnection, look: Look, remove: Remove | None) -> None:
        self._connection = connection
        self._look = look
        self._remove = remove
        self._may_return = 1
        self._anew = self._ended = self._were_returned = False
        self._mark = uuid4().hex
        self._chosen: set[int | None] = set()
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()

    async def walk(self, at_most: int) -> None:
        with suppress(ChannelNotFoundEntity):  # a router of an older version is at work
            self._may_return = (await canary.look(self._connection)).returns
        try:
            await walk(
                self._connection,
                names.UNDELIVERABLE,
                at_most=lambda: self._how_far(at_most),
                look=self._see,
                remove=self._away,
            )
        finally:
            if self._channel is not None:
                with suppress(*AMQP_ERRORS):
                    await self._channel.close()

    def _how_far(self, at_most: int) -> int:
        if self._anew:
            return 0 if self._ended else sys.maxsize
        # RabbitMQ puts what is given back behind what was given back before.
        return sys.maxsize if self._were_returned else at_most

    def _see(self, message: DeliveredMessage) -> bool:
        if (message.header.properties.headers or {}).get(WALK) == self._mark:
            self._ended = True
            return False
        # The first was given back most often, so where it may be, all others may.
        returns = canary.returns_of(message)
        self._were_returned = returns > 0
        self._anew = self._anew or returns >= self._may_return
        if self._look(message):
            self._chosen.add(message.delivery_tag)
            return True
        return self._anew

    async def _away(self, message: DeliveredMessage) -> bool:
        """Whether it need not be given back."""
        if message.delivery_tag in self._chosen:
            self._chosen.discard(message.delivery_tag)
            assert self._remove is not None  # noqa: S101 - else nothing is chosen
            if await self._remove(message):
                return True
        if not self._anew:
            return False
        await self._publish(message)
        return True

    async def _publish(self, message: DeliveredMessage) -> None:
        async with self._opening:
            if self._channel is None:
                self._channel = await open_channel(self._connection, confirms=True)
        properties = message.header.properties
        headers = dict(properties.headers or {})
        headers.pop(canary.DELIVERY_COUNT, None)
        headers[WALK] = self._mark
        # Straight into the queue; the key that it came with may be all that says whose it is.
        if (abonnement := whose(headers, message.routing_key or "")) is not None:
            headers[ABONNEMENT_HEADER] = str(abonnement)
        properties.headers = headers
        async with asyncio.timeout(CONFIRM_TIMEOUT):
            await self._channel.basic_publish(
                message.body, routing_key=names.UNDELIVERABLE, properties=properties
            )


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
    except MessageTooLarge as error:
        return str(error)
    except BrokerUnavailable:
        raise
    except BrokerError as error:
        return str(error)
    return ""
