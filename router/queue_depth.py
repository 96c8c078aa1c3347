"""How many messages and consumers queues have, as RabbitMQ reports. Changes nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.exceptions import ChannelNotFoundEntity

from router.names import abonnement_queue
from runtime.amqp import AMQP_ERRORS, ask_all, describe, open_channel
from schemas.errors import BrokerUnavailable

LOOK_TIMEOUT, LOOK_TIME = 5.0, 0.02  # seconds: for all, and for each queue
AT_ONCE = 64  # queues that are asked about in one write


@dataclass(frozen=True, slots=True)
class Depth:
    """messages: those that are ready, without those that are unacknowledged."""

    messages: int
    consumers: int


async def ready_of(connection: AbstractConnection, abonnementen: Iterable[UUID]) -> dict[UUID, int | None]:
    """How many messages are ready in the queue of each; None where it is missing.

    Raises BrokerUnavailable, also when one of them has no leader.
    """
    queues = {uuid: abonnement_queue(uuid) for uuid in abonnementen}
    try:
        async with asyncio.timeout(LOOK_TIMEOUT + len(queues) * LOOK_TIME):
            found = await depths(connection, queues.values())
    except TimeoutError:
        raise BrokerUnavailable("RabbitMQ did not answer in time") from None
    return {
        uuid: None if (depth := found[queue]) is None else depth.messages for uuid, queue in queues.items()
    }


async def depth_of(connection: AbstractConnection, queue: str) -> Depth | None:
    """The depth of one queue; None when it does not exist. Raises BrokerUnavailable."""
    return (await depths(connection, [queue]))[queue]


async def depths(connection: AbstractConnection, queues: Iterable[str]) -> dict[str, Depth | None]:
    """The depth of each queue by name; None when it does not exist. Raises BrokerUnavailable."""
    found: dict[str, Depth | None] = {}
    left, at_once = deque(queues), AT_ONCE
    try:
        while left:
            channel = await open_channel(connection)
            missing = False
            while left and not missing:
                asked = [*islice(left, at_once)]
                answers: list[spec.Queue.DeclareOk] = []
                try:
                    methods = [spec.Queue.Declare(queue=name, passive=True) for name in asked]
                    await ask_all(channel, methods, answers=answers)
                except ChannelNotFoundEntity:  # RabbitMQ has closed the channel
                    missing = True
                for answer in answers:
                    found[left.popleft()] = Depth(answer.message_count or 0, answer.consumer_count or 0)
                if missing:
                    found[left.popleft()] = None
                # Missing ones often come in groups.
                at_once = 1 if missing else min(2 * at_once, AT_ONCE)
            if not missing:
                await channel.close()
    except AMQP_ERRORS as error:
        raise BrokerUnavailable(describe(error)) from error
    return found
