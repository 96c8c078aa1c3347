"""`sendCloudevents` and `cloudeventFilters` of an abonnement, as consumers of Open Notificaties send them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat

from schemas.abonnement import Abonnement
from tests.callback_server import Received, Wire, hang, status
from tests.contract.api import Api, Callback, a_naam, abonnement_of, asks_for_auth
from tests.contract.conftest import Stage
from tests.contract.extra.conftest import extra_root

FILTERS = [{"typeSubstring": "nl.example.alleen-hier", "filters": {"bronorganisatie": "224557609"}}]
STANDARD = {"url", "callbackUrl", "kanalen"}


@pytest.fixture(scope="module")
async def api(stage: Stage) -> AsyncIterator[Api]:
    async with stage.gateway(callback_check="off", extra_rate=10000) as found:
        yield found


@pytest.fixture(scope="module")
async def checking(stage: Stage) -> AsyncIterator[Api]:
    async with stage.gateway(
        callback_check="full", callback_timeout=1.0, public_url="", extra_rate=10000
    ) as found:
        yield found


async def made(api: Api, **asked: Any) -> tuple[str, Any]:
    """Its path, and the answer."""
    answer = await api.post("/abonnement", {"callbackUrl": "http://127.0.0.1:9/", "auth": "x", **asked})
    assert answer.status == 201, answer.body
    return answer.json["url"].removeprefix(api.root), answer.json


def consent(headers: Mapping[str, str]) -> Any:
    """A callback that asks for auth, and answers OPTIONS with these."""

    async def answer(wire: Wire, received: Received) -> bool:
        if received.method == "OPTIONS":
            return await status(200, headers=headers)(wire, received)
        return await status(asks_for_auth(received))(wire, received)

    return answer


async def test_what_is_asked_comes_back_and_kanalen_may_be_absent(api: Api) -> None:
    path, answer = await made(api, sendCloudevents=True, cloudeventFilters=FILTERS)
    assert (answer["sendCloudevents"], answer["cloudeventFilters"], answer["kanalen"]) == (True, FILTERS, [])
    assert (await api.get(path)).json == answer
    assert answer in (await api.get("/abonnement")).json


async def test_who_does_not_use_it_sees_what_the_standard_has(api: Api) -> None:
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam})
    path, answer = await made(api, **abonnement_of(naam))
    assert set(answer) == STANDARD
    path, answer = await made(api, **abonnement_of(naam), sendCloudevents=False, cloudeventFilters=[])
    assert set(answer) == STANDARD
    assert set((await api.patch(path, {"sendCloudevents": False})).json) == STANDARD
    refused = await api.post("/abonnement", {"callbackUrl": "http://127.0.0.1:9/", "auth": "x"})
    assert refused.params == {("kanalen", "required")}


async def test_a_client_of_the_standard_does_not_switch_it_off(api: Api) -> None:
    naam = a_naam()
    await api.post("/kanaal", {"naam": naam})
    path, _ = await made(api, sendCloudevents=True, cloudeventFilters=FILTERS)
    put = await api.put(path, abonnement_of(naam))
    assert put.json == {**put.json, "sendCloudevents": True, "cloudeventFilters": FILTERS}
    patched = await api.patch(path, {"cloudeventFilters": []})
    assert (patched.json["sendCloudevents"], patched.json["cloudeventFilters"]) == (True, [])
    off = await api.patch(path, {"sendCloudevents": False})
    assert set(off.json) == STANDARD
    on = await api.patch(path, {"sendCloudevents": True, "cloudeventFilters": FILTERS})
    assert on.json["cloudeventFilters"] == FILTERS


@pytest.mark.parametrize(
    ("asked", "faults"),
    [
        ({"sendCloudevents": "ja"}, {("sendCloudevents", "invalid")}),
        ({"sendCloudevents": None}, {("sendCloudevents", "invalid")}),
        ({"sendCloudevents": True, "cloudeventFilters": None}, {("cloudeventFilters", "null")}),
        ({"sendCloudevents": True, "cloudeventFilters": {}}, {("cloudeventFilters", "not_a_list")}),
        (
            {"sendCloudevents": True, "cloudeventFilters": ["nl.overheid"]},
            {("cloudeventFilters.0.nonFieldErrors", "invalid")},
        ),
        (
            {"sendCloudevents": True, "cloudeventFilters": [{"typeSubstrings": "x"}]},
            {("cloudeventFilters.0.typeSubstrings", "unknown-field")},
        ),
        (
            {"sendCloudevents": True, "cloudeventFilters": [{"filters": {"a": []}}]},
            {("cloudeventFilters.0.filters.a", "invalid")},
        ),
        ({"cloudeventFilters": FILTERS}, {("cloudeventFilters", "invalid")}),
    ],
)
async def test_faults_are_told(api: Api, asked: dict[str, Any], faults: set[tuple[str, str]]) -> None:
    sent = {"callbackUrl": "http://127.0.0.1:9/", "auth": "x", "kanalen": [], **asked}
    assert (await api.post("/abonnement", sent)).params == faults


async def test_where_it_is_off_the_fields_mean_nothing(stage: Stage, api: Api) -> None:
    path, _ = await made(api, sendCloudevents=True)
    async with stage.gateway(callback_check="off", cloudevents=False) as off:
        assert set((await off.get(path)).json) == STANDARD
        _, answer = await made(off, sendCloudevents="wat dan ook", kanalen=[])
        assert set(answer) == STANDARD
        assert (await off.patch(path, {"auth": "y"})).status == 200
    assert (await api.get(path)).json["sendCloudevents"] is True


async def test_an_option_that_is_set_during_the_check_of_the_callback_stays(
    stage: Stage, checking: Api
) -> None:
    async with Callback() as callback:
        callback.script("/", consent({"WebHook-Allowed-Origin": "*"}))
        path, _ = await made(checking, callbackUrl=callback.url(), auth="Token abc", sendCloudevents=True)
        uuid = UUID(path[-36:])

        async def meanwhile(wire: Wire, received: Received) -> bool:
            await stage.registry.change_abonnement(uuid, with_rate)
            return await consent({"WebHook-Allowed-Origin": "*"})(wire, received)

        def with_rate(latest: Abonnement) -> Abonnement:
            assert latest.options is not None
            return replace(latest, options=latest.options.model_copy(update={"rate": 5.0}))

        callback.script("/", meanwhile)
        changed = await checking.patch(path, {"auth": "Token new", "cloudeventFilters": FILTERS})
        assert changed.json["cloudeventFilters"] == FILTERS
    kept = {each.uuid: each for each in (await stage.registry.changes_since(0)).abonnementen}[uuid].options
    assert kept is not None
    assert (kept.rate, kept.cloudevents is not None) == (5.0, True)


async def test_its_callback_is_checked_with_an_event_and_asked_for_consent(checking: Api) -> None:
    async with Callback() as callback:
        answer = consent({"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "120"})
        callback.script("/", answer)
        path, _ = await made(checking, callbackUrl=callback.url(), auth="Token abc", sendCloudevents=True)
        without, with_auth, options = callback.received
        assert [each.method for each in callback.received] == ["POST", "POST", "OPTIONS"]
        assert without.header("Authorization") is None
        for each in (without, with_auth):
            assert each.header("Content-Type") == "application/cloudevents+json"
            event = from_http(
                HTTPMessage({"content-type": "application/cloudevents+json"}, each.body), JSONFormat()
            )
            assert event.get_type() == "nl.overheid.test.some_resource.create"
        origin = options.header("WebHook-Request-Origin")
        assert origin
        assert options.header("WebHook-Request-Rate") == "60000"
        kept = (await checking.get(f"{extra_root(checking)}{path}/options")).json
        assert kept == {"cloudevents": {"allowedRate": 120.0, "origin": origin}}
        # What it says later counts from then on.
        callback.script("/", consent({}))
        await checking.put(path, {"callbackUrl": callback.url(), "auth": "Token abc", "kanalen": []})
        assert (await checking.get(f"{extra_root(checking)}{path}/options")).json == {"cloudevents": {}}


async def test_without_consent_it_is_made_all_the_same_unless_that_is_required(
    stage: Stage, checking: Api
) -> None:
    async with Callback() as callback:
        asked = {"callbackUrl": callback.url(), "auth": "Token abc", "sendCloudevents": True}
        await made(checking, **asked)
        async with stage.gateway(
            callback_check="off", callback_timeout=0.3, cloudevents_handshake="required"
        ) as required:
            refused = await required.post("/abonnement", asked)
            assert refused.params == {("callbackUrl", "no-consent")}
            callback.script("/", hang())
            assert (await required.post("/abonnement", asked)).params == refused.params
            callback.script("/", consent({"WebHook-Allowed-Origin": "*"}))
            await made(required, **asked)
        callback.received.clear()
        async with stage.gateway(callback_check="full", cloudevents_handshake="off") as off:
            await made(off, **asked)
        assert {each.method for each in callback.received} == {"POST"}


async def test_a_mapping_must_be_there(stage: Stage, api: Api) -> None:
    path, _ = await made(api, sendCloudevents=True)
    url = f"{extra_root(api)}{path}/options"
    refused = await api.put(url, {"cloudevents": {"mapping": "eigen"}})
    assert refused.params == {("cloudevents.mapping", "invalid")}
    assert "on, gemma, mijnoverheid" in json.dumps(refused.json)
    answer = await api.put(url, {"cloudevents": {"mapping": "mijnoverheid", "mode": "binary"}})
    assert answer.json == {"cloudevents": {"mapping": "mijnoverheid", "mode": "binary"}}
    assert (await api.get(path)).json["sendCloudevents"] is True
    async with stage.gateway(callback_check="off", cloudevents=False) as off:
        refused = await off.put(f"{extra_root(off)}{path}/options", {"cloudevents": {"mapping": "gemma"}})
        assert refused.params == {("cloudevents", "invalid")}
