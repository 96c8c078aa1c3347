"""The keeper on a real RabbitMQ: unrouted notificaties, and keepers that hang, die, or run twice."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import structlog
from aio_pika import Message
from structlog.testing import capture_logs
from yarl import URL

from ledger.ids import new_id
from ledger.keeper.service import serve
from ledger.values import Cause, Entry, Heartbeat, Key, Outcome, Scope, State
from router import names, publishing
from router.history import read_history
from schemas.abonnement import Abonnement
from schemas.abonnement import State as Registered
from schemas.errors import LedgerFull, RegistryError
from store.opening import open_registry
from tests.broker import Broker
from tests.eventually import eventually
from tests.integration.conftest import running, settings_for
from tests.integration.ledger.keeping import SHORT, Kept, holder, process, works
from tests.make import an_abonnement
from tests.stallable import stallable


async def test_what_was_accepted_without_rabbitmq_goes_to_each_queue_oldest_first(kept: Kept) -> None:
    one, other = await kept.subscribe(), await kept.subscribe()
    entries = [await kept.accept(one, other, trace=f"00-{7:032x}-{9:016x}-01") for _ in range(70)]
    routed = await kept.accept(one, mark=False)
    nobody = await kept.accept()
    async with kept.keeper():
        await eventually(kept.all_routed)
        for abonnement in (one, other):
            messages = await kept.taken(abonnement)
            # By their ids: of two of one millisecond either may go first.
            assert [message.message_id for message in messages] == sorted(str(each.id) for each in entries)
            first = messages[0]
            oldest = min(entries, key=lambda entry: entry.id)
            assert first.body == oldest.body
            assert first.headers["k.zaaktype"] == "Z1"
            assert first.headers["nrc-hops"] == "2"
            assert first.headers["traceparent"] == f"00-{7:032x}-{9:016x}-01"
            assert first.headers["nrc-abonnement"] == str(abonnement.uuid)
            assert first.timestamp is not None
            assert int(first.timestamp.timestamp()) == oldest.received // 1000
            history = read_history(first.headers)
            assert (history.round, history.replay, history.attempts, history.due) == (1, 0, 0, None)
    for entry in entries:
        assert set((await kept.states(entry)).values()) == {(State.PENDING, 1)}
    assert (await kept.states(routed)) == {one.uuid: (State.PENDING, 0)}
    assert await kept.states(nobody) == {}


async def test_what_got_there_already_is_not_sent_again(kept: Kept) -> None:
    one, other = await kept.subscribe(), await kept.subscribe()
    entry = await kept.accept(one, other)
    delivered = Outcome(Key(entry.id, one.uuid), State.DELIVERED, round=0, attempts=1, at=entry.received)
    await kept.ledger.write([delivered])
    async with kept.keeper():
        await eventually(kept.all_routed)
    assert await kept.taken(one) == []
    assert [message.message_id for message in await kept.taken(other)] == [str(entry.id)]


async def test_a_queue_that_is_missing_gets_its_own_once_it_stands(kept: Kept) -> None:
    one, other = await kept.subscribe(), await kept.subscribe()
    async with kept.router.connection.channel() as channel:
        await channel.queue_delete(names.abonnement_queue(one.uuid))
    entry = await kept.accept(one, other)
    async with kept.keeper():
        await eventually(lambda: kept.is_(entry, other, (State.PENDING, 1)))
        assert (await kept.states(entry))[one.uuid] == (State.PENDING, 0)
        assert not await kept.all_routed()
        await kept.router.client.apply_abonnement(one.uuid)
        await eventually(kept.all_routed)
    for abonnement in (one, other):
        assert [message.message_id for message in await kept.taken(abonnement)] == [str(entry.id)]
    assert await kept.router.taken(names.UNDELIVERABLE) == []


async def test_a_queue_that_confirms_nothing_holds_up_no_other(
    kept: Kept, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "CONFIRM_TIMEOUT", 0.5)
    hung, one, other = [await kept.subscribe() for _ in range(3)]
    first = await kept.accept(hung)
    entries = [await kept.accept(hung, one, other) for _ in range(3)]
    vhost = URL(kept.router.settings.amqp_url[0]).path[1:]
    process = f"'{vhost}_{names.abonnement_queue(hung.uuid)}'"

    async def others_got_all() -> bool:
        rows = [await kept.row(entry, each) for entry in entries for each in (one, other)]
        return all((row.state, row.round) == (State.PENDING, 1) for row in rows)

    got: set[str | None] = set()

    async def all_came() -> bool:
        # It gets one at a time: it took none before.
        got.update([message.message_id for message in await kept.taken(hung)])
        return got == {str(entry.id) for entry in (first, *entries)}

    # It looks again so soon that the queue that hangs has never rested when it does.
    async with kept.keeper(rest=0.01):
        await broker.eval(f"sys:suspend({process}).")
        try:
            await eventually(others_got_all)
        finally:
            await broker.eval(f"sys:resume({process}).")
        await eventually(all_came, within=40)


async def test_a_full_queue_gets_no_more_until_it_is_emptier(kept: Kept) -> None:
    full, other = await kept.subscribe(), await kept.subscribe()
    entries = [await kept.accept(full) for _ in range(11)]
    entries.append(await kept.accept(full, other))
    got: list[str | None] = []
    async with kept.keeper(most_ready=5):
        await eventually(lambda: kept.is_(entries[-1], other, (State.PENDING, 1)))
        for most in (5, 5, 2):
            await eventually(partial(_ready, kept, full, most))
            got += [message.message_id for message in await kept.taken(full)]
        await eventually(kept.all_routed)
    assert got == sorted(str(entry.id) for entry in entries)


async def _ready(kept: Kept, abonnement: Abonnement, count: int) -> bool:
    async with kept.router.connection.channel() as channel:
        queue = await channel.declare_queue(names.abonnement_queue(abonnement.uuid), passive=True)
    return queue.declaration_result.message_count == count


async def test_of_an_abonnement_that_was_removed_it_is_undeliverable(kept: Kept) -> None:
    one, other = await kept.subscribe(), await kept.subscribe()
    entry = await kept.accept(one, other)
    unknown = await kept.accept(an_abonnement())
    assert await kept.router.registry.remove_abonnement(one.uuid)
    await kept.router.client.apply_abonnement(one.uuid)
    async with kept.keeper():
        await eventually(lambda: kept.is_(entry, one, (State.UNDELIVERABLE, 0)))
        await eventually(lambda: kept.is_(entry, other, (State.PENDING, 1)))
        # The registry never removed this one: it may have been put back from an older copy.
        await eventually(lambda: _unrouted_is(kept, 1))
    assert set((await kept.states(unknown)).values()) == {(State.PENDING, 0)}


async def test_what_no_queue_had_when_its_abonnement_was_removed_ends_too(kept: Kept) -> None:
    one, other = await kept.subscribe(), await kept.subscribe()
    waiting, retrying, delivered = [await kept.accept(one, other, mark=False) for _ in range(3)]
    at = waiting.received
    await kept.ledger.write(
        [
            Outcome(Key(retrying.id, one.uuid), State.RETRYING, round=0, attempts=2, at=at, wait=600.0),
            Outcome(Key(delivered.id, one.uuid), State.DELIVERED, round=0, attempts=1, at=at),
        ]
    )
    unknown = await kept.accept(an_abonnement(), mark=False)
    async with kept.keeper():
        assert await kept.router.registry.remove_abonnement(one.uuid)
        await eventually(lambda: kept.is_(retrying, one, (State.UNDELIVERABLE, 0)))
        await eventually(lambda: kept.is_(waiting, one, (State.UNDELIVERABLE, 0)))
    attempts = await kept.ledger.attempts(Key(retrying.id, one.uuid))
    assert [(each.kind, each.number) for each in attempts] == [("abonnement_removed", 0)]
    assert await kept.is_(delivered, one, (State.DELIVERED, 0))
    assert await kept.is_(waiting, other, (State.PENDING, 0))
    assert set((await kept.states(unknown)).values()) == {(State.PENDING, 0)}
    assert one.uuid not in await kept.ledger.backlogs()


async def _unrouted_is(kept: Kept, count: int) -> bool:
    return await kept.ledger.keeping.unrouted_count() == count


async def test_without_rabbitmq_a_keeper_waits_and_what_is_not_confirmed_is_sent_again(kept: Kept) -> None:
    one = await kept.subscribe()
    async with stallable(kept.router.settings.amqp_url[0]) as (url, flowing):
        settings = kept.router.settings.model_copy(update={"amqp_url": (url,)})
        async with running(serve, settings, limits=SHORT):
            first = await kept.accept(one)
            await eventually(kept.all_routed)
            flowing.clear()
            more = [await kept.accept(one) for _ in range(30)]
            # RabbitMQ gives no confirms; it is noticed with the first few.
            await eventually(lambda: kept.is_(more[0], one, (State.RETURNING, 1)))
            flowing.set()
            await eventually(kept.all_routed, within=40)
            await eventually(lambda: _none_returning(kept, more), within=40)
    ids = [message.message_id for message in await kept.taken(one)]
    assert set(ids) == {str(entry.id) for entry in [first, *more]}
    assert len(ids) <= len(more) + 3


async def _none_returning(kept: Kept, entries: list[Entry]) -> bool:
    found = await kept.ledger.deliveries([entry.id for entry in entries])
    return all(row.state is State.PENDING for rows in found.values() for row in rows)


# What RabbitMQ lost


async def test_what_somebody_purged_comes_back_three_times_and_is_stuck_then(kept: Kept) -> None:
    one = await kept.subscribe()
    entry = await kept.accept(one, mark=False)
    got: list[int] = []

    async def purged() -> bool:
        """It was never there, and whatever comes is taken away without an outcome."""
        got.extend(read_history(message.headers).round for message in await kept.taken(one))
        return await kept.is_(entry, one, (State.STUCK, 3))

    with structlog.testing.capture_logs() as lines:
        async with kept.looking():
            await eventually(purged, within=30, every=0.2)
    assert got == [1, 2, 3]
    assert (await kept.row(entry, one)).given == 3
    assert [line["why"] for line in lines if line["event"] == "given back"] == ["empty"] * 3
    assert any(line["event"] == "given back three times and lost again" for line in lines)


async def test_an_abonnement_of_which_something_is_found_lost_is_bound_again(kept: Kept) -> None:
    """RabbitMQ confirms what no queue takes, and nobody can ask it for bindings."""
    one = await kept.subscribe()
    exchange = names.kanaal_exchange(kept.kanaal.naam)
    async with kept.router.connection.channel() as channel:
        queue = await channel.get_queue(names.abonnement_queue(one.uuid), ensure=False)
        kanaal = await channel.get_exchange(exchange, ensure=False)
        await queue.unbind(exchange, "#")
        await kept.accept(one, mark=False)

        async def arrives() -> bool:
            await kanaal.publish(Message(b"later"), "zaak.create", mandatory=False)
            return b"later" in [message.body for message in await kept.taken(one)]

        assert not await arrives()
        async with kept.looking():
            await eventually(arrives)


async def test_what_the_ledger_has_no_entry_of_is_stuck_when_it_is_lost(kept: Kept) -> None:
    """An outcome of it came, and nothing else; there is no body to give back."""
    one = await kept.subscribe()
    key = Key(new_id(), one.uuid)
    await kept.ledger.write([Outcome(key, State.RETRYING, round=0, attempts=1, at=1, wait=0.1)])

    async def is_stuck() -> bool:
        row = await kept.ledger.delivery(key)
        return row is not None and row.state is State.STUCK

    async with kept.looking():
        await eventually(is_stuck)
    assert await kept.taken(one) == []


async def test_what_is_held_or_in_hand_or_still_there_is_not_lost(kept: Kept) -> None:
    held, busy, full, lost = [await kept.subscribe() for _ in range(4)]
    await kept.router.registry.set_state(held.uuid, Registered.SUSPENDED, "by a test")
    entry = await kept.accept(held, busy, full, lost, mark=False)
    async with kept.router.connection.channel() as channel:
        await channel.default_exchange.publish(Message(b"{}"), names.abonnement_queue(full.uuid))

    async def beat_until() -> bool:
        in_hand = frozenset({Key(entry.id, busy.uuid)})
        await kept.ledger.write([Heartbeat("d", all_flushed=True, hands=in_hand)])
        await kept.taken(lost)
        return await kept.is_(entry, lost, (State.PENDING, 2))

    async with kept.looking():
        await eventually(beat_until, within=30)
    states = await kept.states(entry)
    assert {states[each.uuid] for each in (held, busy, full)} == {(State.PENDING, 0)}


async def test_what_was_in_a_queue_that_somebody_deleted_comes_back_once(kept: Kept) -> None:
    """Held ones too; what was delivered, or came after, does not."""
    one, held = await kept.subscribe(), await kept.subscribe()
    await kept.router.registry.set_state(held.uuid, Registered.SUSPENDED, "by a test")
    entries = [await kept.accept(one, held, mark=False) for _ in range(5)]
    delivered = Outcome(Key(entries[0].id, one.uuid), State.DELIVERED, round=0, attempts=1, at=1)
    await kept.ledger.write([delivered])
    for _ in range(2):
        async with kept.router.connection.channel() as channel:
            for each in (one, held):
                await channel.queue_delete(names.abonnement_queue(each.uuid))
        for each in (one, held):
            await kept.router.client.apply_abonnement(each.uuid)

    async def all_closed() -> bool:
        return all(gap.closed is not None for gap in await kept.ledger.keeping.gaps(done=False))

    await eventually(all_closed)
    later = await kept.accept(one, held, mark=False)
    gaps = await kept.ledger.keeping.gaps(done=False)
    assert {(gap.scope, gap.of) for gap in gaps} == {
        (Scope.ABONNEMENT, str(each.uuid)) for each in (one, held)
    }

    async def all_done() -> bool:
        return not await kept.ledger.keeping.gaps(done=False)

    with structlog.testing.capture_logs() as lines:
        async with kept.keeper():
            await eventually(all_done)
    assert {line["why"] for line in lines if line["event"] == "given back"} == {"queue"}
    ids = sorted(str(entry.id) for entry in entries)
    assert [message.message_id for message in await kept.taken(held)] == ids
    assert sorted(str(message.message_id) for message in await kept.taken(one)) == sorted(
        str(entry.id) for entry in entries[1:]
    )
    assert set((await kept.states(later)).values()) == {(State.PENDING, 0)}


async def test_what_is_settled_goes_out_of_the_ledger(kept: Kept) -> None:
    one = await kept.subscribe()
    old, waits = await kept.accept(one, mark=False), await kept.accept(one, mark=False)
    await kept.ledger.write([Outcome(Key(old.id, one.uuid), State.DELIVERED, round=0, attempts=1, at=1)])
    settings = kept.router.settings.model_copy(update={"ledger_bodies": 0, "ledger_rows": 0})

    async def is_gone() -> bool:
        return await kept.ledger.notificatie(old.id) is None

    async with running(serve, settings, limits=replace(SHORT, shed=0.1)):
        await eventually(is_gone)
    left = await kept.ledger.notificatie(waits.id)
    assert left is not None
    assert left.body == waits.body


async def test_what_an_older_copy_of_the_registry_left_out_gets_a_row(kept: Kept) -> None:
    async with kept.keeper(look_again=1.0):
        before = await kept.accept(mark=False, catalogue=1)
        await asyncio.sleep(2.1)  # longer than clocks may differ
        one = await kept.subscribe()
        other_kanaal = await kept.accept(mark=False, catalogue=1, kanaal="documenten")
        missed = await kept.accept(mark=False, catalogue=1)
        newer = await kept.accept(mark=False, catalogue=one.kanalen_change)
        await eventually(lambda: _has_row(kept, missed, one))
    for each in (before, other_kanaal, newer):
        assert await kept.states(each) == {}


async def _has_row(kept: Kept, entry: Entry, abonnement: Abonnement) -> bool:
    return (await kept.states(entry)) == {abonnement.uuid: (State.PENDING, 0)}


# Several keepers, as processes


async def test_of_two_keepers_one_works_and_the_other_takes_over(kept: Kept) -> None:
    one = await kept.subscribe()
    sent = []
    async with AsyncExitStack() as opened:
        first = await opened.enter_async_context(process(kept))
        await eventually(lambda: works(kept, first))
        second = await opened.enter_async_context(process(kept))
        sent += [await kept.accept(one) for _ in range(20)]
        await eventually(kept.all_routed)
        assert await works(kept, first)
        # Killed: the lease runs out.
        first.kill()
        sent += [await kept.accept(one) for _ in range(20)]
        await eventually(lambda: works(kept, second))
        await eventually(kept.all_routed)
        third = await opened.enter_async_context(process(kept))
        # Told to stop: the lease is free at once.
        second.terminate()
        assert await asyncio.wait_for(second.wait(), 20) == 0
        await eventually(lambda: works(kept, third))
        sent += [await kept.accept(one) for _ in range(20)]
        await eventually(kept.all_routed)
        assert (await holder(kept))[1] == 3
    ids = [message.message_id for message in await kept.taken(one)]
    assert sorted(filter(None, ids)) == sorted(str(entry.id) for entry in sent)


async def test_a_keeper_that_hung_changes_nothing_when_it_wakes_up(kept: Kept) -> None:
    one = await kept.subscribe()
    async with process(kept, settled=3.0) as first:
        await eventually(lambda: works(kept, first))
        sent = [await kept.accept(one) for _ in range(100)]
        first.send_signal(signal.SIGSTOP)
        async with process(kept) as second:
            await eventually(lambda: works(kept, second))
            await eventually(kept.all_routed)
            first.send_signal(signal.SIGCONT)
            sent += [await kept.accept(one) for _ in range(20)]
            await eventually(kept.all_routed)
            assert await works(kept, second)
            assert (await holder(kept))[1] == 2
    ids = [message.message_id for message in await kept.taken(one)]
    assert sorted(filter(None, ids)) == sorted(str(entry.id) for entry in sent)


async def test_what_a_killed_keeper_committed_and_did_not_publish_is_published(kept: Kept) -> None:
    one = await kept.subscribe()
    entry = await kept.accept(one)
    keeping = kept.ledger.keeping
    epoch = await keeping.take_lease("killed", seconds=0.1)
    assert epoch is not None
    await keeping.give_back(epoch, [await kept.row(entry, one)], cause=Cause.QUEUE)
    async with kept.keeper(again=1.0):
        await eventually(kept.all_routed)
        await eventually(lambda: kept.is_(entry, one, (State.PENDING, 1)))
        (message,) = await kept.taken(one)
        assert read_history(message.headers).round == 1


async def test_a_ledger_that_is_damaged_is_told_and_taken_up_again(kept: Kept, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    settings = kept.router.settings.model_copy(update={"state_dir": folder})
    async with open_registry(settings.registry_file):
        pass
    file = settings.registry_file.with_name("ledger.db")
    file.write_bytes(b"no database at all, " * 1000)
    async with running(serve, settings, limits=SHORT):
        await asyncio.to_thread(file.unlink)
        await eventually(file.exists)


async def test_a_keeper_looks_at_the_budget_when_it_begins_to_work(kept: Kept) -> None:
    one = await kept.subscribe()
    for _ in range(12):
        await kept.accept(one, body=b"x" * 100_000, mark=False)
    settings = kept.router.settings.model_copy(update={"ledger_budget": 1024**2})
    async with running(serve, settings, limits=SHORT):
        await eventually(partial(_refuses, kept, one))


async def test_a_keeper_counts_what_waits_for_who_gets_nothing(kept: Kept) -> None:
    active, suspended = await kept.subscribe(), await kept.subscribe()
    await kept.router.registry.set_state(suspended.uuid, Registered.SUSPENDED, "by an operator")
    for _ in range(2):
        await kept.accept(active, suspended, mark=False)

    async def counted() -> list[int | None]:
        return [each.held for each in await kept.ledger.per_minute(since=0) if each.held is not None]

    async with kept.keeper():
        await eventually(lambda: counted())
        assert set(await counted()) == {2}


async def _refuses(kept: Kept, abonnement: Abonnement) -> bool:
    try:
        await kept.accept(abonnement, mark=False)
    except LedgerFull:
        return True
    return False


async def test_a_keeper_that_starts_waits_while_others_write_the_registry(tmp_path: Path) -> None:
    """As when all processes start at once on a slow disk: the schema is being made, or a lock is held."""
    settings = settings_for("amqp://127.0.0.1:1/", tmp_path)
    async with open_registry(settings.registry_file):
        pass
    other = sqlite3.connect(settings.registry_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    stop, ready = asyncio.Event(), asyncio.Event()
    with capture_logs() as lines:
        keeper = asyncio.create_task(serve(settings, stop=stop, ready=ready.set))
        try:
            await eventually(
                lambda: keeper.done() or "waiting for the registry" in {line["event"] for line in lines}
            )
            other.execute("ROLLBACK")
            await eventually(lambda: keeper.done() or ready.is_set())
        finally:
            other.close()
            stop.set()
            await asyncio.wait_for(keeper, 20)
    assert ready.is_set()


async def test_a_keeper_says_so_when_the_registry_stays_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.keeper.service.REGISTRY_AT_START", 0.1)
    settings = settings_for("amqp://127.0.0.1:1/", tmp_path)
    async with open_registry(settings.registry_file):
        pass
    other = sqlite3.connect(settings.registry_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(RegistryError, match="locked"):
            await serve(settings, stop=asyncio.Event(), ready=lambda: None)
    finally:
        other.close()
