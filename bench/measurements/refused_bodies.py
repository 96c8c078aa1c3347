"""How much memory does a gateway take for bodies that it refuses? Its RSS, and how the senders fared."""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter

import uvloop

from bench.load.publisher import message
from bench.measurements.memory import resident
from bench.system import System, system

SIZE = 1_000_000  # bytes of each body
WAIT = 2.0  # seconds between two floods


def refused(options: argparse.Namespace) -> None:
    """RSS of a gateway while so many connections each send a megabyte at once, with an unknown secret."""
    with system() as running:
        pid = running.pids["gateway"]
        before = resident(pid)
        floods = [uvloop.run(_flood(running, pid, options.connections)) for _ in range(options.runs)]
    most = max(most for most, _ in floods)
    answers: Counter[str] = sum((answers for _, answers in floods), Counter())
    print(
        f"gateway, {options.runs} times {options.connections} refused bodies of {SIZE} bytes at once: RSS "
        f"{before / 1024:.0f} MB before, {most / 1024:.0f} MB at most; answers {dict(answers)}"
    )


async def _flood(running: System, pid: int, connections: int) -> tuple[int, Counter[str]]:
    """The RSS at most in kB, and what was answered how often."""
    body = message("zaken", 1)[:-1] + b', "extra": "' + b"x" * SIZE + b'"}'
    unknown = f"{running.authorization[:-4]}AAAA"
    head = (
        f"POST /api/v1/notificaties HTTP/1.1\r\nHost: x\r\nAuthorization: {unknown}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    sending = [asyncio.create_task(_send(running.port, head.encode() + body)) for _ in range(connections)]
    most = 0
    while not all(each.done() for each in sending):
        await asyncio.sleep(0.05)
        most = max(most, resident(pid))
    await asyncio.sleep(WAIT)
    return most, Counter(each.result() for each in sending)


async def _send(port: int, request: bytes) -> str:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        line = await reader.readline()
        writer.close()
    except ConnectionError:
        return "cut"
    return line[9:12].decode()
