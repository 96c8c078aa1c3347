"""A consumer that reads its queue or stream in RabbitMQ, as a process; it reads as docs/amqp.md says.

Run as `python -m tests.chaos.clients.reader QUEUE [SINCE]`, with its URL in the environment. SINCE: of a
stream, Unix seconds from which to read, or `first`. Prints a JSON line of each message before it acknowledges
that, and one for each connection; the lines of one that is killed can still be read.
tests/chaos/clients/reader_process.py is the other end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import aio_pika
import orjson
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from tests.chaos.clients.load import number_of

URL = "NRC_TEST_AMQP_CONSUMER"
PREFETCH = 20
"""And so what may come again where it is not acknowledged."""
AFTER_ERROR = 0.5  # seconds
CONNECT_TIMEOUT = 5.0  # seconds
FIRST = "first"
JSON = "application/json"


def tell(**fields: Any) -> None:
    """One line, whole: it is read also when this process is killed."""
    os.write(sys.stdout.fileno(), orjson.dumps(fields) + b"\n")


def told(message: AbstractIncomingMessage) -> None:
    """Tell of a message; of one that is not as docs/amqp.md says, that."""
    if message.content_type != JSON or not message.timestamp or "nrc-abonnement" not in message.headers:
        tell(unexpected=f"{message.content_type}, {message.timestamp}, {sorted(message.headers)}")
    tell(
        id=message.message_id or "",
        number=number_of(message.body),
        at=time.monotonic(),
        accepted=message.timestamp.timestamp() if message.timestamp else 0,
        redelivered=bool(message.redelivered),
        offset=message.headers.get("x-stream-offset"),
    )


async def read(queue_name: str, arguments: dict[str, Any]) -> None:
    """Read over one connection, until that is lost for good."""
    connection = await aio_pika.connect_robust(os.environ[URL], timeout=CONNECT_TIMEOUT)
    async with connection:
        tell(connected=True)
        connection.reconnect_callbacks.add(lambda *_: tell(connected=True))
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.get_queue(queue_name)
        async with queue.iterator(arguments=arguments) as messages:
            async for message in messages:
                told(message)
                await message.ack()


async def main() -> None:
    """As long as there is somebody to tell."""
    logging.disable()  # a connection that is lost is nothing to tell of
    name, *since = sys.argv[1:]
    arguments: dict[str, Any] = {}
    if since:
        start = since[0] if since[0] == FIRST else datetime.fromtimestamp(float(since[0]), UTC)
        arguments["x-stream-offset"] = start
    parent = os.getppid()
    while os.getppid() == parent:
        with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
            await read(name, arguments)
        await asyncio.sleep(AFTER_ERROR)


if __name__ == "__main__":
    asyncio.run(main())
