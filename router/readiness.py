"""The marker exchange: the router declares it last, so where it stands, all else does.

It goes with RabbitMQ: one that is killed may come back without the binding that it confirmed a moment before.
"""

from __future__ import annotations

import asyncio

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity

from router import names

RETRY = 0.25  # seconds between two looks


async def topology_stands(connection: AbstractConnection) -> None:
    """Return once the marker is there. Before that, a publish could go into nothing."""
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
