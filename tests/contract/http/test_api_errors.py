"""STANDARD: Errors, and requests that give a 500 in other products; also those that cannot be parsed."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

import pytest

import gateway.api.kanalen
import gateway.http.requests
from tests.contract.api import Api, a_naam, abonnement_of, message, raw
from tests.contract.conftest import Stage
from tests.tokens import token

AUTH = f"Authorization: {token()}\r\n".encode()
JSON = b"Content-Type: application/json\r\n"
POST = b"POST /api/v1/notificaties HTTP/1.1\r\nHost: x\r\n" + AUTH + JSON


async def a_kanaal(api: Api, *filters: str) -> str:
    naam = a_naam()
    assert (await api.post("/kanaal", {"naam": naam, "filters": filters})).status == 201
    return naam


async def test_the_whole_of_a_problem(api: Api) -> None:
    answer = await api.post("/kanaal", {"naam": ""}, headers={"Accept": "application/json"})
    problem = answer.json
    instance = problem.pop("instance")
    assert instance.startswith("urn:uuid:")
    assert problem == {
        "type": api.root.removesuffix("/api/v1") + "/ref/fouten/ValidationError/",
        "code": "invalid",
        "title": "Ongeldige invoer.",
        "status": 400,
        "detail": "Een of meer velden zijn ongeldig; zie invalidParams.",
        "invalidParams": [{"name": "naam", "code": "blank", "reason": "Dit veld mag niet leeg zijn."}],
    }
    assert (await api.post("/kanaal", {"naam": ""})).json["instance"] != instance


# -- known to give a 500 elsewhere


async def test_what_is_absent(api: Api) -> None:
    naam = await a_kanaal(api, "a")
    assert (await api.post("/notificaties", message(naam))).status == 201
    assert (await api.post("/abonnement", abonnement_of(naam))).status == 201


@pytest.mark.parametrize("value", [None, "x" * 1001])
async def test_filter_values(api: Api, value: Any) -> None:
    naam = await a_kanaal(api, "a")
    answer = await api.post("/abonnement", abonnement_of(naam, a=value))
    assert answer.params == {("kanalen.0.filters.a", "null" if value is None else "max_length")}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("callbackUrl", "localhost/callbacks", "invalid"),
        ("callbackUrl", "http://\x00/", "invalid"),
        ("callbackUrl", "http://[", "invalid"),
        ("callbackUrl", "http://a:b@127.0.0.1/", "invalid"),
        ("auth", "Token a\r\nX-Evil: b", "invalid"),
        ("auth", "Token €", "invalid"),
        ("auth", "\x00", "invalid"),
    ],
)
async def test_values_of_an_abonnement(stage: Stage, api: Api, name: str, value: str, code: str) -> None:
    answer = await api.post("/abonnement", {**abonnement_of(await a_kanaal(api)), name: value})
    assert answer.params == {(name, code)}


BODIES = [
    b"",
    b"{",
    b"\xff",
    b'{"kanaal": "\xc3"}',
    b"\x00",
    b'{"kanaal": "a\x00b"}',
    b'{"kanaal": NaN}',
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("path", ["/kanaal", "/abonnement", "/notificaties"])
async def test_what_is_no_json(api: Api, path: str, body: bytes) -> None:
    assert (await api.post(path, body=body)).outcome == (400, "parse_error")


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"a"', b"[{}]", b"[" * 900 + b"]" * 900])
@pytest.mark.parametrize("path", ["/kanaal", "/abonnement", "/notificaties"])
async def test_a_body_that_is_no_object(api: Api, path: str, body: bytes) -> None:
    assert (await api.post(path, body=body)).params == {("nonFieldErrors", "invalid")}


@pytest.mark.parametrize("text", ["a\\u0000b", "a\\ud800b"])
async def test_half_characters_and_nul(api: Api, text: str) -> None:
    naam = await a_kanaal(api, "a")
    body = json.dumps(message(naam, kenmerken={"a": "@"})).replace("@", text).encode()
    assert (await api.post("/notificaties", body=body)).params == {("kenmerken.a", "invalid")}
    body = json.dumps(message(naam, kenmerken={"@": "a"})).replace("@", text).encode()
    assert {code for _, code in (await api.post("/notificaties", body=body)).params} == {"invalid"}
    # In a property that is not ours it passes through, also where a number has to become text.
    body = json.dumps(message(naam, extra="@")).replace("@", text).encode()
    answer = await api.post("/notificaties", body=body)
    assert (answer.status, answer.body) == (201, body)
    answer = await api.post("/notificaties", body=body.replace(b'"create"', b"12"))
    assert answer.json == {**json.loads(body), "actie": "12"}


async def test_deep_nesting_in_what_is_passed_through(api: Api) -> None:
    naam = await a_kanaal(api)
    deep: Any = 1
    for _ in range(200):
        deep = {"a": [deep]}
    assert (await api.post("/notificaties", message(naam, extra=deep))).status == 201


# -- size


def large(size: int, naam: str = "x") -> bytes:
    body = json.dumps(message(naam, extra="")).encode()
    return body.replace(b'"extra": ""', b'"extra": "%b"' % (b"a" * (size - len(body))))


async def test_the_largest_body(api: Api, stage: Stage) -> None:
    naam = await a_kanaal(api)
    limit = stage.settings.max_body
    assert (await api.post("/notificaties", body=large(limit, naam))).status == 201
    for _ in range(3):  # on the same connection, or a new one
        answer = await api.post("/notificaties", body=large(limit + 1, naam))
        assert answer.outcome == (413, "request_too_large")

    async def chunks(size: int) -> AsyncIterator[bytes]:
        body = large(size, naam)
        for start in range(0, size, 100_000):
            yield body[start : start + 100_000]

    assert (await api.post("/notificaties", body=chunks(limit))).status == 201
    answer = await api.post("/notificaties", body=chunks(limit + 1))
    assert answer.outcome == (413, "request_too_large")


async def test_an_announced_size_is_believed_before_it_arrives(api: Api) -> None:
    answer = await raw(api.root, POST + b"Content-Length: 99999999999\r\n\r\n{")
    assert answer.outcome == (413, "request_too_large")
    answer = await raw(api.root, POST + b"Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n")
    assert answer.outcome == (413, "request_too_large")


# -- what cannot be parsed, or never ends

UNREADABLE = [
    b"hello\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /api/v1/kanaal HTTP/9.9\r\n\r\n",
    b"GET /api/v1/\r\nHost: x\r\n\r\n",
    b"GET /api/v1/ HTTP/2.0\r\nHost: x\r\n\r\n",
    b"POST /api/v1/kanaal HTTP/2.0\r\nHost: x\r\nContent-Length: 9\r\n\r\n{}",
    b"GET /api/v1/kanaal HTTP/1.1\r\n\r\n",  # no Host
    b"GET http://[::1]@/api/v1/kanaal HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://[::1/api/v1/kanaal HTTP/1.1\r\nHost: x\r\n\r\n",
    b"G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer geheim" + b"a" * 40_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    POST + b"Content-Length: abc\r\n\r\n{}",
    POST + b"Content-Length: -1\r\n\r\n{}",
    POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    b"GET /api/v1/kanaal HTTP/1.1\r\nHost: x\r\nExpect: iets\r\n\r\n",
]


@pytest.mark.parametrize("request_", UNREADABLE)
async def test_what_cannot_be_parsed(
    api: Api, request_: bytes, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await raw(api.root, request_)
    assert answer.outcome == (400, "parse_error")
    written = caplog.text + "".join(capsys.readouterr())
    assert "geheim" not in written
    assert "Traceback" not in written


async def test_the_connection_goes_on_after_a_refusal(api: Api) -> None:
    host, port = api.root.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for body in (b"{", b"[]", b"{}"):
        writer.write(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 400")
        length = next(line for line in head.split("\r\n") if line.startswith("Content-Length"))
        await reader.readexactly(int(length.partition(" ")[2]))
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_does_not_come(api: Api) -> None:
    with patch.object(gateway.http.requests, "BODY_TIMEOUT", 0.2):
        answer = await raw(api.root, POST + b"Content-Length: 10\r\n\r\n{")
    assert answer.outcome == (400, "parse_error")


async def test_a_client_that_goes_away(
    api: Api, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    host, port = api.root.split("/")[2].split(":")
    for part in (
        POST,
        POST + b"Content-Length: 10\r\n\r\n{",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{",
    ):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(part)
        await writer.drain()
        # With a reset: a client that only ends what it sends may wait for its answer.
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
    for _ in range(5):
        assert (await api.get("/kanaal")).status == 200
    assert "request" not in "".join(capsys.readouterr())
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


async def test_a_fault_of_ours(api: Api) -> None:
    await a_kanaal(api)
    with patch.object(gateway.api.kanalen, "as_json", side_effect=ZeroDivisionError("geheim")):
        answer = await api.get("/kanaal")
    assert answer.outcome == (500, "error")
    assert "geheim" not in answer.body.decode()
    assert (await api.get("/kanaal")).status == 200
