"""An abonnement as MijnOverheid documents it: OAuth2, CloudEvents structured, and what becomes no event."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from standardwebhooks import Webhook

from deliverer.http import connector
from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.values import Entry, Key, State
from router.routing import route
from schemas.abonnement import Abonnement
from schemas.callback_auth import CallbackAuth, new_signing_secret
from schemas.delivery_options import DeliveryOptions
from schemas.notificatie import Notificatie
from tests.callback_server import Received, Wire, status
from tests.command import nrc_process
from tests.contract.nl_gov import event_of
from tests.eventually import eventually
from tests.integration.deliverer.delivering import Delivering
from tests.integration.deliverer.test_outcomes import state_of

SOURCE = "urn:nld:oin:00000001823288444000:systeem:nrc"
ROOT = "https://open-zaak.example.nl/zaken/api/v1"


@pytest.fixture(autouse=True)
def proven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "SETTLING", 0.0)


async def accept(spine: Delivering, ledger: Ledger, resource: str, actie: str, abonnement: Abonnement) -> str:
    """A notificatie about a zaak, as a gateway accepts it; its id."""
    id_ = new_id()
    content = {
        "kanaal": spine.kanaal.naam,
        "hoofdObject": f"{ROOT}/zaken/7b9a",
        "resource": resource,
        "resourceUrl": f"{ROOT}/zaken/7b9a" if resource == "zaak" else f"{ROOT}/{resource}/1",
        "actie": actie,
        "aanmaakdatum": "2026-01-31T12:00:00Z",
        "kenmerken": {"bronorganisatie": "224557609"},
    }
    kenmerken: dict[str, str] = {"bronorganisatie": "224557609"}
    body = orjson.dumps(content)
    entry = Entry(
        id=id_,
        received=int(datetime.now(UTC).timestamp() * 1000),
        client="bron",
        kanaal=spine.kanaal.naam,
        resource=resource,
        actie=actie,
        hoofd_object=str(content["hoofdObject"]),
        resource_url=str(content["resourceUrl"]),
        kenmerken=kenmerken,
        body=body,
        catalogue=1_000_000,  # matched with the kanalen of now: only a mapping can end it as not wanted
        matched=(abonnement.uuid,),
    )
    await ledger.write([entry])
    notificatie = Notificatie(spine.kanaal.naam, resource, actie, kenmerken, body)
    await spine.publisher.publish(
        route(spine.kanaal, notificatie, message_id=str(id_), accepted_at=datetime.now(UTC))
    )
    return str(id_)


def read(received: Received) -> tuple[dict[str, Any], Any]:
    """The event of a request, as the SDK reads it, by the rules of the NL GOV profile."""
    event = event_of(received.headers, received.body)
    attributes = dict(event.get_attributes())
    assert attributes["type"].startswith("nl.")
    assert attributes["source"] == SOURCE
    assert attributes["id"] == received.header("webhook-id")
    return attributes, event.get_data()


@pytest.mark.usefixtures("broker")
async def test_a_subscription_as_mijnoverheid_documents_it(spine: Delivering, ledger: Ledger) -> None:
    secret = new_signing_secret()
    token = json.dumps({"access_token": "one", "token_type": "Bearer", "expires_in": 3600}).encode()
    spine.callback.script("/token", status(200, body=token, headers={"Content-Type": "application/json"}))
    first = True

    async def answer(wire: Wire, received: Received) -> bool:
        nonlocal first
        if received.header("Authorization") != "Bearer one":
            return await status(401)(wire, received)
        if received.method == "OPTIONS":
            agreed = {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "60000"}
            return await status(200, headers=agreed)(wire, received)
        if received.header("Content-Type") != "application/cloudevents+json":
            return await status(415)(wire, received)
        code, first = (503 if first else 204), False
        return await status(code)(wire, received)

    spine.callback.script("/events", answer)
    oauth2 = {
        "tokenUrl": spine.callback.url("/token"), "clientId": "nrc", "secret": "x" * 32,
    }  # fmt: skip
    made = await spine.subscribe("/events")
    asks = CallbackAuth.model_validate({"oauth2": oauth2, "signature": {"secret": secret}})
    made = await spine.change(made, callback_auth=asks)
    uuid = str(made.uuid)
    folder = spine.router.settings.state_dir
    env = {
        "NRC_AMQP_URL": spine.router.settings.amqp_url[0],
        "NRC_STATE_DIR": str(folder),
        "NRC_CALLBACK_ALLOW_LOOPBACK": "true",
        "NRC_PUBLIC_URL": "https://notificaties.example.nl",
    }
    events = '{"mapping": "mijnoverheid", "sequence": true}'
    ran = await nrc_process(folder, "abonnement", "options", uuid, "--set", f"cloudevents={events}", env=env)
    assert ran.code == 0, ran.err
    (handshake,) = [each for each in spine.callback.at("/events") if each.method == "OPTIONS"]
    assert handshake.header("WebHook-Request-Origin") == "notificaties.example.nl"
    async with spine.deliverer(cloudevents_source=SOURCE):
        wanted = [("status", "create"), ("zaak", "read"), ("zaak", "destroy")]
        sent = [await accept(spine, ledger, *each, made) for each in wanted]
        never = await accept(spine, ledger, "resultaat", "create", made)

        async def settled() -> bool:
            states = [await state_of(ledger, each, made) for each in (*sent, never)]
            return states == [State.DELIVERED] * 3 + [State.NOT_WANTED]

        await eventually(settled, within=60)
        posts = [each for each in spine.callback.at("/events") if each.method == "POST"]
        got = {}
        for received in posts:
            attributes, data = read(received)
            assert data is None
            assert received.header("WebHook-Request-Origin") == "notificaties.example.nl"
            Webhook(secret).verify(
                received.body.decode(), {name.lower(): value for name, value in received.headers}
            )
            got.setdefault(attributes["id"], []).append(attributes)
        assert [got[each][0]["type"].rpartition(".")[2] for each in sent] == [
            "zaak-gemuteerd", "zaak-geopend", "zaak-verwijderd",
        ]  # fmt: skip
        for attempts in got.values():
            assert all(each == attempts[0] for each in attempts), "the same at each attempt"
            assert (attempts[0]["dataref"], attempts[0]["subject"]) == ("/zaken/api/v1/zaken/7b9a", "7b9a")
        assert [got[each][0]["sequence"] for each in sent] == sorted(
            got[each][0]["sequence"] for each in sent
        )
        assert len(posts) == 4, "one of them twice"

        told = await nrc_process(folder, "explain", never, "--abonnement", uuid, env=env)
        assert "in de mapping mijnoverheid wordt zaken/resultaat/create geen CloudEvent" in told.out
        (note,) = await ledger.attempts(Key(UUID(never), made.uuid))
        assert (note.kind, note.number) == ("no_event", 0)

        # Another form counts from the next on; and one whose mapping is gone is kept, and says so.
        spine.callback.script("/events", status(204))
        binary = DeliveryOptions.model_validate({"cloudevents": {"mode": "binary", "mapping": "gemma"}})
        made = await spine.change(made, options=binary)
        last = await accept(spine, ledger, "status", "create", made)
        await eventually(lambda: last in spine.ids_at("/events"), within=30)
        attributes, data = read(spine.callback.at("/events")[-1])
        assert (attributes["type"], data["resource"]) == ("nl.overheid.zaken.status.create", "status")
        gone = DeliveryOptions.model_validate({"cloudevents": {"mapping": "weg"}})
        made = await spine.change(made, options=gone)
        kept = await accept(spine, ledger, "status", "create", made)

        async def failed() -> bool:
            return await state_of(ledger, kept, made) is State.UNDELIVERABLE

        await eventually(failed, within=60)
    told = await nrc_process(folder, "explain", kept, "--abonnement", uuid, env=env)
    assert "de mapping naar CloudEvents is er niet (meer)" in told.out
