"""A gateway that stops: what happens to each kind of connection, open or in the backlog."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

import gateway.http.draining
import gateway.service
from gateway.http.connections import Connections
from gateway.http.protocol import listen, stop_listening
from gateway.http.slow_clients import SlowClients
from tests.contract.api import free_socket
from tests.contract.conftest import Stage

REQUEST = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Head and body of one answer, lower case; b"" when the connection was closed instead."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
    except asyncio.IncompleteReadError as error:
        assert error.partial == b""
        return b""
    length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


async def test_connections_that_are_open_when_it_stops(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in use is answered once more, and told to close; one that was quiet is closed."""
    stop, ready = asyncio.Event(), asyncio.Event()
    sock = free_socket()
    serving = asyncio.create_task(
        gateway.service.serve(stage.settings, stop=stop, ready=ready.set, sock=sock.dup())
    )
    await asyncio.wait_for(ready.wait(), 20)
    address = sock.getsockname()
    reader, writer = await asyncio.open_connection(*address)
    quiet, quiet_writer = await asyncio.open_connection(*address)
    writer.write(REQUEST)
    assert b"connection: close" not in await answer(reader)

    stop.set()
    await asyncio.sleep(0.1)
    assert not reader.at_eof()
    writer.write(REQUEST)
    assert b"\r\nconnection: close\r\n" in await answer(reader)
    assert await reader.read() == b""

    monkeypatch.setattr(gateway.http.draining, "QUIET", 0.0)
    assert await asyncio.wait_for(answer(quiet), 10) == b""
    await asyncio.wait_for(serving, 10)
    # Whoever comes now waits for the next one that listens on the shared socket.
    late, late_writer = await asyncio.open_connection(*address)
    late_writer.write(REQUEST)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(late.read(1), 0.2)
    for each in (writer, quiet_writer, late_writer):
        each.close()
    sock.close()


async def test_what_the_kernel_had_accepted_is_served_too(stage: Stage) -> None:
    """On a socket of its own, which nobody takes over. Nothing runs between connecting and stopping here."""

    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response(text="served")

    settings = stage.settings.model_copy(update={"gateway_listen": ("127.0.0.1", 0)})
    stopping: Any = SimpleNamespace(
        settings=settings, stopping=True, connections=Connections(10), slow_clients=SlowClients()
    )
    server = web.Server(handler)
    listening = await listen(server, stopping, sock=None)
    address = listening.sockets[0].getsockname()
    clients = [socket.create_connection(address) for _ in range(3)]
    for client in clients:
        client.sendall(REQUEST)

    await stop_listening(listening, server, stopping, shared=False)

    for client in clients:
        client.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=client)
        assert (await asyncio.wait_for(answer(reader), 10)).endswith(b"served")
        writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)
    await server.shutdown(1)
