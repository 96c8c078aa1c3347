"""Events from a source to its consumers: gateway, RabbitMQ, deliverer and callbacks, as they run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat

from deliverer.service import serve
from ledger.opening import ledger_of
from ledger.values import State
from schemas.events.event import STRUCTURED
from schemas.fields import EVENTS
from tests.callback_server import CallbackServer, status
from tests.contract.api import Answer, Api
from tests.contract.conftest import open_stage, running
from tests.contract.extra.conftest import extra_root
from tests.eventually import eventually

TAAK = "nl.overheid.taken.externetaak-geregistreerd"


def an_event(**changes: Any) -> dict[str, Any]:
    """As the library of Open Zaak's notificaties makes it."""
    return {
        "id": str(uuid4()),
        "source": "urn:nld:oin:00000001823288444000:systeem:zaken",
        "specversion": "1.0",
        "type": "nl.overheid.zaken.zaak-geopend",
        "subject": "7b9a4d7c",
        "time": "2026-01-31T12:00:00Z",
        "dataref": "/zaken/api/v1/zaken/7b9a4d7c",
        "datacontenttype": "application/json",
        "data": {"zaaktype": "https://ztc/1"},
        **changes,
    }


async def send(api: Api, body: bytes) -> Answer:
    answer = await api.post("/cloudevents", body=body, headers={"Content-Type": STRUCTURED})
    assert answer.status == 201, answer.body
    return answer


async def test_an_event_reaches_its_consumers_unchanged(vhost: str, tmp_path: Path) -> None:
    async with open_stage(vhost, tmp_path) as stage, stage.gateway() as api, CallbackServer() as consumer:
        consumer.script("/zaken", status(204))
        consumer.script("/taken", status(500), status(204))
        deliverer = stage.settings.model_copy(update={"retry_schedule": (1, 1), "refresh_interval": 30.0})
        zaken = await api.post(
            "/abonnement",
            {
                "callbackUrl": consumer.url("/zaken"),
                "auth": "Token zaken",
                "sendCloudevents": True,
                "cloudeventFilters": [
                    {"typeSubstring": "zaken.zaak-", "filters": {"zaaktype": "https://ztc/1"}}
                ],
            },
        )
        assert zaken.status == 201, zaken.body
        taken = await api.post(
            "/abonnement", {"callbackUrl": consumer.url("/taken"), "auth": "Token taken", "kanalen": []}
        )
        uuid = taken.json["url"][-36:]
        # By the options, which no router is asked for.
        options = {"cloudevents": {"mode": "binary", "filters": [{"typeSubstring": "taken"}]}}
        changed = await api.put(f"{extra_root(api)}/abonnement/{uuid}/options", options)
        assert changed.status == 200, changed.body

        async with running(lambda stop, ready: serve(deliverer, stop=stop, ready=ready)):
            one = json.dumps(an_event()).encode()
            two = json.dumps(an_event(type=TAAK, mijnveld="€ 1", data=None)).encode()
            two = two.replace(b'"data": null', b'"data": {"bedrag": 1.10}')
            answers = [await send(api, body) for body in (one, two)]
            other = await send(api, json.dumps(an_event(data={"zaaktype": "https://ztc/2"})).encode())
            assert [each.headers["nrc-matched"] for each in (*answers, other)] == ["1", "1", "0"]
            await eventually(lambda: len(consumer.at("/zaken")) == 1 and len(consumer.at("/taken")) == 2)

            (received,) = consumer.at("/zaken")
            assert received.body == one
            assert received.header("Content-Type") == STRUCTURED
            assert received.header("Authorization") == "Token zaken"
            assert received.header("webhook-id") == answers[0].headers["nrc-notificatie-id"]

            again = consumer.at("/taken")[1]
            assert again.body == b'{"bedrag": 1.10}'
            assert again.header("webhook-id") == answers[1].headers["nrc-notificatie-id"]
            read = from_http(
                HTTPMessage({name.lower(): value for name, value in again.headers}, again.body), JSONFormat()
            )
            sent = json.loads(two)
            assert read.get_extension("mijnveld") == "€ 1"
            assert read.get_extension("dataref") == sent["dataref"]
            assert (read.get_id(), read.get_source(), read.get_type()) == (sent["id"], sent["source"], TAAK)

            async with ledger_of(stage.settings) as ledger:
                ids = [UUID(each.headers["nrc-notificatie-id"]) for each in answers]

                async def settled() -> bool:
                    found = [await ledger.outcomes(id_) for id_ in ids]
                    return found == [{State.DELIVERED: 1}] * 2

                await eventually(settled, within=30)
                kept = await ledger.notificatie(UUID(answers[0].headers["nrc-notificatie-id"]))
                assert kept is not None
                assert (kept.kanaal, kept.body) == (EVENTS, one)
            assert len(consumer.at("/zaken")) == 1, "the other zaaktype was dropped"

        told = await api.get(
            f"{extra_root(api)}/abonnement/{zaken.json['url'][-36:]}/uitleg/"
            f"{answers[1].headers['nrc-notificatie-id']}"
        )
        assert "het type bevat geen" in json.dumps(told.json)
