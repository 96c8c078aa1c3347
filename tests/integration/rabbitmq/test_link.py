"""A Link whose session ends in ways that the client library makes; a connection that nobody closed."""

from __future__ import annotations

import asyncio
import sys

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


DROPPED = """
import asyncio, gc, sys
import uvloop
from runtime.amqp.connection import connect

async def connected():
    connection = await connect(sys.argv[1], name="test")
    # The library's heartbeat would keep the connection.
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        if "heartbeat" in task.get_coro().__qualname__:
            task.cancel()
    await asyncio.sleep(0)
    return connection

asyncio.set_event_loop(None)  # as pytest does after a test
loop = uvloop.new_event_loop()
connection = loop.run_until_complete(connected())
assert not connection.is_closed
del connection
gc.collect()
"""


async def test_a_connection_that_is_dropped_where_no_loop_runs_makes_no_coroutine(vhost: str) -> None:
    # A process of its own: what is collected where no loop runs is told on its standard error.
    ran = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DROPPED, vhost, stderr=asyncio.subprocess.PIPE
    )
    _, said = await ran.communicate()
    assert ran.returncode == 0, said.decode()
    assert "never awaited" not in said.decode()
