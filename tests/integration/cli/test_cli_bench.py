"""`nrc bench` against an NRC that loses, doubles and refuses as a test wants: the account must show it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web

from nrc.cli.benching.load import KENMERKEN, mark_of
from nrc.rabbitmq.private_node import free_port
from tests.command import Ran, nrc_process
from tests.contract.api import free_socket
from tests.e2e.running import NRC, environment, running
from tests.eventually import eventually

SECRETS = {"BENCH_PUBLISHER_SECRET": "geheim-van-de-bron", "BENCH_CONSUMER_SECRET": "geheim-van-de-afnemer"}
CLIENTS = ("--publisher", "bron", "--consumer", "afnemer")
PROBLEM = {"code": "permission_denied", "detail": "Dat mag niet."}


class OtherNrc:
    """Speaks the standard's API. times: how often notificatie `number` goes to abonnement `index`."""

    def __init__(self, times: Callable[[int, int], int]) -> None:
        self._times = times
        self._delivering: set[asyncio.Task[None]] = set()
        self.kanalen: list[dict[str, Any]] = []
        self.abonnementen: dict[str, dict[str, Any]] = {}
        self.answers: dict[int, int] = {}  # by number, where it is another than 201
        self.refuses: dict[str, int] = {}  # by method and path
        self.tokens: set[str] = set()
        self.base = ""
        self.checks = True
        self.fetches = False  # the documentatieLink of a new kanaal, as Open Notificaties does

    async def handle(self, request: web.Request) -> web.Response:
        """Any request of the API."""
        path = request.path.removeprefix("/nrc/api/v1/")
        if status := self.refuses.get(f"{request.method} {path}"):
            return web.json_response(PROBLEM, status=status)
        match request.method, path.partition("/")[0]:
            case "GET", "kanaal":
                return web.json_response(
                    [each for each in self.kanalen if each["naam"] == request.query["naam"]]
                )
            case "POST", "kanaal":
                wanted = await request.json()
                if self.fetches:
                    async with self.session.get(wanted["documentatieLink"]) as answer:
                        assert answer.status == 200
                self.kanalen.append(wanted)
                return web.json_response(self.kanalen[-1], status=201)
            case "GET", "abonnement":
                return web.json_response([*self.abonnementen.values()])
            case "POST", "abonnement":
                return await self._subscribe(await request.json())
            case "DELETE", "abonnement":
                del self.abonnementen[path.partition("/")[2]]
                return web.Response(status=204)
            case "POST", "notificaties":
                return await self._publish(request)
        return web.json_response({"detail": "Niet gevonden."}, status=404)

    async def _subscribe(self, wanted: dict[str, Any]) -> web.Response:
        if self.checks:
            try:
                without = await self._send(wanted["callbackUrl"], b"{}", "")
                assert without == 401
                assert await self._send(wanted["callbackUrl"], b"{}", wanted["auth"]) == 204
            except aiohttp.ClientError:
                fault = {"name": "callbackUrl", "code": "invalid", "reason": "Niet bereikbaar."}
                return web.json_response({"code": "invalid", "invalidParams": [fault]}, status=400)
        uuid = str(uuid4())
        # Of another host than the one that was asked, as behind a proxy.
        made = {**wanted, "url": f"https://nrc.example.nl/api/v1/abonnement/{uuid}"}
        self.abonnementen[uuid] = made
        return web.json_response(made, status=201)

    async def _publish(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.tokens.add(request.headers["Authorization"])
        mark = mark_of(body)
        assert mark
        run, number = mark
        if not run.endswith("first") and (status := self.answers.get(number, 201)) != 201:
            return web.json_response({"code": "error"}, status=status)
        for index, abonnement in enumerate(each for each in self.abonnementen.values() if "auth" in each):
            for _ in range(1 if run.endswith("first") else self._times(number, index)):
                sending = self._send(abonnement["callbackUrl"], body, abonnement["auth"])
                task = asyncio.create_task(self._deliver(sending))
                self._delivering.add(task)
                task.add_done_callback(self._delivering.discard)
        return web.json_response({}, status=201)

    async def _deliver(self, sending: Any) -> None:
        assert await sending == 204

    async def _send(self, url: str, body: bytes, auth: str) -> int:
        async with self.session.post(url, data=body, headers={"Authorization": auth}) as answer:
            return answer.status


@asynccontextmanager
async def other_nrc(times: Callable[[int, int], int] = lambda number, index: 1) -> AsyncIterator[OtherNrc]:
    other = OtherNrc(times)
    app = web.Application()
    app.add_routes([web.route("*", "/nrc/api/v1/{rest:.*}", other.handle)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    sock = free_socket()
    other.base = "http://{}:{}/nrc/api/v1".format(*sock.getsockname())
    async with aiohttp.ClientSession() as other.session:
        await web.SockSite(runner, sock).start()
        try:
            yield other
        finally:
            await runner.cleanup()


async def bench(folder: Path, other: OtherNrc, *arguments: str) -> Ran:
    return await nrc_process(folder, "bench", "--against", other.base, *CLIENTS, *arguments, env=SECRETS)


async def test_what_an_nrc_loses_doubles_and_refuses_is_in_the_account(tmp_path: Path) -> None:
    def times(number: int, index: int) -> int:
        return 0 if (number, index) in ((3, 0), (7, 1), (8, 1)) else 2 if number in (4, 5) else 1

    async with other_nrc(times) as other:
        other.answers = {10: 500, 11: 500, 12: 400}
        ran = await bench(
            tmp_path, other, "--count", "40", "--abonnementen", "2", "--patience", "5s", "--json"
        )
        assert ran.code == 1, ran.err
        assert other.abonnementen == {}
    told = ran.json()
    assert told["answers"] == {"201": 37, "400": 1, "500": 2}
    assert (told["published"], told["accepted"], told["expected"]) == (40, 37, 74)
    assert (told["delivered"], told["missing"], told["twice"], told["notAccepted"]) == (71, 3, 4, 0)
    assert told["latencyMs"]["p50"] <= told["latencyMs"]["p99"] <= told["latencyMs"]["max"]
    assert told["acceptedPerSecond"] > 0
    assert not told["interrupted"]


async def test_where_all_is_well_it_says_so_and_takes_the_same_kanaal_again(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("geheim-van-de-bron\n")
    at = f"127.0.0.1:{free_port()}"
    here = ("--listen", at, "--documentatie-link", f"http://{at}/")
    async with other_nrc() as other:
        other.fetches = True
        for _ in range(2):
            ran = await bench(
                tmp_path, other, "--count", "20", "--publisher-secret-file", "secret", "--token-each", *here
            )
            assert ran.code == 0, ran.err
            assert "delivered    20 of 20, " in ran.out
            assert "\nlost         0\ntwice        0\n" in ran.out
            assert "POST to callback: p50 " in ran.out
            assert "kanaal nrc-bench stays" in ran.out
        assert [each["naam"] for each in other.kanalen] == ["nrc-bench"]
        assert other.kanalen[0]["filters"] == list(KENMERKEN)
        assert other.abonnementen == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_broken_off_it_removes_what_it_made_and_tells_what_it_knows(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with other_nrc() as other:
        other.abonnementen["oud"] = {
            "url": "https://nrc.example.nl/api/v1/abonnement/oud",
            "callbackUrl": "http://127.0.0.1:9/nrc-bench/0123/0",
            "kanalen": [{"naam": "nrc-bench", "filters": {}}],
        }
        # Of somebody else on this kanaal, and of a run on another one: these stay.
        other.abonnementen["elders"] = {**other.abonnementen["oud"], "kanalen": [{"naam": "zaken"}]}
        other.abonnementen["ander"] = {**other.abonnementen["oud"], "callbackUrl": "http://127.0.0.1:9/hook"}
        other.checks = False
        command = ["bench", "--against", other.base, *CLIENTS, "--duration", "1h", "--rate", "50"]
        async with running(*NRC, *command, env=environment(**SECRETS), cwd=tmp_path) as load:
            await load.logs("loading http")
            assert "removed an abonnement that a killed `nrc bench` left: oud" in load.err
            await eventually(lambda: len(other.tokens) > 0, within=60)
            assert await load.stop(number, within=60) == 130
        assert [*other.abonnementen] == ["elders", "ander"]
    assert "removing the abonnementen" in load.err
    assert "Traceback" not in load.err


@pytest.mark.parametrize(
    ("refused", "status", "said"),
    [
        ("GET kanaal", 403, "Is the secret of client bron right, and may it notificaties.publiceren?"),
        ("POST kanaal", 403, "Is the secret of client bron right, and may it notificaties.publiceren?"),
        (
            "POST abonnement",
            403,
            "Is the secret of client afnemer right, and may it notificaties.consumeren?",
        ),
        ("POST notificaties", 403, "the first notificatie: 403 permission_denied: Dat mag niet."),
        ("GET kanaal", 404, "--against is the base URL of the API"),
        ("POST abonnement", 500, "--callback-url is its address for the NRC"),
    ],
)
async def test_what_it_may_not_is_told_with_the_right_that_lacks(
    tmp_path: Path, refused: str, status: int, said: str
) -> None:
    async with other_nrc() as other:
        other.refuses[refused] = status
        ran = await bench(tmp_path, other)
        assert other.abonnementen == {}
    assert ran.code == 1
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""


async def test_a_callback_that_the_nrc_does_not_reach(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    async with other_nrc() as other:
        checked = await bench(tmp_path, other, "--callback-url", nowhere)
        other.checks = False
        sent = await bench(tmp_path, other, "--callback-url", nowhere, "--patience", "1s")
        assert other.abonnementen == {}
    assert (checked.code, sent.code) == (1, 1)
    assert f"callbackUrl: Niet bereikbaar.. The NRC must reach this command at {nowhere}" in checked.err
    assert "was accepted, and 1 of 1 callbacks did not get it within 1 s" in sent.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--against", "http://127.0.0.1:1/api/v1/"], 3, "no NRC at http://127.0.0.1:1/api/v1/: "),
        (["--against", "nrc.example.nl"], 2, "--against: nrc.example.nl is no http(s) URL with a host"),
        (["--callback-url", "hier"], 2, "--callback-url: hier is no http(s) URL"),
        (["--listen", "9000"], 2, "is no host:port"),
        (["--listen", "192.0.2.1:9000"], 2, "--listen: 192.0.2.1:9000: "),
        (["--count", "1", "--duration", "1s"], 2, "--count and --duration: give one of them"),
        (["--consumer-secret-file", "weg"], 2, "--consumer-secret-file: weg: No such file or directory"),
        (["--publisher", "iemand"], 2, "--publisher: the secret of iemand is in no --publisher-secret-file"),
    ],
)
async def test_what_cannot_be_says_why(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    secrets = {**SECRETS, **({"BENCH_PUBLISHER_SECRET": ""} if "iemand" in arguments else {})}
    ran = await nrc_process(
        tmp_path, "bench", "--against", "http://127.0.0.1:1/", *CLIENTS, *arguments, env=secrets
    )
    assert ran.code == code, ran.err
    assert said in ran.err
    assert "Traceback" not in ran.err
