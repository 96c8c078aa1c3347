"""How a callback answers: each behaviour by its name, with arguments that JSON can carry.

To add one: a function under `@behaviour` that takes its arguments by keyword and gives an Answer. It says
whether it `delivered`: a 2xx went out to a peer that was still there. All else is not delivered, also when
the whole request was read.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a callback, read to its end."""

    path: str
    id: str
    attempt: int
    number: int
    at: float
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """The connection that a behaviour answers on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def gone(self) -> bool:
        """Whether the peer has hung up: an answer would reach nobody."""
        return self.reader.at_eof() or self.reader.exception() is not None or self.writer.is_closing()

    async def send(self, data: bytes) -> None:
        """Write, and wait until there is room for more."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        # Linger of 0 seconds: closing sends RST in place of FIN.
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an answer. keep: whether the connection may carry another request."""

    delivered: bool
    keep: bool


Answer = Callable[[Wire, Request], Awaitable[Done]]

BEHAVIOURS: dict[str, Callable[..., Answer]] = {}


def behaviour(make: Callable[..., Answer]) -> Callable[..., Answer]:
    """Make it known under its name."""
    BEHAVIOURS[make.__name__] = make
    return make


def named(name: str, arguments: Mapping[str, Any]) -> Answer:
    """The behaviour of this name with these arguments."""
    return BEHAVIOURS[name](**arguments)


def _lines(code: int, headers: Mapping[str, str], length: int) -> bytes:
    lines = [f"HTTP/1.1 {code} Status", *(f"{name}: {value}" for name, value in headers.items())]
    if code != 204:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@behaviour
def status(
    *, code: int = 204, headers: Mapping[str, str] | None = None, body: str = "", after: float = 0.0
) -> Answer:
    """A proper answer, after so many seconds."""
    data = _lines(code, headers or {}, len(body)) + body.encode("latin-1")

    async def answer(wire: Wire, _: Request) -> Done:
        if after:
            await asyncio.sleep(after)
        if wire.gone:
            return Done(delivered=False, keep=False)
        await wire.send(data)
        return Done(delivered=200 <= code < 300, keep=True)

    return answer


@behaviour
def some(*, every: int, then: list[Any], by: str = "number") -> Answer:
    """For one notificatie (by="number") or one request (by="request") in `every`: [name, arguments]."""
    odd, usual = named(*then), status()
    requests = 0

    async def answer(wire: Wire, request: Request) -> Done:
        nonlocal requests
        requests += 1
        chosen = request.number if by == "number" else requests
        return await (odd if chosen % every == 0 else usual)(wire, request)

    return answer


@behaviour
def first(*, then: list[Any], attempts: int = 1) -> Answer:
    """For the first attempt, or so many, of each notificatie [name, arguments]."""
    odd, usual = named(*then), status()

    async def answer(wire: Wire, request: Request) -> Done:
        return await (odd if request.attempt <= attempts else usual)(wire, request)

    return answer


@behaviour
def event(*, mode: str, then: list[Any]) -> Answer:
    """For a CloudEvent in this mode, structured or binary, [name, arguments]; 400 for all else."""
    usual, refused = named(*then), status(code=400)

    async def answer(wire: Wire, request: Request) -> Done:
        kind = request.headers.get("content-type", "")
        if mode == "structured":
            found = orjson.loads(request.body) if kind == "application/cloudevents+json" else {}
        else:
            found = {name[3:]: value for name, value in request.headers.items() if name.startswith("ce-")}
        # A notificatie's event has its id, and one of a source keeps its own.
        known = found.get("id") in (request.id, str(request.number))
        is_event = known and found.get("specversion") == "1.0" and {"source", "type"} <= found.keys()
        return await (usual if is_event else refused)(wire, request)

    return answer


@behaviour
def flapping(*, up: float, down: float, then: list[Any]) -> Answer:
    """Proper answers for `up` seconds, then [name, arguments] for `down` seconds, and so on."""
    odd, usual = named(*then), status()

    async def answer(wire: Wire, request: Request) -> Done:
        return await (usual if time.monotonic() % (up + down) < up else odd)(wire, request)

    return answer


@behaviour
def hang() -> Answer:
    """Nothing, until the other side goes away."""

    async def answer(wire: Wire, _: Request) -> Done:
        await wire.reader.read()
        return Done(delivered=False, keep=False)

    return answer


@behaviour
def drip(*, every: float = 1.0, code: int = 200) -> Answer:
    """An answer whose status line comes a byte at a time."""

    async def answer(wire: Wire, _: Request) -> Done:
        data = _lines(code, {}, 0)
        for index in range(len(data)):
            if wire.gone:
                return Done(delivered=False, keep=False)
            await wire.send(data[index : index + 1])
            await asyncio.sleep(every)
        return Done(delivered=200 <= code < 300 and not wire.gone, keep=False)

    return answer


@behaviour
def endless(*, code: int = 200) -> Answer:
    """A status, and a body that never ends."""

    async def answer(wire: Wire, _: Request) -> Done:
        if wire.gone:
            return Done(delivered=False, keep=False)
        await wire.send(f"HTTP/1.1 {code} OK\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        try:
            while not wire.gone:
                await wire.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
                await asyncio.sleep(0.001)
        except OSError:
            pass
        return Done(delivered=200 <= code < 300, keep=False)

    return answer


@behaviour
def reset() -> Answer:
    """A TCP reset after the request was read."""

    async def answer(wire: Wire, _: Request) -> Done:
        wire.reset()
        return Done(delivered=False, keep=False)

    return answer


@behaviour
def close() -> Answer:
    """The connection is closed without a word."""

    async def answer(_: Wire, __: Request) -> Done:
        return Done(delivered=False, keep=False)

    return answer


@behaviour
def unasked(*, code: int, after: float = 0.01) -> Answer:
    """A proper 204; `after` seconds later another answer that nobody asked for, and the end.

    What comes meanwhile on the connection is never read.
    """

    async def answer(wire: Wire, _: Request) -> Done:
        if wire.gone:
            return Done(delivered=False, keep=False)
        await wire.send(_lines(204, {}, 0))
        await asyncio.sleep(after)
        await wire.send(_lines(code, {}, 0))
        return Done(delivered=True, keep=False)

    return answer


_OF_ONE_CONNECTION = frozenset({"host", "content-length", "connection", "authorization"})


@behaviour
def forward(*, port: int, authorization: str) -> Answer:
    """Posted to the API on that port, with all headers of the delivery; answered as that was answered."""

    async def answer(wire: Wire, request: Request) -> Done:
        headers = {name: value for name, value in request.headers.items() if name not in _OF_ONE_CONNECTION}
        headers |= {"host": f"127.0.0.1:{port}", "authorization": authorization, "connection": "close"}
        head = [f"{name}: {value}" for name, value in headers.items()]
        head += [f"content-length: {len(request.body)}", "", ""]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write("\r\n".join(["POST /api/v1/notificaties HTTP/1.1", *head]).encode() + request.body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        finally:
            writer.close()
        hops = dict(line.split(": ", 1) for line in lines if line.lower().startswith("nrc-hops: "))
        return await status(code=int(lines[0].split(" ")[1]), headers=hops)(wire, request)

    return answer


@dataclass(slots=True)
class Behaving:
    """Which behaviour each path has now; a proper 204 where nothing was said."""

    by_path: dict[str, Answer] = field(default_factory=dict)
    usual: Answer = field(default_factory=status)

    def of(self, path: str) -> Answer:
        """The behaviour of a path."""
        return self.by_path.get(path, self.usual)
