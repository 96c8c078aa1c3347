"""What is told of an own abonnement, and of an own notificatie."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from uuid import UUID, uuid4

import pytest
from sqlite_utils import Database

from ledger.ids import new_id
from ledger.values import State
from schemas.abonnement import Hold
from schemas.abonnement import State as Condition
from store.registry import Act, LastFailure
from tests.contract.api import Callback, message
from tests.contract.conftest import Stage
from tests.contract.extra.conftest import Asking, failed
from tests.eventually import eventually
from tests.unit.ledger.test_reading_apart import WITHOUT_END


async def ids(asking: Asking, path: str) -> list[str]:
    answer = await asking.get(path)
    assert answer.status == 200, answer.body
    return [each["id"] for each in answer.json["notificaties"]]


async def test_which_abonnementen_are_one_s_own(asking: Asking) -> None:
    mine, _ = await asking.subscribe(of="ander", zaaktype="A"), await asking.subscribe()
    listed = (await asking.get("/abonnement", of="ander")).json
    every = {each["url"]: each for each in (await asking.api.get("/abonnement")).json}
    found = {each["uuid"]: each for each in listed}
    assert found[str(mine)]["kanalen"] == [{"naam": asking.naam, "filters": {"zaaktype": "A"}}]
    assert found[str(mine)]["state"] == "active"
    assert len(listed) < len(every), "others have some too"
    pushed = [each for each in listed if each["type"] == "push"]
    assert all(every[each["url"]]["callbackUrl"] == each["callbackUrl"] for each in pushed)


async def test_the_status_of_an_abonnement_that_works(asking: Asking) -> None:
    abonnement = await asking.subscribe()
    fresh = (await asking.get(f"/abonnement/{abonnement}/status")).json
    assert fresh["abonnement"].endswith(f"/api/v1/abonnement/{abonnement}")
    assert (fresh["state"], fresh["waiting"], fresh["lastDelivered"]) == ("active", 0, None)
    first, second, _ = [await asking.publish() for _ in range(3)]
    await asking.end(first, abonnement, State.DELIVERED, status=204)
    at = int(time.time() * 1000)
    await asking.end(second, abonnement, State.RETRYING, wait=600.0, failed=failed(at))
    told = (await asking.get(f"/abonnement/{abonnement}/status")).json
    assert (told["waiting"], told["retrying"], told["stuck"]) == (1, 1, 0)
    assert told["lastDelivered"] is not None
    assert told["nextRetry"] > told["oldest"]
    assert told["bytes"] > 0
    await asking.end(second, abonnement, State.UNDELIVERABLE, failed=failed(at))
    told = (await asking.get(f"/abonnement/{abonnement}/status")).json
    assert (told["retrying"], told["undeliverable"]) == (0, 1)
    assert await ids(asking, told["undeliverableUrl"].removeprefix(asking.root)) == [str(second)]


async def test_the_status_of_one_that_is_held_or_suspended(stage: Stage, asking: Asking) -> None:
    abonnement = await asking.subscribe()
    held = Hold(since=1_760_000_000.0, probes=2, next_probe=1_760_000_300.0)
    callback = "http://127.0.0.1:9/"
    await stage.registry.set_hold(
        abonnement, held, "connection_refused: to 10.1.2.3", before=None, callback_url=callback
    )
    await stage.registry.note_failures(
        {abonnement: LastFailure(1_760_000_000.0, "connection_refused: to 10.1.2.3")}
    )
    await asking.api.get("/abonnement")  # a gateway looks at the registry
    told = (await asking.get(f"/abonnement/{abonnement}/status")).json
    assert (told["state"], told["since"]) == ("held", "2025-10-09T08:53:20.000Z")
    assert told["nextProbe"] == "2025-10-09T08:58:20.000Z"
    assert told["reason"] == told["lastError"]["text"] == "verbinding geweigerd"
    assert "10.1.2.3" not in str(told)
    await stage.registry.set_state(abonnement, Condition.SUSPENDED, "a secret of an operator")
    act = Act(1_760_000_100.0, "abonnement suspended", "abonnement suspend", "op", "", "host", {})
    await stage.registry.note_acts([Act(*_fields(act), facts={"abonnement": str(abonnement)})])
    await asking.api.get("/abonnement")
    told = (await asking.get(f"/abonnement/{abonnement}/status")).json
    assert (told["state"], told["since"]) == ("suspended", "2025-10-09T08:55:00.000Z")
    assert told["reason"] == "door de beheerder"


def _fields(act: Act) -> tuple[float, str, str, str, str, str]:
    return act.at, act.act, act.command, act.user, act.sudo_user, act.host


async def test_what_it_did_not_get_the_newest_first(asking: Asking) -> None:
    abonnement, other = await asking.subscribe(), await asking.subscribe()
    got, lost, waits, again = [await asking.publish(zaaktype="A") for _ in range(4)]
    at = int(time.time() * 1000)
    await asking.end(got, abonnement, State.DELIVERED, status=204)
    await asking.end(lost, abonnement, State.UNDELIVERABLE, failed=failed(at))
    await asking.end(lost, other, State.DELIVERED, status=204)
    refused = failed(at, None, kind="connection_refused", detail="to 10.1.2.3")
    await asking.end(again, abonnement, State.RETRYING, wait=60.0, failed=refused)
    path = f"/abonnement/{abonnement}/notificaties"
    assert await ids(asking, path) == [str(again), str(waits), str(lost)]
    assert await ids(asking, f"{path}?status=undeliverable") == [str(lost)]
    assert await ids(asking, f"{path}?status=delivered,retrying") == [str(again), str(got)]
    assert await ids(asking, f"{path}?status=delivered&status=retrying") == [str(again), str(got)]
    assert (await asking.get(f"{path}?limit=1&limit=2")).params == {("limit", "invalid")}
    since = (await asking.get(f"{path}?limit=1")).json["notificaties"][0]
    assert since["lastFailure"]["text"] == "verbinding geweigerd"
    assert (since["hoofdObject"], since["kanaal"]) == ("https://example.nl/zaken/1", asking.naam)
    assert str(again) in await ids(asking, f"{path}?since={since['received']}")
    assert await ids(asking, f"{path}?since=2099-01-01T00:00:00Z") == []
    assert await ids(asking, f"{path}?until={since['received']}") == [str(waits), str(lost)]
    turned = await asking.get(f"{path}?since={since['received']}&until={since['received']}")
    assert (turned.status, turned.params) == (400, {("until", "invalid")}), "nothing can be in it"
    assert await ids(asking, f"{path}?hoofdObject=https://example.nl/zaken/1&limit=1") == [str(again)]
    assert await ids(asking, f"{path}?hoofdObject=https://example.nl/zaken/2") == []
    assert await ids(asking, f"{path}?resourceUrl={since['resourceUrl']}&status=delivered") == [str(got)]
    assert "10.1.2.3" not in str((await asking.get(path)).json)


async def test_pages_hold_each_once(asking: Asking) -> None:
    abonnement = await asking.subscribe()
    every = [str(await asking.publish()) for _ in range(7)]
    for number, each in enumerate(every):
        if number % 2:
            await asking.end(UUID(each), abonnement, State.UNDELIVERABLE)
    seen: list[str] = []
    page = f"/abonnement/{abonnement}/notificaties?limit=3"
    while page:
        answer = (await asking.get(page.removeprefix(asking.root))).json
        seen += [each["id"] for each in answer["notificaties"]]
        page = answer["next"] or ""
    assert seen == every[::-1]
    last = f"/abonnement/{abonnement}/notificaties?limit=7"
    assert (await asking.get(last)).json["next"] is None, "no page after it that is empty"


async def test_a_query_that_cannot_be_answered_says_all_that_is_wrong(asking: Asking) -> None:
    abonnement = await asking.subscribe()
    wrong = "status=lost&since=gisteren&until=1&limit=0&cursor=x&hoofdObject="
    answer = await asking.get(f"/abonnement/{abonnement}/notificaties?{wrong}")
    names = {"status", "since", "until", "limit", "cursor", "hoofdObject"}
    assert answer.params == {(name, "invalid") for name in names}
    unknown = await asking.get(f"/abonnement/{abonnement}/notificaties?page=2")
    assert unknown.params == {("nonFieldErrors", "unknown-parameters")}
    assert "Wel bekend: status, since, until, hoofdObject" in unknown.json["invalidParams"][0]["reason"]


async def test_why_a_notificatie_came_or_not(asking: Asking) -> None:
    mine, narrow = await asking.subscribe(), await asking.subscribe(vertrouwelijk="Openbaar")
    id_ = await asking.publish(vertrouwelijk="geheim", zaaktype="A")
    await asking.end(id_, mine, State.DELIVERED, status=204, ms=38.0)
    got = (await asking.get(f"/abonnement/{mine}/uitleg/{id_}")).json
    assert got["uitleg"][0]["code"] == "delivered"
    text = got["uitleg"][0]["text"]
    assert "bij poging 1 (status 204, 38 ms)" in text
    assert re.match(r"Afgeleverd op \d\d-\d\d-\d{4} om \d\d:", text), "read another day too"
    assert got["deliveries"][0]["status"] == 204
    assert got["notificatie"]["kanaal"] == asking.naam
    assert got["notificatie"]["kenmerken"] == {"vertrouwelijk": "geheim", "zaaktype": "A"}
    assert got["notificatie"]["aanmaakdatum"] == message(asking.naam)["aanmaakdatum"]
    assert got["state"] == "delivered"
    not_got = (await asking.get(f"/abonnement/{narrow}/uitleg/{id_}")).json
    (why,) = not_got["uitleg"]
    assert (why["code"], why["matches"]) == ("filter_differs", False)
    assert not_got["state"] is None
    assert "filter vertrouwelijk is 'Openbaar', de notificatie heeft een andere waarde" in why["text"]
    assert "geheim" not in str(not_got), "the value that did not match"
    assert set(not_got["notificatie"]) == {"id", "received"}
    unknown = await asking.get(f"/abonnement/{mine}/uitleg/{new_id()}")
    assert unknown.outcome == (404, "not_found")
    assert "Onbekend: hier is geen notificatie met dit id aangenomen" in unknown.json["detail"]


async def test_whether_a_notificatie_would_come(asking: Asking) -> None:
    wide = await asking.subscribe()
    narrow = await asking.subscribe(vertrouwelijk="Openbaar")
    sent = message(asking.naam, kenmerken={"vertrouwelijk": "openbaar", "zaaktype": "A"})
    found = {each["abonnement"]: each for each in (await asking.post("/uitleg", sent)).json["abonnementen"]}
    assert (found[str(wide)]["matches"], found[str(wide)]["code"]) == (True, "matches")
    assert found[str(narrow)]["matches"] is False
    # The notificatie is the asker's own, so the little in which it differs is told.
    assert "dit verschilt alleen in hoofdletters" in found[str(narrow)]["text"]
    refused = await asking.post("/uitleg", message("bestaat-niet"))
    assert refused.params == {("kanaal", "message_kanaal")}
    assert (await asking.post("/uitleg", body=b"{")).outcome == (400, "parse_error")


async def test_whether_it_would_come_as_a_cloudevent(asking: Asking) -> None:
    uuid = await asking.subscribe()
    url = f"{asking.root}/abonnement/{uuid}/options"
    assert (await asking.api.put(url, {"cloudevents": {"mapping": "mijnoverheid"}})).status == 200
    answer = await asking.post("/uitleg", message(asking.naam))
    found = next(each for each in answer.json["abonnementen"] if each["abonnement"] == str(uuid))
    assert (found["matches"], found["code"]) == (False, "no_event")
    assert "Past, maar wordt niet verzonden: in de mapping mijnoverheid wordt " in found["text"]


async def test_what_became_of_an_own_notificatie(asking: Asking) -> None:
    first, second, third = [await asking.subscribe(of="ander") for _ in range(3)]
    id_ = await asking.publish()
    await asking.end(id_, first, State.DELIVERED, status=204)
    await asking.end(id_, second, State.UNDELIVERABLE)
    told = (await asking.get(f"/notificaties/{id_}")).json
    assert (told["matched"], told["delivered"], told["undeliverable"], told["waiting"]) == (3, 1, 1, 1)
    for each in (first, second, third):
        assert str(each) not in str(told), "whose abonnementen they are"
    assert (await asking.get(f"/notificaties/{uuid4()}")).outcome == (404, "not_found")


async def test_a_callback_is_tried(asking: Asking, callback: Callback) -> None:
    abonnement = await asking.subscribe(callback=callback.url("/"))
    good = (await asking.post(f"/abonnement/{abonnement}/test")).json
    assert (good["taken"], good["status"]) == (True, 204)
    assert callback.auths == ["Token geheim"]
    callback.decide = lambda _: 403
    bad = (await asking.post(f"/abonnement/{abonnement}/test")).json
    assert (bad["taken"], bad["status"]) == (False, 403)
    assert "De callback antwoordde met status 403" in bad["text"]
    nobody = await asking.subscribe()
    none = (await asking.post(f"/abonnement/{nobody}/test")).json
    assert (none["taken"], none["status"]) == (False, None)
    assert none["text"] == "De callback gaf geen antwoord: de verbinding werd geweigerd."


async def test_a_question_without_end_is_broken_off_and_holds_up_no_notificatie(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await asking.publish()
    began, go_on = threading.Event(), threading.Event()

    def without_end(db: Database, _: UUID) -> None:
        began.set()
        assert go_on.wait(60)
        db.execute(WITHOUT_END).fetchone()

    monkeypatch.setattr("ledger.sqlite.finding.outcomes", without_end)
    question = asyncio.create_task(asking.get(f"/notificaties/{id_}"))
    await eventually(began.is_set)
    # While the question is at it.
    answer = await asking.api.post("/notificaties", message(asking.naam))
    assert answer.status == 201
    accepted = UUID(answer.headers["nrc-notificatie-id"])
    await eventually(lambda: asking.ledger.notificatie(accepted))
    go_on.set()
    refused = await question
    assert refused.outcome == (503, "service_unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    monkeypatch.undo()
    assert (await asking.get(f"/notificaties/{id_}")).status == 200, "and the next is answered"
