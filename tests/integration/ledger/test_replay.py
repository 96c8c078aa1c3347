"""`nrc replay`: the keeper sends past notificaties to one abonnement; paused, stopped, and restarted."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from uuid import UUID

import pytest

from ledger.keeper.service import serve
from ledger.ledger import Ledger
from ledger.operating.replays import Plan, Progress, Replay
from ledger.values import Search, State
from tests.eventually import eventually
from tests.integration.cli.test_cli_broker import nrc
from tests.integration.conftest import Running, running
from tests.integration.deliverer.delivering import Delivering
from tests.integration.deliverer.test_outcomes import accept
from tests.integration.ledger.keeping import SHORT

pytestmark = pytest.mark.usefixtures("broker")


def keeper(router: Running) -> AbstractAsyncContextManager[None]:
    return running(serve, router.settings, limits=SHORT)


async def replay(ledger: Ledger, number: int) -> Replay:
    found = await ledger.replays.replay(number)
    assert found is not None
    return found


async def has_sent(ledger: Ledger, number: int, count: int) -> bool:
    return (await replay(ledger, number)).sent >= count


async def test_what_a_removed_abonnement_had_goes_to_one_made_later(
    spine: Delivering, ledger: Ledger
) -> None:
    old = await spine.subscribe("/old")
    async with spine.deliverer():
        # Matched by a newer catalogue than any: the keeper adds no rows for the abonnement that is made next.
        ids = sorted(
            [await accept(spine, ledger, old, catalogue=10**6, zaaktype=str(each % 2)) for each in range(6)]
        )
        await eventually(lambda: len(spine.ids_at("/old")) == 6)
        await spine.remove(old)
        new = await spine.subscribe("/new", filters={"zaaktype": "1"})
        asked = ["replay", "start", "--to", str(new.uuid)[:8], "--reason", "theirs was away"]
        assert (await nrc(spine.router, *asked)).code == 2
        begun = [*asked, "--of", str(old.uuid)]
        refused = await nrc(spine.router, *begun)
        assert refused.code == 2
        assert "it would send 3 of 6 notificaties that were found" in refused.err
        ran = await nrc(spine.router, *begun, "--yes", "--json")
        assert ran.code == 0, ran.err
        assert "no keeper works now" in ran.err
        number: int = ran.json()["number"]
        async with keeper(spine.router):
            await eventually(lambda: len(spine.ids_at("/new")) == 3)
            await eventually(lambda: _is(ledger, number, Progress.DONE))
        done = await replay(ledger, number)
        assert (done.sent, done.skipped) == (3, 3)
        every = [*begun, "--unmatched", "--yes", "--json"]
        number = (await nrc(spine.router, *every)).json()["number"]
        async with keeper(spine.router):
            await eventually(lambda: len(spine.ids_at("/new")) == 9)
    assert set(spine.ids_at("/new")) == set(ids), "the same webhook-id"
    listed = (await nrc(spine.router, "replay", "list", "--json")).json()
    assert [(each["state"], each["sent"]) for each in listed] == [("done", 6), ("done", 3)]
    acts = (await nrc(spine.router, "audit-trail", "--json")).json()
    assert acts[0]["act"] == "replay begun"


async def _is(ledger: Ledger, number: int, progress: Progress) -> bool:
    return (await replay(ledger, number)).progress is progress


async def test_it_is_paused_goes_on_with_another_keeper_and_is_stopped(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await spine.subscribe("/a")
    async with spine.deliverer():
        ids = sorted([await accept(spine, ledger, abonnement) for _ in range(12)])
        await eventually(lambda: len(spine.ids_at("/a")) == 12)
        plan = Plan(abonnement.uuid, Search(kanaal=spine.kanaal.naam), "a test", rate=1, total=12)
        number = (await ledger.replays.make(plan)).number
        async with keeper(spine.router):
            await eventually(lambda: has_sent(ledger, number, 1))
            assert (await nrc(spine.router, "replay", "pause", str(number))).code == 0
        paused = await replay(ledger, number)
        assert (paused.progress, paused.sent < 12) == (Progress.PAUSED, True)
        assert (await nrc(spine.router, "replay", "resume", str(number))).code == 0
        async with keeper(spine.router):
            await eventually(lambda: has_sent(ledger, number, paused.sent + 1))
            stopped = await nrc(spine.router, "replay", "stop", str(number))
            assert stopped.out == f"replay {number} stopped\n"
            again = await nrc(spine.router, "replay", "resume", str(number))
            assert (again.code, "stopped already" in again.err) == (1, True)
            end = await replay(ledger, number)
            await eventually(lambda: len(spine.ids_at("/a")) >= 12 + paused.sent)
        shown = (await nrc(spine.router, "replay", "show", str(number), "--json")).json()
        assert (shown["state"], shown["sent"]) == ("stopped", end.sent)
        assert end.sent < 12
    rows = await ledger.deliveries(list(map(UUID, ids)))
    replayed = [row for each in rows.values() for row in each if row.key.replay == number]
    assert len(replayed) == end.sent
    assert {row.state for row in replayed} <= {State.DELIVERED, State.REMOVED}
