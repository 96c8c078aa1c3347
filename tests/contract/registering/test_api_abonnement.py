"""STANDARD: Fields and names check of an abonnement, over HTTP. Single fields: tests/unit/schemas/."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import aio_pika
import pytest

from router.requests import RouterClient
from schemas.abonnement import FilterGroup, Hold, State
from tests.contract.api import Api, Callback, a_naam, abonnement_of, message
from tests.contract.conftest import Stage


async def a_kanaal(api: Api, *filters: str) -> str:
    naam = a_naam()
    assert (await api.post("/kanaal", {"naam": naam, "filters": filters})).status == 201
    return naam


async def made(api: Api, sent: Any) -> dict[str, Any]:
    answer = await api.post("/abonnement", sent)
    assert answer.status == 201, answer.body
    abonnement: dict[str, Any] = answer.json
    return abonnement


async def test_an_abonnement_is_answered_as_it_was_sent_but_for_auth(api: Api) -> None:
    naam = await a_kanaal(api, "object_type", "zaaktype.catalogus")
    sent = {
        "callbackUrl": "http://openzaak:8000/callbacks?a=b#c",
        "auth": "Token zeer-geheim é",
        "kanalen": [
            {"naam": naam, "filters": {"objectType": "a", "zaaktype.catalogus": ""}},
            {"naam": naam, "filters": {"zaaktype.catalogus": 12, "x": "*", "object_type": "😀"}},
            {"naam": naam},
            {"naam": naam, "filters": {}},
        ],
        "url": "x",
        "onbekend": {},
    }
    answer = await api.post("/abonnement", sent)
    assert answer.status == 201, answer.body
    expected = {
        "url": answer.headers["Location"],
        "callbackUrl": sent["callbackUrl"],
        "kanalen": [
            {"naam": naam, "filters": {"objectType": "a", "zaaktype.catalogus": ""}},
            {"naam": naam, "filters": {"zaaktype.catalogus": "12", "x": "*", "object_type": "😀"}},
            {"naam": naam, "filters": {}},
            {"naam": naam, "filters": {}},
        ],
    }
    assert answer.json == expected
    url = expected["url"]
    listed = [one for one in (await api.get("/abonnement")).json if one["url"] == url]
    assert listed == [expected]
    assert (await api.get(url)).json == expected
    assert (await api.put(url, sent)).json == expected
    assert (await api.patch(url, {"auth": "Token anders"})).json == expected


async def test_no_kanalen_and_the_same_callback_twice(api: Api) -> None:
    sent = {"callbackUrl": "http://127.0.0.1:9/", "auth": "Token abc", "kanalen": []}
    one, two = await made(api, sent), await made(api, sent)
    assert one["url"] != two["url"]
    assert one["kanalen"] == []


FILTERS = ("bron_organisatie", "zaaktype", "a.b")


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({}, True),
        ({"zaaktype": "x"}, True),
        ({"bronorganisatie": "x", "zaakType": "y"}, True),
        ({"bronOrganisatie": "x", "zaaktype": "y", "a.b": "z", "meer": "w"}, True),
        ({"BRON_ORGANISATIE": "*"}, True),
        ({"meer": "x"}, False),
        ({"zaaktype": "x", "meer": "y"}, False),
        ({"ab": "x"}, False),
    ],
)
async def test_names_check(api: Api, filters: dict[str, str], fits: bool) -> None:
    naam = await a_kanaal(api, *FILTERS)
    answer = await api.post("/abonnement", abonnement_of(naam, **filters))
    if fits:
        assert answer.status == 201
    else:
        assert answer.params == {("filters", "inconsistent-abonnement-filters")}
    anything = await a_kanaal(api)
    assert (await api.post("/abonnement", abonnement_of(anything, **filters))).status == 201


async def test_every_fault_at_once(api: Api) -> None:
    naam = await a_kanaal(api, "a")
    sent = {
        "callbackUrl": "x",
        "auth": "a\nb",
        "kanalen": [
            {"naam": "wat", "filters": {"a": None}},
            {"naam": naam, "filters": {"b": "1"}},
            {"naam": "", "filters": {"b": "1"}},
            "kanaal",
        ],
    }
    faults = {
        ("callbackUrl", "invalid"),
        ("auth", "invalid"),
        ("kanalen.0.filters.a", "null"),
        ("naam", "kanaal_naam"),
        ("filters", "inconsistent-abonnement-filters"),
        ("kanalen.2.naam", "blank"),
        ("kanalen.3.nonFieldErrors", "invalid"),
    }
    assert (await api.post("/abonnement", sent)).params == faults
    abonnement = await made(api, abonnement_of(naam))
    assert (await api.put(abonnement["url"], sent)).params == faults
    assert (await api.patch(abonnement["url"], sent)).params == faults
    assert (await api.get(abonnement["url"])).json == abonnement
    assert (await api.put(abonnement["url"], {})).params == {
        ("callbackUrl", "required"), ("auth", "required"), ("kanalen", "required")
    }  # fmt: skip


async def test_a_name_twice_within_kanalen(api: Api) -> None:
    naam = await a_kanaal(api, "a")
    abonnement = await made(api, abonnement_of(naam, a="1"))
    twice = (
        b'{"naam":"wat","naam":"%b"}',
        b'{"naam":"%b","filters":{"a":"1"},"\\u0066ilters":{}}',
        b'{"naam":"%b","filters":{"a":"1","a":"2"}}',
        b'{"naam":"%b","eigen":1,"eigen":1,"":1,"":1}',
    )
    kanalen = b'"kanalen":[%b]' % b",".join(group % naam.encode() for group in twice)
    whole = b'{"callbackUrl":"http://127.0.0.1:9/","auth":"Token abc",%b}' % kanalen
    names = ("0.naam", "1.filters", "2.filters.a", "3.eigen", "3.nonFieldErrors")
    faults = {(f"kanalen.{name}", "invalid") for name in names}
    assert (await api.post("/abonnement", body=whole)).params == faults
    assert (await api.put(abonnement["url"], body=whole)).params == faults
    assert (await api.patch(abonnement["url"], body=b"{%b}" % kanalen)).params == faults
    assert (await api.get(abonnement["url"])).json == abonnement


async def test_patch_keeps_what_is_absent(api: Api, stage: Stage) -> None:
    naam = await a_kanaal(api, "a")
    abonnement = await made(api, abonnement_of(naam, a="1"))
    url, uuid = abonnement["url"], UUID(abonnement["url"][-36:])

    async def auth() -> str:
        return {one.uuid: one for one in (await stage.registry.changes_since(0)).abonnementen}[uuid].auth

    assert (await api.patch(url, {})).json == abonnement
    abonnement["callbackUrl"] = "http://127.0.0.1:10/"
    assert (await api.patch(url, {"callbackUrl": "http://127.0.0.1:10/"})).json == abonnement
    abonnement["kanalen"] = [{"naam": naam, "filters": {"a": "2"}}]
    assert (await api.patch(url, {"kanalen": abonnement["kanalen"]})).json == abonnement
    assert await auth() == "Token abc"
    assert (await api.patch(url, {"auth": "Token nieuw"})).json == abonnement
    assert await auth() == "Token nieuw"
    assert (await api.get(url)).json == abonnement
    for data, fault in (
        ({"auth": None}, ("auth", "null")),
        ({"kanalen": None}, ("kanalen", "null")),
        ({"callbackUrl": ""}, ("callbackUrl", "blank")),
        ({"callbackUrl": "http://[::1]@/"}, ("callbackUrl", "invalid")),
        ([], ("nonFieldErrors", "invalid")),
        ({"kanalen": [{"naam": "wat"}]}, ("naam", "kanaal_naam")),
    ):
        assert (await api.patch(url, data)).params == {fault}
    assert (await api.get(url)).json == abonnement


async def queue_of(url: str, abonnement: dict[str, Any]) -> Any:
    """(connection, the abonnement's queue, passively declared)."""
    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    return connection, await channel.get_queue("nrc.abonnement." + abonnement["url"][-36:])


async def test_bindings_stand_before_the_answer(api: Api, stage: Stage) -> None:
    async with stage.gateway() as other:
        naam = await a_kanaal(api, "a")
        abonnement = await made(api, abonnement_of(naam, a="1"))
        for kenmerken in ({"a": "1"}, {"a": "2"}, {}):
            assert (await other.post("/notificaties", message(naam, kenmerken=kenmerken))).status == 201
        connection, queue = await queue_of(stage.settings.amqp_url[0], abonnement)
        async with connection:
            assert queue.declaration_result.message_count == 2
        await api.patch(abonnement["url"], {"kanalen": [{"naam": naam, "filters": {"a": "2"}}]})
        for value in ("1", "2", "2"):
            assert (await other.post("/notificaties", message(naam, kenmerken={"a": value}))).status == 201
        connection, queue = await queue_of(stage.settings.amqp_url[0], abonnement)
        async with connection:
            assert queue.declaration_result.message_count == 4


async def test_what_one_gateway_wrote_another_shows(api: Api, stage: Stage) -> None:
    async with stage.gateway() as other:
        naam = await a_kanaal(api)
        for _ in range(5):
            abonnement = await made(api, abonnement_of(naam))
            path = abonnement["url"].removeprefix(api.root)
            assert (await other.get(path)).status == 200
            await other.patch(path, {"callbackUrl": "http://127.0.0.1:10/"})
            assert (await api.get(path)).json["callbackUrl"] == "http://127.0.0.1:10/"
            assert (await api.delete(path)).status == 204
            assert (await other.get(path)).status == 404
            listed = (await other.get("/abonnement")).json
            assert path not in {one["url"].removeprefix(other.root) for one in listed}


async def test_two_patches_at_once_both_count(stage: Stage, callback: Callback) -> None:
    async with stage.gateway(callback_check="reachable") as api:
        naam = await a_kanaal(api, "a")
        sent = {**abonnement_of(naam, a="1"), "callbackUrl": callback.url()}
        abonnement = await made(api, sent)
        arrived, go_on = asyncio.Event(), asyncio.Event()

        def decide(_: Any) -> int:
            arrived.set()
            return 204

        callback.decide = decide
        callback.hold = go_on
        slow = asyncio.create_task(api.patch(abonnement["url"], {"auth": "Token nieuw"}))
        await asyncio.wait_for(arrived.wait(), 5)
        quick = await api.patch(abonnement["url"], {"kanalen": []})
        go_on.set()
        assert (await slow).json == {"url": abonnement["url"], "callbackUrl": callback.url(), "kanalen": []}
        assert quick.status == 200


async def test_patches_of_different_fields_at_once_all_count(stage: Stage, api: Api) -> None:
    async with stage.gateway() as other:
        naam = await a_kanaal(api, "a")
        for number in range(10):
            abonnement = await made(api, abonnement_of(naam))
            path = abonnement["url"].removeprefix(api.root)
            changes = {
                "callbackUrl": f"http://127.0.0.1:{number + 10}/",
                "kanalen": [{"naam": naam, "filters": {"a": str(number)}}],
            }
            answers = await asyncio.gather(
                api.patch(path, {"callbackUrl": changes["callbackUrl"]}),
                other.patch(path, {"kanalen": changes["kanalen"]}),
            )
            assert [answer.status for answer in answers] == [200, 200]
            assert (await api.get(path)).json == {**abonnement, **changes}
            assert (await api.post("/notificaties", message(naam, kenmerken={"a": "no"}))).status == 201
            hit = message(naam, kenmerken={"a": str(number)})
            assert (await api.post("/notificaties", hit)).status == 201
            connection, queue = await queue_of(stage.settings.amqp_url[0], abonnement)
            async with connection:
                assert queue.declaration_result.message_count == 1
            assert (await api.delete(path)).status == 204


HOLD = Hold(1.0, 0, 4e9)


@pytest.mark.parametrize("before", [State.ACTIVE, State.HELD])
@pytest.mark.parametrize("after", State)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_hold_a_release_or_a_suspend_during_a_change_stands_but_for_a_passed_check(
    stage: Stage, api: Api, monkeypatch: pytest.MonkeyPatch, method: str, before: State, after: State
) -> None:
    naam = await a_kanaal(api, "a")
    sent = abonnement_of(naam)
    abonnement = await made(api, sent)
    uuid, registry = UUID(abonnement["url"][-36:]), stage.registry
    url = sent["callbackUrl"]
    if before is State.HELD:
        await registry.set_hold(uuid, HOLD, "timeout", before=None, callback_url=url)
    prepare = RouterClient.prepare_abonnement

    async def meanwhile(router: RouterClient, *asked: Any) -> None:
        await prepare(router, *asked)
        if after is State.HELD:
            moved = Hold(HOLD.since, HOLD.probes + 1, HOLD.next_probe)
            was = HOLD if before is State.HELD else None
            assert await registry.set_hold(uuid, moved, "again", before=was, callback_url=url)
        else:
            assert await registry.set_state(uuid, after, f"to {after}")

    monkeypatch.setattr(RouterClient, "prepare_abonnement", meanwhile)
    kanalen = [{"naam": naam, "filters": {"a": "1"}}]
    data = {"kanalen": kanalen} if method == "PATCH" else {**sent, "kanalen": kanalen}
    assert (await api(method, abonnement["url"], data)).json == {**abonnement, "kanalen": kanalen}
    kept = {one.uuid: one for one in (await registry.changes_since(0)).abonnementen}[uuid]
    wanted = State.ACTIVE if method == "PUT" else after
    assert (kept.state, kept.hold is not None) == (wanted, wanted is State.HELD)
    assert kept.kanalen == (FilterGroup(naam, (("a", "1"),)),)


@pytest.mark.parametrize("stopped", [State.SUSPENDED, State.HELD])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_passing_the_check_resumes_a_suspended_or_held_one(
    stage: Stage, callback: Callback, method: str, stopped: State
) -> None:
    async with stage.gateway(callback_check="full") as api:
        naam = await a_kanaal(api, "a")
        sent = {**abonnement_of(naam, a="1"), "callbackUrl": callback.url()}
        abonnement = await made(api, sent)
        uuid = UUID(abonnement["url"][-36:])

        async def kept() -> tuple[State, Hold | None]:
            rows = (await stage.registry.changes_since(0)).abonnementen
            return {one.uuid: (one.state, one.hold) for one in rows}[uuid]

        hold = Hold(1.0, 0, 4e9) if stopped is State.HELD else None
        if hold:
            await stage.registry.set_hold(uuid, hold, "timeout", before=None, callback_url=callback.url())
        else:
            await stage.registry.set_state(uuid, stopped, "410 from callback")
        callback.decide = lambda _: 500
        assert (await api(method, abonnement["url"], sent)).status == 400
        assert await kept() == (stopped, hold)
        assert (await api.patch(abonnement["url"], {"kanalen": sent["kanalen"]})).status == 200
        assert await kept() == (stopped, hold)
        callback.decide = lambda request: 204 if request.header("Authorization") else 401
        assert (await api(method, abonnement["url"], sent)).status == 200
        assert await kept() == (State.ACTIVE, None)
