"""POST redeliver, with a real keeper and deliverer: what a consumer gets again, and what not."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import deliverer.service
import ledger.keeper.service
from ledger.opening import ledger_of
from ledger.operating.replays import Plan, Progress
from ledger.values import Search, State
from tests.contract.api import Callback, a_naam
from tests.contract.conftest import open_stage, running
from tests.contract.extra.conftest import Asking
from tests.eventually import eventually
from tests.integration.ledger.keeping import SHORT


async def test_what_was_undeliverable_or_delivered_comes_again(
    vhost: str, tmp_path: Path, callback: Callback
) -> None:
    naam = a_naam()
    async with (
        open_stage(vhost, tmp_path) as stage,
        stage.gateway(extra_rate=10000) as api,
        ledger_of(stage.settings) as ledger_,
    ):
        assert (await api.post("/kanaal", {"naam": naam, "filters": ["zaaktype"]})).status == 201
        asking = Asking(api, ledger_, naam)
        abonnement = await asking.subscribe(callback=callback.url("/"))
        settings = stage.settings.model_copy(update={"retry_schedule": (1,)})
        refuse = {str(await asking.publish(zaaktype="weg"))}
        callback.decide = lambda each: 500 if each.header("webhook-id") in refuse else 204
        path = f"/abonnement/{abonnement}"

        async def state(id_: str) -> list[str]:
            told = (await asking.get(f"{path}/uitleg/{id_}")).json["deliveries"]
            return [each["state"] for each in told]

        async def done(number: int) -> bool:
            job = (await asking.get(f"{path}/redeliver/{number}")).json
            return bool(job["state"] == "done")

        def times(id_: str) -> int:
            return sum(each.header("webhook-id") == id_ for each in callback.received)

        async with (
            running(lambda stop, ready: deliverer.service.serve(settings, stop=stop, ready=ready)),
            running(
                lambda stop, ready: ledger.keeper.service.serve(
                    settings, stop=stop, ready=ready, limits=SHORT
                )
            ),
        ):
            (lost,) = refuse
            got = str(await asking.publish(zaaktype="A"))
            await eventually(lambda: _is(state(got), ["delivered"]))
            await eventually(lambda: _is(state(lost), ["undeliverable"]), within=30)
            callback.decide = lambda _: 204
            trial = await asking.post(f"{path}/redeliver", {"alles": True, "proef": True})
            assert (trial.status, trial.json["notificaties"]) == (200, 1)
            begun = await asking.post(f"{path}/redeliver", {"alles": True})
            assert begun.status == 202, begun.body
            assert begun.headers["Location"] == begun.json["url"]
            assert begun.json["notificaties"] == 1, "what was delivered is not what it did not get"
            await eventually(lambda: _is(state(lost), ["undeliverable", "delivered"]))
            await eventually(lambda: done(begun.json["nummer"]))
            assert (await asking.get(f"{path}/notificaties")).json["notificaties"] == []
            none = await asking.get(f"{path}/notificaties?status=undeliverable&limit=1")
            assert none.json == {"notificaties": [], "next": None}, "it came by the replay"
            by_replay = (await asking.get(f"{path}/notificaties?status=delivered")).json["notificaties"]
            assert [(each["id"], each["replay"]) for each in by_replay] == [
                (got, None),
                (lost, begun.json["nummer"]),
            ]
            assert (await asking.get(f"{path}/uitleg/{lost}")).json["state"] == "delivered"
            assert (await asking.get(f"{path}/status")).json["undeliverable"] == 0
            everything = await asking.post(f"{path}/redeliver", {"alles": True})
            assert everything.params == {("nonFieldErrors", "invalid")}, "what came since is not sent again"
            before = times(got)
            again = await asking.post(f"{path}/redeliver", {"ids": [got], "reden": "terugzetten"})
            assert again.status == 202, again.body
            await eventually(lambda: times(got) == before + 1)
            await eventually(lambda: done(again.json["nummer"]))
            plan = (await ledger_.replays.replays(limit=1))[0].plan
            assert plan.reason == "beide: terugzetten"
            # Asked for no more: the job skips it.
            other = {"kanalen": [{"naam": naam, "filters": {"zaaktype": "B"}}]}
            assert (await api.patch(path, other)).status == 200
            skipped = await asking.post(f"{path}/redeliver", {"ids": [got]})
            await eventually(lambda: done(skipped.json["nummer"]))
            job = (await asking.get(f"{path}/redeliver/{skipped.json['nummer']}")).json
            assert (job["sent"], job["skipped"]) == (0, 1)
        assert times(got) == before + 1


async def _is(states: object, expected: list[str]) -> bool:
    return bool(await states == expected)  # type: ignore[misc]


async def test_what_may_not_be_sent_again_is_refused(asking: Asking) -> None:
    abonnement = await asking.subscribe()
    path = f"/abonnement/{abonnement}/redeliver"
    waits, removed, got = [await asking.publish() for _ in range(3)]
    await asking.end(removed, abonnement, State.REMOVED)
    await asking.end(got, abonnement, State.DELIVERED)
    for ids in ([waits], [removed], [uuid4()], [waits, removed]):
        answer = await asking.post(path, {"ids": [str(each) for each in ids]})
        assert answer.params == {("ids", "invalid")}, "still to come, removed, or not there"
    everything = {"alles": True}
    assert (await asking.post(path, everything)).params == {("nonFieldErrors", "invalid")}, "there is nothing"
    trial = await asking.post(path, {**everything, "proef": True})
    assert (trial.status, trial.json) == (200, {"notificaties": 0, "oldest": None, "newest": None})
    assert (await asking.post(path, {"status": ["removed"]})).params == {("status", "invalid")}
    assert (await asking.post(path, {"status": ["pending"]})).params == {("status", "invalid")}
    both = await asking.post(path, {"ids": [str(got)], "kanaal": "zaken"})
    assert both.params == {("nonFieldErrors", "invalid")}
    wrong = await asking.post(path, {"since": "x", "until": 3, "kanaal": "", "status": "a", "ids": []})
    assert {name for name, _ in wrong.params} == {"since", "until", "kanaal", "status", "ids"}
    begun = await asking.post(path, {"ids": [str(got)]})
    assert begun.status == 202
    while_it_runs = await asking.post(path, {"ids": [str(got)]})
    assert while_it_runs.outcome == (429, "throttled")
    assert int(while_it_runs.headers["Retry-After"]) > 0
    await asking.ledger.replays.change(begun.json["nummer"], Progress.STOPPED)
    assert (await asking.get(f"{path}/{begun.json['nummer']}")).json["state"] == "stopped"
    assert (await asking.get(f"{path}/999999")).outcome == (404, "not_found")


async def test_a_typing_error_sends_nothing(asking: Asking) -> None:
    abonnement = await asking.subscribe()
    path = f"/abonnement/{abonnement}/redeliver"
    await asking.end(await asking.publish(), abonnement, State.UNDELIVERABLE)
    for nothing in ({}, {"reden": "test"}, {"alles": False}, {"ids": None}):
        answer = await asking.post(path, nothing)
        assert answer.params == {("nonFieldErrors", "invalid")}
        assert "alles: true" in answer.json["invalidParams"][0]["reason"]
    misspelt = await asking.post(path, {"sinds": "2026-03-27T00:00:00Z", "status": ["undeliverable"]})
    assert misspelt.params == {("sinds", "unknown-field")}
    assert "Wel: ids, status, since, until, kanaal" in misspelt.json["invalidParams"][0]["reason"]
    assert (await asking.post(path, {"alles": "ja"})).params == {("alles", "invalid")}
    both = await asking.post(path, {"alles": True, "kanaal": "zaken"})
    assert both.params == {("nonFieldErrors", "invalid")}
    tried = await asking.post(f"/abonnement/{abonnement}/test", {"status": 500})
    assert tried.params == {("status", "unknown-field")}
    running = await asking.ledger.replays.replays(limit=100, unfinished=True)
    assert abonnement not in [each.plan.abonnement for each in running]


async def test_one_s_own_redelivery_is_stopped_and_an_operator_s_is_not(asking: Asking) -> None:
    abonnement = await asking.subscribe()
    path = f"/abonnement/{abonnement}/redeliver"
    await asking.end(await asking.publish(), abonnement, State.UNDELIVERABLE)
    url = f"{path}/{(await asking.post(path, {'alles': True})).json['nummer']}"
    ander = asking.api.of("ander")
    assert (await ander.delete(asking.root + url)).outcome == (404, "not_found")
    for _ in range(2):
        stopped = await asking.api.delete(asking.root + url)
        assert (stopped.status, stopped.json["state"]) == (200, "stopped")
    plan = Plan(abonnement, Search(abonnement=abonnement), "by an operator", 1.0, 1)
    theirs = await asking.ledger.replays.make(plan)
    refused = await asking.api.delete(f"{asking.root}{path}/{theirs.number}")
    assert refused.outcome == (403, "permission_denied")
    found = await asking.ledger.replays.replay(theirs.number)
    assert found is not None
    assert found.progress is Progress.RUNNING
    await asking.ledger.replays.change(theirs.number, Progress.STOPPED)
