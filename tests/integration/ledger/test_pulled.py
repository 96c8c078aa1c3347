"""An abonnement without a queue, beside a keeper: what it is for stays ready, and comes to be ready."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from ledger.ids import new_id
from ledger.keeper.service import serve
from ledger.operating.replays import Plan, Progress
from ledger.pulled import keep_beside
from ledger.values import Cause, Delivery, GapClosed, GapOpened, Key, Outcome, Scope, Search, State
from router import names
from router.publishing import Publisher
from runtime.lifecycle import Tasks
from schemas.abonnement import Abonnement
from tests.eventually import eventually
from tests.integration.cli.test_cli_broker import nrc
from tests.integration.conftest import running
from tests.integration.ledger.keeping import SHORT, Kept
from tests.make import an_abonnement


async def pulled(kept: Kept) -> Abonnement:
    """An abonnement that is fetched, as the gateway makes it."""
    made = replace(an_abonnement((kept.kanaal.naam, {})), callback_url="", auth="")
    added = await kept.router.registry.add_abonnement(made)
    await kept.router.client.announce()
    return added


async def test_no_queue_is_declared_for_it_and_none_is_missed(kept: Kept) -> None:
    abonnement = await pulled(kept)
    await kept.router.client.apply_abonnement(abonnement.uuid)
    assert await kept.router.client.reconcile(dry_run=True) == []
    await kept.router.client.reconcile()
    declared = await kept.router.registry.declared_by(str(abonnement.uuid))
    assert declared == ()
    assert not [gap for gap in await kept.ledger.keeping.gaps(done=True) if gap.of == str(abonnement.uuid)]


async def test_what_waits_long_is_not_taken_for_lost(kept: Kept) -> None:
    """The same that has a delivery with a queue given back leaves it as it is."""
    fetched, queued = await pulled(kept), await kept.subscribe()
    entry = await kept.accept(fetched, queued, mark=False)
    gaps = [(Scope.KANAAL, kept.kanaal.naam), (Scope.ABONNEMENT, str(fetched.uuid))]
    for scope, of in gaps:
        await kept.ledger.write([GapOpened(scope, of, "a test"), GapClosed(scope, of)])
    async with kept.looking():
        await eventually(lambda: kept.is_(entry, queued, (State.PENDING, 1)), within=30)
        await eventually(lambda: _gaps_are_done(kept), within=30)
        # Looked at once more, after that.
        await eventually(lambda: _given(kept, entry.id, queued, 2), within=30)
    assert (await kept.states(entry))[fetched.uuid] == (State.PENDING, 0)


async def _gaps_are_done(kept: Kept) -> bool:
    return not await kept.ledger.keeping.gaps(done=False)


async def _given(kept: Kept, id_: object, abonnement: Abonnement, round_: int) -> bool:
    """Whether it was given back that often; what is in its queue is taken out, so that it is lost again."""
    await kept.taken(abonnement)
    row = await kept.ledger.delivery(Key(id_, abonnement.uuid))  # type: ignore[arg-type]
    return row is not None and row.round >= round_


async def test_what_was_accepted_without_rabbitmq_is_ready_and_the_mark_goes(kept: Kept) -> None:
    fetched, queued = await pulled(kept), await kept.subscribe()
    entry = await kept.accept(fetched, queued)
    assert (await kept.states(entry))[fetched.uuid] == (State.PENDING, 0), "ready before RabbitMQ is back"
    async with kept.keeper():
        await eventually(kept.all_routed)
    assert set((await kept.states(entry)).values()) == {(State.PENDING, 1)}
    assert len(await kept.taken(queued)) == 1


async def test_what_a_gateway_missed_is_added(kept: Kept) -> None:
    async with kept.keeper():
        fetched = await pulled(kept)
        entry = await kept.accept(mark=False, catalogue=1)
        await eventually(lambda: kept.is_(entry, fetched, (State.PENDING, 0)), within=30)


async def test_what_the_ledger_did_not_take_in_time_comes_out_of_rabbitmq(kept: Kept) -> None:
    fetched, other = await pulled(kept), await kept.subscribe()
    known = await kept.accept(fetched, other, mark=False)
    acknowledged = await kept.accept(fetched, mark=False)
    key = Key(acknowledged.id, fetched.uuid)
    await kept.ledger.write([Outcome(key, State.DELIVERED, 0, 0, at=acknowledged.received)])
    lost = replace(known, id=new_id(), catalogue=10**9)
    last = replace(lost, id=new_id())
    async with publishing(kept) as publisher, kept.keeper():
        for each in (known, acknowledged, lost):
            await keep_beside(publisher, each, {fetched.uuid})
        await eventually(lambda: kept.is_(lost, fetched, (State.PENDING, 0)), within=30)
        # They are taken in turn: what came before this one is done with.
        await keep_beside(publisher, last, {fetched.uuid})
        await eventually(lambda: kept.is_(last, fetched, (State.PENDING, 0)), within=30)
        await eventually(lambda: _is_empty(kept, names.UNDELIVERABLE), within=30)
    assert (await kept.states(known))[fetched.uuid] == (State.PENDING, 0)
    assert (await kept.states(acknowledged))[fetched.uuid] == (State.DELIVERED, 0)
    whole = await kept.ledger.notificatie(lost.id)
    assert whole is not None
    assert whole.body == lost.body
    # The gateway's own entry, written at last, adds those that it is for beside.
    await kept.ledger.write([lost])
    assert set(await kept.states(lost)) == {fetched.uuid, other.uuid}


async def _is_empty(kept: Kept, queue: str) -> bool:
    async with kept.router.connection.channel() as channel:
        declared = await channel.declare_queue(queue, passive=True)
    return declared.declaration_result.message_count == 0


@asynccontextmanager
async def publishing(kept: Kept) -> AsyncIterator[Publisher]:
    """The publisher of a gateway."""
    publisher = Publisher(kept.router.settings.amqp_url, name="test", mandatory=False)
    async with Tasks() as tasks:
        tasks.start("publishing", publisher.run())
        await publisher.wait_ready(10)
        yield publisher


async def test_what_nobody_fetches_becomes_undeliverable_and_is_sent_again(kept: Kept) -> None:
    fetched = await pulled(kept)
    at = time.time() - 2 * 3600
    old = await kept.accept(fetched, mark=False, id=new_id(at=at), received=int(at * 1000))
    changed = kept.router.settings.model_copy(update={"hold_retention": 3600})
    async with running(serve, changed, limits=replace(SHORT, retention=0.2)):
        await eventually(lambda: kept.is_(old, fetched, (State.UNDELIVERABLE, 0)), within=30)
        # A replay, as a consumer or an operator asks for it.
        search = Search(abonnement=fetched.uuid, states=frozenset({State.UNDELIVERABLE}))
        made = await kept.ledger.replays.make(Plan(fetched.uuid, search, "a test", rate=50, total=1))
        key = Key(old.id, fetched.uuid, made.number)
        await eventually(lambda: _is_ready(kept, key), within=30)
        done = await kept.ledger.replays.replay(made.number)
        assert done is not None
        assert (done.progress, done.sent) == (Progress.DONE, 1)
    # The same original, as an operator has it sent again.
    ran = await nrc(kept.router, "undeliverable", "resend", str(old.id), "--json")
    assert ran.code == 0, ran.err
    assert await kept.is_(old, fetched, (State.PENDING, 1))
    causes = {each.detail for each in await kept.ledger.attempts(Key(old.id, fetched.uuid))}
    assert Cause.OPERATOR in causes


async def _is_ready(kept: Kept, key: Key) -> bool:
    row: Delivery | None = await kept.ledger.delivery(key)
    return row is not None and row.state is State.PENDING


async def test_what_operators_see_and_may_do(kept: Kept) -> None:
    fetched = await pulled(kept)
    entry = await kept.accept(fetched, mark=False)
    (listed,) = (await nrc(kept.router, "abonnement", "list", "--json")).json()
    assert (listed["uuid"], listed["waiting"]) == (str(fetched.uuid), 1)
    told = (await nrc(kept.router, "explain", str(entry.id), "--abonnement", str(fetched.uuid))).out
    assert "Nog niet opgehaald" in told
    for command in ("suspend", "resume", "probe"):
        ran = await nrc(kept.router, "abonnement", command, str(fetched.uuid))
        assert (ran.code, "is fetched by its consumer" in ran.err) == (2, True)
    ran = await nrc(kept.router, "abonnement", "remove", str(fetched.uuid), "--yes")
    assert ran.code == 0, ran.err
    assert await kept.is_(entry, fetched, (State.REMOVED, 0))
