"""What it costs to look through a long queue: seconds, and the memory of who does it and of RabbitMQ."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage

from nrc.rabbitmq.private_broker import PrivateBroker
from router.depth import Depth, depths
from router.hold_limits import Survey
from router.topology import of_abonnement
from router.walk import walk
from runtime.amqp import connect
from schemas.abonnement import Abonnement

SIZE = 1400  # bytes of a body; the guide's example has half of it
AT_ONCE = 500


def walking(options: argparse.Namespace) -> None:
    """A queue of `--backlog` messages, looked through `--runs` times; and one that has a single message."""
    asyncio.run(_walking(options.backlog, options.runs))


async def _walking(backlog: int, runs: int) -> None:
    with tempfile.TemporaryDirectory(prefix="nrc-bench-") as folder:
        node = PrivateBroker(Path(folder))
        try:
            connection = await connect(await node.start(), name="bench")
            broker = Memory(int((node.folder / "rabbitmq.pid").read_text()))
            long, short = await _filled(connection, backlog), await _filled(connection, 1)
            one = [await _timed(connection, short, 1) for _ in range(200)]
            me = Memory(os.getpid())
            watching = asyncio.create_task(_watch(me, broker))
            took = [await _timed(connection, long, backlog) for _ in range(runs)]
            watching.cancel()
            await connection.close()
        finally:
            await node.stop()
    print(
        f"a walk through {backlog} messages of {SIZE} bytes, {runs} times: median "
        f"{statistics.median(took):.1f} s (min {min(took):.1f}, max {max(took):.1f})"
    )
    print(f"memory before and at most: its process {me}, RabbitMQ {broker}")
    print(f"a walk through one message, 200 times: median {statistics.median(one) * 1000:.1f} ms")


class Memory:
    """The RSS of a process: when this was made, and at most since."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._first = self._most = self._now()

    def _now(self) -> int:
        status = Path(f"/proc/{self._pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def look(self) -> None:
        """Take its present RSS into account."""
        self._most = max(self._most, self._now())

    def __str__(self) -> str:
        return f"{self._first / 1024:.0f} and {self._most / 1024:.0f} MB"


async def _watch(*processes: Memory) -> None:
    while True:
        for each in processes:
            each.look()
        await asyncio.sleep(0.1)


async def _filled(connection: AbstractConnection, count: int) -> str:
    """A queue as an abonnement has it, with so many messages."""
    abonnement = Abonnement(uuid4(), "http://127.0.0.1:9/", auth="", kanalen=(), client_id="bench")
    queue = of_abonnement(abonnement, {}).queue
    body = b"." * SIZE
    async with connection.channel() as channel:
        await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments))
        for start in range(0, count, AT_ONCE):
            await asyncio.gather(
                *(
                    channel.default_exchange.publish(_message(body, number), queue.name)
                    for number in range(start, min(count, start + AT_ONCE))
                )
            )
    return queue.name


def _an_abonnement() -> Abonnement:
    return Abonnement(
        uuid=uuid4(), callback_url="http://127.0.0.1:9/", auth="", kanalen=(), client_id="bench"
    )


def _message(body: bytes, number: int) -> Message:
    return Message(
        body,
        message_id=str(number),
        timestamp=datetime.now(UTC),
        headers={"k.bronorganisatie": "224557609", "k.zaaktype": "https://catalogi.example.nl/zaaktypen/1"},
        delivery_mode=DeliveryMode.PERSISTENT,
    )


async def _timed(connection: AbstractConnection, queue: str, count: int) -> float:
    """Seconds of one walk, until all is back in its queue."""
    survey = Survey()

    def look(message: DeliveredMessage) -> bool:
        survey.note(message)
        return False

    start = time.perf_counter()
    await walk(connection, queue, at_most=count, look=look)
    while (await depths(connection, [queue]))[queue] != Depth(count, 0):
        pass
    assert len(survey.sizes) == count
    return time.perf_counter() - start
