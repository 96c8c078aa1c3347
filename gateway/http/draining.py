"""Draining: closes the open connections of a gateway that stops, so that no client sees an error.

A client that sends at the moment when its connection is closed cannot know whether its request was handled.
So a connection in use is not closed: its next answer says `Connection: close`
(gateway/http/protocol.py). Only a quiet one is closed at once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web

from gateway.http.protocol import Protocol

QUIET = 2.0  # seconds without a byte after which a connection between two requests counts as unused
LOOK_AGAIN = 0.02  # seconds


async def say_goodbye(server: web.Server, *, within: float) -> int:
    """Drain; return when no connection is open, or after `within` seconds: how many requests are left."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(within, 0.0)):
            while connections := _connections(server):
                for connection in connections:
                    if not connection.under_way and connection.quiet_for() >= QUIET:
                        connection.force_close()
                await asyncio.sleep(LOOK_AGAIN)
    return sum(connection.under_way for connection in _connections(server))


def _connections(server: web.Server) -> list[Protocol]:
    return [one for one in server.connections if isinstance(one, Protocol)]
