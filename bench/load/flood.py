"""Publisher and consumer that cost next to nothing themselves: for runs of a million on a small machine.

`python -m bench.load.flood publish --url URL --count N` prints how many answers of each status it got;
`python -m bench.load.flood consume PORT [--after MS]` answers every POST with 204, and GET /count with
how many there were. They speak just enough HTTP/1.1 for our own gateway and deliverer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections import Counter
from typing import cast
from urllib.parse import urlsplit

import uvloop

from nrc.cli.benching.load import message


class Messages(asyncio.Protocol):
    """Whole HTTP messages, told apart by Content-Length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked: the event loop has a class of its own.
        self._transport = cast(asyncio.Transport, transport)
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            _, found, rest = head.partition(b"content-length:")
            length = int(rest.split(b"\r\n", 1)[0]) if found else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self.message(head, body)

    def message(self, head: bytes, body: bytes) -> None:
        raise NotImplementedError


class Flood:
    """So many requests over so many connections, each with one under way."""

    def __init__(self, request: bytes, *, count: int) -> None:
        self.request = request
        self.left = count
        self.under_way = 0
        self.statuses: Counter[str] = Counter()
        self.done = asyncio.Event()

    def answered(self, status: str) -> None:
        self.statuses[status] += 1
        self.under_way -= 1
        if not self.left and not self.under_way:
            self.done.set()


class Publisher(Messages):
    """One connection of a flood."""

    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._next()

    def _next(self) -> None:
        if self._flood.left:
            self._flood.left -= 1
            self._flood.under_way += 1
            self._waiting = True
            self._transport.write(self._flood.request)

    def message(self, head: bytes, body: bytes) -> None:
        self._waiting = False
        self._flood.answered(head[9:12].decode())
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._flood.answered("broken off")


def request_of(url: str, kanaal: str, authorization: str) -> bytes:
    """The bytes of the POST of one notificatie."""
    address = urlsplit(url)
    body = message(kanaal, 1)
    head = (
        f"POST {address.path}/notificaties HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Authorization: {authorization}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def publish(options: argparse.Namespace) -> None:
    address = urlsplit(options.url)
    flood = Flood(
        request_of(options.url, options.kanaal, os.environ["BENCH_AUTHORIZATION"]), count=options.count
    )
    loop = asyncio.get_running_loop()
    for _ in range(min(options.concurrency, options.count)):
        await loop.create_connection(lambda: Publisher(flood), address.hostname, address.port)
    await flood.done.wait()
    print(json.dumps(flood.statuses))


class Consumer(Messages):
    """A callback that counts."""

    counted = 0
    received = 0  # bytes
    after = 0.0  # seconds until it answers

    def message(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"post "):
            Consumer.counted += 1
            Consumer.received += len(head) + 4 + len(body)
            if Consumer.after:
                asyncio.get_running_loop().call_later(Consumer.after, self._answer)
            else:
                self._answer()
            return
        text = str(Consumer.received if head.startswith(b"get /bytes ") else Consumer.counted)
        self._transport.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())

    def _answer(self) -> None:
        self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


async def consume(options: argparse.Namespace) -> None:
    Consumer.after = options.after / 1000
    server = await asyncio.get_running_loop().create_server(Consumer, "127.0.0.1", options.port)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    publishing = commands.add_parser("publish")
    publishing.add_argument("--url", required=True)
    publishing.add_argument("--kanaal", default="zaken")
    publishing.add_argument("--count", type=int, required=True)
    publishing.add_argument("--concurrency", type=int, default=64)
    publishing.set_defaults(run=publish)
    consuming = commands.add_parser("consume")
    consuming.add_argument("port", type=int)
    consuming.add_argument("--after", type=float, default=0.0, help="milliseconds until it answers")
    consuming.set_defaults(run=consume)
    options = parser.parse_args()
    uvloop.run(options.run(options))


if __name__ == "__main__":
    main()
