"""The HTTP server of processes that have no other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

import runtime.health
from runtime.health import serve_health
from runtime.response_headers import SAFE


@pytest.fixture
async def health() -> AsyncIterator[tuple[int, list[str]]]:
    """(the port, what is not ready) of a running one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    lines: list[str] = []
    async with serve_health(("127.0.0.1", port), lambda: lines):
        yield port, lines


async def ask(port: int, request: bytes) -> tuple[int, dict[str, str]]:
    """(status, headers) of the answer to these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    writer.close()
    await writer.wait_closed()
    return int(start.split(" ")[1]), dict(line.split(": ", 1) for line in lines)


def http(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


@pytest.mark.parametrize(
    ("request_", "line", "status"),
    [
        (http("GET", "/health/live"), "", 200),
        (http("HEAD", "/health/live"), "", 200),
        (http("GET", "/health/ready"), "", 200),
        (http("GET", "/health/ready"), "no", 503),
        (http("GET", "/x"), "", 404),
        (http("POST", "/health/live"), "", 405),
        (http("GET", "/health/live", "Expect: much"), "", 417),
        (http("GET", "/" + "a" * 20_000), "", 400),
        (http("GET", "/health/live", *["A: b"] * 200), "", 400),
        (b"nothing that is HTTP\r\n\r\n", "", 400),
    ],
)
async def test_every_answer_carries_the_headers_of_all_answers(
    health: tuple[int, list[str]], request_: bytes, line: str, status: int
) -> None:
    port, lines = health
    lines[:] = [line] if line else []
    answered, headers = await ask(port, request_)
    assert answered == status
    assert headers["Server"] == "nrc"
    for name, value in SAFE.items():
        assert headers[name] == value


async def test_a_fault_is_told_to_the_log_only(
    health: tuple[int, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    port, lines = health
    lines.append(object())  # type: ignore[arg-type]
    status, headers = await ask(port, http("GET", "/health/ready"))
    assert (status, headers["Server"]) == (500, "nrc")
    assert "request failed" in "".join(capsys.readouterr())


async def test_an_idle_connection_ends(
    health: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.health, "KEEP_ALIVE", 0.05)
    for sent in (b"", b"GET /health/live HTTP/1.1\r\nHost:"):
        reader, writer = await asyncio.open_connection("127.0.0.1", health[0])
        writer.write(sent)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
