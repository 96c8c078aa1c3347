"""STANDARD: POST /notificaties, over HTTP and into RabbitMQ. Single fields: tests/unit/schemas/."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from tests.contract.api import Api, a_naam, abonnement_of, message
from tests.contract.conftest import Stage, open_stage
from tests.eventually import eventually

KANALEN = Path(__file__).parents[3].parent / "shared" / "data" / "kanalen.json"


class Listening:
    """A kanaal, and the queue of an abonnement on all of it."""

    def __init__(self, api: Api, naam: str, queue: aio_pika.abc.AbstractQueue) -> None:
        self.api = api
        self.naam = naam
        self._queue = queue

    async def routed(self, body: bytes, **options: Any) -> AbstractIncomingMessage:
        """What reached the queue of a message that was accepted; the 201 is checked against it."""
        answer = await self.api.post("/notificaties", body=body, **options)
        assert answer.status == 201, answer.body
        got = await eventually(lambda: self._queue.get(fail=False))
        await got.ack()
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.body == got.body
        assert UUID(answer.headers["nrc-notificatie-id"]).version == 7
        assert answer.headers["nrc-notificatie-id"] == got.message_id
        return got

    async def empty(self) -> bool:
        return await self._queue.get(fail=False) is None


@pytest.fixture
async def listening(api: Api, stage: Stage) -> AsyncIterator[Listening]:
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam})
    abonnement = (await api.post("/abonnement", abonnement_of(naam))).json["url"]
    connection = await aio_pika.connect(stage.settings.amqp_url[0])
    async with connection:
        channel = await connection.channel()
        yield Listening(api, naam, await channel.get_queue("nrc.abonnement." + abonnement[-36:]))
        assert (await api.delete(abonnement)).status == 204


def dumped(naam: str, **changes: Any) -> bytes:
    return json.dumps(message(naam, **changes)).encode()


async def test_the_bytes_that_came_in_go_out(listening: Listening) -> None:
    for body in (
        dumped(listening.naam),
        json.dumps(message(listening.naam, kenmerken={"Bron_organisatie": "é"}), indent=2).encode(),
        json.dumps(message(listening.naam, kenmerken={"ü": "😀"}), ensure_ascii=False).encode(),
        dumped(listening.naam, source="zrc", extra=[{"een": 1.0}, None, 123456789012345678901]),
        dumped(listening.naam, aanmaakdatum="2019-03-27 10:59+01:00"),
        b"  " + dumped(listening.naam) + b"\r\n",
    ):
        got = await listening.routed(body)
        assert got.body == body
        assert got.content_type == "application/json"


async def test_what_is_coerced(listening: Listening) -> None:
    sent = dumped(listening.naam, kenmerken={"bsn": 123456789012345678901, "b": 1.50}, resource=12)
    sent = sent.replace(b"1.5", b"1.50")
    got = await listening.routed(sent)
    assert json.loads(got.body) == message(
        listening.naam, kenmerken={"bsn": "123456789012345678901", "b": "1.50"}, resource="12"
    )
    got = await listening.routed(dumped(listening.naam, aanmaakdatum="2019-03-27T10:59:13"))
    assert json.loads(got.body)["aanmaakdatum"] == "2019-03-27T10:59:13Z"


async def test_each_accepted_message_has_an_id_of_its_own(listening: Listening) -> None:
    body = dumped(listening.naam)
    ids = {(await listening.routed(body)).message_id for _ in range(3)}
    assert len(ids) == 3


async def test_it_may_come_in_chunks(listening: Listening) -> None:
    body = dumped(listening.naam)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    answer = await listening.api.post("/notificaties", body=chunks())
    assert (answer.status, answer.body) == (201, body)


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=x"]
)
async def test_media_types(listening: Listening, media_type: str) -> None:
    await listening.routed(dumped(listening.naam), headers={"Content-Type": media_type})


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded", "text/json"])
async def test_other_media_types(listening: Listening, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    answer = await listening.api.post("/notificaties", body=dumped(listening.naam), headers=headers)
    assert answer.outcome == (415, "unsupported_media_type")
    assert await listening.empty()


async def test_a_compressed_body_is_refused(listening: Listening) -> None:
    answer = await listening.api.post("/notificaties", body=b"x", headers={"Content-Encoding": "gzip"})
    assert answer.outcome == (415, "unsupported_media_type")


FILTERS = ("bron_organisatie", "zaaktype")


@pytest.mark.parametrize(
    ("kenmerken", "fits"),
    [
        ({}, True),
        ({"bronorganisatie": "1"}, True),
        ({"bronOrganisatie": "1", "zaaktype": ""}, True),
        ({"bron_organisatie": "1", "zaak_type": "2", "meer": "3"}, True),
        ({"meer": "3"}, False),
        ({"zaaktype": "2", "meer": "3"}, False),
    ],
)
async def test_names_check(api: Api, kenmerken: dict[str, str], fits: bool) -> None:
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam, "filters": FILTERS})
    answer = await api.post("/notificaties", message(naam, kenmerken=kenmerken))
    if fits:
        assert answer.status == 201
    else:
        assert answer.params == {("kenmerken", "kenmerken_inconsistent")}


async def test_faults_of_names_beside_others(api: Api) -> None:
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam, "filters": FILTERS})
    assert (await api.post("/notificaties", message("wat"))).params == {("kanaal", "message_kanaal")}
    answer = await api.post("/notificaties", message("wat", actie="", kenmerken={"a": None}))
    assert answer.params == {("kanaal", "message_kanaal"), ("actie", "blank"), ("kenmerken.a", "null")}
    answer = await api.post("/notificaties", message(naam, hoofdObject="x", kenmerken={"a": "1"}))
    assert answer.params == {("hoofdObject", "invalid"), ("kenmerken", "kenmerken_inconsistent")}
    answer = await api.post("/notificaties", message("", kenmerken=[]))
    assert answer.params == {("kanaal", "blank"), ("kenmerken", "not_a_dict")}


async def test_the_leeway_of_aanmaakdatum(api: Api) -> None:
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam})

    async def at(seconds: float) -> Any:
        moment = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        return await api.post("/notificaties", message(naam, aanmaakdatum=moment))

    assert (await at(3)).status == 201
    assert (await at(60)).params == {("aanmaakdatum", "future_not_allowed")}


async def test_a_kanaal_made_elsewhere_is_known_at_once(api: Api, stage: Stage) -> None:
    async with stage.gateway() as other:
        for _ in range(5):
            naam = a_naam()
            await api.post("/kanaal", {"naam": naam})
            assert (await other.post("/notificaties", message(naam))).status == 201


async def test_the_longest_of_everything(api: Api) -> None:
    naam = (a_naam() + "😀" * 50)[:50]
    filters = [f"{number:03}".ljust(100, "é") for number in range(100)]
    assert (await api.post("/kanaal", {"naam": naam, "filters": filters})).status == 201
    kenmerken = dict.fromkeys(filters, "€" * 1000) | {f"k{number}": "" for number in range(900)}
    sent = message(naam, kenmerken=kenmerken, resource="€" * 100, actie="." * 100)
    assert (await api.post("/notificaties", sent)).status == 201


@pytest.mark.skipif(not KANALEN.exists(), reason="the shared data is not here")
async def test_the_kanalen_and_messages_of_the_standards_sources(vhost: str, tmp_path: Path) -> None:
    data = json.loads(KANALEN.read_text())
    # A registry of its own: these names are not made up, so other tests may have taken them.
    async with open_stage(vhost, tmp_path) as stage, stage.gateway() as api:
        for kanaal in [*data["kanalen"], {"naam": "test", "filters": []}]:
            answer = await api.post("/kanaal", {"naam": kanaal["naam"], "filters": kanaal["filters"]})
            assert answer.status == 201, answer.body
        for example in data["voorbeeldberichten"]:
            sent = example["bericht"]
            answer = await api.post("/notificaties", sent)
            assert answer.status == 201, (sent, answer.body)
            assert answer.json == sent
