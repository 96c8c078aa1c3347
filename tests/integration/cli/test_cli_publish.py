"""`nrc publish` against a gateway that answers as a test wants: waiting, giving up, losing answers."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.command import Ran, nrc_process
from tests.contract.api import free_socket

Answer = Callable[[int, web.Request], web.Response | None]


class FakeGateway:
    """Answers the n-th request (from 1) as `answer` says; None cuts the connection."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.bodies: list[bytes] = []
        self.root = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        answer = self._answer(len(self.bodies), request)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return answer


@asynccontextmanager
async def fake_gateway(answer: Answer) -> AsyncIterator[FakeGateway]:
    fake = FakeGateway(answer)
    app = web.Application()
    app.add_routes([web.post("/api/v1/notificaties", fake.handle)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    sock = free_socket()
    fake.root = "http://{}:{}".format(*sock.getsockname())
    await web.SockSite(runner, sock).start()
    try:
        yield fake
    finally:
        await runner.cleanup()


async def publish(folder: Path, fake: FakeGateway, text: bytes, *arguments: str) -> Ran:
    return await nrc_process(
        folder, "publish", "-", "--token", "t", "--url", fake.root, *arguments, stdin=text
    )


def accepted() -> web.Response:
    return web.Response(status=201, headers={"nrc-notificatie-id": "the-id"})


def busy(seconds: int) -> web.Response:
    return web.json_response(
        {"code": "service_unavailable", "detail": "Even niet."},
        status=503,
        headers={"Retry-After": f"{seconds}"},
    )


async def test_what_is_sent_is_what_stands_in_the_file(tmp_path: Path) -> None:
    async with fake_gateway(lambda number, request: accepted()) as fake:
        ran = await publish(tmp_path, fake, b'{"a": 1.50, "b": 123456789012345678901234567890}\n')
    assert (ran.code, ran.out, ran.err) == (0, "accepted: the-id\n", "")
    assert fake.bodies == [b'{"a": 1.50, "b": 123456789012345678901234567890}']
    assert not (tmp_path / "registry.db").exists(), "a token is all it needs"


async def test_ids_are_all_that_is_printed_when_they_are_asked_for(tmp_path: Path) -> None:
    def answer(number: int, request: web.Request) -> web.Response:
        if number == 2:
            return web.json_response({"code": "invalid", "detail": "Nee."}, status=400)
        return web.Response(status=201, headers={"nrc-notificatie-id": f"id-{number}"})

    async with fake_gateway(answer) as fake:
        ran = await publish(tmp_path, fake, b'{"n":1}\n{"n":2}\n{"n":3}\n', "--ids", "--concurrency", "1")
    assert (ran.code, ran.out) == (1, "id-1\nid-3\n")
    first, last = ran.err.splitlines()
    assert first == "line 2: 400 invalid: Nee."
    assert last.startswith("2 of 3 accepted in ")

    async with fake_gateway(lambda number, request: accepted()) as fake:
        ran = await publish(tmp_path, fake, b'{"a": 1}', "--ids")
        assert (ran.code, ran.out, ran.err) == (0, "the-id\n", "")
        summary = (await publish(tmp_path, fake, b'{"a": 1}', "--ids", "--json")).json()
    assert (summary["accepted"], summary["ids"]) == (1, ["the-id"])


async def test_ids_go_to_standard_output_also_beside_a_bar(tmp_path: Path) -> None:
    """As in `ID=$(nrc publish --ids …)` on a terminal."""
    terminal, its_end = os.openpty()
    async with fake_gateway(lambda number, request: accepted()) as fake:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "nrc", "publish", "-", "--token", "t", "--url", fake.root, "--ids"),
            cwd=tmp_path,
            env={"PYTHONPATH": str(Path(__file__).parents[3]), "TERM": "xterm"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=its_end,
        )
        out, _ = await asyncio.wait_for(process.communicate(b"{}\n{}\n"), 60)
    os.close(its_end)
    shown = os.read(terminal, 1 << 16)
    os.close(terminal)
    assert out == b"the-id\nthe-id\n"
    assert b"publishing" in shown
    assert b"the-id" not in shown


async def test_retry_after_is_honoured(tmp_path: Path) -> None:
    moments: list[float] = []

    def answer(number: int, request: web.Request) -> web.Response:
        moments.append(time.monotonic())
        assert request.headers["Authorization"] == "Bearer t"
        return busy(1) if number == 1 else accepted()

    async with fake_gateway(answer) as fake:
        ran = await publish(tmp_path, fake, b'{"n":1}\n{"n":2}\n')
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("2 of 2 accepted")
    assert fake.bodies == [b'{"n":1}', b'{"n":1}', b'{"n":2}']
    assert moments[1] - moments[0] >= 1


async def test_a_lost_answer_is_asked_for_again(tmp_path: Path) -> None:
    async with fake_gateway(lambda number, request: None if number == 2 else accepted()) as fake:
        ran = await publish(tmp_path, fake, b'{"n":1}\n{"n":2}\n', "--concurrency", "1")
    assert ran.code == 0
    assert fake.bodies == [b'{"n":1}', b'{"n":2}', b'{"n":2}']


async def test_a_gateway_that_stays_busy_is_given_up(tmp_path: Path) -> None:
    """All at once, and not once for each line."""

    async with fake_gateway(lambda number, request: accepted() if number == 1 else busy(1)) as fake:
        lines = b'{"n":1}\n' * 50
        ran = await publish(tmp_path, fake, lines, "--patience", "1s", "--concurrency", "4")
    assert ran.code == 3
    assert ran.out.startswith("1 of 5 accepted")
    *lines_failed, last = (line.split(":")[0] for line in ran.err.splitlines())
    assert sorted(lines_failed) == [f"line {number}" for number in range(2, 6)]
    assert last == "nrc"
    assert "takes nothing now: 503 service_unavailable: Even niet." in ran.err
    assert "after the first 5 was not sent" in ran.err


async def test_what_never_answers_properly_is_no_gateway(tmp_path: Path) -> None:
    async with fake_gateway(lambda number, request: None) as fake:
        ran = await publish(tmp_path, fake, b'{"n":1}\n{"n":2}\n', "--patience", "1s")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith(f"nrc: no gateway at {fake.root}/api/v1/notificaties: no answer")
    assert set(fake.bodies) == {b'{"n":1}'}


async def test_a_wrong_address_is_told_once(tmp_path: Path) -> None:
    async with fake_gateway(lambda number, request: accepted()) as fake:
        fake.root += "/elsewhere"
        ran = await publish(tmp_path, fake, b'{"n":1}\n{"n":2}\n')
    assert ran.code == 1
    assert "refuses all: 404" in ran.err
    assert fake.bodies == []


async def test_an_empty_file(tmp_path: Path) -> None:
    async with fake_gateway(lambda number, request: accepted()) as fake:
        ran = await publish(tmp_path, fake, b"\n", "--json")
    assert (ran.code, ran.json()["accepted"], ran.json()["failures"]) == (0, 0, [])
    assert "no notificaties" in ran.err
