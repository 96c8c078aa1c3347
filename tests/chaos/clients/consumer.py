"""The counting consumer: callbacks in a process of its own. Run as `python -m tests.chaos.clients.consumer`.

Records every request (which notificatie, on which path, when, and whether it was answered with a 2xx) and
answers as it was told to for the path. Takes commands as JSON lines on standard input and answers each with a
JSON line on standard output; tests/chaos/clients/consumer_process.py is the other end.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from contextlib import suppress
from time import monotonic
from typing import Any

import orjson
import uvloop

from tests.chaos.clients.behaviours import Behaving, Request, Wire, named
from tests.chaos.clients.load import number_of

BACKLOG = 1024


class Listener:
    """One port of an address with all paths; it can go down and come back on the same port."""

    def __init__(self, consumer: Consumer, tls: ssl.SSLContext | None, *, host: str) -> None:
        self._host = host
        self._consumer = consumer
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def up(self) -> None:
        """Listen."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._serve, self._host, self.port, ssl=self._tls, backlog=BACKLOG
            )
            self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse every connection, and cut those that there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._connections:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        wire = Wire(reader, writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                while await self._consumer.one(wire):
                    pass
        finally:
            self._connections.discard(writer)
            writer.close()


class Consumer:
    """What the process keeps: listeners, behaviours, and the requests since the last `take`."""

    def __init__(self) -> None:
        self._behaving = Behaving()
        self._listeners: dict[str, Listener] = {}
        self._records: list[tuple[str, str, int, int, float, bool]] = []
        self._under_way = 0

    async def one(self, wire: Wire) -> bool:
        """Read, answer and note one request; whether the connection may carry another."""
        head = (await wire.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await wire.reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(
            path=path,
            id=headers.get("webhook-id", ""),
            attempt=int(headers.get("nrc-attempt", "0")),
            number=number_of(body),
            at=monotonic(),
            headers=headers,
            body=body,
        )
        self._under_way += 1
        delivered = False
        try:
            done = await self._behaving.of(path)(wire, request)
            delivered = done.delivered
        finally:
            self._under_way -= 1
            self._records.append((path, request.id, request.number, request.attempt, request.at, delivered))
        return done.keep

    async def command(self, words: dict[str, Any]) -> Any:
        """Do what a line says; the answer."""
        match words.pop("do"):
            case "behave":
                self._behaving.by_path[words["path"]] = named(words["name"], words["arguments"])
            case "open":
                listener = Listener(self, _tls(words.get("certificate")), host=words["host"])
                self._listeners[words["name"]] = listener
                await listener.up()
                return listener.port
            case "down":
                await self._listeners[words["name"]].down()
            case "up":
                await self._listeners[words["name"]].up()
            case "take":
                records, self._records = self._records, []
                return {"records": records, "under_way": self._under_way}
            case other:
                raise ValueError(f"unknown command {other}")
        return None


def _tls(certificate: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def _run() -> None:
    consumer = Consumer()
    reader = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        try:
            answer = {"ok": await consumer.command(orjson.loads(line))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()
    os._exit(0)  # whoever started us is gone


if __name__ == "__main__":
    uvloop.run(_run())
