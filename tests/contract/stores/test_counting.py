"""What a ledger store counts for operators (ledger/ledger.py)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from ledger.durations import bucket_of
from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.operating.replays import Plan
from ledger.operating.sending import returning
from ledger.postgresql import finding as postgresql
from ledger.sqlite import finding as sqlite
from ledger.values import Cause, Counts, Key, Outcome, Published, Search, State
from tests.contract.stores.opened import ledger_in
from tests.contract.stores.test_ledger import AT, an_entry, an_outcome, delivery

A, B = uuid4(), uuid4()
HOUR = 3_600_000


@pytest.fixture
async def ledger(address: str) -> AsyncIterator[Ledger]:
    async with ledger_in(address) as opened:
        yield opened


async def test_counts_are_by_kanaal_and_by_abonnement_from_a_moment_on(ledger: Ledger) -> None:
    assert await ledger.counts(since=0) == Counts()
    old = an_entry(A, at=AT - HOUR)
    new = [an_entry(A, B), an_entry(A, kanaal="documenten")]
    await ledger.write([old, *new])
    await ledger.write([an_outcome(old, A), an_outcome(new[0], A), an_outcome(new[1], A)])
    failed = an_outcome(new[0], B, State.RETRYING, wait=60.0)
    again = an_outcome(new[0], B, State.RETRYING, wait=60.0, attempts=2)
    await ledger.write([failed])
    await ledger.write([again])
    await ledger.write([again])
    assert await ledger.counts(since=AT) == Counts(
        accepted={"zaken": 1, "documenten": 1},
        came_to={A: {State.DELIVERED: 2}, B: {State.RETRYING: 2}},
    )
    everything = await ledger.counts(since=0)
    assert (everything.accepted["zaken"], everything.came_to[A]) == (2, {State.DELIVERED: 3})
    assert await ledger.counts(since=AT + HOUR) == Counts()


async def test_how_long_deliveries_took_is_counted_once_in_the_minute_of_their_delivery(
    ledger: Ledger,
) -> None:
    timed = new_id(at=AT / 1000)

    def delivered(id_: UUID, abonnement: UUID, *, after: int, replay: int = 0, **more: object) -> Outcome:
        given = {"status": 204, "ms": 3.0} | more
        return Outcome(Key(id_, abonnement, replay), State.DELIVERED, 0, 1, AT + after, **given)  # type: ignore[arg-type]

    outcomes = [
        delivered(timed, A, after=30),
        delivered(timed, B, after=90_000),
        delivered(timed, A, after=500_000, replay=1),
        delivered(new_id(at=AT / 1000), A, after=50, status=None, ms=None),  # fetched, or an operator said so
        delivered(uuid4(), A, after=50),
    ]
    await ledger.write(outcomes)
    await ledger.write(outcomes)
    took = {each.at: each.took for each in await ledger.per_minute(since=0) if each.took}
    begin = AT - AT % 60_000
    assert took == {begin: {bucket_of(30): 1}, (AT + 90_000) // 60_000 * 60_000: {bucket_of(90_000): 1}}
    shed = {"bodies_for": 0, "counts_for": 1e9, "budget": 10**9}
    await ledger.shed(now=AT + 10**9, rows_for=10**9 / 1000, **shed)  # type: ignore[arg-type]
    assert any(each.took for each in await ledger.per_minute(since=0))
    await ledger.shed(now=AT + 10**9, rows_for=600, **shed)  # type: ignore[arg-type]
    kept = await ledger.per_minute(since=0)
    assert kept
    assert not any(each.took for each in kept)


async def test_what_is_undeliverable_is_counted_by_abonnement(ledger: Ledger) -> None:
    assert await ledger.undeliverable_counts() == {}
    entries = [an_entry(A, B) for _ in range(3)]
    await ledger.write(entries)
    await ledger.write([an_outcome(each, A, State.UNDELIVERABLE) for each in entries])
    await ledger.write([an_outcome(entries[0], B, State.UNDELIVERABLE), an_outcome(entries[1], B)])
    await ledger.write([an_outcome(entries[0], A, State.REMOVED)])
    assert await ledger.undeliverable_counts() == {A: 2, B: 1}


async def test_a_notificatie_and_its_replay_are_one_that_is_undeliverable(ledger: Ledger) -> None:
    entry = an_entry(A)
    replayed = Outcome(Key(entry.id, A, 1), State.UNDELIVERABLE, 1, 9, AT)
    await ledger.write([entry, an_outcome(entry, A, State.UNDELIVERABLE), replayed])
    assert await ledger.undeliverable_counts() == {A: 1}


async def test_what_was_asked_for_is_not_counted_as_given_back(ledger: Ledger) -> None:
    entries = [an_entry(A) for _ in range(3)]
    await ledger.write(entries)
    await ledger.write([an_outcome(each, A, State.UNDELIVERABLE) for each in entries])
    row = await delivery(ledger, entries[0], A)
    await ledger.write([returning(replace(row, round=1))])
    epoch = await ledger.keeping.take_lease("test", seconds=60)
    assert epoch
    made = await ledger.replays.make(Plan(A, Search(), "for a test", 10.0, 3))
    ids = [each.id for each in entries]
    assert await ledger.replays.advance(epoch, made.number, sends=ids, skipped=0, last=None) == 3
    counted = await ledger.per_minute(since=0)
    assert sum(each.asked_for for each in counted) == 4
    assert not any(each.came_to.get(State.RETURNING) for each in counted)
    lost = an_entry(B)
    await ledger.write([lost])
    await ledger.keeping.give_back(epoch, [await delivery(ledger, lost, B)], cause=Cause.EMPTY)
    counted = await ledger.per_minute(since=0)
    assert sum(each.came_to.get(State.RETURNING, 0) for each in counted) == 1
    assert sum(each.asked_for for each in counted) == 4


async def test_the_last_delivery_may_be_of_an_old_notificatie_that_was_sent_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for store in (sqlite, postgresql):
        monkeypatch.setattr(store, "RECENT", 3)
    entries = [an_entry(A, at=AT + at) for at in range(6)]
    await ledger.write(entries)
    await ledger.write([an_outcome(each, A, at=AT + 100) for each in entries[1:]])
    assert await ledger.last_delivered(A) == AT + 100
    await ledger.write([Outcome(Key(entries[0].id, A), State.RETURNING, 1, 0, AT + 200, anew=True)])
    assert await ledger.last_delivered(A) == AT + 100
    await ledger.write([Outcome(Key(entries[0].id, A), State.DELIVERED, 1, 1, AT + 300, status=204)])
    assert await ledger.last_delivered(A) == AT + 300


async def test_who_published_what_and_what_was_for_nobody(ledger: Ledger) -> None:
    assert await ledger.published(newest=10) == []
    assert await ledger.unmatched("zaken", newest=10, limit=10) == []
    # `zac` is what publishes here by default, on `zaken`.
    old, alone, other = an_entry(at=AT - HOUR), an_entry(), an_entry(kanaal="documenten", at=AT + 1)
    later = an_entry(at=AT + 2)
    entries = [old, alone, an_entry(A), an_entry(A, client="drc"), other, later]
    for entry in entries:
        await ledger.write([entry])
    found = sorted(await ledger.published(newest=100), key=lambda each: (each.kanaal, each.client))
    assert found == [
        Published("documenten", "zac", count=1, unmatched=1, last=AT + 1),
        Published("zaken", "drc", count=1, unmatched=0, last=AT),
        Published("zaken", "zac", count=4, unmatched=3, last=AT + 2),
    ]
    assert sum(each.count for each in await ledger.published(newest=5)) == 5
    lonely = await ledger.unmatched("zaken", newest=100, limit=10)
    assert [each.id for each in lonely] == [later.id, alone.id, old.id]
    assert [each.id for each in await ledger.unmatched("zaken", newest=5, limit=10)] == [later.id, alone.id]
    assert [each.id for each in await ledger.unmatched("zaken", newest=100, limit=1)] == [later.id]
    assert await ledger.unmatched("unknown", newest=100, limit=10) == []
