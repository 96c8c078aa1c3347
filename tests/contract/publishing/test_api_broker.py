"""When RabbitMQ or the registry is away: an answer in time, nothing half done, and it recovers by itself."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import aiohttp
import pytest

import router.declaring.service
from router.declaring.request_handling import RequestHandler
from router.names import abonnement_queue, kanaal_exchange
from router.requests import RouterClient
from runtime.settings import Settings
from tests.broker import Broker
from tests.contract.api import APPLICATIONS, Answer, Api, a_naam, abonnement_of, message
from tests.contract.conftest import Stage, Untold, open_stage, running
from tests.eventually import eventually
from tests.integration.conftest import open_link
from tests.stallable import stallable

UNAVAILABLE = (503, "service_unavailable")


async def health(api: Api, what: str = "ready") -> Answer:
    """The answer of /health/…, which is no problem when it is 503."""
    async with api.session.get(f"{api.root.removesuffix('/api/v1')}/health/{what}") as response:
        assert response.headers["API-version"] == "1.0.1"
        assert response.content_type == "application/json"
        return Answer(response.status, response.headers, await response.read())


async def a_kanaal(api: Api) -> str:
    naam = a_naam()
    assert (await api.post("/kanaal", {"naam": naam})).status == 201
    return naam


async def accepted(api: Api, naam: str) -> bool:
    return (await api.post("/notificaties", message(naam))).status == 201


async def accepted_in_time(api: Api, naam: str) -> None:
    """By the ledger."""
    began = time.monotonic()
    assert await accepted(api, naam)
    assert time.monotonic() - began < 5


async def test_health(api: Api) -> None:
    assert (await health(api, "live")).json == {"status": "ok"}
    await eventually(lambda: is_well(api))  # it accepts by the ledger before it is connected to RabbitMQ


async def test_before_a_router_has_declared_anything(stage: Stage, vhost: str, tmp_path: Path) -> None:
    settings = stage.settings.model_copy(update={"amqp_url": (vhost,), "state_dir": tmp_path})
    from store.opening import open_registry

    async with open_registry(settings.registry_file) as registry:
        for application in APPLICATIONS:
            await registry.add_application(application)
    bare = Stage(settings, stage.registry, stage.session)
    async with bare.gateway(wait=False) as api:
        await eventually(lambda: answers(api))
        # What it accepts is in the ledger meanwhile.
        await eventually(lambda: warns(api, "broker: "))
        assert (await health(api, "live")).status == 200
        # Reading goes on; nothing that is refused stays behind.
        assert (await api.post("/kanaal", {"naam": "zaken"})).outcome == UNAVAILABLE
        assert (await api.get("/kanaal")).json == []
        sent = {**abonnement_of("zaken"), "kanalen": []}
        assert (await api.post("/abonnement", sent)).outcome == UNAVAILABLE
        assert (await api.get("/abonnement")).json == []
        async with running(
            lambda stop, ready: router.declaring.service.serve(
                settings, stop=stop, ready=ready, losses_of=Untold
            )
        ):
            await eventually(lambda: ready(api))
            assert (await api.post("/kanaal", {"naam": "zaken"})).status == 201
            assert await accepted(api, "zaken")


async def answers(api: Api) -> bool:
    try:
        return (await health(api, "live")).status == 200
    except OSError:
        return False


async def ready(api: Api) -> bool:
    return (await health(api)).status == 200


async def test_a_broker_that_blocks_stops_and_comes_back(
    mortal_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarm = "{{resource_limit, memory, node()}, []}"
    async with open_stage(mortal_broker.url, tmp_path) as stage, stage.gateway() as api:
        naam = await a_kanaal(api)
        await mortal_broker.eval(f"rabbit_alarm:set_alarm({alarm}).")
        # RabbitMQ tells a connection that it is blocked when it publishes: that one gets no confirm.
        await accepted_in_time(api, naam)
        await eventually(lambda: warns(api, "alarm"))
        await accepted_in_time(api, naam)
        await mortal_broker.eval(f"rabbit_alarm:clear_alarm({alarm.removesuffix(', []}')[1:]}).")
        await eventually(lambda: is_well(api))

        private = mortal_broker.private
        assert private is not None
        await private.stop()
        await accepted_in_time(api, naam)
        assert await warns(api, "broker: ")
        assert (await api.post("/kanaal", {"naam": a_naam()})).outcome == UNAVAILABLE
        assert (await api.get("/kanaal")).status == 200
        await private.start()
        await eventually(lambda: is_well(api))


async def is_well(api: Api) -> bool:
    return (await health(api)).json == {"status": "ok", "notReady": [], "warnings": []}


async def warns(api: Api, word: str) -> bool:
    answer = await health(api)
    return answer.status == 200 and any(word in line for line in answer.json["warnings"])


async def test_a_broker_that_stalls(stage: Stage, api: Api) -> None:
    naam = await a_kanaal(api)
    async with (
        stallable(stage.settings.amqp_url[0]) as (url, flowing),
        stage.gateway(amqp_url=(url,)) as other,
    ):
        assert await accepted(other, naam)
        flowing.clear()
        await asyncio.gather(*(accepted_in_time(other, naam) for _ in range(20)))
        flowing.set()
        await eventually(lambda: is_well(other))


async def test_an_exchange_deleted_by_hand_comes_back_with_its_bindings(stage: Stage, api: Api) -> None:
    naam = await a_kanaal(api)
    neighbour = await a_kanaal(api)
    abonnement = (await api.post("/abonnement", abonnement_of(naam))).json["url"]
    connection = await aio_pika.connect(stage.settings.amqp_url[0])
    async with connection:
        channel = await connection.channel()
        await channel.exchange_delete(kanaal_exchange(naam))
        answers = await asyncio.gather(*(api.post("/notificaties", message(naam)) for _ in range(5)))
        assert {answer.status for answer in answers} == {201}
        assert await accepted(api, neighbour)
        # The router's own look at what is missing may be turned off by other tests of this process.
        async with open_link(stage.settings.amqp_url[0]) as link:
            await RouterClient(link).apply_kanaal(naam)
        # What came meanwhile is the keeper's to bring on.
        queue = await channel.get_queue("nrc.abonnement." + abonnement[-36:])

        async def arrives() -> bool:
            assert await accepted(api, naam)
            return await queue.get(fail=False, no_ack=True) is not None

        await eventually(arrives, within=30, every=0.5)
    await api.delete(abonnement)


async def test_a_change_that_the_router_does_not_take_was_not_made(
    stage: Stage, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    naam = a_naam()
    assert (await api.post("/kanaal", {"naam": naam, "filters": ["a"]})).status == 201
    path = await an_abonnement_of(api, naam, a="old")
    kept, working, usual = (await api.get(path)).json, asyncio.Event(), RequestHandler._do

    async def frozen(self: RequestHandler, request: Mapping[str, Any]) -> dict[str, Any]:
        await working.wait()
        return await usual(self, request)

    monkeypatch.setattr(RequestHandler, "_do", frozen)
    began = time.monotonic()
    change = {"kanalen": [{"naam": naam, "filters": {"a": "new"}}]}
    assert (await api.patch(path, change)).outcome == UNAVAILABLE
    assert time.monotonic() - began < 5
    assert (await api.get(path)).json == kept
    working.set()
    assert (await api.patch(path, change)).json == {**kept, **change}
    assert (await api.delete(path)).status == 204


async def test_nothing_is_made_or_changed_while_the_router_is_frozen(
    stage: Stage, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    naam = a_naam()
    kanaal = (await api.post("/kanaal", {"naam": naam, "filters": ["a"]})).json
    path = await an_abonnement_of(api, naam, a="old")
    other = await an_abonnement_of(api, naam, a="old")
    kept, working, usual = (await api.get(path)).json, asyncio.Event(), RequestHandler._do
    every = (await api.get("/abonnement")).json

    async def frozen(self: RequestHandler, request: Mapping[str, Any]) -> dict[str, Any]:
        await working.wait()
        return await usual(self, request)

    monkeypatch.setattr(RequestHandler, "_do", frozen)

    async def in_time(asked: Awaitable[Answer]) -> Answer:
        began = time.monotonic()
        answer = await asked
        assert time.monotonic() - began < 5
        return answer

    change = {"auth": "Bearer x", "callbackUrl": kept["callbackUrl"], "kanalen": []}
    kanaal_path = "/kanaal/" + kanaal["url"].rpartition("/")[2]
    more = {"naam": naam, "filters": ["a", "b"]}
    asked = (
        api.post("/abonnement", change),
        api.put(path, change),
        api.post("/kanaal", {"naam": a_naam()}),
        api.put(kanaal_path, more),
    )
    for answer in await asyncio.gather(*map(in_time, asked)):
        assert answer.outcome == UNAVAILABLE
    assert (await api.get("/abonnement")).json == every
    assert (await api.get(kanaal_path)).json == kanaal
    # What is deleted gets nothing from now on; its queue is the router's to remove.
    assert (await in_time(api.delete(other))).status == 204
    working.set()
    assert (await api.put(kanaal_path, more)).status == 200
    assert (await api.delete(path)).status == 204


async def test_a_queue_that_rabbitmq_refuses_is_told_apart(stage: Stage, api: Api) -> None:
    path = await an_abonnement_of(api, await a_kanaal(api))
    kept = (await api.get(path)).json
    queue = abonnement_queue(UUID(path.rpartition("/")[2]))
    async with await aio_pika.connect(stage.settings.amqp_url[0]) as connection:
        channel = await connection.channel()
        await channel.queue_delete(queue)
        await channel.declare_queue(queue, durable=True)  # with other arguments than ours
    answer = await api.patch(path, {"callbackUrl": "http://127.0.0.1:9/other"})
    assert answer.outcome == UNAVAILABLE
    assert "beheerder" in answer.json["detail"]
    assert (await api.get(path)).json == kept
    # The router lives.
    other = await an_abonnement_of(api, await a_kanaal(api))
    for each in (path, other):
        assert (await api.delete(each)).status == 204


async def an_abonnement_of(api: Api, naam: str, **filters: str) -> str:
    """The path of a new abonnement."""
    answer = await api.post("/abonnement", abonnement_of(naam, **filters))
    assert answer.status == 201
    return str(answer.json["url"].removeprefix(api.root))


async def test_the_hot_path_needs_no_database(stage: Stage, api: Api) -> None:
    naam = await a_kanaal(api)
    assert await accepted(api, naam)
    lock = sqlite3.connect(stage.settings.registry_file, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        answer, *others = await asyncio.gather(
            api.post("/kanaal", {"naam": a_naam()}), *(accepted(api, naam) for _ in range(10))
        )
        assert all(others)
        assert answer.outcome == UNAVAILABLE
    finally:
        lock.close()
    await a_kanaal(api)


# -- stopping


async def test_a_gateway_that_stops_finishes_what_came_in(stage: Stage, api: Api) -> None:
    """Publishers on connections that stay open, and a sibling on the same socket: none sees an error."""
    from gateway.service import serve
    from tests.contract.api import free_socket

    naam = await a_kanaal(api)
    settings: Settings = stage.settings
    sock = free_socket()
    host, port = sock.getsockname()
    both = Api(stage.session, f"http://{host}:{port}/api/v1")
    statuses: list[int] = []
    done = asyncio.Event()

    async def publisher() -> None:
        while not done.is_set():
            statuses.append((await both.post("/notificaties", message(naam))).status)

    def gateway(stop: asyncio.Event, ready: object) -> object:
        return serve(settings, stop=stop, ready=ready, sock=sock.dup())  # type: ignore[arg-type]

    async with running(gateway):
        publishers = [asyncio.create_task(publisher()) for _ in range(8)]
        async with running(gateway):
            await eventually(lambda: len(statuses) > 50)
        before = len(statuses)
        await eventually(lambda: len(statuses) > before + 50)
        done.set()
        await asyncio.gather(*publishers)
    sock.close()
    assert set(statuses) == {201}


def on_shared_session(stage: Stage, api: Api) -> Api:
    """The same gateway, from a client that stays when the fixture's leaves."""
    return Api(stage.session, api.root)


async def test_what_is_under_way_when_it_stops(stage: Stage) -> None:
    stop_timeout = 4
    async with stage.gateway(stop_timeout=stop_timeout) as api:
        naam = await a_kanaal(api)
        first, second = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            import json

            body = json.dumps(message(naam)).encode()
            yield body[:10]
            first.set()
            await second.wait()
            yield body[10:]

        posting = asyncio.create_task(on_shared_session(stage, api).post("/notificaties", body=slow()))
        await first.wait()
        asyncio.get_running_loop().call_later(0.3, second.set)
    answer = await posting
    assert answer.status == 201
    assert answer.headers["Connection"] == "close"


async def test_what_never_ends_does_not_keep_it_from_stopping(stage: Stage) -> None:
    never = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    async with asyncio.timeout(10):
        async with stage.gateway(stop_timeout=2) as api:
            posting = asyncio.create_task(on_shared_session(stage, api).post("/notificaties", body=endless()))
            await eventually(lambda: health(api, "live"))
        with pytest.raises(aiohttp.ClientError):
            await posting
