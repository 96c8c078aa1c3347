"""The JSON API of the inbox, its stream, and who may make or change one."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.inbox.conftest import Inbox, Start
from tests.e2e.guides.place import blocks
from tests.e2e.running import environment, running

PAGE = Path(__file__).parents[3] / "docs" / "inbox.md"


async def test_an_inbox_is_made_with_settings(inbox: Inbox) -> None:
    status, answer, body = await inbox("POST", f"{inbox.root}/inbox/?delay=0", data=b'{"status": 200}')
    assert status == 201
    made = json.loads(body)
    assert (
        made["callbackUrl"]
        == made["page"]
        == answer.headers["Location"]
        == f"{inbox.root}/inbox/{made['id']}"
    )
    assert made["requests"] == f"{made['callbackUrl']}/requests"
    found = await Inbox(inbox.session, inbox.root, made["callbackUrl"]).json("/settings")
    assert found == {
        "authorization": "any", "status": 200, "delay": 0, "fail": 0, "drip": 0, "reset": False,
        "secret": False,
    }  # fmt: skip


async def test_opening_makes_another_each_time_with_what_the_address_says(inbox: Inbox) -> None:
    first = (await inbox("GET", f"{inbox.root}/inbox/?status=503"))[1].headers["Location"]
    second = (await inbox("GET", f"{inbox.root}/inbox/"))[1].headers["Location"]
    assert first != second
    assert (await Inbox(inbox.session, inbox.root, first).json("/settings"))["status"] == 503


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands use curl")
async def test_the_commands_of_its_page_work(inbox: Inbox) -> None:
    shown = [text for language, text in blocks(PAGE) if language == "sh"]
    assert len(shown) == 2
    for text in shown:
        command = text.replace("http://127.0.0.1:8011", inbox.root)
        assert command != text
        async with running("sh", "-euc", command, env=environment()) as shell:
            assert await shell.ends(within=30) == 0, shell.err
    # What the settings are now, and then what came in.
    decoder = json.JSONDecoder()
    _, end = decoder.raw_decode(shell.out)
    [got] = decoder.raw_decode(shell.out[end:].strip())[0]["requests"]
    assert (got["body"], got["answer"]["status"]) == ('{"kanaal": "zaken"}', 200)


async def test_requests_come_in_pages_with_a_cursor(inbox: Inbox) -> None:
    for number in range(5):
        await inbox.post(str(number))
    page = await inbox.json("/requests?limit=2")
    assert ([each["body"] for each in page["requests"]], page["next"], page["more"]) == (["0", "1"], 2, True)
    page = await inbox.json(f"/requests?since={page['next']}&limit=3")
    assert ([each["body"] for each in page["requests"]], page["next"], page["more"]) == (
        ["2", "3", "4"],
        5,
        False,
    )
    page = await inbox.json("/requests?since=5")
    assert (page["requests"], page["next"], page["unread"]) == ([], 5, 5)
    assert (await inbox.json("/requests/3"))["body"] == "2"


async def test_a_long_poll_waits_for_the_first(inbox: Inbox) -> None:
    await inbox.post("before")
    waiting = asyncio.create_task(inbox.json("/requests?since=1&wait=60"))
    await inbox.json()  # whoever waits holds up nobody
    assert not waiting.done()
    await inbox.post("after")
    assert [each["body"] for each in (await waiting)["requests"]] == ["after"]
    assert (await inbox.json("/requests?since=2&wait=1"))["requests"] == []


async def test_emptied_its_numbers_go_on(inbox: Inbox) -> None:
    await inbox.post("before")
    status, _, _ = await inbox("DELETE", "/requests")
    assert status == 204
    assert await inbox.requests() == []
    await inbox.post("after")
    assert [each["number"] for each in (await inbox.json("/requests?since=1"))["requests"]] == [2]
    status, _, _ = await inbox("GET", "/requests/1")
    assert status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/requests?since=-1", None, 400),
        ("GET", "/requests?since=1e3", None, 400),
        ("GET", "/requests?since=" + "9" * 400, None, 400),
        ("GET", "/requests?wait=61", None, 400),
        ("GET", "/requests?sinds=1", None, 400),
        ("GET", "/requests?since=%FF", None, 400),
        ("GET", "/requests?since=0&since=1", None, 400),
        ("GET", "/requests/1", None, 404),
        ("GET", "/requests/1/body", None, 404),
        ("GET", "/requests/" + "9" * 15, None, 404),
        ("GET", "/requests/x", None, 404),
        ("GET", "/niets", None, 404),
        ("POST", "/requests", None, 405),
        ("DELETE", "/settings", None, 405),
        ("PUT", "/settings", b"{", 400),
        ("PUT", "/settings", b"[]", 400),
        ("PUT", "/settings", b"\xff", 400),
        ("PUT", "/settings", b'{"status": "veel"}', 400),
        ("PUT", "/settings", b'{"st\\u0000atus": 1, "\\ud800": 1}', 400),
        ("PUT", "/settings", b"[" * 60_000, 400),
        ("PUT", "/settings", b" " * 70_000, 400),
        ("GET", "/stream?since=x", None, 400),
        ("GET", "/stream?since=0&since=0", None, 400),
    ],
)
async def test_bad_input_gets_a_problem_that_says_what_to_do(
    inbox: Inbox, method: str, path: str, body: bytes | None, status: int
) -> None:
    got, answer, text = await inbox(method, path, data=body)
    assert got == status, text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = json.loads(text)
    assert problem["status"] == status
    assert problem["detail"]
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
async def test_settings_are_changed_one_by_one(inbox: Inbox, method: str) -> None:
    changed = await inbox.json("/settings", method, data=b'{"status": 500}')
    assert (changed["status"], changed["authorization"]) == (500, "any")


async def test_an_address_that_is_none_is_a_problem_too(inbox: Inbox) -> None:
    for path in (f"/inbox/{'x' * 22}/requests", "/inbox/kort", "/inbox/static/../app.py", "/inbox/static/x"):
        status, answer, _ = await inbox("GET", inbox.root + path)
        assert (status, answer.headers["Content-Type"]) == (404, "application/problem+json"), path


async def test_a_host_that_is_none_is_refused(inbox: Inbox) -> None:
    for host in ("", "a b", "<script>", "x" * 5 + '"'):
        status, _, body = await inbox("POST", f"{inbox.root}/inbox/", headers={"Host": host})
        assert status == 400, body


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_pages_of_others_change_nothing(inbox: Inbox, site: str) -> None:
    await inbox.post()
    headers = {"Sec-Fetch-Site": site}
    for method, path in (
        ("PUT", "/settings"),
        ("PATCH", "/settings"),
        ("DELETE", "/requests"),
        ("POST", "/instellingen"),
        ("POST", "/legen"),
        ("POST", "/gelezen"),
        ("POST", f"{inbox.root}/inbox/"),
    ):
        status, _, _ = await inbox(method, path, headers=headers)
        assert status == 403, path
    assert len(await inbox.requests()) == 1


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Dest": "image"}, {"Sec-Fetch-Dest": "iframe"}, {"Sec-Purpose": "prefetch"}]
)
async def test_a_part_of_another_page_makes_no_inbox(start: Start, headers: dict[str, str]) -> None:
    async with start(inboxes=2) as inbox:
        for _ in range(3):
            status, _, _ = await inbox("GET", f"{inbox.root}/inbox/", headers=headers)
            assert status == 403
        await inbox.another()
        status, answer, body = await inbox("GET", f"{inbox.root}/inbox/")
        assert status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert json.loads(body)["code"] == "service_unavailable"


class Events:
    """A stream of server-sent events, as a browser reads it."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def next(self) -> dict[str, Any]:
        """The next event, without signs of life."""
        event: dict[str, Any] = {"data": ""}
        async with asyncio.timeout(20):
            while True:
                line = (await self._answer.content.readline()).decode().rstrip("\r\n")
                name, _, value = line.partition(": ")
                if not line and "event" in event:
                    return event
                if name == "data":
                    event["data"] += value + "\n"
                elif name:
                    event[name] = value


