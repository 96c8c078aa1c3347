"""The hint that the registry changed: a fanout that every process hears. Never the source of the change."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aio_pika.abc import AbstractConnection

from router import names
from router.catalogue import Catalogue
from router.readiness import topology_stands
from runtime.log import logger
from schemas.errors import RegistryError

BIND_AGAIN = 10.0  # seconds

log = logger(__name__)


async def follow_changes(connection: AbstractConnection, catalogue: Catalogue) -> None:
    """Make the copy look on every hint, and once now; return when the connection closes.

    For a session of the consuming Link. Its queue is exclusive and goes with the connection.
    """
    await topology_stands(connection)
    channel = connection.channel(publisher_confirms=False)
    await channel.initialize()
    queue = await channel.declare_queue(names.changes_queue(), exclusive=True, auto_delete=True)
    await queue.bind(names.CHANGES)

    async def look(_: object = None) -> None:
        try:
            await catalogue.refresh()
        except RegistryError as error:
            log.warning("registry cannot be read; going on with the copy", reason=str(error))

    await queue.consume(look, no_ack=True)
    await look()
    while not channel.is_closed:
        with suppress(TimeoutError):
            async with asyncio.timeout(BIND_AGAIN):
                await channel.closed()
                return
        # Somebody may have deleted the exchange, and the router declared it again: without our binding.
        await queue.bind(names.CHANGES)
