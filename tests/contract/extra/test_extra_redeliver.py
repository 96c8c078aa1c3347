"""POST redeliver, with a real keeper and deliverer: what a consumer gets again, and what not."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import deliverer.service
import ledger.keeper.service
from ledger.opening import ledger_of
from ledger.operating.replays import Progress
from ledger.values import State
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
            await eventually(lambda: _is(state(got), ["delivered"]), within=20)
            await eventually(lambda: _is(state(lost), ["undeliverable"]), within=30)
            callback.decide = lambda _: 204
            begun = await asking.post(f"{path}/redeliver", {})
            assert begun.status == 202, begun.body
            assert begun.headers["Location"] == begun.json["url"]
            assert begun.json["notificaties"] == 1, "what was delivered is not what it did not get"
            await eventually(lambda: _is(state(lost), ["undeliverable", "delivered"]), within=20)
            await eventually(lambda: done(begun.json["nummer"]), within=20)
            assert (await asking.get(f"{path}/notificaties")).json["notificaties"] == []
            before = times(got)
            again = await asking.post(f"{path}/redeliver", {"ids": [got], "reden": "terugzetten"})
            assert again.status == 202, again.body
            await eventually(lambda: times(got) == before + 1, within=20)
            await eventually(lambda: done(again.json["nummer"]), within=20)
            plan = (await ledger_.replays.replays(limit=1))[0].plan
            assert plan.reason == "beide: terugzetten"
            # Asked for no more: the job skips it.
            other = {"kanalen": [{"naam": naam, "filters": {"zaaktype": "B"}}]}
            assert (await api.patch(path, other)).status == 200
            skipped = await asking.post(f"{path}/redeliver", {"ids": [got]})
            await eventually(lambda: done(skipped.json["nummer"]), within=20)
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
    assert (await asking.post(path, {})).params == {("nonFieldErrors", "invalid")}, "nothing is undeliverable"
    assert (await asking.post(path, {"status": ["removed"]})).params == {("status", "invalid")}
    assert (await asking.post(path, {"status": ["pending"]})).params == {("status", "invalid")}
    both = await asking.post(path, {"ids": [str(got)], "kanaal": "zaken"})
    assert both.params == {("nonFieldErrors", "invalid")}
    wrong = await asking.post(path, {"since": "x", "until": 3, "kanaal": "", "status": "a", "ids": []})
    assert {name for name, _ in wrong.params} >= {"kanaal", "status", "ids"}
    begun = await asking.post(path, {"ids": [str(got)]})
    assert begun.status == 202
    while_it_runs = await asking.post(path, {"ids": [str(got)]})
    assert while_it_runs.outcome == (429, "throttled")
    assert int(while_it_runs.headers["Retry-After"]) > 0
    await asking.ledger.replays.change(begun.json["nummer"], Progress.STOPPED)
    assert (await asking.get(f"{path}/{begun.json['nummer']}")).json["state"] == "stopped"
    assert (await asking.get(f"{path}/999999")).outcome == (404, "not_found")
