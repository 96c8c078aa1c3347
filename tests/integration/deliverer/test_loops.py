"""Loops of notificaties end: in one NRC through a forwarder, and between two NRCs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage

from deliverer.service import serve
from router import names
from runtime.settings import Settings
from schemas.abonnement import State
from tests.broker import Broker
from tests.callback_server import CallbackServer, Received, Wire, status
from tests.contract.api import Api, a_naam, message
from tests.contract.conftest import Stage, open_stage
from tests.eventually import eventually
from tests.integration.conftest import running
from tests.tokens import token

MOST = 4  # NRC_MAX_HOPS by default


@asynccontextmanager
async def an_nrc(broker: Broker, folder: Path) -> AsyncIterator[tuple[Stage, Api]]:
    """A whole NRC on a virtual host of its own."""
    url = await broker.fresh_vhost()
    async with open_stage(url, folder) as stage, running(serve, stage.settings), stage.gateway() as api:
        yield stage, api
    await broker.remove_vhost(url)


async def subscribe(api: Api, naam: str, url: str) -> str:
    sent = {"callbackUrl": url, "auth": token("beide"), "kanalen": [{"naam": naam}]}
    answer = await api.post("/abonnement", sent)
    assert answer.status == 201, answer.body
    return str(answer.json["url"])[-36:]


async def undeliverable(settings: Settings) -> list[AbstractIncomingMessage]:
    """What is in nrc.undeliverable; it is taken out."""
    found = []
    connection = await aio_pika.connect(settings.amqp_url[0])
    async with connection, connection.channel() as channel:
        queue = await channel.get_queue(names.UNDELIVERABLE, ensure=False)
        while (each := await queue.get(no_ack=True, fail=False)) is not None:
            found.append(each)
    return found


def why(each: AbstractIncomingMessage) -> list[tuple[str, int | None]]:
    failures = orjson.loads(str(each.headers["nrc-failures"]))
    return [(failure["class"], failure["status"]) for failure in failures]


async def test_two_abonnementen_that_a_forwarder_leads_back_to_us_end(broker: Broker, tmp_path: Path) -> None:
    async with (
        an_nrc(broker, tmp_path) as (stage, api),
        CallbackServer() as forwarder,
        aiohttp.ClientSession() as session,
    ):
        answers: Counter[int] = Counter()

        async def forward(wire: Wire, received: Received) -> bool:
            headers = {
                name: value
                for name, value in received.headers
                if name.lower() not in ("host", "content-length")
            }
            url = f"{api.root}/notificaties"
            async with session.post(url, data=received.body, headers=headers) as answer:
                answers[answer.status] += 1
                given = {"nrc-hops": answer.headers["nrc-hops"]} if "nrc-hops" in answer.headers else {}
                return await status(answer.status, headers=given)(wire, received)

        paths = ("/0", "/1")
        for path in paths:
            forwarder.script(path, forward)
        naam = a_naam()
        assert (await api.post("/kanaal", {"naam": naam})).status == 201
        both = {await subscribe(api, naam, forwarder.url(path)) for path in paths}
        assert (await api.post("/notificaties", message(naam))).status == 201
        ends = 2 ** (MOST + 1)
        left: list[AbstractIncomingMessage] = []

        async def all_ended() -> bool:
            left.extend(await undeliverable(stage.settings))
            return len(left) == ends

        await eventually(all_ended)
        assert answers == {201: sum(2**hop for hop in range(1, MOST + 1)), 508: ends}
        assert {str(each.headers["nrc-abonnement"]) for each in left} == both
        assert {tuple(why(each)) for each in left} == {(("loop", 508),)}
        assert {each.headers["nrc-hops"] for each in left} == {str(MOST)}
        # Callbacks that refuse what goes round work: neither is held.
        changes = await stage.registry.changes_since(0)
        assert [each.state for each in changes.abonnementen] == [State.ACTIVE, State.ACTIVE]


async def test_two_nrcs_that_send_to_each_other_end(
    broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with (
        an_nrc(broker, tmp_path_factory.mktemp("a")) as (a, api_a),
        an_nrc(broker, tmp_path_factory.mktemp("b")) as (b, api_b),
        CallbackServer() as consumer,
    ):
        naam = a_naam()
        for api, other in ((api_a, api_b), (api_b, api_a)):
            assert (await api.post("/kanaal", {"naam": naam})).status == 201
            # The way there is another spelling than ours, as it may be: nobody here knows it for an NRC.
            await subscribe(api, naam, f"{other.root}/notificaties")
        await subscribe(api_a, naam, consumer.url("/"))
        assert (await api_a.post("/notificaties", message(naam))).status == 201

        left: list[AbstractIncomingMessage] = []

        async def ended() -> bool:
            left.extend([*await undeliverable(a.settings), *await undeliverable(b.settings)])
            return bool(left)

        await eventually(ended)
        assert [why(each) for each in left] == [[("loop", 508)]]
        # One that went round may overtake the one before it.
        hops = sorted(str(received.header("nrc-hops")) for received in consumer.received)
        assert hops == ["1", "3", "5"], "from its source, and twice round"


@pytest.mark.parametrize("again", [{"nrc-hops": "5"}, {}])
async def test_a_508_ends_only_what_an_nrc_refused(
    broker: Broker, tmp_path: Path, again: dict[str, Any]
) -> None:
    """Hosts answer 508 for a lack of resources too: that is tried again."""
    async with an_nrc(broker, tmp_path) as (stage, api), CallbackServer() as callback:
        callback.script("/", status(508, headers=again))
        naam = a_naam()
        assert (await api.post("/kanaal", {"naam": naam})).status == 201
        await subscribe(api, naam, callback.url("/"))
        assert (await api.post("/notificaties", message(naam))).status == 201
        waiting = names.wait_queue(stage.settings.retry_schedule[0])

        async def gone_to(queue: str) -> bool:
            connection = await aio_pika.connect(stage.settings.amqp_url[0])
            async with connection, connection.channel() as channel:
                return bool((await channel.get_queue(queue)).declaration_result.message_count)

        await eventually(lambda: gone_to(names.UNDELIVERABLE if again else waiting))
        assert len(callback.received) == 1
