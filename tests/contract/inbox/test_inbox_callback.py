"""An inbox as a callback: the standard's check, what it answers, and what it keeps of a request."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
import shutil
import time
from contextlib import suppress
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest

from deliverer.http.client import CallbackClient
from extra.trying import tried
from gateway.api.callback_check import TEST_MESSAGE, check_callback
from runtime.settings import Settings
from schemas.abonnement import Abonnement
from schemas.errors import ValidationError
from tests.contract.inbox.conftest import AUTH, Inbox, Start
from tests.e2e.running import environment, running

SETTINGS = Settings(_env_file=None, callback_allow_loopback=True)  # type: ignore[call-arg]


async def check(url: str, auth: str = "Token abcde12345") -> list[str]:
    """The codes with which a gateway refuses this callback; none when it takes it."""
    async with CallbackClient.of(SETTINGS) as client:
        try:
            await check_callback(client, url=url, auth=auth, settings=SETTINGS)
        except ValidationError as error:
            return [param.code for param in error.invalid_params]
    return []


@pytest.mark.parametrize(
    "query",
    ["", "?authorization=Token+abcde12345", "?status=500", "?reset=1", "?fail=100", "?drip=60&delay=60"],
)
async def test_the_standard_s_check_passes(inbox: Inbox, query: str) -> None:
    assert await check(inbox.url + query) == []
    without, with_auth = await inbox.requests()
    assert [each["answer"]["status"] for each in (without, with_auth)] == [401, 204]
    assert without["check"]
    assert with_auth["check"]


async def test_a_test_that_is_asked_for_gets_what_is_set(inbox: Inbox) -> None:
    made = Abonnement(uuid4(), f"{inbox.url}?status=503", AUTH["Authorization"], (), "afnemer")
    async with CallbackClient.of(SETTINGS) as client:
        assert (await tried(client, made, settings=SETTINGS)).status == 503
    (only,) = await inbox.requests()
    assert (only["check"], only["answer"]["reason"]) == (True, "zoals ingesteld")


async def test_the_check_fails_where_an_owner_asks_for_that(inbox: Inbox) -> None:
    assert await check(inbox.url + "?authorization=none") == ["no-auth-on-callback-url"]
    assert await check(inbox.url + "?authorization=Token+anders") == ["invalid-callback-url"]


async def test_loopback_is_refused_to_it_as_to_any_other(inbox: Inbox) -> None:
    closed = SETTINGS.model_copy(update={"callback_allow_loopback": False})
    async with CallbackClient.of(closed) as client:
        with pytest.raises(ValidationError) as raised:
            await check_callback(client, url=inbox.url, auth="x", settings=closed)
    assert "loopback" in raised.value.invalid_params[0].reason
    assert await inbox.requests() == []


async def test_an_inbox_that_is_gone_says_so_for_good(inbox: Inbox) -> None:
    status, _, body = await inbox("POST", f"{inbox.root}/inbox/{'x' * 22}", data=TEST_MESSAGE)
    assert status == 410
    assert "/inbox/" in body.decode()


async def test_it_answers_as_it_is_set(inbox: Inbox) -> None:
    assert await inbox.post() == 204
    assert await inbox.post(query="?status=503") == 503
    assert await inbox.post(query="?fail=100") == 500
    await inbox.json("/settings", "PUT", json={"status": 418, "authorization": AUTH["Authorization"]})
    assert await inbox.post() == 418
    assert await inbox.post(query="?status=200") == 200, "the address goes first"
    assert await inbox.post(Authorization="Token x") == 401
    assert [each["answer"]["status"] for each in await inbox.requests()] == [204, 503, 500, 418, 200, 401]


async def test_a_delay_is_waited_for_and_shown_at_once(inbox: Inbox) -> None:
    began = time.monotonic()
    posting = asyncio.create_task(inbox.post(query="?delay=0.5"))
    shown = await inbox.json("/requests?wait=30")
    assert shown["requests"][0]["answer"] == {
        "status": 204,
        "reason": "zoals ingesteld",
        "delay": 0.5,
        "drip": 0,
    }
    assert await posting == 204
    assert time.monotonic() - began >= 0.5


async def test_one_who_is_refused_does_not_wait(inbox: Inbox) -> None:
    status, _, _ = await inbox("POST", "?delay=120", data=b"{}")
    assert status == 401


async def raw(inbox: Inbox, query: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request on a connection of its own, of which the answer is to be read."""
    to = urlsplit(inbox.url)
    reader, writer = await asyncio.open_connection(to.hostname, to.port)
    head = f"POST {to.path}{query} HTTP/1.1\r\nHost: {to.netloc}\r\nContent-Length: 2\r\n"
    writer.write(f"{head}Authorization: {AUTH['Authorization']}\r\n\r\n{{}}".encode())
    return reader, writer


async def test_reset_cuts_the_connection(inbox: Inbox) -> None:
    reader, writer = await raw(inbox, "?reset=true")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    assert (await inbox.requests())[0]["answer"]["status"] is None


