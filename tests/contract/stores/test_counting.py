"""What a ledger store counts for operators (ledger/ledger.py)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from ledger.durations import bucket_of
from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.values import Counts, Key, Outcome, Published, State
from tests.contract.stores.opened import ledger_in
from tests.contract.stores.test_ledger import AT, an_entry, an_outcome

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
