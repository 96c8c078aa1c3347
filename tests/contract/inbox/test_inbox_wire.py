"""Whatever bytes come in at an inbox: an answer that is no fault of ours, nothing of them in the log."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from tests.contract.inbox.conftest import Inbox

GARBAGE = [
    b"GET / HTTP/9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET http://[::1]@ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 30_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    b"POST /inbox/ HTTP/1.1\r\nHost: x\r\nExpect: 200-geheim\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /inbox/ HTTP/1.1\r\nHost: x\r\nContent-Length: geheim\r\n\r\n",
    b"POST /inbox/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\ngeheim\r\n",
]


async def answer(inbox: Inbox, request: bytes) -> bytes:
    """What comes back before the connection ends."""
    to = urlsplit(inbox.root)
    reader, writer = await asyncio.open_connection(to.hostname, to.port)
    got = b""
    with suppress(ConnectionError):
        writer.write(request)
        await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(20):
            while chunk := await reader.read(65536):
                got += chunk
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return got


@pytest.mark.parametrize("request_bytes", GARBAGE, ids=range(len(GARBAGE)))
async def test_what_is_no_request_is_refused_quietly(
    inbox: Inbox, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        got = await answer(inbox, request_bytes)
    assert not got or got.split(b" ")[1] in (b"400", b"417"), got
    for telling in (b"aiohttp", b"Python/", b"geheim", b"Traceback"):
        assert telling not in got
    assert not any(record.levelno >= logging.WARNING for record in caplog.records), caplog.text
    assert await inbox.post() == 204


ODD = [
    b"",
    b"0",
    b"-1",
    b"9" * 30,
    b"%00",
    b"%FF",
    b"\xff",
    b"'\"<script>",
    b"%2e%2e%2f",
    b"{{7*7}}",
    b"a=b&c",
    b"\xe2\x82\xac",
]
PATHS = [
    b"", b"/verzoeken/%s", b"/requests/%s", b"/requests/%s/body", b"/requests?%s=%s", b"/requests?since=%s",
    b"/settings", b"/settings?%s", b"/instellingen", b"/legen", b"/gelezen", b"?%s=%s", b"?status=%s", b"/%s",
]  # fmt: skip
TYPES = [
    b"application/json",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=%s",
    b"%s",
]
METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"]
ACCEPTS = [b"text/html", b"application/json", b"%s"]


@pytest.mark.parametrize("seed", range(4))
async def test_no_request_makes_a_fault(inbox: Inbox, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    dice = random.Random(seed)

    def odd(pattern: bytes) -> bytes:
        while b"%s" in pattern:
            pattern = pattern.replace(b"%s", dice.choice(ODD), 1)
        return pattern

    def body() -> bytes:
        pieces = [
            *ODD,
            b"{",
            b"}",
            b'"status":',
            b"200",
            b"status=",
            b"&",
            b"\r\n--",
            b"[",
            b"null",
            b'"a":',
            dice.randbytes(9),
        ]
        return b"".join(dice.choices(pieces, k=dice.randrange(12)))

    await inbox.post(b"\xff<script>")
    own = urlsplit(inbox.url)
    for _ in range(150):
        content = body()
        path = own.path.encode() + odd(dice.choice(PATHS)).replace(b" ", b"")
        lines = [
            dice.choice(METHODS) + b" " + path + b" HTTP/1.1",
            b"Host: " + own.netloc.encode(),
            b"Accept: " + odd(dice.choice(ACCEPTS)),
            b"Content-Type: " + odd(dice.choice(TYPES)),
            b"X-Odd: " + odd(b"%s"),
            b"Authorization: " + odd(b"%s"),
            b"webhook-signature: " + odd(b"%s"),
            b"Connection: close",
            b"Content-Length: %d" % len(content),
        ]
        request = b"\r\n".join([*lines, b"", b""]) + content
        got = await answer(inbox, request)
        assert not got.startswith(b"HTTP/1.1 5"), request
        assert b"<script>" not in got.partition(b"\r\n\r\n")[2].partition(b"<main")[2], request
    assert "Traceback" not in caplog.text
    assert await inbox.post(Authorization="Token abcde12345") in (204, 200, 401)
