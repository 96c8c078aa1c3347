"""Limits: too many at once, too long, too slow. A refusal is a problem, and all else goes on."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from gateway.api import abonnementen, kanalen, publish
from gateway.http import admission, protocol
from gateway.http.large_bodies import LargeBodies
from schemas.abonnement import MAX_FILTERS, MAX_GROUPS
from schemas.application import Application, Scope
from schemas.errors import MAX_FAULTS
from schemas.jsontext import LARGE
from tests.contract.api import Answer, Api, Callback, a_naam, abonnement_of, asks_for_auth, message, raw
from tests.contract.conftest import Stage
from tests.eventually import eventually
from tests.tokens import token

GET = b"GET /api/v1/ HTTP/1.1\r\nHost: x\r\n\r\n"


def unfinished(client: str, *, size: int = 10) -> bytes:
    """A notificatie of which the body does not come."""
    head = f"POST /api/v1/notificaties HTTP/1.1\r\nHost: x\r\nAuthorization: {token(client)}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n".encode()


class Line:
    """A bare connection to a gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def is_closed(self) -> bool:
        """Whether the gateway has closed it; what it sent before that is dropped."""
        try:
            async with asyncio.timeout(0.05):
                while await self.reader.read(65536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Any]]:
    """Opens bare connections, and closes them after the test."""
    lines: list[Line] = []

    async def open_one(api: Api, sent: bytes = b"") -> Line:
        host, port = api.root.split("/")[2].split(":")
        lines.append(Line(*await asyncio.open_connection(host, int(port))))
        lines[-1].writer.write(sent)
        return lines[-1]

    yield open_one
    for line in lines:
        line.writer.transport.abort()


@asynccontextmanager
async def with_kanaal(stage: Stage, **settings: Any) -> AsyncIterator[tuple[Api, str]]:
    async with stage.gateway(**settings) as api:
        naam = a_naam()
        await api.post("/kanaal", {"naam": naam})
        yield api, naam


# -- large bodies


async def test_all_goes_on_while_a_large_body_is_read(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, read_on = threading.Event(), threading.Event()

    def slowly(read: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(body: bytes, **options: Any) -> Any:
            if len(body) > LARGE:
                reading.set()
                assert read_on.wait(20)
            return read(body, **options)

        return wrapper

    monkeypatch.setattr(publish, "read_notificatie", slowly(publish.read_notificatie))
    for module in (abonnementen, kanalen):
        monkeypatch.setattr(module, "read_json", slowly(module.read_json))
    async with with_kanaal(stage) as (api, naam):
        much = {"eigen": "x" * LARGE}
        large_ones = (
            ("/notificaties", {**message(naam), **much}),
            ("/abonnement", {**abonnement_of(naam), **much}),
            ("/kanaal", {"naam": a_naam(), **much}),
        )
        for path, sent in large_ones:
            large = asyncio.create_task(api.post(path, sent))
            await eventually(reading.is_set)
            assert (await api.post("/notificaties", message(naam))).status == 201
            assert (await api.post("/abonnement", abonnement_of(naam))).status == 201
            assert not large.done()
            read_on.set()
            assert (await large).status == 201
            reading.clear()
            read_on.clear()


async def test_the_numbers_of_a_large_body_stay_as_they_are(api: Api) -> None:
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam})
    sent = json.dumps(message(naam, aanmaakdatum="2019-03-27T10:59:13", eigen="@")).encode()
    numbers = b"[" + b"1.10," * LARGE + b"123456789012345678901]"
    answer = await api.post("/notificaties", body=sent.replace(b'"@"', numbers))
    assert answer.status == 201
    assert numbers in answer.body
    assert answer.json["aanmaakdatum"] == "2019-03-27T10:59:13Z"


