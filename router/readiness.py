"""The marker exchange `nrc.ready`: the router declares it last, so where it exists, everything else does.

It does not outlive a restart of RabbitMQ, which may come back without what was declared last. With Khepri
(version 4.2 on) RabbitMQ keeps exchanges that are not durable too. So the marker is auto-delete, and each
process binds its queue of hints to it, which is exclusive: it goes with the last of their connections.
"""

from __future__ import annotations

import asyncio

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity

from router import names

RETRY = 0.25  # seconds between two looks


async def topology_stands(connection: AbstractConnection) -> None:
    """Return once the marker exists. Before that a message may be routed to no queue."""
    while True:
        channel = connection.channel()
        await channel.initialize()
        try:
            await channel.declare_exchange(names.READY, passive=True)
        except ChannelNotFoundEntity:
            await asyncio.sleep(RETRY)
        else:
            await channel.close()
            return
