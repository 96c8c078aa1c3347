"""The proxy passes bytes on in order, and cuts, refuses and holds as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.chaos.faults.proxy import Proxy
from tests.eventually import eventually


class Echo:
    """A server that answers every line in capitals, and notes what it got."""

    def __init__(self) -> None:
        self.got = b""
        self.ended: list[BaseException | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        why: BaseException | None = None
        try:
            while line := await reader.readline():
                self.got += line
                writer.write(line.upper())
                await writer.drain()
        except OSError as error:
            why = error
        self.ended.append(why)
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, Proxy]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0, limit=1 << 20)
    async with Proxy(server.sockets[0].getsockname()[1]) as proxy:
        yield echo, proxy
    server.close()


async def connected(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    before = proxy.connections
    streams = await asyncio.open_connection("127.0.0.1", proxy.port)
    await eventually(lambda: proxy.connections > before)
    return streams


async def test_it_carries_both_ways_and_the_end(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    reader, writer = await connected(proxy)
    writer.write(b"x" * 300_000 + b"\n")
    assert await reader.readexactly(300_001) == b"X" * 300_000 + b"\n"
    writer.write_eof()
    assert await reader.read() == b""
    await eventually(lambda: server.ended == [None])
    await eventually(lambda: proxy.connections == 0)
    writer.close()


async def test_a_cut_resets_both_sides_and_new_connections_go_on(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    reader, writer = await connected(proxy)
    writer.write(b"one\n")
    assert await reader.readline() == b"ONE\n"

    assert proxy.cut() == 1

    with pytest.raises(ConnectionResetError):
        await reader.readline()
    await eventually(lambda: server.ended)
    assert isinstance(server.ended[0], ConnectionResetError)
    writer.close()
    again, writer = await connected(proxy)
    writer.write(b"two\n")
    assert await again.readline() == b"TWO\n"
    writer.close()


async def test_what_is_refused_is_accepted_again_on_the_same_port(echo: tuple[Echo, Proxy]) -> None:
    _, proxy = echo
    reader, writer = await connected(proxy)
    port = proxy.port

    await proxy.refuse()

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"still open\n")
    assert await reader.readline() == b"STILL OPEN\n"
    await proxy.accept()
    assert proxy.port == port
    _, another = await connected(proxy)
    another.close()
    writer.close()


@pytest.mark.parametrize("way", ["up", "down", "both"])
async def test_a_stalled_way_takes_bytes_and_holds_them(echo: tuple[Echo, Proxy], way: str) -> None:
    server, proxy = echo
    reader, writer = await connected(proxy)
    proxy.stall(up=way != "down", down=way != "up")
    writer.write(b"held\n")
    await writer.drain()
    waiting = asyncio.create_task(reader.readline())
    if way == "down":
        await eventually(lambda: server.got == b"held\n")
    # A connection that does go through in the other direction, or this one's own bytes, would show by now.
    _, other = await asyncio.open_connection("127.0.0.1", proxy.port)
    await eventually(lambda: proxy.accepted == 2)
    assert not waiting.done()
    assert server.got == (b"held\n" if way == "down" else b"")

    proxy.resume()

    assert await asyncio.wait_for(waiting, 5) == b"HELD\n"
    writer.close()
    other.close()


async def test_what_was_held_goes_on_though_its_sender_is_gone(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    _, writer = await connected(proxy)
    proxy.stall()
    writer.write(b"late\n")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert server.got == b""

    proxy.resume()

    await eventually(lambda: server.got == b"late\n")


async def test_a_target_that_is_not_there_is_a_reset() -> None:
    probe = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    async with Proxy(port) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
