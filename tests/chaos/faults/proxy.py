"""A TCP proxy with the faults of networks: it cuts connections, refuses them, or holds their bytes.

    async with Proxy(5672) as proxy:
        ... connect to 127.0.0.1:proxy.port ...
        proxy.stall()      # bytes are taken and go nowhere; connections stay open, new ones are taken too
        proxy.resume()     # what was held goes on
        proxy.cut()        # every connection is reset, on both sides
        await proxy.refuse()
        await proxy.accept()

Held bytes are sent on at `resume` even when their sender has gone meanwhile, as in a network. It does not
parse what it carries.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self

CHUNK = 64 * 1024
HELD = 4096  # chunks per direction; beyond them the sender's own socket fills up


class Proxy:
    """Listens on a port of 127.0.0.1 as long as the context is open, and forwards to another.

    up: from those who connect to the target; down: the way back. accepted: connections so far.
    """

    def __init__(self, target: int, *, host: str = "127.0.0.1") -> None:
        self._target = (host, target)
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.up, self.down = asyncio.Event(), asyncio.Event()
        self.port = 0
        self.accepted = 0

    async def __aenter__(self) -> Self:
        self.resume()
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._pairs)

    async def accept(self) -> None:
        """Take new connections, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse new connections; those that are open stay."""
        self._server.close()
        # Not wait_closed: from Python 3.12 on it waits for the connections that are open.
        await asyncio.sleep(0)

    def stall(self, *, up: bool = True, down: bool = True) -> None:
        """Hold all bytes of these directions from now on."""
        for gate, wanted in ((self.up, up), (self.down, down)):
            if wanted:
                gate.clear()

    def resume(self) -> None:
        """Let everything go on, in its order."""
        self.up.set()
        self.down.set()

    def cut(self) -> int:
        """Reset every connection, what is held included; how many there were."""
        count = len(self._pairs)
        for pair in list(self._pairs):
            pair.reset()
        return count

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.accepted += 1
        try:
            try:
                there = await asyncio.open_connection(*self._target)
            except OSError:
                reset(writer)
                return
            pair = _Pair((reader, writer), there)
            self._pairs.add(pair)
            try:
                await pair.carry(up=self.up, down=self.down)
            finally:
                self._pairs.discard(pair)
        finally:
            self._tasks.discard(task)


Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Pair:
    """One connection from the outside and the one that was made for it."""

    def __init__(self, outer: Side, inner: Side) -> None:
        self._outer, self._inner = outer, inner

    async def carry(self, *, up: asyncio.Event, down: asyncio.Event) -> None:
        """Return when both directions have ended; one that was broken off ends both."""
        ways = [
            asyncio.create_task(_way(self._outer[0], self._inner[1], gate=up)),
            asyncio.create_task(_way(self._inner[0], self._outer[1], gate=down)),
        ]
        try:
            await asyncio.gather(*ways)
            self._outer[1].close()
            self._inner[1].close()
        except (OSError, RuntimeError):  # the latter by uvloop, for a connection that was cut just now
            self.reset()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def reset(self) -> None:
        """Cut both."""
        reset(self._outer[1])
        reset(self._inner[1])


async def _way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, gate: asyncio.Event) -> None:
    """One direction: what is read is kept in order, and written as long as the gate is open."""
    held: asyncio.Queue[bytes] = asyncio.Queue(HELD)

    async def take() -> None:
        # A sender that was reset has ended too: what it sent before is under way, and not to be lost here.
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await held.put(data)
        await held.put(b"")

    taking = asyncio.create_task(take())
    try:
        while True:
            data = await held.get()
            await gate.wait()
            if not data:
                with suppress(OSError, RuntimeError):
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: the other side sees its connection broken, not ended."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
