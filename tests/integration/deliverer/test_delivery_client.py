"""The callback client against a real server: what it sends, and how it reads every answer."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deliverer.http import client as client_module
from deliverer.http import connector, resolver, responses
from deliverer.http.client import CallbackClient, Failure, FailureClass, Response
from deliverer.http.guard import Policy
from tests.callback_server import (
    CallbackServer,
    close,
    drip,
    endless,
    hang,
    persistent,
    raw,
    reset,
    status,
)
from tests.eventually import eventually
from tests.open_files import no_more_files

LOOPBACK = Policy(allow_loopback=True)
HEADERS = {"Authorization": "Bearer x"}


SETTLING = connector.SETTLING


@pytest.fixture(autouse=True)
def proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections to every server are used again at once, as they are to one that was proven."""
    monkeypatch.setattr(connector, "SETTLING", 0.0)


@pytest.fixture
async def client() -> AsyncIterator[CallbackClient]:
    async with CallbackClient(policy=LOOPBACK) as opened:
        yield opened


@pytest.fixture
async def callback() -> AsyncIterator[CallbackServer]:
    async with CallbackServer() as server:
        yield server


def own_certificate(file: Path, *, address: str, since: int, until: int) -> None:
    """A self-signed certificate and its key in one file; from and until so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now + timedelta(days=since))
        .not_valid_after(now + timedelta(days=until))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(text + made.public_bytes(Encoding.PEM))


async def post(
    client: CallbackClient, url: str, *, headers: dict[str, str] = HEADERS, timeout: float = 5.0
) -> Response | Failure:
    return await client.post(url, body=b'{"a": 1}', headers=headers, timeout=timeout)


async def kind_of(client: CallbackClient, url: str, *, timeout: float = 5.0) -> FailureClass:
    answer = await post(client, url, timeout=timeout)
    assert isinstance(answer, Failure), answer
    assert answer.detail
    assert answer.status is None
    return answer.kind


async def test_sends_exactly_the_headers_it_was_given(
    client: CallbackClient, callback: CallbackServer
) -> None:
    answer = await post(client, callback.url("/in?x=%7e"), headers={"Authorization": "A", "webhook-id": "1"})
    assert answer == Response(204)
    (received,) = callback.received
    assert received.method == "POST"
    assert received.head.startswith(b"POST /in?x=%7e HTTP/1.1\r\n")
    assert received.body == b'{"a": 1}'
    assert {name.lower(): value for name, value in received.headers} == {
        "host": f"127.0.0.1:{callback.port}",
        "content-length": "8",
        "content-type": "application/json",
        "user-agent": client_module.USER_AGENT,
        "authorization": "A",
        "webhook-id": "1",
    }


async def test_sends_a_header_beyond_ascii_as_latin_1(
    client: CallbackClient, callback: CallbackServer
) -> None:
    await post(client, callback.url(), headers={"Authorization": "Token é ÿ"})
    assert b"Authorization: Token \xe9 \xff\r\n" in callback.received[0].head
    assert callback.received[0].body == b'{"a": 1}'


@pytest.mark.parametrize("path", ["/%7Ea/../b", "/a%2Fb?x=%20+", "/?", "/a;b=1,2"])
async def test_sends_the_path_as_it_was_given(
    client: CallbackClient, callback: CallbackServer, path: str
) -> None:
    await post(client, callback.url(path))
    sent = callback.received[0].head.split(b" ")[1].decode()
    assert sent == path.rstrip("?")


async def test_quotes_what_may_not_stand_in_a_url(client: CallbackClient, callback: CallbackServer) -> None:
    await post(client, callback.url("/{a}/é"))
    assert callback.received[0].path == "/%7Ba%7D/%C3%A9"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("/in?naam={x}&sig=a%2Fb%7E", "/in?naam=%7Bx%7D&sig=a%2Fb%7E"),
        ("/%7Ea/../b|c?q=%20+&e=%e9", "/%7Ea/../b%7Cc?q=%20+&e=%e9"),
        ("/a%2fb/é", "/a%2fb/%C3%A9"),
        ("/a b?c=%zz&d=100%", "/a%20b?c=%zz&d=100%"),
        ("?a={x}&b=%7E", "/?a=%7Bx%7D&b=%7E"),
    ],
)
async def test_quoting_one_character_touches_no_other(
    client: CallbackClient, callback: CallbackServer, given: str, sent: str
) -> None:
    await post(client, callback.url(given))
    assert callback.received[0].path == sent


async def test_a_host_beyond_ascii_leaves_the_path_as_it_was_given(
    client: CallbackClient, callback: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *args, **options: look_up("127.0.0.1" if "xn--" in host else host, *args, **options),
    )
    await post(client, f"http://bücher.example:{callback.port}/a%2Fb?sig=%7E")
    (received,) = callback.received
    assert received.path == "/a%2Fb?sig=%7E"
    assert received.header("host") == f"xn--bcher-kva.example:{callback.port}"


async def test_heeds_no_proxy_variable(
    client: CallbackClient, callback: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert await post(client, callback.url()) == Response(204)


async def test_keeps_no_cookie(client: CallbackClient, callback: CallbackServer) -> None:
    callback.script("/", status(200, headers={"Set-Cookie": "session=1; Path=/"}))
    await post(client, callback.url())
    await post(client, callback.url())
    assert [received.header("cookie") for received in callback.received] == [None, None]


async def test_uses_a_connection_again(client: CallbackClient, callback: CallbackServer) -> None:
    callback.script("/", status(200, body=b"x" * 60_000), status(204))
    for _ in range(3):
        await post(client, callback.url())
    assert callback.connections == 1


@pytest.mark.parametrize("code", [200, 204, 304, 401, 404, 410, 429, 500, 503])
async def test_reports_the_status(client: CallbackClient, callback: CallbackServer, code: int) -> None:
    callback.script("/", status(code, headers={"Retry-After": "7"}))
    assert await post(client, callback.url()) == Response(code, "7")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_follows_no_redirect(client: CallbackClient, callback: CallbackServer, code: int) -> None:
    callback.script("/", status(code, headers={"Location": callback.url("/elsewhere")}))
    assert await post(client, callback.url()) == Response(code)
    assert callback.at("/elsewhere") == []


async def test_reads_no_more_than_the_limit_of_an_endless_body(
    client: CallbackClient, callback: CallbackServer
) -> None:
    callback.script("/", endless(200))
    async with asyncio.timeout(5):
        assert await post(client, callback.url(), timeout=60) == Response(200)
    await eventually(lambda: callback.under_way("/") == 0)


async def test_does_not_unpack_a_compressed_body(client: CallbackClient, callback: CallbackServer) -> None:
    bomb = gzip.compress(b"0" * 30_000_000)
    assert len(bomb) < client_module.MAX_RESPONSE_BODY
    callback.script("/", status(200, headers={"Content-Encoding": "gzip"}, body=bomb))
    assert await post(client, callback.url()) == Response(200)
    assert await post(client, callback.url()) == Response(200)
    assert callback.connections == 1


async def test_the_status_decides_when_the_body_hangs(
    client: CallbackClient, callback: CallbackServer
) -> None:
    callback.script(
        "/", drip(b"HTTP/1.1 201 Created\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000, every=0.005)
    )
    assert await post(client, callback.url(), timeout=5) == Response(201)
    await eventually(lambda: callback.under_way("/") == 0)


@pytest.mark.parametrize("length", ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"])
async def test_a_body_that_never_comes_is_not_waited_for(
    client: CallbackClient, callback: CallbackServer, length: str
) -> None:
    """Its message is delivered: others may have its place, long before the timeout of a callback."""
    callback.script("/", persistent(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode()))
    async with asyncio.timeout(10):
        assert await post(client, callback.url(), timeout=60) == Response(200)
    await eventually(lambda: callback.open_connections == 0)


async def test_the_status_decides_when_the_body_breaks_off(
    client: CallbackClient, callback: CallbackServer
) -> None:
    callback.script("/", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf"))
    assert await post(client, callback.url()) == Response(200)


async def test_passes_over_an_interim_answer(client: CallbackClient, callback: CallbackServer) -> None:
    callback.script(
        "/", raw(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
    )
    assert await post(client, callback.url()) == Response(202)


async def test_takes_large_response_headers(client: CallbackClient, callback: CallbackServer) -> None:
    callback.script("/", status(200, headers={"Set-Cookie": "a=" + "x" * 40_000}))
    assert await post(client, callback.url()) == Response(200)


async def test_a_header_is_bounded_as_a_whole(client: CallbackClient, callback: CallbackServer) -> None:
    lines = b"".join(b"Set-Cookie: %d=" % number + b"x" * 40_000 + b"\r\n" for number in range(30))
    end = b"Content-Length: 0\r\n\r\n"
    callback.script(
        "/",
        raw(b"HTTP/1.1 200 OK\r\n" + lines[: 5 * 40_015] + end),
        raw(b"HTTP/1.1 200 OK\r\n" + lines + end),
        # Its own answers before the answer have no end either.
        raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20_000 + b"HTTP/1.1 200 OK\r\n" + end),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000),
    )
    assert await post(client, callback.url()) == Response(200)
    assert await kind_of(client, callback.url()) is FailureClass.CONNECTION_ERROR
    assert await kind_of(client, callback.url()) is FailureClass.CONNECTION_ERROR
    assert await post(client, callback.url()) == Response(200), "what follows the header is no header"


async def test_idle_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "MAX_IDLE", 3)
    monkeypatch.setattr(connector, "KEEP_ALIVE", 60.0)
    async with AsyncExitStack() as opened:
        servers = [await opened.enter_async_context(CallbackServer()) for _ in range(6)]
        client = await opened.enter_async_context(CallbackClient(policy=LOOPBACK))
        for server in [*servers, *servers]:
            assert await post(client, server.url()) == Response(204)
        await eventually(lambda: sum(server.open_connections for server in servers) == 3)
        assert [server.connections for server in servers] == [1, 1, 1, 2, 2, 2]


async def test_idle_connections_are_closed_soon(
    callback: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "KEEP_ALIVE", 0.1)
    async with CallbackClient(policy=LOOPBACK) as client:
        await post(client, callback.url())
        await eventually(lambda: callback.open_connections == 0)


async def test_no_status_in_time_is_a_timeout(client: CallbackClient, callback: CallbackServer) -> None:
    callback.script("/", hang(), drip(b"HTTP/1.1 200 OK\r\n" * 50, every=0.02))
    assert await kind_of(client, callback.url(), timeout=0.2) is FailureClass.TIMEOUT
    assert await kind_of(client, callback.url(), timeout=0.2) is FailureClass.TIMEOUT
    await eventually(lambda: callback.under_way("/") == 0)


async def test_the_deadline_counts_from_connecting(client: CallbackClient) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        # Fill the queue of a server that accepts nothing, so that the next one waits to connect.
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        assert await kind_of(client, f"http://127.0.0.1:{port}/", timeout=0.3) is FailureClass.TIMEOUT
        for each in waiting:
            each.close()


async def test_classes_of_connections_that_fail(client: CallbackClient, callback: CallbackServer) -> None:
    callback.script("/", reset(), close(), raw(b"SSH-2.0-OpenSSH_9\r\n\r\n"), raw(b"HTTP/1.1 20x OK\r\n\r\n"))
    for _ in range(4):
        assert await kind_of(client, callback.url()) is FailureClass.CONNECTION_ERROR
    assert len(callback.received) == 4, "nothing is sent twice unasked"


async def test_a_used_connection_that_broke_costs_no_attempt(
    client: CallbackClient, callback: CallbackServer
) -> None:
    callback.script("/", status(204), close(), status(204), reset(), status(200))
    await post(client, callback.url())
    assert await post(client, callback.url()) == Response(204)
    assert await post(client, callback.url()) == Response(200)
    assert len(callback.received) == 5
    assert [each.connection for each in callback.received] == [1, 1, 2, 2, 3]


async def test_a_new_connection_that_broke_is_not_tried_again(
    client: CallbackClient, callback: CallbackServer
) -> None:
    callback.script("/", status(204), close(), close(), status(204))
    await post(client, callback.url())
    assert await kind_of(client, callback.url()) is FailureClass.CONNECTION_ERROR
    assert len(callback.received) == 3, "once more, and no more"


async def test_a_used_connection_that_the_server_waited_on_too_long_costs_no_attempt(
    client: CallbackClient, callback: CallbackServer
) -> None:
    """Its 408 crossed a request that the server never read."""
    callback.script("/idle", status(204), status(408, headers={"Connection": "close"}), status(204))
    assert await post(client, callback.url("/idle")) == Response(204)
    assert await post(client, callback.url("/idle")) == Response(204)
    assert [each.connection for each in callback.received] == [1, 1, 2]


async def test_a_408_on_a_new_connection_is_the_answer(
    client: CallbackClient, callback: CallbackServer
) -> None:
    callback.script("/slow", status(204), status(408), status(408), status(204))
    assert await post(client, callback.url("/slow")) == Response(204)
    assert await post(client, callback.url("/slow")) == Response(408)
    assert len(callback.received) == 3


async def test_nothing_is_sent_again_after_the_first_byte_of_an_answer(
    client: CallbackClient, callback: CallbackServer
) -> None:
    callback.script("/", status(204), raw(b"HTTP/1.1 2"), status(204))
    await post(client, callback.url())
    assert await kind_of(client, callback.url()) is FailureClass.CONNECTION_ERROR
    assert len(callback.received) == 2


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used(
    client: CallbackClient, callback: CallbackServer
) -> None:
    callback.script("/", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    for _ in range(20):
        assert await post(client, callback.url()) == Response(200)
    assert len(callback.received) == 20


async def test_heeds_how_long_a_server_keeps_a_connection(
    client: CallbackClient, callback: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback.script("/", status(204, headers={"Keep-Alive": "timeout=0, max=5"}))
    callback.script("/long", status(204, headers={"Keep-Alive": "timeout=5"}))
    for _ in range(2):
        await post(client, callback.url())
    assert callback.connections == 2
    for _ in range(3):
        await post(client, callback.url("/long"))
    assert callback.connections == 3
    monkeypatch.setattr(responses, "KEEP_ALIVE_MARGIN", 5.0)
    await post(client, callback.url("/long"))
    await post(client, callback.url("/long"))
    assert callback.connections == 4


STALE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("stale", [STALE, STALE[:20], b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\r\n"])
@pytest.mark.parametrize("after", [0.0, 0.01])
async def test_what_nobody_asked_for_answers_no_later_request(
    client: CallbackClient, callback: CallbackServer, stale: bytes, after: float
) -> None:
    callback.script("/", persistent(b"HTTP/1.1 204 No Content\r\n\r\n", then=stale, after=after), status(500))
    assert await post(client, callback.url()) == Response(204)
    await eventually(lambda: callback.open_connections == 0)
    for _ in range(2):
        assert await post(client, callback.url()) == Response(500)
    assert [each.connection for each in callback.received] == [1, 2, 3], "none is used again for a while"


async def test_every_request_reaches_a_server_that_answers_unasked(
    client: CallbackClient, callback: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those made within the moment before its first unasked answer comes."""
    monkeypatch.setattr(connector, "SETTLING", SETTLING)
    callback.script("/", *(persistent(b"HTTP/1.1 204 No Content\r\n\r\n", then=STALE, after=0.01),) * 40)
    for _ in range(10):
        found = await asyncio.gather(*(post(client, callback.url()) for _ in range(4)))
        assert found == [Response(204)] * 4
    assert len(callback.received) == 40


