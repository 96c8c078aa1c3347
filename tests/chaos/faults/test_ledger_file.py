"""The look-ups in the ledger's file find what is there, and a copy can replace it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ledger.opening import open_ledger
from ledger.values import (
    CONSOLIDATED,
    Attempt,
    Cause,
    GapClosed,
    GapOpened,
    Key,
    Outcome,
    PassedOn,
    Scope,
    State,
    Unrouted,
)
from tests.chaos.faults.files import locked
from tests.chaos.faults.ledger_file import LedgerFile
from tests.unit.ledger.test_sqlite import an_entry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


async def test_what_is_given_back_is_found(file: Path) -> None:
    there, one, other = LedgerFile(file), uuid4(), uuid4()
    entry = replace(an_entry(), matched=(one, other))
    async with open_ledger(file) as ledger:
        await ledger.write([entry])
        assert not there.gives_back()
        assert {*there.in_state(State.PENDING)} == {(str(entry.id), one), (str(entry.id), other)}
        assert there.open_of([one, uuid4()]) == [(str(entry.id), one)]
        epoch = await ledger.keeping.take_lease(f"host {os.getpid()} abc", seconds=30)
        assert epoch is not None
        assert there.keeper() == os.getpid()
        rows = [row async for row in ledger.open_of(one)]
        await ledger.keeping.give_back(epoch, rows, cause=Cause.QUEUE, judged=False)
        assert there.gives_back()
        assert there.in_state(State.RETURNING) == [(str(entry.id), one)]
        assert there.given_back() == {(str(entry.id), one): "queue"}


async def test_one_that_ended_in_a_newer_one_is_found_with_that_one(file: Path) -> None:
    there, one = LedgerFile(file), uuid4()
    older, newer = (replace(an_entry(), matched=(one,)) for _ in range(2))
    key = Key(older.id, one)
    note = Attempt(older.received + 1, 0, CONSOLIDATED, str(newer.id))
    async with open_ledger(file) as ledger:
        await ledger.write([older, newer])
        assert there.consolidated() == {}
        ended = Outcome(key, State.NOT_WANTED, round=0, attempts=0, at=note.at, failed=note)
        await ledger.write([ended])
        assert there.consolidated() == {(str(older.id), one): str(newer.id)}
        # Sent again by an operator, it has not ended so any more.
        again = replace(ended, state=State.DELIVERED, round=1, attempts=1, at=note.at + 1, failed=None)
        await ledger.write([again])
        assert there.consolidated() == {}


async def test_bulk_waits_until_it_is_given_and_is_under_way_until_it_ended(file: Path) -> None:
    there, one = LedgerFile(file), uuid4()
    entry = replace(an_entry(), matched=(one,), passed_on=PassedOn("batch", "", lane=True))
    async with open_ledger(file) as ledger:
        await ledger.write([entry, Unrouted(entry.id, lane=True), replace(an_entry(), matched=(one,))])
        assert there.bulk() == (1, 0)
        assert there.waiting() == [(str(entry.id), one)]  # the other is in a queue
        epoch = await ledger.keeping.take_lease("host 1 abc", seconds=30)
        assert epoch is not None
        rows = [row async for row in ledger.open_of(one) if row.key.notificatie == entry.id]
        await ledger.keeping.give_back(epoch, rows, cause=Cause.UNROUTED, judged=False)
        assert there.bulk() == (1, 1)
        assert (str(entry.id), one) in there.waiting()
        await ledger.write(
            [Outcome(Key(entry.id, one), State.DELIVERED, round=1, attempts=1, at=entry.received)]
        )
        assert there.bulk() == (1, 0)
        assert (str(entry.id), one) not in there.waiting()
        await ledger.keeping.leave_lane(epoch)
        assert there.bulk() == (0, 0)


async def test_a_gap_is_work_from_its_end_until_it_is_done(file: Path) -> None:
    there = LedgerFile(file)
    async with open_ledger(file) as ledger:
        await ledger.write([GapOpened(Scope.KANAAL, "zaken", "exchange")])
        assert not there.gives_back()
        await ledger.write([GapClosed(Scope.KANAAL, "zaken")])
        assert there.gives_back()
        epoch = await ledger.keeping.take_lease("host 1 abc", seconds=30)
        assert epoch is not None
        (gap,) = await ledger.keeping.gaps(done=False)
        await ledger.keeping.end_gap(epoch, gap.nr)
        assert not there.gives_back()


async def test_a_lock_is_seen(file: Path) -> None:
    there = LedgerFile(file)
    async with open_ledger(file):
        assert not there.is_locked()
        async with locked(file):
            assert there.is_locked()


async def test_a_copy_takes_the_place_of_a_ledger(file: Path) -> None:
    there, copy = LedgerFile(file), file.with_name("copy.db")
    async with open_ledger(file) as ledger:
        await ledger.write([an_entry()])
        there.copy_to(copy)
        await ledger.write([an_entry()])
        before = there.mark()
        assert UUID(before[0])
    there.replace_by(copy)
    assert len(there.in_state(State.PENDING)) == 1
    assert there.mark() == before
    there.remove()
    assert there.in_state(State.PENDING) == []
    assert there.mark() == ("", 0)
