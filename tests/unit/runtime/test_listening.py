"""An address to listen on means the same in every process."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from gateway.http.connections import Connections
from gateway.http.protocol import listen as gateway_listen
from runtime.health import serve_health
from runtime.listening import bind, listen
from runtime.settings import Listen, load_settings
from schemas.errors import UsageError

NAME = "NRC_GATEWAY_LISTEN"


def reached(port: int) -> list[str]:
    """At which addresses of this machine somebody listens."""
    found = []
    for host in ("127.0.0.1", "::1"):
        try:
            socket.create_connection((host, port), timeout=5).close()
        except ConnectionRefusedError:
            continue
        found.append(host)
    return found


def free(host: str) -> Listen:
    with bind((host, 0), name=NAME) as sock:
        return host, sock.getsockname()[1]


WHERE = [
    ("127.0.0.1", ["127.0.0.1"]),
    ("0.0.0.0", ["127.0.0.1"]),
    ("::1", ["::1"]),
    ("::", ["127.0.0.1", "::1"]),
]


@pytest.mark.parametrize(("host", "expected"), WHERE)
def test_the_socket_of_nrc_up(host: str, expected: list[str]) -> None:
    with bind((host, 0), name=NAME) as sock:
        listen(sock, name=NAME)
        assert reached(sock.getsockname()[1]) == expected


@pytest.mark.parametrize(("host", "expected"), WHERE)
async def test_a_gateway_of_its_own(host: str, expected: list[str]) -> None:
    at = free(host)
    settings = load_settings(_env_file=None, gateway_listen=at)
    gateway: Any = SimpleNamespace(settings=settings, stopping=False, connections=Connections(10))

    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response()

    server = web.Server(handler)
    listening = await gateway_listen(server, gateway, sock=None)
    assert reached(at[1]) == expected
    with pytest.raises(UsageError, match=rf"NRC_GATEWAY_LISTEN: .*{at[1]}: .*in use"):
        await gateway_listen(server, gateway, sock=None)
    listening.close()
    await listening.wait_closed()
    await server.shutdown(1)


@pytest.mark.parametrize(("host", "expected"), WHERE)
async def test_the_health_of_a_process(host: str, expected: list[str]) -> None:
    at = free(host)
    async with serve_health(at, list):
        assert reached(at[1]) == expected
        with pytest.raises(UsageError, match=rf"NRC_HEALTH_LISTEN: .*{at[1]}: .*in use"):
            async with serve_health(at, list):
                pass


def test_an_address_in_use_is_one_line() -> None:
    with bind(("127.0.0.1", 0), name=NAME) as first:
        listen(first, name=NAME)
        at = first.getsockname()
        with pytest.raises(UsageError, match=rf"NRC_GATEWAY_LISTEN: 127\.0\.0\.1:{at[1]}: .*in use"):
            bind(at, name=NAME)
        socket.create_connection(at).close()


def test_an_address_that_is_bound_first_and_taken_after() -> None:
    with bind(("127.0.0.1", 0), name=NAME) as first, bind(first.getsockname(), name=NAME) as second:
        listen(first, name=NAME)
        with pytest.raises(UsageError, match="in use"):
            listen(second, name=NAME)


def test_an_address_that_is_not_ours_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"NRC_GATEWAY_LISTEN: 192\.0\.2\.1:80"):
        bind(("192.0.2.1", 80), name=NAME)