async def test_drip_spreads_the_bytes_of_the_answer(inbox: Inbox) -> None:
    began = time.monotonic()
    reader, writer = await raw(inbox, "?drip=1&status=200")
    first = await reader.read(10_000)
    rest = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert 0 < len(first) < len(first + rest)
    assert time.monotonic() - began >= 0.9
    assert (first + rest).startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.endswith(b"Content-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("query", ["?status=abc", "?fail=-1", "?delay=%FF", "?status=200&status=500"])
async def test_a_wrong_setting_in_the_address_is_told_and_shown(inbox: Inbox, query: str) -> None:
    status, answer, body = await inbox("POST", query, data=b"{}", headers=AUTH)
    assert status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["detail"]
    assert [each["answer"]["status"] for each in await inbox.requests()] == [400]


async def test_other_names_in_the_address_are_somebody_else_s(inbox: Inbox) -> None:
    assert await inbox.post(query="?klant=1&x=%3Cscript%3E") == 204
    assert (await inbox.requests())[0]["target"].endswith("?klant=1&x=%3Cscript%3E")
    assert await inbox.post(query="?klant=1&klant=2&status=200") == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_any_method_but_those_of_a_page_is_kept(inbox: Inbox, method: str) -> None:
    status, _, _ = await inbox(method, headers=AUTH)
    assert status == 204
    assert [each["method"] for each in await inbox.requests()] == [method]


async def test_a_request_is_kept_as_it_was_on_the_wire(inbox: Inbox) -> None:
    body = bytes(range(256)) * 40
    to = urlsplit(inbox.url)
    reader, writer = await asyncio.open_connection(to.hostname, to.port)
    headers = f"Host: {to.netloc}\r\nX-B: 1\r\nx-a: \xe9\r\nX-B: 2\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(f"POST {to.path} HTTP/1.1\r\n{headers}".encode("latin-1") + body)
    await reader.readuntil(b"\r\n")
    writer.close()
    await writer.wait_closed()
    [kept] = await inbox.requests()
    assert kept["headers"] == [
        ["Host", to.netloc], ["X-B", "1"], ["x-a", "é"], ["X-B", "2"], ["Content-Length", str(len(body))],
    ]  # fmt: skip
    assert kept["body"] is None
    assert base64.b64decode(kept["bodyBase64"]) == body
    status, answer, again = await inbox("GET", "/requests/1/body")
    assert (status, again) == (200, body)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_of_a_large_body_the_first_bytes_are_kept(start: Start) -> None:
    body = random.Random(1).randbytes(300_000)
    async with start(body=100_000) as inbox:
        assert await inbox.post(body) == 204
        [kept] = await inbox.requests()
        assert (kept["size"], kept["cut"]) == (300_000, True)
        _, _, again = await inbox("GET", "/requests/1/body")
        assert again == body[:100_000]


async def test_more_than_may_be_is_refused(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inbox.answering.MAX_READ", 50_000)
    async with start() as inbox:
        with suppress(aiohttp.ClientConnectionError):  # it may be cut off before all is sent
            assert await inbox.post(b"x" * 60_000) == 413
        assert await inbox.requests() == []


async def test_too_many_at_once_are_asked_to_come_back(start: Start) -> None:
    async with start(answering=1) as inbox:
        slow = asyncio.create_task(inbox.post(query="?delay=60"))
        await inbox.json("/requests?wait=30")
        status, answer, _ = await inbox("POST", data=b"{}", headers=AUTH)
        assert status == 503
        assert answer.headers["Retry-After"] == "2"
        slow.cancel()


async def test_repeats_of_a_webhook_id_are_pointed_out(inbox: Inbox) -> None:
    for name, attempt in (("a", "1"), ("b", "1"), ("a", "2"), ("a", "x" * 99)):
        await inbox.post(**{"webhook-id": name, "nrc-attempt": attempt})
    told = [(each["webhookId"], each["attempt"], each["earlier"]) for each in await inbox.requests()]
    assert told == [("a", 1, []), ("b", 1, []), ("a", 2, [1]), ("a", None, [1, 3])]


async def test_a_signature_is_checked_with_the_secret_that_is_set(inbox: Inbox) -> None:
    key = hashlib.sha256(b"a key").digest()
    await inbox.json("/settings", "PUT", json={"secret": "whsec_" + base64.b64encode(key).decode()})
    now, body = str(int(time.time())), b'{"kanaal": "zaken"}'
    signed = base64.b64encode(hmac.digest(key, f"id.{now}.".encode() + body, "sha256")).decode()
    headers = {"webhook-id": "id", "webhook-timestamp": now, "webhook-signature": f"v1,{signed}"}
    await inbox.post(body, **headers)
    await inbox.post(b"another", **headers)
    await inbox.post(body)
    found = [each["signature"] and each["signature"]["verdict"] for each in await inbox.requests()]
    assert found == ["valid", "invalid", None]


@pytest.mark.skipif(shutil.which("curl") is None, reason="it is a command with curl")
@pytest.mark.parametrize(
    "body",
    [
        b'{"kanaal": "zaken", "x": "it\'s $HOME `id` \\\\ \xc3\xa9"}\n',
        b"@/etc/passwd",
        b"regels\r\n\r\n\n",
        b"",
        bytes(range(256)),
    ],
)
async def test_the_curl_command_sends_the_same_again(inbox: Inbox, body: bytes, tmp_path: Path) -> None:
    await inbox.post(body, "?klant=%20a'b", **{"X-Odd": 'it\'s "$HOME"', "Content-Type": "application/json"})
    _, _, page = await inbox("GET", "/verzoeken/1")
    command = unescape(page.decode().partition('id="curl">')[2].partition("</code>")[0])
    if "@body" in command:
        (tmp_path / "body").write_bytes((await inbox("GET", "/requests/1/body"))[2])
    async with running("sh", "-euc", command, env=environment(), cwd=tmp_path) as curl:
        assert await curl.ends(within=20) == 0, curl.err
    first, again = await inbox.requests()
    for name in ("method", "target", "body", "bodyBase64"):
        assert first[name] == again[name]
    of_the_client = {"Host", "Accept", "Accept-Encoding", "User-Agent", "Content-Length"}

    def headers(told: dict[str, list[list[str]]]) -> list[list[str]]:
        return sorted(each for each in told["headers"] if each[0] not in of_the_client)

    assert headers(first) == headers(again)
