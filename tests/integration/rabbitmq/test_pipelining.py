"""Many questions in one write, on a real RabbitMQ."""

from __future__ import annotations

import asyncio
from typing import Any

from aiormq import spec

from router.declaring.channels import Channels
from router.queue_depth import AT_ONCE, Depth, depths
from runtime.amqp import ask_all, connect, open_channel


async def test_the_depth_of_each_queue_and_which_are_missing(vhost: str) -> None:
    queues = [f"queue {number}" for number in range(AT_ONCE + 6)]
    asked = queues.copy()
    gone = ["first", "in the middle", "beside it", "last"]
    asked[0:0], asked[30:30], asked[len(asked) :] = gone[:1], gone[1:3], gone[3:]
    connection = await connect(vhost, name="test")
    await Channels(connection).do(
        spec.Queue.Declare(queue=name, durable=True, nowait=True) for name in queues
    )
    channel = await open_channel(connection)
    await channel.basic_publish(b"", routing_key=queues[50])
    await channel.basic_consume(queues[2], lambda _: None)
    empty = dict.fromkeys(queues, Depth(0, 0)) | dict.fromkeys(gone)
    wanted = empty | {queues[50]: Depth(1, 0), queues[2]: Depth(0, 1)}
    found = await depths(connection, asked)
    assert found == wanted
    assert [*found] == asked
    await connection.close()


async def test_a_call_that_is_cancelled_leaves_the_connection_usable(vhost: str) -> None:
    """RabbitMQ answers all the same, and the client library stops reading when nobody takes the answers."""
    connection = await connect(vhost, name="test")
    channel = await open_channel(connection)
    methods = [spec.Queue.Declare(queue=f"queue {number}", durable=True) for number in range(200)]
    asking: asyncio.Task[None]

    class Answers(list[Any]):
        def append(self, answer: object) -> None:
            super().append(answer)
            asking.cancel()  # at the first

    asking = asyncio.create_task(ask_all(channel, methods, answers=Answers()))
    await asyncio.wait({asking})
    assert asking.cancelled()
    async with asyncio.timeout(20):
        await asyncio.wait({channel.closing})
        other = await open_channel(connection)
        answer = await other.queue_declare("queue 199", passive=True)
    assert answer.queue == "queue 199"
    await connection.close()
