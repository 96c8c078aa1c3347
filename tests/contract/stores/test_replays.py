"""What a ledger store does for replays (ledger/operating/replays.py)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest

from ledger.ledger import Ledger
from ledger.operating.replays import FIRST_ROUND, Plan, Progress
from ledger.values import Key, Outcome, Search, State
from schemas.errors import LeaseLost
from tests.contract.stores.opened import ledger_in
from tests.contract.stores.test_keeper_ledger import an_epoch
from tests.contract.stores.test_ledger import AT, an_entry

A, B = uuid4(), uuid4()
PLAN = Plan(
    abonnement=B,
    search=Search(
        hoofd_object="https://zaken.example.nl/1",
        resource_url="2",
        kanaal="zaken",
        kenmerken={"zaaktype": "A"},
        abonnement=A,
        states=frozenset({State.DELIVERED}),
        after=AT,
    ),
    reason="a restore of theirs",
    rate=12.5,
    total=3,
    lacking=True,
)


@pytest.fixture
async def ledger(address: str) -> AsyncIterator[Ledger]:
    async with ledger_in(address, clock=lambda: AT / 1000) as opened:
        yield opened


async def test_a_replay_is_kept_and_changed(ledger: Ledger) -> None:
    made = await ledger.replays.make(PLAN)
    assert await ledger.replays.replay(made.number) == made
    assert (made.plan, made.progress, made.sent, made.last) == (PLAN, Progress.RUNNING, 0, None)
    done = await ledger.replays.make(replace(PLAN, total=1), progress=Progress.DONE)
    assert done.number > made.number
    assert (done.sent, done.ended) == (1, AT)
    assert await ledger.replays.replays(limit=10) == [done, made]
    assert await ledger.replays.replays(limit=10, unfinished=True) == [made]
    assert await ledger.replays.change(made.number, Progress.PAUSED)
    assert not await ledger.replays.change(made.number, Progress.PAUSED)
    assert await ledger.replays.change(made.number, Progress.RUNNING)
    assert not await ledger.replays.change(done.number, Progress.RUNNING)
    assert not await ledger.replays.change(99, Progress.RUNNING)


async def test_it_goes_on_where_it_was_with_rows_of_its_own(ledger: Ledger) -> None:
    entries = sorted((an_entry(A) for _ in range(3)), key=lambda each: each.id)
    await ledger.write(entries)
    await ledger.write([Outcome(Key(each.id, A), State.DELIVERED, 0, 1, AT) for each in entries])
    epoch = await an_epoch(ledger)
    number = (await ledger.replays.make(PLAN)).number
    ids = [each.id for each in entries]
    assert await ledger.replays.advance(epoch, number, sends=ids[:2], skipped=4, last=ids[1]) == 2
    # Twice, as by a keeper that did not know that it had been done; and one that the ledger lacks.
    assert await ledger.replays.advance(epoch, number, sends=[ids[1], uuid4()], skipped=0, last=ids[1]) == 0
    now = await ledger.replays.replay(number)
    assert now is not None
    assert (now.sent, now.skipped, now.last, now.progress) == (2, 6, ids[1], Progress.RUNNING)
    row = await ledger.delivery(Key(ids[0], B, number))
    assert row is not None
    assert (row.state, row.round, row.since) == (State.RETURNING, FIRST_ROUND, 0)
    assert row.size == len(entries[0].body)
    assert (await ledger.backlogs())[B].count == 2
    assert await ledger.replays.unpublished(number) == 2
    given = await ledger.keeping.give_back_again(epoch, after=60, limit=10)
    assert [each.key.notificatie for each in given] == ids[:2]

    with pytest.raises(LeaseLost):
        await ledger.replays.advance(epoch + 1, number, sends=ids[2:], skipped=0, last=None)
    await ledger.replays.change(number, Progress.PAUSED)
    assert await ledger.replays.advance(epoch, number, sends=ids[2:], skipped=0, last=None) is None
    await ledger.replays.change(number, Progress.RUNNING)
    assert await ledger.replays.advance(epoch, number, sends=ids[2:], skipped=0, last=None) == 1
    ended = await ledger.replays.replay(number)
    assert ended is not None
    assert (ended.progress, ended.sent, ended.last) == (Progress.DONE, 3, ids[1])


async def test_what_a_stopped_one_has_not_published_is_not(ledger: Ledger) -> None:
    entry = an_entry(A)
    await ledger.write([entry])
    epoch = await an_epoch(ledger)
    number = (await ledger.replays.make(PLAN)).number
    await ledger.replays.advance(epoch, number, sends=[entry.id], skipped=0, last=entry.id)
    assert await ledger.replays.change(number, Progress.STOPPED)
    row = await ledger.delivery(Key(entry.id, B, number))
    assert row is not None
    assert row.state is State.REMOVED
    assert B not in await ledger.backlogs()
    assert await ledger.keeping.give_back_again(epoch, after=60, limit=10) == []