async def test_the_stream_tells_what_is_new(inbox: Inbox) -> None:
    await inbox.post('{"kanaal": "een"}')
    async with inbox.session.get(f"{inbox.url}/stream?since=1") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        events = Events(answer)
        assert await events.next() == {"event": "unread", "data": "1\n"}
        await inbox.post('{"kanaal": "<b>twee"}')
        row = await events.next()
        assert (row["event"], row["id"]) == ("row", "2")
        assert 'id="v2"' in row["data"]
        assert "&lt;b&gt;twee" in row["data"]
        assert await events.next() == {"event": "unread", "data": "2\n"}
        await inbox("GET", "/verzoeken/2")
        assert await events.next() == {"event": "unread", "data": "1\n"}
        await inbox("DELETE", "/requests")
        assert (await events.next())["event"] == "reload"
    async with inbox.session.get(f"{inbox.url}/stream", headers={"Last-Event-ID": "2"}) as answer:
        events = Events(answer)
        assert (await events.next())["event"] == "unread"
        await inbox.post("drie")
        assert (await events.next())["id"] == "3"


async def test_streams_and_long_polls_are_bounded(start: Start) -> None:
    async with start(waiting=1) as inbox, inbox.session.get(f"{inbox.url}/stream") as answer:
        await Events(answer).next()
        for path in ("/stream", "/requests?wait=1"):
            status, _, _ = await inbox("GET", path)
            assert status == 503
        assert await inbox.requests() == []


async def test_a_stop_ends_streams_polls_and_delays(start: Start) -> None:
    async with aiohttp.ClientSession() as outside:
        async with start() as inbox:
            polling = asyncio.create_task(inbox.json("/requests?since=1&wait=60"))
            delayed = asyncio.create_task(inbox.post(query="?delay=120"))
            async with outside.get(f"{inbox.url}/stream") as answer:
                await Events(answer).next()
                await inbox.json("/requests?wait=30")
        # Its own end would come a minute later.
        await asyncio.gather(polling, delayed, return_exceptions=True)
