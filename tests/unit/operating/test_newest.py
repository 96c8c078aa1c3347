"""The newest of a list that moves, out of a real ledger: told when they come or when they changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ledger.ledger import Ledger
from ledger.opening import open_ledger
from ledger.values import Search, State
from operating.notificaties.following import LATE
from operating.notificaties.newest import Newest
from tests.contract.stores.test_ledger import AT, an_entry, an_outcome


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with open_ledger(tmp_path / "ledger.db") as opened:
        yield opened


async def told(newest: Newest, *, now: int, most: int = 100) -> list[UUID]:
    return [each.id for each in await newest.news(now=now, most=most)]


async def test_what_came_and_what_became_of_it_each_once(ledger: Ledger) -> None:
    newest = Newest(ledger, Search(), since=AT, shown=50)
    one, other = uuid4(), uuid4()
    before, entry, later = an_entry(one, at=AT - 1), an_entry(one, other, at=AT + 1), an_entry(at=AT + 2)
    await ledger.write([before, later, entry])
    assert await told(newest, now=AT + 10) == [entry.id, later.id]
    assert await told(newest, now=AT + 20) == []
    for number in (1, 2):
        await ledger.write([an_outcome(entry, other, State.RETRYING, attempts=number, at=AT + 25, wait=9.0)])
        assert await told(newest, now=AT + 30) == [entry.id]
    await ledger.write([an_outcome(entry, one, at=AT + 60_000)])
    assert await told(newest, now=AT + 60_000 + LATE) == [entry.id], "however long ago it came"
    assert await told(newest, now=AT + 60_000 + LATE) == []


async def test_what_is_noted_late_is_told(ledger: Ledger) -> None:
    newest = Newest(ledger, Search(), since=AT, shown=50)
    now = AT + 10_000
    await ledger.write([new := an_entry(at=now)])
    assert await told(newest, now=now) == [new.id]
    await ledger.write([late := an_entry(at=now - LATE + 1), an_entry(at=now - LATE - 1)])
    assert await told(newest, now=now) == [late.id]


async def test_of_much_the_newest_are_told_and_no_more_than_is_asked_for(ledger: Ledger) -> None:
    newest = Newest(ledger, Search(), since=AT, shown=5)
    one = uuid4()
    entries = [an_entry(one, at=AT + number) for number in range(100)]
    await ledger.write(entries)
    newer = [each.id for each in entries[-5:]]
    assert await told(newest, now=AT + 200, most=2) == newer[-2:]
    assert await told(newest, now=AT + 200, most=2) == newer[-4:-2], "the others, while they are shown"
    await ledger.write([an_outcome(each, one, at=AT + 300) for each in entries])
    assert await told(newest, now=AT + 400) == newer
    assert await told(newest, now=AT + 400) == []
    await ledger.write([last := an_entry(at=AT + 500)])
    assert await told(newest, now=AT + 500) == [last.id]


async def test_of_an_abonnement_its_own_deliveries_count(ledger: Ledger) -> None:
    one, other = uuid4(), uuid4()
    newest = Newest(ledger, Search(abonnement=one), since=AT, shown=50)
    entry, others = an_entry(one, other, at=AT + 1), an_entry(other, at=AT + 2)
    await ledger.write([entry, others])
    assert await told(newest, now=AT + 10) == [entry.id]
    await ledger.write([an_outcome(entry, other, at=AT + 20)])
    assert await told(newest, now=AT + 30) == []
    await ledger.write([an_outcome(entry, one, at=AT + 20)])
    assert await told(newest, now=AT + 30) == [entry.id]


async def test_of_states_also_what_came_before_and_is_in_one_now(ledger: Ledger) -> None:
    rare, common = frozenset({State.UNDELIVERABLE, State.RETRYING}), frozenset({State.PENDING})
    one = uuid4()
    old, fresh = an_entry(one, at=AT - 60_000), an_entry(one, at=AT + 1)
    await ledger.write([old, fresh])
    failing, both = (
        Newest(ledger, Search(states=each), since=AT, shown=50) for each in (rare, rare | common)
    )
    assert await told(failing, now=AT + 10) == []
    assert await told(both, now=AT + 10) == [fresh.id], "and not what waits for long"
    await ledger.write([an_outcome(old, one, State.UNDELIVERABLE, at=AT + 60_000)])
    for newest in (failing, both):
        assert await told(newest, now=AT + 60_000) == [old.id]
    await ledger.write([an_outcome(old, one, at=AT + 70_000)])
    assert await told(failing, now=AT + 70_000) == [old.id], "it is not so any more"
