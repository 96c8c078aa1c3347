"""STANDARD: Paths and Fields of a kanaal, over HTTP. Single fields: tests/unit/schemas/."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from tests.contract.api import Api, Callback, a_naam, abonnement_of, message
from tests.contract.conftest import Stage
from tests.eventually import eventually


async def made(api: Api, **kanaal: Any) -> tuple[dict[str, Any], str]:
    """(the kanaal as answered, its path)."""
    answer = await api.post("/kanaal", {"naam": a_naam(), **kanaal})
    assert answer.status == 201, answer.body
    return answer.json, answer.json["url"].removeprefix(api.root)


async def test_a_kanaal_is_answered_as_it_was_sent(api: Api) -> None:
    filters = ["zaaktype", "zaaktype", "Zaak_Type", "zaaktype.catalogus", 10, "x-match"]
    sent = {
        "naam": a_naam(),
        "documentatieLink": "https://example.nl/x",
        "filters": filters,
        "url": 1,
        "x": [],
    }
    answer = await api.post("/kanaal", sent)
    assert answer.status == 201
    expected = {
        "url": answer.headers["Location"],
        "naam": sent["naam"],
        "documentatieLink": "https://example.nl/x",
        "filters": [str(name) for name in filters],
    }
    assert answer.json == expected
    assert (await api.get(answer.headers["Location"])).json == expected
    assert (await api.get(f"/kanaal?naam={sent['naam']}")).json == [expected]


async def test_what_is_absent(api: Api) -> None:
    kanaal, _ = await made(api)
    assert (kanaal["documentatieLink"], kanaal["filters"]) == ("", [])


@pytest.mark.parametrize(
    "naam",
    [
        "met spatie en é",
        "a.b.c",
        "#",
        "*",
        "x" * 50,
        "😀" * 50,
        "-",
        "~a",
        "nrc.kanaal.x",
        "kanaal/1",
        "<b>&amp;",
    ],
)
async def test_hostile_names(api: Api, naam: str) -> None:
    answer = await api.post("/kanaal", {"naam": naam})
    assert answer.status == 201, answer.body
    assert answer.json["naam"] == naam
    assert (await api.post("/notificaties", message(naam))).status == 201
    assert (await api.post("/abonnement", abonnement_of(naam))).status == 201


async def test_a_naam_is_unique_and_case_counts(api: Api) -> None:
    kanaal, _ = await made(api)
    naam = kanaal["naam"]
    assert (await api.post("/kanaal", {"naam": naam})).params == {("naam", "unique")}
    answer = await api.of("bron").post("/kanaal", {"naam": naam, "filters": [""], "documentatieLink": "x"})
    assert answer.params == {("naam", "unique"), ("filters.0", "blank"), ("documentatieLink", "invalid")}
    assert (await api.post("/kanaal", {"naam": naam.upper()})).status == 201


async def test_of_many_at_once_one_gets_the_naam(api: Api, stage: Stage) -> None:
    async with stage.gateway() as other:
        naam = a_naam()
        answers = await asyncio.gather(*(one.post("/kanaal", {"naam": naam}) for one in [api, other] * 5))
    assert sorted(answer.status for answer in answers) == [201] + [400] * 9
    assert all(answer.params == {("naam", "unique")} for answer in answers if answer.status == 400)
    assert len((await api.get(f"/kanaal?naam={naam}")).json) == 1


async def test_put_and_patch(api: Api) -> None:
    kanaal, path = await made(api, documentatieLink="https://example.nl/", filters=["a"])
    naam = kanaal["naam"]
    # The same again, as a client that registers its kanalen does, and by another application.
    assert (await api.of("bron").put(path, kanaal)).json == kanaal
    assert (await api.put(path, {"naam": naam})).json == kanaal
    assert (await api.patch(path, {})).json == kanaal
    assert (await api.patch(path, {"naam": naam})).json == kanaal
    kanaal["filters"] = ["b", "a"]
    assert (await api.patch(path, {"filters": ["b", "a"]})).json == kanaal
    kanaal["documentatieLink"] = ""
    assert (await api.put(path, {"naam": naam, "documentatieLink": ""})).json == kanaal
    kanaal["filters"] = []
    assert (await api.put(path, {"naam": naam, "filters": []})).json == kanaal
    assert (await api.get(path)).json == kanaal


async def test_the_naam_does_not_change(api: Api) -> None:
    kanaal, path = await made(api)
    for method in ("PUT", "PATCH"):
        answer = await api(method, path, {"naam": "anders"})
        assert answer.params == {("naam", "wijzigen-niet-toegelaten")}
        answer = await api(method, path, {"naam": "anders", "filters": None})
        assert answer.params == {("naam", "wijzigen-niet-toegelaten"), ("filters", "null")}
        assert (await api(method, path, {"naam": ""})).params == {("naam", "blank")}
        assert (await api(method, path, [])).params == {("nonFieldErrors", "invalid")}
    assert (await api.put(path, {})).params == {("naam", "required")}
    assert (await api.get(path)).json == kanaal


async def test_abonnementen_stay_valid_when_filters_change(api: Api) -> None:
    kanaal, path = await made(api, filters=["a", "b"])
    answer = await api.post("/abonnement", abonnement_of(kanaal["naam"], a="1"))
    abonnement = answer.json["url"]
    assert (await api.patch(path, {"filters": ["c"]})).status == 200
    assert (await api.get(abonnement)).json == answer.json
    # Not named, so not looked at.
    assert (await api.patch(abonnement, {"auth": "Token b"})).json == answer.json
    answer = await api.patch(abonnement, {"kanalen": [{"naam": kanaal["naam"], "filters": {"a": "1"}}]})
    assert answer.params == {("filters", "inconsistent-abonnement-filters")}


async def test_a_new_filter_is_known_at_another_gateway(api: Api, stage: Stage) -> None:
    async with stage.gateway() as other:
        kanaal, path = await made(api, filters=["a"])
        assert (await other.get(path)).json["filters"] == ["a"]
        await api.patch(path, {"filters": ["b"]})
        assert (await other.get(path)).json["filters"] == ["b"]
        assert (await other.get(f"/kanaal?naam={kanaal['naam']}")).json[0]["filters"] == ["b"]


@pytest.mark.parametrize("status", [200, 204, 301, 404, 500])
async def test_the_documentation_link_check(stage: Stage, callback: Callback, status: int) -> None:
    callback.decide = lambda _: status
    async with stage.gateway(documentation_link_check="required") as api:
        sent = {"naam": a_naam(), "documentatieLink": callback.url()}
        answer = await api.post("/kanaal", sent)
        if status == 200:
            assert answer.status == 201
        else:
            assert answer.params == {("documentatieLink", "bad-url")}
            _, path = await made(api)
            assert (await api.patch(path, {"documentatieLink": callback.url()})).params == answer.params
            assert (await api.patch(path, {"documentatieLink": ""})).status == 200
            assert (await api.patch(path, {"filters": ["a"]})).status == 200


@pytest.mark.parametrize(
    "link", ["http://127.0.0.1:9/", "http://bestaat-niet.invalid/", "https://127.0.0.1:9/"]
)
async def test_a_documentation_link_that_does_not_answer(stage: Stage, link: str) -> None:
    async with stage.gateway(documentation_link_check="required", callback_timeout=2.0) as api:
        answer = await api.post("/kanaal", {"naam": a_naam(), "documentatieLink": link})
        assert answer.params == {("documentatieLink", "bad-url")}


async def refused(api: Api, notificatie: dict[str, Any]) -> bool:
    return (await api.post("/notificaties", notificatie)).status == 400


async def test_a_notificatie_may_follow_at_once_at_another_gateway(api: Api, stage: Stage) -> None:
    async with stage.gateway() as other:
        for _ in range(5):
            kanaal, path = await made(api, filters=["a"])
            sent = message(kanaal["naam"], kenmerken={"a": "1"})
            assert (await other.post("/notificaties", sent)).status == 201
            await api.patch(path, {"filters": ["a", "b"]})

            # Fits the old filters, and no longer the new.
            sent = message(kanaal["naam"], kenmerken={"a": "1", "c": "2"})
            await eventually(partial(refused, other, sent))
