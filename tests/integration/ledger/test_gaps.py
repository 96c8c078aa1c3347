"""What a gap covers comes back: of a queue, of a kanaal's exchange, of a ledger that was restored."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from uuid import UUID

import pytest
import structlog
from aio_pika import Message

from ledger.ids import new_id
from ledger.keeper.service import serve
from ledger.ledger import Ledger
from ledger.values import OPERATOR, Entry, GapClosed, GapOpened, Key, Outcome, Scope, State
from router import names
from router.topology import of_abonnement
from schemas.abonnement import Abonnement
from schemas.abonnement import State as Registered
from tests.broker import Broker
from tests.callback_server import status
from tests.eventually import eventually
from tests.integration.cli.test_cli_broker import nrc
from tests.integration.conftest import running
from tests.integration.deliverer.delivering import Delivering
from tests.integration.deliverer.test_outcomes import accept
from tests.integration.ledger.keeping import PATIENCE, SHORT, Kept

pytestmark = pytest.mark.usefixtures("broker")


async def all_done(kept: Kept) -> bool:
    gaps = await kept.ledger.keeping.gaps(done=True)
    return bool(gaps) and all(gap.done for gap in gaps)


async def ids_in(kept: Kept, abonnement: Abonnement) -> list[str]:
    return sorted(str(message.message_id) for message in await kept.taken(abonnement))


def ids_of(entries: list[Entry]) -> list[str]:
    return sorted(str(entry.id) for entry in entries)


async def lose_exchange(kept: Kept, *matched: Abonnement, count: int) -> list[Entry]:
    """What gateways accepted while the exchange of the kanaal was deleted, until it was made again."""
    async with kept.router.connection.channel() as channel:
        await channel.exchange_delete(names.kanaal_exchange(kept.kanaal.naam))
    entries = [await kept.accept(*matched, mark=False) for _ in range(count)]
    await kept.router.client.reconcile()
    await eventually(lambda: is_closed(kept.ledger))
    return entries


async def is_closed(ledger: Ledger) -> bool:
    """Whether there was a gap, and it is closed."""
    gaps = await ledger.keeping.gaps(done=True)
    return bool(gaps) and all(gap.closed is not None for gap in gaps)


async def accepted_after(kept: Kept, *matched: Abonnement) -> Entry:
    """What is accepted once the gap is closed."""
    (gap,) = await kept.ledger.keeping.gaps(done=True)
    assert gap.closed is not None
    await asyncio.sleep(0.01)
    return await kept.accept(*matched, mark=False)


async def test_what_came_while_the_exchange_of_a_kanaal_was_missing_comes_back(kept: Kept) -> None:
    one, other = await kept.subscribe(), await kept.subscribe()
    long_ago = round(time.time() * 1000) - 61_000
    before = await kept.accept(one, other, mark=False, id=new_id(at=long_ago / 1000), received=long_ago)
    elsewhere = await kept.accept(one, other, mark=False, kanaal="documenten")
    entries = await lose_exchange(kept, one, other, count=5)
    got_it = Outcome(Key(entries[0].id, one.uuid), State.DELIVERED, round=0, attempts=1, at=long_ago)
    await kept.ledger.write([got_it])
    (gap,) = await kept.ledger.keeping.gaps(done=False)
    assert (gap.scope, gap.of) == (Scope.KANAAL, kept.kanaal.naam)
    after = await accepted_after(kept, one, other)
    with structlog.testing.capture_logs() as lines:
        async with kept.keeper():
            await eventually(lambda: all_done(kept))
    assert {line["why"] for line in lines if line["event"] == "given back"} == {"exchange"}
    assert await ids_in(kept, one) == ids_of(entries[1:])
    assert await ids_in(kept, other) == ids_of(entries)
    for each in (before, elsewhere, after):
        assert set((await kept.states(each)).values()) == {(State.PENDING, 0)}


async def test_what_a_deleted_filter_exchange_took_nowhere_comes_and_nothing_comes_twice(
    spine: Delivering, ledger: Ledger
) -> None:
    """RabbitMQ confirms it, and routes it to who has no filters only."""
    every = await spine.subscribe("/every")
    filtered = await spine.subscribe("/filtered", filters={"zaaktype": "1"})
    way, *_ = of_abonnement(filtered, {spine.kanaal.naam: spine.kanaal}).filtered
    async with spine.deliverer(), running(serve, spine.router.settings, limits=SHORT):
        both = await accept(spine, ledger, every, filtered, zaaktype="1")
        await eventually(lambda: spine.ids_at("/filtered") == [both])
        async with spine.router.connection.channel() as channel:
            await channel.exchange_delete(way.exchange.name)
        lost = [await accept(spine, ledger, every, filtered, zaaktype="1") for _ in range(3)]
        await eventually(lambda: spine.ids_at("/every") == [both, *lost])
        assert spine.ids_at("/filtered") == [both]
        await spine.router.client.reconcile()
        await eventually(lambda: is_closed(ledger))
        after = await accept(spine, ledger, every, filtered, zaaktype="1")
        await eventually(lambda: {*spine.ids_at("/filtered")} == {both, *lost, after})
        await eventually(lambda: is_done(ledger))
    assert sorted(map(str, spine.ids_at("/filtered"))) == sorted([both, *lost, after])
    assert sorted(map(str, spine.ids_at("/every"))) == sorted([both, *lost, after])


async def is_done(ledger: Ledger) -> bool:
    return not await ledger.keeping.gaps(done=False)


async def test_what_came_then_for_a_held_one_is_judged_once_it_is_released(kept: Kept) -> None:
    one = await kept.subscribe()
    await kept.router.registry.set_state(one.uuid, Registered.SUSPENDED, "by a test")
    there = await kept.accept(one, mark=False)
    async with kept.router.connection.channel() as channel:
        message = Message(there.body, message_id=str(there.id))
        await channel.default_exchange.publish(message, names.abonnement_queue(one.uuid))
    entries = await lose_exchange(kept, one, count=3)
    async with kept.looking():
        await eventually(lambda: all_done(kept))
        await asyncio.sleep(2)  # longer than E1 and E2 take
        for each in (there, *entries):
            assert set((await kept.states(each)).values()) == {(State.PENDING, 0)}
        await kept.router.registry.set_state(one.uuid, Registered.ACTIVE, "")
        assert await ids_in(kept, one) == [str(there.id)]
        got_it = Outcome(Key(there.id, one.uuid), State.DELIVERED, round=0, attempts=1, at=there.received)
        await kept.ledger.write([got_it])
        came: list[str] = []

        async def all_came() -> bool:
            came.extend(await ids_in(kept, one))
            return {*came} == {*ids_of(entries)}

        await eventually(all_came)


async def test_what_came_in_a_gap_of_a_queue_and_has_no_row_comes_too(kept: Kept) -> None:
    """A gateway with an older copy of the registry did not match it."""
    long_ago = round(time.time() * 1000) - 5000
    unknown = await kept.accept(
        mark=False, catalogue=1, id=new_id(at=long_ago / 1000), received=long_ago
    )  # before there was the abonnement
    one = await kept.subscribe()
    await asyncio.sleep(0.1)  # longer than a change is followed, below
    missed = [await kept.accept(mark=False, catalogue=one.kanalen_change - 1) for _ in range(3)]
    newer = await kept.accept(mark=False, catalogue=one.kanalen_change)
    elsewhere = await kept.accept(mark=False, catalogue=1, kanaal="documenten")
    async with kept.router.connection.channel() as channel:
        await channel.queue_delete(names.abonnement_queue(one.uuid))
    await kept.router.client.apply_abonnement(one.uuid)
    async with kept.keeper(look_again=0.05):
        await eventually(lambda: all_done(kept))
    assert await ids_in(kept, one) == ids_of(missed)
    for each in (unknown, newer, elsewhere):
        assert await kept.states(each) == {}


@pytest.mark.parametrize("why", ["queue was missing", OPERATOR])
async def test_nothing_goes_to_an_abonnement_whose_gap_is_open(kept: Kept, why: str) -> None:
    """Else the gap gives it back once more. That of an operator may be open for hours, and it goes twice."""
    one, other = await kept.subscribe(), await kept.subscribe()
    await kept.ledger.write([GapOpened(Scope.ABONNEMENT, str(one.uuid), why)])
    entry = await kept.accept(one, other)
    async with kept.keeper():
        await eventually(lambda: has_gone(kept, entry, other))
        if why == OPERATOR:
            await eventually(lambda: has_gone(kept, entry, one))
        else:
            await asyncio.sleep(1)
            assert not await has_gone(kept, entry, one)
        await kept.ledger.write([GapClosed(Scope.ABONNEMENT, str(one.uuid))])
        await eventually(lambda: all_done(kept))
        await eventually(kept.all_routed)
    assert await ids_in(kept, one) == ids_of([entry]) * (2 if why == OPERATOR else 1)
    assert await ids_in(kept, other) == ids_of([entry])


async def test_a_gap_of_a_kanaal_that_is_named_as_an_abonnement_is_not_that_ones(kept: Kept) -> None:
    one = await kept.subscribe()
    await kept.ledger.write([GapOpened(Scope.KANAAL, str(one.uuid), "exchange was missing")])
    lost = await kept.accept(one, mark=False)
    async with kept.looking():
        await eventually(lambda: has_gone(kept, lost, one))


async def has_gone(kept: Kept, entry: Entry, abonnement: Abonnement) -> bool:
    return (await kept.row(entry, abonnement)).round > 0


async def test_what_was_accepted_without_rabbitmq_is_matched_again(kept: Kept) -> None:
    """A gateway with an older copy of the registry left it out, and RabbitMQ never routed it."""
    long_ago = round(time.time() * 1000) - 5000
    before = await kept.accept(catalogue=1, id=new_id(at=long_ago / 1000), received=long_ago)
    one = await kept.subscribe()
    await asyncio.sleep(0.1)  # longer than a change is followed, below
    missed = [await kept.accept(catalogue=one.kanalen_change - 1) for _ in range(3)]
    newer = await kept.accept(catalogue=one.kanalen_change)
    async with kept.keeper(look_again=0.05):
        await eventually(kept.all_routed)
    assert await ids_in(kept, one) == ids_of(missed)
    for each in (before, newer):
        assert await kept.states(each) == {}


async def test_what_is_open_in_a_ledger_that_was_restored_is_brought_out(kept: Kept) -> None:
    one = await kept.subscribe()
    entries = [await kept.accept(one, mark=False) for _ in range(3)]
    await kept.ledger.make_restored(detail="restored from a backup")
    async with kept.keeper():
        await kept.router.client.reconcile()
        await eventually(lambda: all_done(kept))
    assert await ids_in(kept, one) == ids_of(entries)


async def test_what_is_unsure_comes_once_an_operator_says_so(kept: Kept) -> None:
    """Of an older copy of the ledger; until then nothing gives it back."""
    one = await kept.subscribe()
    entries = [await kept.accept(one, mark=False) for _ in range(3)]
    epoch = await kept.ledger.keeping.take_lease("test", seconds=0)
    assert epoch is not None
    assert await kept.ledger.keeping.mark_unsure(epoch, until=entries[-1].received) == 3
    async with kept.looking(again=0.5):
        await asyncio.sleep(2)  # longer than E1 and E2 take
        assert await ids_in(kept, one) == []
        ran = await nrc(kept.router, "ledger", "audit", "resend", "--yes")
        assert (ran.code, ran.out) == (0, "3 are sent again\n"), ran.err
        came: list[str] = []

        async def all_came() -> bool:
            came.extend(await ids_in(kept, one))
            return {*came} == {*ids_of(entries)}

        await eventually(all_came)
    assert set((await kept.states(entries[0])).values()) == {(State.PENDING, 1)}


async def test_what_rabbitmq_had_comes_back_when_all_of_it_is_lost(
    spine: Delivering, ledger: Ledger, vhost: str, broker: Broker
) -> None:
    """What waits for a held one, and what was between two attempts."""
    active, held = await spine.subscribe("/active"), await spine.subscribe("/held")
    await spine.set_state(held, Registered.SUSPENDED)
    spine.callback.script("/active", status(500), status(204))
    async with spine.deliverer(retry_schedule="8,600"), running(serve, spine.router.settings, limits=SHORT):
        id_ = await accept(spine, ledger, active, held)
        await eventually(lambda: spine.depth_is(held, 1))
        await eventually(lambda: state_is(ledger, id_, active, State.RETRYING))
        name = vhost.rpartition("/")[2]
        assert broker.control is not None
        await broker.control.remove_vhost(name)
        await broker.control.add_vhost(name)
        await eventually(lambda: state_is(ledger, id_, active, State.DELIVERED), within=60)
        await eventually(lambda: is_done(ledger), within=60)
        await spine.set_state(held, Registered.ACTIVE)
        await eventually(lambda: state_is(ledger, id_, held, State.DELIVERED), within=30)
    assert spine.ids_at("/active") == [id_, id_]
    assert spine.ids_at("/held") == [id_]


async def state_is(ledger: Ledger, id_: str, abonnement: Abonnement, state: State) -> bool:
    row = await ledger.delivery(Key(UUID(id_), abonnement.uuid))
    return row is not None and row.state is state


NEVER = 10**9


@pytest.mark.parametrize("busy", [False, True])
async def test_a_retry_whose_wait_queue_was_deleted_is_made(
    spine: Delivering, ledger: Ledger, busy: bool
) -> None:
    """busy: its abonnement's queue never seems empty, and what comes later is delivered."""
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500), status(204))
    # `ended` is to the minute: this way the present one counts.
    patience = replace(PATIENCE, apart=NEVER, ended=-60_000) if busy else replace(PATIENCE, ahead=NEVER)
    limits = replace(SHORT, looks=0.2, after_away=0.1, patience=patience)
    later: list[str] = []

    async def is_delivered() -> bool:
        if busy:
            later.append(await accept(spine, ledger, abonnement))
        row = await ledger.delivery(key)
        return row is not None and row.state is State.DELIVERED

    with structlog.testing.capture_logs() as lines:
        async with (
            spine.deliverer(retry_schedule="2,600"),
            running(serve, spine.router.settings, limits=limits),
        ):
            key = Key(UUID(await accept(spine, ledger, abonnement)), abonnement.uuid)
            await eventually(lambda: spine_depth_is(spine, 1))
            async with spine.router.connection.channel() as channel:
                await channel.queue_delete(names.wait_queue(2))
            await eventually(is_delivered, within=30, every=0.2)
    given = {line["why"] for line in lines if line["event"] == "given back"}
    assert given == {"overtaken" if busy else "empty"}
    row = await ledger.delivery(key)
    assert row is not None
    assert (row.attempts, row.round) == (2, 1)
    ids = spine.ids_at("/a")
    assert ids.count(str(key.notificatie)) == 2
    assert all(ids.count(id_) <= 1 for id_ in later)


async def spine_depth_is(spine: Delivering, count: int) -> bool:
    return await spine.depth(names.wait_queue(2)) == count
