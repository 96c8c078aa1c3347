"""A TCP proxy to RabbitMQ that can be made to stall, as if RabbitMQ hung."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yarl import URL


@asynccontextmanager
async def stallable(url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """(a URL to the broker through a proxy, the event without which bytes stay in the proxy)."""
    flowing = asyncio.Event()
    flowing.set()
    target = URL(url)
    connections: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await flowing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        connections.add(task)
        try:
            there = await asyncio.open_connection(target.host, target.port)
            try:
                await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
            finally:
                there[1].close()
        except OSError:
            pass  # the broker is away
        finally:
            connections.discard(task)
            writer.close()

    server = await asyncio.start_server(both, "127.0.0.1", 0)
    try:
        yield str(target.with_host("127.0.0.1").with_port(server.sockets[0].getsockname()[1])), flowing
    finally:
        server.close()
        left = [*connections]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
