"""What an application may do whose scopes are in the Autorisaties API, over HTTP, on two gateways."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from aiohttp import web

from store.registry import ActSearch
from tests.contract.api import abonnement_of
from tests.contract.autorisaties.conftest import CONSUMEREN, LONG, PUBLICEREN, Rights
from tests.contract.conftest import Stage
from tests.eventually import eventually
from tests.tokens import token


async def test_the_scopes_are_those_of_component_nrc(rights: Rights) -> None:
    client_id = await rights.client()
    rights.ac.put(client_id, scopes=[PUBLICEREN])
    assert (await rights.publish(client_id)).status == 201
    refused = await rights.one.of(client_id).post("/abonnement", abonnement_of(rights.naam))
    assert refused.outcome == (403, "permission_denied")
    assert "Autorisaties API" in refused.json["detail"]
    assert rights.ac.asked[client_id] == 1
    wrong = await rights.publish(client_id, auth=token(client_id, secret="anders"))
    assert wrong.outcome == (403, "invalid-jwt-signature")


async def test_the_component_in_any_case_and_the_scopes_of_2019(rights: Rights) -> None:
    client_id = await rights.client()
    rights.ac.put(client_id, scopes=[]).granted = [("NRC", ["notificaties.scopes.consumeren", "x"])]
    answer = await rights.one.of(client_id).post("/abonnement", abonnement_of(rights.naam))
    assert answer.status == 201
    assert (await rights.one.of(client_id).delete(answer.json["url"])).status == 204
    assert (await rights.one.of("beide").delete(answer.json["url"])).status == 404


async def test_another_client_with_all_rights_is_not_the_owner(rights: Rights) -> None:
    owner, other = await rights.client(), await rights.client()
    for each in (owner, other):
        rights.ac.put(each, all_rights=True)
    made = await rights.one.of(owner).post("/abonnement", abonnement_of(rights.naam))
    assert made.status == 201
    assert (await rights.one.of(other).delete(made.json["url"])).status == 403
    assert (await rights.one.of(owner).delete(made.json["url"])).status == 204


async def test_a_token_may_ask_for_less(rights: Rights) -> None:
    client_id = await rights.client()
    rights.ac.put(client_id, all_rights=True)
    less = token(client_id, zds={"scopes": ["notificaties.scopes.consumeren"]})
    assert (await rights.publish(client_id, auth=less)).outcome == (403, "permission_denied")
    assert (await rights.publish(client_id)).status == 201


async def test_a_client_that_the_ac_does_not_know(rights: Rights) -> None:
    client_id = await rights.client()
    refused = await rights.publish(client_id)
    assert refused.outcome == (403, "permission_denied")
    assert "kent geen applicatie" in refused.json["detail"]
    assert (await rights.tell(rights.ac.put(client_id, all_rights=True), "create")).status == 201
    assert (await rights.publish(client_id)).status == 201
    await rights.becomes(client_id, 201, at=rights.other)


async def test_many_who_wait_ask_once(rights: Rights) -> None:
    client_id = await rights.client()
    rights.ac.put(client_id, scopes=[PUBLICEREN])
    rights.ac.flowing.clear()
    sending = [asyncio.create_task(rights.publish(client_id)) for _ in range(10)]
    await eventually(lambda: rights.ac.waiting)
    rights.ac.flowing.set()
    assert {answer.status for answer in await asyncio.gather(*sending)} == {201}
    assert rights.ac.asked[client_id] == 1


async def test_one_that_is_local_needs_no_ac(rights: Rights) -> None:
    asked = rights.ac.asked.total()
    await rights.ac.stop()
    try:
        assert (await rights.publish("bron")).status == 201
    finally:
        await rights.ac.start()
    assert rights.ac.asked.total() == asked


@pytest.mark.parametrize("path", ["/notificaties", "/callbacks"])
async def test_a_notificatie_changes_it_in_every_gateway(rights: Rights, path: str) -> None:
    client_id = await rights.client()
    applicatie = rights.ac.put(client_id, scopes=[PUBLICEREN])
    for gateway in (rights.one, rights.other):
        assert (await rights.publish(client_id, at=gateway)).status == 201
    rights.ac.put(client_id, scopes=[CONSUMEREN])
    # Nothing but a notificatie makes them ask again.
    for gateway in (rights.one, rights.other):
        assert (await rights.publish(client_id, at=gateway)).status == 201
    told = await rights.tell(applicatie, "partial_update", path=path)
    assert (told.status, told.body == b"") == ((204, True) if path == "/callbacks" else (201, False))
    for gateway in (rights.one, rights.other):
        await rights.becomes(client_id, 403, at=gateway)


async def test_a_removed_one_is_forgotten(rights: Rights) -> None:
    client_id = await rights.client()
    applicatie = rights.ac.put(client_id, scopes=[PUBLICEREN])
    for gateway in (rights.one, rights.other):
        assert (await rights.publish(client_id, at=gateway)).status == 201
    rights.ac.applicaties.remove(applicatie)
    assert (await rights.tell(applicatie, "destroy")).status == 201
    assert (await rights.publish(client_id)).outcome == (403, "permission_denied")
    await rights.becomes(client_id, 403, at=rights.other)


async def test_while_the_ac_is_away_what_was_known_counts(rights: Rights) -> None:
    known, unknown = await rights.client(), await rights.client()
    applicatie = rights.ac.put(known, scopes=[PUBLICEREN])
    rights.ac.put(unknown, scopes=[PUBLICEREN])
    assert (await rights.publish(known)).status == 201
    await rights.ac.stop()
    try:
        assert (await rights.tell(applicatie, "update")).status == 201
        refused = await rights.publish(unknown)
        assert refused.outcome == (503, "service_unavailable")
        assert "Autorisaties API" in refused.json["detail"]
        assert (await rights.publish(known)).status == 201
        health = await health_of(rights)
        assert health["status"] == "ok"
        assert any(line.startswith("Autorisaties API: away") for line in health["warnings"])
    finally:
        await rights.ac.start()
    await rights.becomes(unknown, 201, at=rights.one)
    assert (await health_of(rights))["warnings"] == []


async def test_a_gateway_that_starts_while_the_ac_is_away(rights: Rights, stage: Stage) -> None:
    known = await rights.client()
    rights.ac.put(known, scopes=[PUBLICEREN])
    assert (await rights.publish(known)).status == 201

    async def kept() -> bool:
        return known in {each.client_id for each in await stage.registry.ac_answers()}

    await eventually(kept, within=LONG)
    await rights.ac.stop()
    try:
        async with stage.gateway(**rights.ac.settings()) as started:
            assert (await rights.publish(known, at=started)).status == 201
    finally:
        await rights.ac.start()


async def health_of(rights: Rights) -> dict[str, list[str]]:
    async with rights.one.session.get(rights.one.root.removesuffix("/api/v1") + "/health/ready") as answer:
        found: dict[str, list[str]] = await answer.json()
        return found


NONSENSE = {
    "no JSON": web.Response(text="<html>", content_type="text/html"),
    "another object": web.json_response({"count": 0, "results": []}),
    "a fault": web.Response(status=500),
    "a redirect": web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}),
    "a 404 of a proxy": web.Response(status=404, text="no route"),
    "our client refused": web.json_response({"code": "permission_denied", "status": 403}, status=403),
    "too much": web.Response(body=b" " * (5 * 1024 * 1024)),
}


@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_is_no_answer(rights: Rights, what: str) -> None:
    known, unknown = await rights.client(), await rights.client()
    applicatie = rights.ac.put(known, scopes=[PUBLICEREN])
    assert (await rights.publish(known)).status == 201
    rights.ac.answer_with = NONSENSE[what]
    assert (await rights.tell(applicatie, "update")).status == 201
    assert (await rights.publish(unknown)).outcome == (503, "service_unavailable")
    assert (await rights.publish(known)).status == 201
    rights.ac.answer_with = None
    rights.ac.put(unknown, scopes=[PUBLICEREN])
    await rights.becomes(unknown, 201, at=rights.one)


async def test_an_ac_that_hangs(rights: Rights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.autorisaties.asking.TIMEOUT", 0.2)
    known, unknown = await rights.client(), await rights.client()
    applicatie = rights.ac.put(known, scopes=[PUBLICEREN])
    await rights.becomes(known, 201, at=rights.one)
    rights.ac.flowing.clear()
    assert (await rights.tell(applicatie, "update")).status == 201
    assert (await rights.publish(unknown)).outcome == (503, "service_unavailable")
    assert (await rights.publish(known)).status == 201
    rights.ac.flowing.set()
    rights.ac.put(unknown, scopes=[PUBLICEREN])
    await rights.becomes(unknown, 201, at=rights.one)


async def test_two_applicaties_with_one_client(rights: Rights) -> None:
    double, other = await rights.client(), await rights.client()
    for each in (rights.ac.put(double, all_rights=True), rights.ac.put(other, all_rights=True)):
        each.client_ids.append(double)
    assert (await rights.publish(double)).status == 503
    assert (await rights.publish(other)).status == 201, "it concerns that client alone"


async def test_a_callback_of_another_kanaal_is_taken_and_ignored(rights: Rights) -> None:
    asked = rights.ac.asked.total()
    url = "http://some.hoofdobject.nl/"
    content = {
        "kanaal": "test",
        "hoofdObject": url,
        "resource": "some_resource",
        "resourceUrl": url,
        "actie": "create",
        "aanmaakdatum": "2019-01-01T12:00:00Z",
        "kenmerken": {},
    }
    assert (await rights.one.post("/callbacks", content, auth=None)).status == 403
    assert (await rights.one.of("afnemer").post("/callbacks", content)).status == 403
    assert (await rights.one.of("bron").post("/callbacks", content)).status == 204
    wrong = await rights.one.of("bron").post("/callbacks", {**content, "resourceUrl": "x"})
    assert wrong.params == {("resourceUrl", "invalid")}
    assert rights.ac.asked.total() == asked


async def test_the_token_issuer_registers_an_application(rights: Rights, stage: Stage) -> None:
    new = f"nieuw-{uuid4().hex}"
    asked = {"identifier": new, "secret": new[::-1]}
    rights.ac.put(new, scopes=[PUBLICEREN])
    assert (await rights.one.of("niets").post("/jwtsecret/", asked)).status == 404, "off by default"
    async with stage.gateway(**rights.ac.settings(), token_issuer="niets") as gateway:
        assert (await gateway.post("/jwtsecret/", asked, auth=None)).status == 403
        assert (await gateway.of("beide").post("/jwtsecret/", asked)).outcome == (403, "permission_denied")
        issuer = gateway.of("niets")
        faults = {("identifier", "required"), ("secret", "blank")}
        assert (await issuer.post("/jwtsecret/", {"secret": " "})).params == faults
        assert (await rights.publish(new)).outcome == (403, "invalid-client-identifier")
        made = await issuer.post("/jwtsecret/", asked)
        assert (made.status, made.json) == (201, {"identifier": new})
        for gateway_ in (gateway, rights.one, rights.other):
            await rights.becomes(new, 201, at=gateway_)
        for known in (new, "beide"):
            again = await issuer.post("/jwtsecret", {"identifier": known, "secret": "x" * 40})
            assert again.params == {("identifier", "unique")}
        assert (await gateway.of("beide").get("/kanaal")).status == 200, "with its own secret"
    (act,) = await stage.registry.acts(ActSearch(application=new), limit=2)
    assert (act.act, act.user) == ("application added", "niets")


async def test_without_an_ac_nothing_of_it_is_there(rights: Rights, stage: Stage) -> None:
    client_id = await rights.client()
    async with stage.gateway() as plain:
        assert (await plain.post("/callbacks", {})).status == 404
        refused = await rights.publish(client_id, at=plain)
        assert refused.outcome == (403, "permission_denied")
        assert "NRC_AC_URL" in refused.json["detail"]


@pytest.mark.parametrize(("times", "status"), [(0, 403), (1, 201), (2, 503)])
async def test_a_list_as_open_zaak_documents_it(rights: Rights, times: int, status: int) -> None:
    client_id = await rights.client()
    content = [rights.ac.put(client_id, scopes=[PUBLICEREN]).as_json(rights.ac.root)] * times
    rights.ac.answer_with = web.json_response(content)
    assert (await rights.publish(client_id)).status == status
