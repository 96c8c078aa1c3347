"""A callback for tests: a real HTTP server that keeps every byte it got and misbehaves on command.

    async with CallbackServer() as callback:
        callback.script("/a", status(500), hang(), status(204))   # one each; the last one stays
        ... callback.url("/a") ...
        assert callback.received[0].header("webhook-id") == ...

It speaks HTTP by itself, so that it can do what no server library would.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Received:
    """One request. head: its bytes up to the empty line; connection: the number of its connection."""

    method: str
    path: str
    head: bytes
    headers: tuple[tuple[str, str], ...]
    body: bytes
    at: float
    connection: int

    def header(self, name: str) -> str | None:
        """The value of a header that is there at most once."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} was sent {len(values)} times"
        return values[0] if values else None


class Wire:
    """The connection that a script answers on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Write and wait until it is out."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        # Linger of 0 seconds: closing sends RST in place of FIN.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Wire, Received], Awaitable[bool]]
"""Answers one request; True when the connection may carry another."""


def status(
    code: int, *, headers: Mapping[str, str] | None = None, body: bytes = b"", after: float = 0.0
) -> Script:
    """A proper answer, `after` seconds."""

    async def answer(wire: Wire, _: Received) -> bool:
        await asyncio.sleep(after)
        lines = [f"HTTP/1.1 {code} Status", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        if code not in (204, 304):
            lines.append(f"Content-Length: {len(body)}")
        await wire.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return True

    return answer


def when(event: asyncio.Event, then: Script) -> Script:
    """Answer as `then`, but only once `event` is set."""

    async def answer(wire: Wire, received: Received) -> bool:
        await event.wait()
        return await then(wire, received)

    return answer


def raw(data: bytes) -> Script:
    """These bytes, then the connection is closed."""

    async def answer(wire: Wire, _: Received) -> bool:
        await wire.send(data)
        return False

    return answer


def persistent(data: bytes, *, then: bytes = b"", after: float = 0.0) -> Script:
    """These bytes, and `after` seconds later those; the connection stays open for another request."""

    async def answer(wire: Wire, _: Received) -> bool:
        await wire.send(data)
        await asyncio.sleep(after)
        await wire.send(then)
        return True

    return answer


def hang() -> Script:
    """Nothing, until the other side goes away."""

    async def answer(wire: Wire, _: Received) -> bool:
        await wire.reader.read()
        return False

    return answer


def drip(data: bytes, *, every: float) -> Script:
    """These bytes, one at a time, then the connection is closed."""

    async def answer(wire: Wire, _: Received) -> bool:
        for index in range(len(data)):
            await wire.send(data[index : index + 1])
            await asyncio.sleep(every)
        return False

    return answer


def endless(code: int = 200) -> Script:
    """A status, and a body that never ends."""

    async def answer(wire: Wire, _: Received) -> bool:
        await wire.send(f"HTTP/1.1 {code} OK\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        while True:
            await wire.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")

    return answer


def reset() -> Script:
    """A TCP reset after the request was read."""

    async def answer(wire: Wire, _: Received) -> bool:
        wire.reset()
        return False

    return answer


def close() -> Script:
    """The connection is closed without a word."""

    async def answer(_: Wire, __: Received) -> bool:
        return False

    return answer


class CallbackServer:
    """Listens on 127.0.0.1 (or `host`) as long as the context is open. Paths without a script answer 204."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self._tls = tls
        self._host = host
        self._scripts: dict[str, list[Script]] = {}
        self._handlers: set[asyncio.Task[None]] = set()
        self._under_way: dict[str, int] = defaultdict(int)
        self._most: dict[str, int] = defaultdict(int)
        self.received: list[Received] = []
        self.connections = 0
        self.port = port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, self._host, self.port, ssl=self._tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._handlers:
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def open_connections(self) -> int:
        """How many connections to it are open."""
        return len(self._handlers)

    def url(self, path: str = "/") -> str:
        """The callbackUrl of a path."""
        return f"http{'s' if self._tls else ''}://{self._host}:{self.port}{path}"

    def script(self, path: str, *answers: Script) -> None:
        """Answer requests on `path` with these in turn, and with the last one from then on."""
        self._scripts[path] = list(answers)
        self._most[path] = 0

    def at(self, path: str) -> list[Received]:
        """What came in on a path, oldest first."""
        return [received for received in self.received if received.path == path]

    def under_way(self, path: str) -> int:
        """Requests on a path that are being answered now."""
        return self._under_way[path]

    def most_at_once(self, path: str) -> int:
        """The largest number of requests on a path being answered at one moment since it was scripted."""
        return self._most[path]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._handlers.add(task)
        self.connections += 1
        number = self.connections
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._one(Wire(reader, writer), number):
                    pass
        finally:
            self._handlers.discard(task)
            writer.close()

    async def _one(self, wire: Wire, connection: int) -> bool:
        head = await wire.reader.readuntil(b"\r\n\r\n")
        lines = head[:-4].decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = tuple(
            (name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])
        )
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        body = await wire.reader.readexactly(length)
        received = Received(method, path, head, headers, body, time.monotonic(), connection)
        self.received.append(received)
        scripts = self._scripts.get(path) or [status(204)]
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        self._under_way[path] += 1
        self._most[path] = max(self._most[path], self._under_way[path])
        try:
            return await script(wire, received)
        finally:
            self._under_way[path] -= 1
