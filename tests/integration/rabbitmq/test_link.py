"""A Link whose session ends in ways that the client library makes."""

from __future__ import annotations

import asyncio

from aio_pika.abc import AbstractConnection

from runtime.amqp import Link


async def test_a_session_that_the_client_library_cancelled_is_run_again(vhost: str) -> None:
    """It cancels whoever waits for an answer on a connection that is lost meanwhile."""
    link, again = Link([vhost], name="test"), asyncio.Event()
    connections: list[AbstractConnection] = []

    async def session(connection: AbstractConnection) -> None:
        connections.append(connection)
        if len(connections) == 1:
            raise asyncio.CancelledError
        again.set()
        await connection.closed()

    running = asyncio.create_task(link.run(session))
    waiting = asyncio.create_task(again.wait())
    await asyncio.wait({running, waiting}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    assert again.is_set()
    assert not running.done()
    running.cancel()
    await asyncio.wait({running, waiting})
    assert running.cancelled()
