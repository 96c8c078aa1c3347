"""How an abonnement wants to be delivered to, set by the application that owns it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.api import Api, Callback, a_naam
from tests.contract.conftest import Stage
from tests.contract.extra.conftest import extra_root


@pytest.fixture(scope="module")
async def api(stage: Stage) -> AsyncIterator[Api]:
    async with stage.gateway(callback_check="off", extra_rate=10000) as found:
        yield found


async def subscribed(api: Api, callback: Callback) -> tuple[str, str]:
    """An abonnement of `beide`: its path in the standard's API, and the URL of its options."""
    naam = a_naam()
    assert (await api.post("/kanaal", {"naam": naam})).status == 201
    asked = {"callbackUrl": callback.url("/"), "auth": "Token x", "kanalen": [{"naam": naam}]}
    answer = await api.post("/abonnement", asked)
    assert answer.status == 201, answer.body
    path = answer.json["url"].removeprefix(api.root)
    return path, f"{extra_root(api)}{path}/options"


async def test_what_is_set_stays_through_changes_by_the_standard_and_is_in_none_of_its_answers(
    api: Api,
) -> None:
    async with Callback() as callback:
        path, url = await subscribed(api, callback)
        assert (await api.get(url)).json == {}
        answer = await api.put(url, {"rate": 2.5, "concurrency": 3})
        assert (answer.status, answer.json) == (200, {"rate": 2.5, "concurrency": 3}), answer.body
        shown = await api.get(path)
        assert set(shown.json) == {"url", "callbackUrl", "kanalen"}
        assert (await api.put(path, {**shown.json, "auth": "Token other"})).status == 200
        assert (await api.of("beide")("PATCH", path, {"auth": "Token third"})).status == 200
        assert (await api.get(url)).json == answer.json
        assert (await api.put(url, {"rate": 7})).json == {"rate": 7}  # in place of all
        assert (await api.delete(url)).status == 204
        assert (await api.delete(url)).status == 204
        assert (await api.get(url)).json == {}


async def test_what_is_refused_and_by_whom(api: Api) -> None:
    async with Callback() as callback:
        _, url = await subscribed(api, callback)
        order = {"order": {"setAsideAfter": 900}}
        assert (await api.put(url, order)).json == order
        for asked, name in (
            ({"rate": -1}, "rate"),
            ({"order": {"setAsideAfter": 0}}, "order.setAsideAfter"),
            ({"tempo": 1}, "tempo"),
            ([], "nonFieldErrors"),
        ):
            answer = await api.put(url, asked)
            assert answer.status == 400, answer.body
            assert [each["name"] for each in answer.json["invalidParams"]] == [name]
        for method in ("GET", "PUT", "DELETE"):
            answer = await api.of("afnemer")(method, url, {"rate": 1} if method == "PUT" else None)
            assert answer.status == 404
        naam = a_naam()
        await api.post("/kanaal", {"naam": naam})
        made = await api.post(f"{extra_root(api)}/abonnement", {"kanalen": [{"naam": naam}]})
        fetched = f"{made.json['url']}/options"
        refused = await api.put(fetched, {"rate": 1})
        assert (refused.status, "geen callback" in refused.body.decode()) == (400, True)


async def test_where_they_are_off_none_are_set(stage: Stage) -> None:
    async with stage.gateway(callback_check="off", delivery_options=False) as off, Callback() as callback:
        _, url = await subscribed(off, callback)
        refused = await off.put(url, {"rate": 1})
        assert (refused.status, "staan in deze omgeving uit" in refused.body.decode()) == (400, True)
