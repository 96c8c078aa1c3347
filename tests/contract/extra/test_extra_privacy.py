"""As another application: what it must not see, and how often it may ask."""

from __future__ import annotations

from uuid import uuid4

import pytest

from ledger.values import State
from tests.contract.api import Api, message
from tests.contract.conftest import Stage
from tests.contract.extra.conftest import Asking, extra_root


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "status"),
        ("GET", "notificaties"),
        ("POST", "redeliver"),
        ("GET", "redeliver/{nummer}"),
        ("POST", "test"),
        ("GET", "uitleg/{id}"),
    ],
)
async def test_another_s_abonnement_is_not_found(asking: Asking, method: str, path: str) -> None:
    abonnement = await asking.subscribe()
    id_ = await asking.publish()
    await asking.end(id_, abonnement, State.DELIVERED)
    begun = await asking.post(f"/abonnement/{abonnement}/redeliver", {"ids": [str(id_)]})
    filled = path.format(id=id_, nummer=begun.json["nummer"])
    body = {} if method == "POST" else None
    ander = asking.api.of("ander")
    theirs = await ander(method, f"{asking.root}/abonnement/{abonnement}/{filled}", body)
    nobodys = await ander(method, f"{asking.root}/abonnement/{uuid4()}/{filled}", body)
    assert theirs.outcome == nobodys.outcome == (404, "not_found")
    assert theirs.json["detail"] == nobodys.json["detail"], "whether there is one must not show"


async def test_a_token_is_needed_with_the_right_scope(asking: Asking) -> None:
    abonnement = await asking.subscribe()
    id_ = await asking.publish()
    for path in (f"/abonnement/{abonnement}/status", f"/notificaties/{id_}"):
        assert (await asking.get(path, auth=None)).outcome == (403, "permission_denied")
        assert (await asking.get(path, of="niets")).outcome == (403, "permission_denied")
    assert (await asking.get(f"/abonnement/{abonnement}/status", of="bron")).status == 403
    assert (await asking.get(f"/notificaties/{id_}", of="afnemer")).status == 403


async def test_who_did_not_publish_it_does_not_see_what_became_of_it(asking: Asking) -> None:
    id_ = await asking.publish()
    assert (await asking.get(f"/notificaties/{id_}")).status == 200
    for of in ("ander", "bron"):
        assert (await asking.get(f"/notificaties/{id_}", of=of)).outcome == (404, "not_found")


async def test_nothing_of_others_in_what_is_told(asking: Asking) -> None:
    mine = await asking.subscribe(of="ander", vertrouwelijk="A")
    theirs = await asking.subscribe(vertrouwelijk="diep-geheim", callback="http://127.0.0.1:9/van-een-ander")
    id_ = await asking.publish(vertrouwelijk="diep-geheim")
    own = await asking.publish(vertrouwelijk="A")
    texts = [
        str((await asking.get(path, of="ander")).json)
        for path in (
            f"/abonnement/{mine}/status",
            f"/abonnement/{mine}/notificaties",
            f"/abonnement/{mine}/uitleg/{id_}",
            f"/abonnement/{mine}/uitleg/{own}",
        )
    ]
    sent = message(asking.naam, kenmerken={"vertrouwelijk": "A", "zaaktype": "B"})
    texts.append(str((await asking.post("/uitleg", sent, of="ander")).json))
    assert str(own) in texts[1]
    for text in texts:
        for secret in ("diep-geheim", str(theirs), "van-een-ander", "Token geheim", "beide"):
            assert secret not in text
        assert "'client" not in text


async def test_a_changed_filter_does_not_tell_the_value_of_what_came_before(asking: Asking) -> None:
    mine = await asking.subscribe(of="ander", vertrouwelijk="een-gok")
    id_ = await asking.publish(vertrouwelijk="diep-geheim")
    url = f"/abonnement/{mine}/uitleg/{id_}"
    before = (await asking.get(url, of="ander")).json["uitleg"]
    right = {"kanalen": [{"naam": asking.naam, "filters": {"vertrouwelijk": "diep-geheim"}}]}
    assert (await asking.api.of("ander").patch(f"/abonnement/{mine}", right)).status == 200
    after = (await asking.get(url, of="ander")).json["uitleg"]
    assert before[0]["matches"] is after[0]["matches"] is False, "by the filters of that moment"
    again = await asking.post(f"/abonnement/{mine}/redeliver", {"ids": [str(id_)]}, of="ander")
    assert again.params == {("ids", "invalid")}, "it was not for this abonnement"


async def test_who_asks_too_often_waits_and_others_do_not(stage: Stage) -> None:
    async with stage.gateway(extra_rate=0.001) as api:
        path = f"{extra_root(api)}/notificaties/{uuid4()}"
        answers = [await api.get(path) for _ in range(3)]
        assert [each.status for each in answers] == [404, 429, 429]
        assert answers[1].json["code"] == "throttled"
        assert 1 <= int(answers[1].headers["Retry-After"]) <= 1000
        assert (await api.of("ander").get(path)).status == 404


async def test_what_is_no_address_here_is_a_problem(fast: Api) -> None:
    root = extra_root(fast)
    for path in ("/abonnement/x/status", f"/abonnement/{uuid4()}/", f"/notificaties/{uuid4()}/", "/uitleg/"):
        assert (await fast.get(root + path)).outcome == (404, "not_found")
    assert (await fast.get(f"{root}/uitleg")).outcome == (405, "method_not_allowed")
    links = await fast.get(root, auth=None)
    assert set(links.json) == {"abonnement", "uitleg", "notificaties", "openapi.yaml"}
    assert (await fast.get(f"{root}?x=1", auth=None)).params == {("nonFieldErrors", "unknown-parameters")}
    unwanted = await fast.get(f"{root}/notificaties/{uuid4()}", headers={"Accept": "text/html"})
    assert unwanted.outcome == (406, "not_acceptable")
