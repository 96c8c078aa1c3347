"""What a process has in memory when it ends, in whatever way, is noted in the ledger by the keeper."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from uuid import uuid4

from ledger.ids import new_id
from ledger.keeper.left_behind import LeftBehind
from ledger.opening import open_ledger
from ledger.unwritten import Unwritten, left_behind
from ledger.values import Incomplete, Key, Outcome, State
from ledger.writer import Writer
from tests.eventually import eventually
from tests.unit.ledger.test_writer import Store, an_entry, an_event, writing

ROOT = Path(__file__).parents[3]


def files(folder: Path) -> list[Path]:
    return list(folder.glob("ledger.unwritten.*"))


def left_in(folder: Path) -> list[Incomplete]:
    return [left.lacking for left in left_behind(folder)]


async def test_a_process_that_is_killed(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.unit.ledger.unwritten_worker", str(tmp_path), cwd=ROOT
    )
    try:
        await eventually(lambda: files(tmp_path))
        assert left_in(tmp_path) == [], "it lives"
    finally:
        process.kill()
        await process.wait()
    async with open_ledger(tmp_path / "ledger.db") as ledger:
        await LeftBehind(tmp_path).tell(ledger)
        (told,) = await ledger.incomplete()
        await LeftBehind(tmp_path).tell(ledger)
        assert await ledger.incomplete() == [told]
    assert (told.since, told.count) == (1000, None)
    assert told.until is not None
    assert told.until > 1_000_000
    assert files(tmp_path) == []


async def test_a_process_that_stops_says_exactly_what(tmp_path: Path) -> None:
    store = Store()
    store.broken = True
    async with writing(store, unwritten=Unwritten(tmp_path)) as writer:
        writer.note(an_entry(at=2000), an_event())
        writer.note(an_entry(at=1000))
        writer.note(Outcome(Key(new_id(), uuid4()), State.DELIVERED, round=0, attempts=1, at=3000))
        await writer.close(within=0.1)
        assert left_in(tmp_path) == [Incomplete(1000, 3000, 2)]


async def test_it_is_over_when_all_is_written(tmp_path: Path) -> None:
    store = Store()
    store.broken = True
    async with writing(store, unwritten=Unwritten(tmp_path)) as writer:
        writer.note(an_event())
        await eventually(lambda: store.tries > 2)
        assert files(tmp_path) == [], "it lacks nothing that anybody asks for"
        writer.note(an_entry())
        await eventually(lambda: files(tmp_path))
        store.broken = False
        await eventually(lambda: not files(tmp_path))
        await writer.close(within=1)
    assert not writer.waiting


async def test_a_ledger_that_is_full_lacks_entries_and_takes_all_else(tmp_path: Path) -> None:
    store = Store()
    store.full = True
    async with writing(store, unwritten=Unwritten(tmp_path)) as writer:
        writer.note(an_entry())

        def told() -> list[Path]:
            writer.note(an_event())
            return files(tmp_path)

        await eventually(told)
        assert store.commits
        store.full = False
        await eventually(lambda: not files(tmp_path))


async def test_a_commit_that_hangs_is_unwritten_too(tmp_path: Path) -> None:
    store = Store()
    async with writing(store, unwritten=Unwritten(tmp_path)) as writer:
        store.free.clear()
        writer.note(an_entry())
        await eventually(lambda: files(tmp_path))
        store.free.set()
        await eventually(lambda: not files(tmp_path))


async def test_what_was_given_up_is_told_though_the_process_stops_at_once(tmp_path: Path) -> None:
    store = Store()
    store.broken = True
    async with writing(store, unwritten=Unwritten(tmp_path), most_noted=0) as writer:
        writer.note(an_entry(at=1000))
        assert writer.lost == {"Entry": 1}
        await writer.close(within=0.1)
        assert left_in(tmp_path) == [Incomplete(1000, 1000, 1)]


async def test_a_folder_that_cannot_be_written_holds_up_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Store()
    writer = Writer(store, unwritten=Unwritten(tmp_path / "file"))
    store.broken = True
    task = asyncio.create_task(writer.run())
    writer.note(entry := an_entry())
    await eventually(lambda: store.tries > 2)
    store.broken = False
    await eventually(lambda: any(entry in commit for commit in store.commits))
    task.cancel()
    await asyncio.wait({task})


def test_a_file_that_is_not_whole_says_since_when(tmp_path: Path) -> None:
    file = tmp_path / "ledger.unwritten.x"
    file.touch()
    (lacking,) = left_in(tmp_path)
    assert lacking == Incomplete(int(file.stat().st_mtime * 1000))
