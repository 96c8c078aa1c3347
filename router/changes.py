"""The hint that the registry changed: a fanout to every process. It carries no change itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from router import names
from router.catalogue import Catalogue
from router.readiness import topology_stands

BIND_AGAIN = 10.0  # seconds


async def follow_changes(
    connection: AbstractConnection,
    catalogue: Catalogue,
    *,
    heard: Callable[[bytes], None] | None = None,
    connected: Callable[[], None] | None = None,
) -> None:
    """Refresh the copy now and on every hint; return when the connection closes.

    heard: gets the body of each hint. connected: called when hints are heard from now on.
    """
    await topology_stands(connection)
    channel = connection.channel(publisher_confirms=False)
    await channel.initialize()
    queue = await channel.declare_queue(names.changes_queue(), exclusive=True, auto_delete=True)
    await queue.bind(names.CHANGES)
    await queue.bind(names.READY, names.HELD)  # nothing is published with this key: router/readiness.py

    async def look(hint: AbstractIncomingMessage) -> None:
        if heard is not None:
            heard(hint.body)
        await catalogue.try_refresh()

    await queue.consume(look, no_ack=True)
    if connected is not None:
        connected()
    await catalogue.try_refresh()
    while not channel.is_closed:
        with suppress(TimeoutError):
            async with asyncio.timeout(BIND_AGAIN):
                await channel.closed()
                return
        # The exchange may have been deleted and declared again, without this binding.
        await queue.bind(names.CHANGES)
