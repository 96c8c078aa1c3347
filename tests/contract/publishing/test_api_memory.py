"""The memory of a gateway process while clients send bodies that are refused, or do not read answers."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from bench.measurements.memory import resident
from schemas.abonnement import Abonnement, FilterGroup
from schemas.kanaal import Kanaal
from store.opening import open_registry
from tests.broker import Broker
from tests.contract.api import APPLICATIONS, Api, free_socket
from tests.eventually import eventually
from tests.tokens import token

MIB = 1024  # kB
ROWS = 2000
GROUPS = 45


@dataclass
class GatewayProcess:
    """A gateway in a process of its own, with ROWS abonnementen."""

    api: Api
    pid: int
    log: Path

    @property
    def port(self) -> int:
        return int(self.api.root.split("/")[2].split(":")[1])

    async def connect(self, request: bytes) -> socket.socket:
        """A connection on which this was sent, and as little as can be is received unasked."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", self.port))
        await loop.sock_sendall(sock, request)
        return sock


@pytest.fixture(scope="module")
async def gateway(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    tmp_path = tmp_path_factory.mktemp("memory")
    async with open_registry(tmp_path / "registry.db") as registry:
        for application in APPLICATIONS:
            await registry.add_application(application)
        await registry.add_kanaal(Kanaal(uuid4(), "zaken", "", (), ()))
        groups = tuple(
            FilterGroup("zaken", (("zaaktype", f"https://example.nl/{number}"),)) for number in range(GROUPS)
        )
        for _ in range(ROWS):
            await registry.add_abonnement(Abonnement(uuid4(), "http://127.0.0.1:9/", "x", groups, "ander"))
    url = await broker.fresh_vhost()
    async with _process(tmp_path, url) as process:
        yield process
    await broker.remove_vhost(url)


@asynccontextmanager
async def _process(folder: Path, url: str) -> AsyncIterator[GatewayProcess]:
    with free_socket() as sock:
        port = sock.getsockname()[1]
    log = folder / "gateway.log"
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "nrc", "gateway",
            env={
                "PATH": os.environ["PATH"],
                "NRC_AMQP_URL": url,
                "NRC_STATE_DIR": str(folder),
                "NRC_GATEWAY_LISTEN": f"127.0.0.1:{port}",
            },
            cwd=Path(__file__).parents[3],
            stdout=written,
            stderr=written,
        )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as session:
            api = Api(session, f"http://127.0.0.1:{port}/api/v1")

            async def answers() -> bool:
                try:
                    return (await api("GET", "/kanaal")).status == 200
                except aiohttp.ClientError:
                    return False

            await eventually(answers)
            yield GatewayProcess(api, process.pid, log)
    finally:
        process.kill()
        await process.wait()


async def test_readers_that_do_not_read_cost_little_and_hold_up_nobody(gateway: GatewayProcess) -> None:
    before = resident(gateway.pid)
    request = (
        f"GET /api/v1/abonnement HTTP/1.1\r\nHost: x\r\nAuthorization: {token('beide')}\r\n\r\n".encode()
    )
    async with AsyncExitStack() as opened:
        for _ in range(50):
            opened.callback((await gateway.connect(request)).close)
        most = 0
        for _ in range(20):
            assert (await gateway.api("GET", "/kanaal")).status == 200
            await asyncio.sleep(0.1)
            most = max(most, resident(gateway.pid))
        rows = await gateway.api("GET", "/abonnement")
        assert len(rows.json) == len({row["url"] for row in rows.json}) == ROWS
        assert len(rows.body) > 5_000_000
        assert all(len(row["kanalen"]) == GROUPS for row in rows.json)
        most = max(most, resident(gateway.pid))
        assert most - before < 40 * MIB, "50 of them would be ten times as much"
        assert (await gateway.api("HEAD", "/abonnement")).body == b""


async def test_bodies_that_are_refused_are_not_kept(gateway: GatewayProcess) -> None:
    before = most = resident(gateway.pid)
    body = json.dumps({"kanaal": "zaken", "extra": "x" * 1_000_000}).encode()
    head = (
        f"POST /api/v1/notificaties HTTP/1.1\r\nHost: x\r\nAuthorization: {token('onbekend', secret='x')}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )

    async def refused() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        try:
            writer.write(head.encode() + body)
            return await reader.readline()
        finally:
            writer.close()

    sending = [asyncio.create_task(refused()) for _ in range(300)]
    while not all(each.done() for each in sending):
        await asyncio.sleep(0.02)
        most = max(most, resident(gateway.pid))
    assert {each.result() for each in sending} == {b"HTTP/1.1 403 Forbidden\r\n"}
    assert most - before < 80 * MIB