async def test_an_answer_that_comes_before_a_request_is_none(
    client: CallbackClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one can't be told from the answer. That comes too, and from then on they can."""
    monkeypatch.setattr(connector, "SETTLING", SETTLING)
    heard = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        writer.write(STALE)
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            heard += 1
            writer.write(b"HTTP/1.1 500 Status\r\nContent-Length: 0\r\n\r\n")
            await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await post(client, url)
        await eventually(lambda: heard == 1)
        await asyncio.sleep(SETTLING)
        assert {await kind_of(client, url) for _ in range(3)} == {FailureClass.CONNECTION_ERROR}
    assert heard == 1


async def test_a_server_that_stays_silent_is_proven(
    client: CallbackClient, callback: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "SETTLING", 0.05)
    for _ in range(2):
        await post(client, callback.url())
    assert callback.connections == 2
    await asyncio.sleep(0.06)
    for _ in range(5):
        await post(client, callback.url())
    assert callback.connections == 2


async def test_a_stale_answer_in_one_piece_with_an_answer(
    client: CallbackClient, callback: CallbackServer
) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    callback.script(
        "/", *(persistent(each + STALE) for each in (STALE, chunked, b"HTTP/1.1 204 N\r\n\r\n")), status(500)
    )
    for expected in (200, 200, 204, 500):
        assert await post(client, callback.url()) == Response(expected)
    assert callback.connections == 4


async def test_connections_are_used_again_after_a_while(
    client: CallbackClient, callback: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "WARY", 0.1)
    callback.script("/", persistent(STALE + STALE), status(204))
    await post(client, callback.url())
    await asyncio.sleep(0.15)
    for _ in range(3):
        await post(client, callback.url())
    assert callback.connections == 2


async def test_the_servers_that_are_not_trusted_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "MAX_WARY", 2)
    async with AsyncExitStack() as opened:
        servers = [await opened.enter_async_context(CallbackServer()) for _ in range(3)]
        client = await opened.enter_async_context(CallbackClient(policy=LOOPBACK))
        for server in servers:
            server.script("/", persistent(STALE + STALE), status(204))
            await post(client, server.url())
        for server in servers * 2:
            await post(client, server.url())
        assert [server.connections for server in servers] == [2, 3, 3]


CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("code", "rest"),
    [
        pytest.param(204, b"\r\n{}", id="204 with a body"),
        pytest.param(204, b"Content-Length: 2\r\n\r\n{}", id="204 with a body and its length"),
        pytest.param(204, CHUNKED + b"\r\n0\r\n\r\n", id="204 chunked"),
        pytest.param(205, b"Content-Length: 2\r\n\r\n{}", id="205 with a body"),
        pytest.param(205, b"\r\n{}", id="205 with a body without a length"),
        pytest.param(200, CHUNKED + b"Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n", id="both"),
        pytest.param(200, b"Content-Length: 2\r\n" + CHUNKED + b"\r\n{}", id="both, the length is right"),
        pytest.param(200, b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}", id="identity"),
        pytest.param(200, b"Transfer-Encoding: identity\r\n\r\n{}", id="identity alone"),
        pytest.param(200, b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="gzip, chunked"),
        pytest.param(200, CHUNKED + CHUNKED + b"\r\n0\r\n\r\n", id="chunked twice"),
        pytest.param(200, b"Content-Length: 1\r\n\r\n{}", id="longer than said"),
        pytest.param(200, b"Content-Length: 3\r\n\r\n{}", id="shorter than said"),
        pytest.param(200, b"Content-Length: 0\r\nConnection: close\r\n\r\n{}", id="after close"),
        pytest.param(200, b"Content-Length: two\r\n\r\n{}", id="no number"),
        pytest.param(200, b"Content-Length: -2\r\n\r\n{}", id="below zero"),
        pytest.param(200, b"Content-Length: 2, 2\r\n\r\n{}", id="two lengths"),
        pytest.param(200, b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", id="different lengths"),
        pytest.param(200, b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{}", id="too large a length"),
        pytest.param(200, CHUNKED + b"\r\nzz\r\n{}\r\n0\r\n\r\n", id="no chunk size"),
        pytest.param(200, CHUNKED + b"\r\n" + b"f" * 40 + b"\r\n{}", id="too large a chunk size"),
        pytest.param(200, CHUNKED + b"\r\n1\r\n{}\r\n0\r\n\r\n", id="chunk longer than said"),
        pytest.param(200, CHUNKED + b"\r\n2\r\n{}", id="no last chunk"),
        pytest.param(200, CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\nmore", id="after the last chunk"),
        pytest.param(200, b"\r\n{}", id="until it is closed"),
        pytest.param(200, b"No Name\r\n: x\r\nContent-Length: 2\r\n\r\n{}", id="lines that are no header"),
        pytest.param(200, b"X: \x00\r\nContent-Length: 2\r\n\r\n{}", id="a byte that may not be there"),
        pytest.param(200, b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n", id="upgrade"),
    ],
)
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_complete_head_is_an_answer_whatever_follows(
    client: CallbackClient, callback: CallbackServer, code: int, rest: bytes, version: bytes, interim: bytes
) -> None:
    data = interim + version + b" %d Status\r\nRetry-After: 7\r\n" % code + rest
    callback.script("/", raw(data), drip(data, every=0.0), status(500))
    for _ in range(2):
        assert await post(client, callback.url()) == Response(code, "7")
    assert await post(client, callback.url()) == Response(500)


@pytest.mark.parametrize(
    "rest", [b"204 N\r\nContent-Length: 2\r\n\r\n{}", b"200 K\r\nTransfer-Encoding: identity\r\n\r\n"]
)
async def test_no_second_answer_is_read_where_one_is_in_doubt(
    client: CallbackClient, callback: CallbackServer, rest: bytes
) -> None:
    callback.script("/", persistent(b"HTTP/1.1 " + rest), status(500))
    started = time.monotonic()
    assert isinstance(await post(client, callback.url(), timeout=60), Response)
    assert time.monotonic() - started < 30, "nothing is waited for"
    assert await post(client, callback.url()) == Response(500)
    assert callback.connections == 2


async def test_a_chunked_answer_leaves_the_connection_for_the_next(
    client: CallbackClient, callback: CallbackServer
) -> None:
    chunks = b"3;a=b\r\nabc\r\n" * 1000 + b"0\r\nTrailer: x\r\n\r\n"
    callback.script("/", persistent(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n" + chunks))
    for _ in range(3):
        assert await post(client, callback.url()) == Response(200)
    assert callback.connections == 1


async def test_a_port_that_nobody_listens_on(client: CallbackClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert await kind_of(client, f"http://127.0.0.1:{port}/") is FailureClass.CONNECTION_REFUSED
    assert await kind_of(client, f"http://localhost:{port}/") is FailureClass.CONNECTION_REFUSED


async def test_a_name_that_does_not_exist(client: CallbackClient) -> None:
    assert await kind_of(client, "http://does-not-exist.invalid/") is FailureClass.DNS_ERROR


async def test_a_name_that_cannot_be_one(client: CallbackClient) -> None:
    assert await kind_of(client, "http://" + "a" * 70 + ".invalid/") is FailureClass.DNS_ERROR


async def test_a_certificate_that_is_not_trusted(client: CallbackClient, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with CallbackServer(tls=context) as callback:
        assert await kind_of(client, callback.url()) is FailureClass.SERVER_CERTIFICATE
        assert callback.received == []


@pytest.mark.parametrize("fault", ["of another host", "expired", "not valid yet"])
async def test_a_certificate_that_is_trusted_and_wrong(tmp_path: Path, fault: str) -> None:
    file = tmp_path / "wrong.pem"
    own_certificate(
        file,
        address="127.0.0.2" if fault == "of another host" else "127.0.0.1",
        since={"expired": -20, "not valid yet": 10}.get(fault, -1),
        until={"expired": -10}.get(fault, 20),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    trusting = ssl.create_default_context(cafile=str(file))
    async with (
        CallbackServer(tls=context) as callback,
        CallbackClient(policy=LOOPBACK, tls=trusting) as client,
    ):
        assert await kind_of(client, callback.url()) is FailureClass.SERVER_CERTIFICATE
        assert callback.received == []


async def test_a_certificate_that_is_trusted_by_setting(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with (
        CallbackServer(tls=context) as callback,
        CallbackClient(policy=LOOPBACK, tls=ssl.create_default_context(cafile=str(certificate))) as trusting,
    ):
        assert await post(trusting, callback.url()) == Response(204)


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        # By TLS 1.2 it does not say what it misses.
        (ssl.TLSVersion.TLSv1_2, FailureClass.TLS_ERROR),
        (ssl.TLSVersion.TLSv1_3, FailureClass.CLIENT_CERTIFICATE_REFUSED),
    ],
)
async def test_a_server_that_asks_for_a_client_certificate(
    certificate: Path, version: ssl.TLSVersion, kind: FailureClass
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.load_verify_locations(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version

    def refuse(server: socket.socket) -> None:
        connection, _ = server.accept()
        tls = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with pytest.raises(ssl.SSLError):
            tls.do_handshake()
        # Read what the client sent, or closing would be a reset that overtakes the alert.
        with socket.socket(fileno=tls.detach()) as plain:
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(4096):
                pass

    trusting = ssl.create_default_context(cafile=str(certificate))
    with socket.create_server(("127.0.0.1", 0)) as server:
        refusing = asyncio.create_task(asyncio.to_thread(refuse, server))
        async with CallbackClient(policy=LOOPBACK, tls=trusting) as without:
            url = f"https://127.0.0.1:{server.getsockname()[1]}/"
            assert await kind_of(without, url) is kind
        await refusing


async def test_tls_spoken_to_a_server_without(client: CallbackClient) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await kind_of(client, f"https://127.0.0.1:{port}/") is FailureClass.TLS_ERROR


@pytest.mark.parametrize(
    ("url", "auth"),
    [
        ("http://user:password@127.0.0.1/", "Bearer x"),
        ("ftp://127.0.0.1/", "Bearer x"),
        ("http:///path", "Bearer x"),
        ("http://[::1/", "Bearer x"),
        ("http://127.0.0.1:99999/", "Bearer x"),
        ("http://127.0.0.1:9/", "Bearer line\nbreak"),
        ("http://127.0.0.1:9/", "Bearer €"),
    ],
)
async def test_what_no_request_can_be_made_of(
    client: CallbackClient, callback: CallbackServer, url: str, auth: str
) -> None:
    url = url.replace(":9/", f":{callback.port}/")
    answer = await post(client, url, headers={"Authorization": auth})
    assert isinstance(answer, Failure)
    assert answer.kind in (FailureClass.INVALID_REQUEST, FailureClass.CONNECTION_ERROR)
    assert "Bearer" not in answer.detail
    assert "password" not in answer.detail
    assert callback.received == []


async def test_a_cancelled_post_lets_go_of_its_connection(
    client: CallbackClient, callback: CallbackServer
) -> None:
    callback.script("/", hang())
    posting = asyncio.create_task(post(client, callback.url(), timeout=60))
    await eventually(lambda: callback.under_way("/") == 1)
    posting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await posting
    await eventually(lambda: callback.under_way("/") == 0)


async def test_names_that_hang_hold_up_no_other(
    client: CallbackClient, callback: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    look_up = socket.getaddrinfo

    def slow(host: str, *args: object, **options: object) -> object:
        if host.endswith(".invalid"):
            go_on.wait(30)
            raise socket.gaierror("too late")
        return look_up(host, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    hanging = [
        asyncio.create_task(kind_of(client, f"http://host{number}.invalid/", timeout=60))
        for number in range(40)
    ]
    try:
        url = callback.url().replace("127.0.0.1", "localhost")
        assert await post(client, url, timeout=5) == Response(204)
        started = time.monotonic()
        assert await kind_of(client, "http://one-more.invalid/", timeout=0.2) is FailureClass.TIMEOUT
        assert time.monotonic() - started < 5
    finally:
        go_on.set()
    assert set(await asyncio.gather(*hanging)) == {FailureClass.DNS_ERROR}


async def test_a_lookup_that_cannot_start_gives_its_place_back(
    client: CallbackClient, callback: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    url = callback.url().replace("127.0.0.1", "localhost")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        for _ in range(resolver.MAX_LOOKUPS + 1):
            assert await kind_of(client, url) is FailureClass.SHORTAGE
    assert await post(client, url) == Response(204)


async def test_a_lookup_that_fails_as_nobody_foresaw_gives_its_place_back(
    client: CallbackClient, callback: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> object:
        raise ZeroDivisionError

    url = callback.url().replace("127.0.0.1", "localhost")
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", broken)
        for _ in range(resolver.MAX_LOOKUPS + 1):
            assert await kind_of(client, url) is FailureClass.DNS_ERROR
    assert await post(client, url) == Response(204)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "one-more.invalid"])
async def test_our_own_lack_of_files_is_not_told_as_the_callbacks(
    client: CallbackClient, callback: CallbackServer, host: str
) -> None:
    url = callback.url().replace("127.0.0.1", host)
    with no_more_files():
        answer = await post(client, url)
    assert isinstance(answer, Failure)
    assert answer.kind is FailureClass.SHORTAGE
    assert "Too many open files" in answer.detail
    assert callback.received == []


async def test_a_lookup_without_memory_is_our_own_lack(
    client: CallbackClient, callback: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> object:
        raise MemoryError

    monkeypatch.setattr(socket, "getaddrinfo", broken)
    url = callback.url().replace("127.0.0.1", "localhost")
    assert await kind_of(client, url) is FailureClass.SHORTAGE


async def test_a_failure_can_be_told(client: CallbackClient) -> None:
    answer = await post(client, "http://127.0.0.1:9/")
    assert isinstance(answer, Failure)
    assert json.dumps(answer.detail).isascii()
    assert "127.0.0.1:9" in answer.detail
