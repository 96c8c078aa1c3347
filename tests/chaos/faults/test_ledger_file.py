"""The look-ups in the ledger's file find what is there, and a copy can replace it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ledger.opening import open_ledger
from ledger.values import Cause, GapClosed, GapOpened, Scope, State
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