async def test_a_kanaal_that_is_removed_while_a_large_body_is_read(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The body was sound when it was looked at, and RabbitMQ takes it."""
    read = LargeBodies.__call__
    async with with_kanaal(stage) as (api, naam):
        (kanaal,) = (await api.get(f"/kanaal?naam={naam}")).json

        async def read_then_removed(self: LargeBodies, size: int, work: Callable[[], Any]) -> Any:
            found = await read(self, size, work)
            assert await stage.registry.remove_kanaal(UUID(kanaal["url"].rpartition("/")[2]))
            assert (await api.get(f"/kanaal?naam={naam}")).json == []
            return found

        monkeypatch.setattr(LargeBodies, "__call__", read_then_removed)
        answer = await api.post("/notificaties", message(naam, eigen="x" * LARGE))
        assert answer.status == 201


# -- notificaties at once


async def test_notificaties_under_way_are_bounded(stage: Stage, connect: Callable[..., Any]) -> None:
    async with with_kanaal(stage, gateway_max_in_flight=4) as (api, naam):

        async def outcome(client: str) -> tuple[int, str]:
            answer = await api.of(client).post("/notificaties", message(naam))
            assert (answer.status == 201) != ("Retry-After" in answer.headers)
            return answer.outcome

        async def becomes(client: str, status: int) -> bool:
            return (await outcome(client))[0] == status

        lines = [await connect(api, unfinished("beide")) for _ in range(2)]
        await eventually(lambda: becomes("beide", 429))
        assert await outcome("beide") == (429, "throttled")
        assert await outcome("bron") == (201, ""), "another client goes on"
        lines += [await connect(api, unfinished("bron")) for _ in range(2)]
        await eventually(lambda: becomes("ander", 503))
        assert await outcome("ander") == (503, "service_unavailable")
        # Before the body, and after the token.
        answer = await raw(api.root, unfinished("ander", size=999_999))
        assert answer.outcome == (503, "service_unavailable")
        assert (await api.of("niets").post("/notificaties", message(naam))).status == 403
        # All else goes on.
        assert (await api.get("/kanaal")).status == 200
        for line in lines:
            line.writer.transport.abort()
        await eventually(lambda: becomes("ander", 201))
        assert await outcome("beide") == (201, "")


async def test_bytes_under_way_are_bounded_by_what_is_announced(
    stage: Stage, connect: Callable[..., Any]
) -> None:
    async with with_kanaal(stage) as (api, naam):
        largest = stage.settings.max_body
        for _ in range(admission.BODIES // 2):
            await connect(api, unfinished("beide", size=largest))

        async def is_full() -> bool:
            return (await api.post("/notificaties", message(naam))).outcome == (429, "throttled")

        await eventually(is_full)
        assert (await api.of("bron").post("/notificaties", message(naam))).status == 201


async def test_small_bodies_of_unknown_size_count_as_what_came(
    stage: Stage, connect: Callable[..., Any]
) -> None:
    async with with_kanaal(stage) as (api, naam):
        one = json.dumps(message(naam)).encode()
        head, _, _ = unfinished("beide").partition(b"Content-Length")
        start = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(one) + one
        lines = [await connect(api, start) for _ in range(admission.BODIES)]
        assert (await api.post("/notificaties", message(naam))).status == 201  # and all came by now
        for line in lines:
            line.writer.write(b"\r\n0\r\n\r\n")
        assert {await line.reader.readline() for line in lines} == {b"HTTP/1.1 201 Created\r\n"}


async def test_bodies_of_unknown_size_are_bounded_together(stage: Stage, connect: Callable[..., Any]) -> None:
    async with with_kanaal(stage) as (api, naam):
        largest = stage.settings.max_body
        head, _, _ = unfinished("beide").partition(b"Content-Length")
        start = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % largest + b" " * largest
        lines = [await connect(api, start) for _ in range(admission.BODIES // 2 + 1)]
        answers = [asyncio.create_task(line.reader.readline()) for line in lines]
        done, waiting = await asyncio.wait(answers, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert {answer.result() for answer in done} == {b"HTTP/1.1 429 Too Many Requests\r\n"}
        assert waiting, "those that fit go on"
        assert (await api.of("bron").post("/notificaties", message(naam))).status == 201
        for answer in waiting:
            answer.cancel()


async def test_a_crowd_at_once_is_taken_in_turn(stage: Stage) -> None:
    """More than RabbitMQ is given at once, fewer than may be under way."""
    async with with_kanaal(stage) as (api, naam):
        answers = await asyncio.gather(
            *(api.post("/notificaties", message(naam)) for _ in range(admission.IN_TURN * 2))
        )
        assert {answer.status for answer in answers} == {201}


async def test_changes_at_once_are_bounded(
    stage: Stage, callback: Callback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.state.CHANGES", 2)
    monkeypatch.setattr("gateway.state.CHANGE_WITHIN", 0.2)
    callback.hold = asyncio.Event()
    async with stage.gateway(callback_check="full") as api, AsyncExitStack() as stack:

        def subscribe(client: str) -> asyncio.Task[Answer]:
            sent = {"callbackUrl": callback.url(), "auth": "Token abc", "kanalen": []}
            task = asyncio.create_task(api.of(client).post("/abonnement", sent))
            stack.callback(task.cancel)
            return task

        first = subscribe("beide")
        await eventually(lambda: callback.under_way("/") == 1)
        refused = await subscribe("beide")
        assert refused.outcome == (503, "service_unavailable")
        assert refused.headers["Retry-After"]
        assert callback.under_way("/") == 1, "its callback was not asked"
        other = subscribe("ander")
        await eventually(lambda: callback.under_way("/") == 2)
        kanaal = await api.of("bron").post("/kanaal", {"naam": a_naam()})
        assert kanaal.outcome == (503, "service_unavailable")
        callback.decide = asks_for_auth
        callback.hold.set()
        assert [(await task).status for task in (first, other)] == [201, 201]
        assert (await subscribe("beide")).status == 201


# -- connections


async def test_idle_connections_make_room(stage: Stage, connect: Callable[..., Any]) -> None:
    async with stage.gateway(gateway_max_connections=10) as api:
        silent = await connect(api)
        slow = await connect(api, b"GET /api/v1/ HTTP/1.1\r\nA: ")
        used = await connect(api, GET)
        await used.reader.readuntil(b"\r\n\r\n")
        rest = [await connect(api, GET) for _ in range(7)]
        for line in rest:
            await line.reader.readuntil(b"\r\n\r\n")
        assert not await silent.is_closed()
        for leaving in (silent, slow, used):
            new = await connect(api, GET)
            assert (await new.reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
            assert await eventually(leaving.is_closed)
        assert not await rest[-1].is_closed()


async def test_a_connection_too_many_is_closed_when_all_others_work(
    stage: Stage, connect: Callable[..., Any]
) -> None:
    async with stage.gateway(gateway_max_connections=10) as api:
        working = [await connect(api, unfinished("beide")) for _ in range(10)]

        async def refused() -> bool:
            line = await connect(api, GET)
            return not await line.reader.read()

        await eventually(refused)
        assert [await line.is_closed() for line in working] == [False] * 10
        working[0].writer.transport.abort()

        async def goes_on() -> bool:
            try:
                return (await raw(api.root, GET)).status == 200
            except (asyncio.IncompleteReadError, ConnectionError):
                return False

        await eventually(goes_on)


async def test_a_header_is_bounded_as_a_whole(api: Api, connect: Callable[..., Any]) -> None:
    lines = [f"X-{number}: {'a' * 8000}\r\n".encode() for number in range(90)]
    assert (await raw(api.root, GET[:-2] + b"".join(lines[:6]) + b"\r\n")).status == 200
    answer = await raw(api.root, GET[:-2] + b"".join(lines) + b"\r\n")
    assert answer.outcome == (400, "parse_error")
    line = await connect(api, GET[:-2])
    for each in lines[:9]:  # just beyond it, in pieces
        line.writer.write(each)
        await line.writer.drain()
    assert b" 400 " in await line.reader.readuntil(b"\r\n")
    # Many requests on one connection are no header.
    line = await connect(api)
    for _ in range(20):
        line.writer.write(GET[:-2] + b"".join(lines[:6]) + b"\r\n")
        head = await line.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        await line.reader.readexactly(length)


async def test_answers_that_nobody_reads_hold_no_connection(
    api: Api,
    connect: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(protocol, "ANSWER_TIMEOUT", 0.2)
    document = (await api.get("/openapi.yaml")).body
    line = await connect(api)
    line.writer.transport.pause_reading()
    wanted = 400  # far more than what sockets on both sides hold
    line.writer.write(GET.replace(b"/api/v1/", b"/api/v1/openapi.yaml") * wanted)

    async def broken_off() -> bool:
        try:
            line.writer.write(b"\r\n")
            await line.writer.drain()
        except ConnectionError:
            return True
        return line.writer.is_closing()

    await eventually(broken_off)
    assert len(document) * wanted > 10_000_000
    told = caplog.text + "".join(capsys.readouterr())
    assert "answer not read: connection cut" in told
    assert "/api/v1/openapi.yaml" in told, "and who it was"


# -- sizes


async def test_the_most_kenmerken_and_the_largest_in_every_slot(api: Api) -> None:
    every_slot, free = a_naam(), a_naam()
    names = [f"kenmerk{number}" for number in range(14)]
    await api.post("/kanaal", {"naam": every_slot, "filters": names})
    await api.post("/kanaal", {"naam": free})
    largest = message(every_slot, kenmerken=dict.fromkeys(names, "😀" * 1000))
    assert (await api.post("/notificaties", largest)).status == 201
    many = message(free, kenmerken={f"k{number}": "" for number in range(50_000)})
    body = json.dumps(many, separators=(",", ":")).encode()
    answer = await api.post("/notificaties", body=body)
    assert (answer.status, answer.body) == (201, body)


async def test_kanalen_of_an_abonnement_are_bounded(api: Api) -> None:
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam})
    sent = abonnement_of(naam)
    sent["kanalen"] *= MAX_GROUPS
    assert (await api.post("/abonnement", sent)).status == 201
    for items in (sent["kanalen"] * 2, [1] * 500_000, [{}] * 300_000):
        body = json.dumps({**sent, "kanalen": items}, separators=(",", ":")).encode()
        assert (await api.post("/abonnement", body=body)).params == {("kanalen", "max_length")}


async def test_filters_of_an_abonnement_are_bounded(api: Api) -> None:
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam})
    most = {f"f{number}": "x" for number in range(MAX_FILTERS)}
    made = await api.post("/abonnement", abonnement_of(naam, **most))
    assert made.status == 201
    group = {"naam": naam, "filters": dict(list(most.items())[: MAX_FILTERS // 2])}
    for groups in (
        [{"naam": naam, "filters": {**most, "another": "x"}}],
        [group, group, {"naam": naam, "filters": {"another": "x"}}],
    ):
        refused = {("kanalen", "max_length")}
        assert (await api.post("/abonnement", abonnement_of(naam) | {"kanalen": groups})).params == refused
        assert (await api.patch(made.json["url"], {"kanalen": groups})).params == refused


@pytest.mark.parametrize("value", ["null", '"\\u0000"', "[]"])
async def test_faults_told_at_once_are_bounded(api: Api, value: str) -> None:
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam})
    kenmerken = ",".join(f'"{number}":{value}' for number in range(60_000))
    sent = json.dumps(message(naam, kenmerken="@")).replace('"@"', "{" + kenmerken + "}")
    answer = await api.post("/notificaties", body=sent.encode())
    assert answer.status == 400
    assert len(answer.json["invalidParams"]) == MAX_FAULTS


@pytest.mark.parametrize("host", ["é" * 500_000, "a." * 500_000, "[" + ":" * 900_000 + "]"])
async def test_a_host_of_a_megabyte_is_no_host(api: Api, host: str) -> None:
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam})
    body = json.dumps(message(naam, hoofdObject=f"https://{host}/"), ensure_ascii=False).encode()
    assert (await api.post("/notificaties", body=body[: 2**20])).status == 400
    path = "../" * 300_000
    answer = await api.post("/notificaties", message(naam, hoofdObject=f"https://example.nl/{path}"))
    assert answer.status == 201


async def test_an_application_may_make_so_many_kanalen_and_abonnementen(stage: Stage) -> None:
    client_id, another = f"quota-{a_naam()}", f"another-{a_naam()}"
    for each in (client_id, another):
        await stage.registry.add_application(Application(each, each[::-1], scopes=frozenset(Scope)))
    async with stage.gateway(quota_kanalen=2, quota_abonnementen=2) as one:
        api = one.of(client_id)
        made = await asyncio.gather(*(api("POST", "/kanaal", {"naam": a_naam()}) for _ in range(5)))
        assert sorted(each.status for each in made) == [201, 201, 403, 403, 403]
        refused = next(each for each in made if each.status == 403)
        assert refused.json["code"] == "permission_denied"
        assert "2 kanalen" in refused.json["detail"]
        assert "NRC_QUOTA_KANALEN" in refused.json["detail"]
        kanaal = next(each for each in made if each.status == 201).json
        assert (await api("PUT", kanaal["url"], {"naam": kanaal["naam"], "filters": ["a"]})).status == 200

        asked = abonnement_of(kanaal["naam"])
        taken = await asyncio.gather(*(api("POST", "/abonnement", asked) for _ in range(5)))
        assert sorted(each.status for each in taken) == [201, 201, 403, 403, 403]
        refused = next(each for each in taken if each.status == 403)
        assert "2 abonnementen" in refused.json["detail"]
        assert "NRC_QUOTA_ABONNEMENTEN" in refused.json["detail"]
        urls = [each.json["url"] for each in taken if each.status == 201]
        assert (await api("PUT", urls[0], asked)).status == 200
        assert (await api("DELETE", urls[0])).status == 204
        assert (await api("POST", "/abonnement", asked)).status == 201
        assert (await one.of(another)("POST", "/abonnement", asked)).status == 201


async def test_bodies_that_wait_are_bounded_for_all_together(
    stage: Stage,
    connect: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("gateway.state.MOST", 1)  # four times the largest body is more
    size = 60_000

    def change(client: str) -> bytes:
        return unfinished(client, size=size).replace(b"/notificaties", b"/abonnement")

    async with stage.gateway(max_body=64 * 1024) as api:
        naam = a_naam()
        assert (await api("POST", "/kanaal", {"naam": naam})).status == 201
        for _ in range(admission.CHANGES // 2):  # all that one client may have; their bodies do not come
            await connect(api, change("beide"))
        waiting = [await connect(api, change("beide") + b"x" * (size - 1)) for _ in range(20)]

        async def some_are_cut() -> bool:
            return any([await line.is_closed() for line in waiting])

        await eventually(some_are_cut)
        assert not await waiting[-1].is_closed(), "not the one that moved last"
        assert (await api.of("ander")("POST", "/abonnement", abonnement_of(naam))).status == 201
    told = caplog.text + "".join(capsys.readouterr())
    assert "too much is held for slow clients: cutting the slowest" in told
    assert "client=beide" in told
