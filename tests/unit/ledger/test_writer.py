"""Group commits: waiting, noting, failing, and one bad event among others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from ledger import writer as module
from ledger.ids import new_id
from ledger.values import Entry, Event, Heartbeat, Incomplete, Unrouted
from ledger.writer import Writer
from schemas.errors import LedgerError, LedgerFull
from tests.eventually import eventually


class Store:
    """A ledger in memory that can be broken: by everything, by one event, or by any entry."""

    def __init__(self) -> None:
        self.commits: list[list[Event]] = []
        self.broken = False
        self.full = False
        self.refused: set[UUID] = set()
        self.free = asyncio.Event()
        self.free.set()
        self.tries = 0

    @property
    def written(self) -> set[Event]:
        return {event for commit in self.commits for event in commit if isinstance(event, Unrouted)}

    async def write(self, events: Sequence[Event]) -> None:
        self.tries += 1
        await self.free.wait()
        if self.broken:
            raise LedgerError("locked")
        if any(isinstance(event, Unrouted) and event.id in self.refused for event in events):
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        if self.full and any(isinstance(event, Entry) for event in events):
            raise LedgerFull("over its budget")
        if events:
            self.commits.append(list(events))


@asynccontextmanager
async def writing(store: Store, **given: Any) -> AsyncIterator[Writer]:
    writer = Writer(store, **given)
    broken, store.broken = store.broken, False
    assert writer.why_not == "not opened yet"
    task = asyncio.create_task(writer.run())
    try:
        await eventually(lambda: store.tries and not writer.why_not)
        store.broken, store.tries = broken, 0
        yield writer
    finally:
        task.cancel()
        await asyncio.wait({task})


def an_event() -> Unrouted:
    return Unrouted(new_id())


def an_entry(body: bytes = b"{}", *, at: int = 0) -> Entry:
    return Entry(new_id(), at, "bron", "zaken", "r", "a", "h", "u", {}, body, 1, ())


async def test_what_comes_during_a_commit_goes_into_the_next_one() -> None:
    store = Store()
    async with writing(store) as writer:
        store.free.clear()
        first = asyncio.create_task(writer.add(an_event(), within=5))
        await eventually(lambda: store.tries)
        events = [an_event() for _ in range(100)]
        others = [asyncio.create_task(writer.add(event, within=5)) for event in events]
        await asyncio.sleep(0)
        assert not first.done()
        store.free.set()
        await asyncio.gather(first, *others)
    assert [len(commit) for commit in store.commits] == [1, 100]
    assert store.commits[1] == events


async def test_what_nobody_waits_for_goes_with_what_somebody_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "NOBODY_WAITS_APART", 20.0)
    store = Store()
    async with writing(store) as writer:
        first, second, third, last = (an_event() for _ in range(4))
        writer.note(first)
        await eventually(lambda: store.commits == [[first]])
        writer.note(second)
        await asyncio.sleep(5 * module.APART)
        assert store.commits == [[first]]
        await writer.add(third, within=5)
        assert store.commits[1:] == [[third, second]]
        writer.note(last)
        await writer.close(within=5)
        assert store.commits[2:] == [[last]]


async def test_a_commit_has_bounds_and_leaves_room_for_what_nobody_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_AT_ONCE", 5)
    monkeypatch.setattr(module, "MOST_WAITED_FOR", 4)
    monkeypatch.setattr(module, "MOST_BYTES_AT_ONCE", 10_000)
    store = Store()
    async with writing(store) as writer:
        for _ in range(3):
            writer.note(an_event())
        large = [an_entry(bytes(20_000)) for _ in range(2)]
        small = [an_event() for _ in range(10)]
        await asyncio.gather(*(writer.add(event, within=5) for event in [*small, *large]))
        await eventually(lambda: not writer.waiting)
    assert [len(commit) for commit in store.commits] == [5, 5, 3, 1, 1]
    assert sum(len(commit) for commit in store.commits) == 15


async def test_how_far_the_ledger_is_behind_is_the_moment_of_the_oldest_that_is_not_written() -> None:
    store = Store()
    async with writing(store) as writer:
        assert writer.behind_since is None
        store.broken = True
        writer.note(an_event())
        assert writer.behind_since is None, "it is neither a notificatie nor an outcome"
        writer.note(an_entry(at=1000))
        writer.note(an_entry(at=2000))
        assert writer.behind_since == 1000
        await eventually(lambda: writer.why_not)
        assert writer.behind_since == 1000
        store.broken = False
        await eventually(lambda: writer.behind_since is None)
        assert not writer.waiting


async def test_events_of_one_call_are_in_one_commit() -> None:
    store = Store()
    async with writing(store) as writer:
        pair = (an_entry(), an_event())
        await asyncio.gather(
            *(writer.add(an_event(), within=5) for _ in range(3)), writer.add(*pair, within=5)
        )
    (commit,) = store.commits
    assert tuple(commit[-2:]) == pair


async def test_one_event_that_is_not_taken_stops_no_others() -> None:
    store = Store()
    async with writing(store) as writer:
        bad, noted = an_event(), an_event()
        store.refused = {bad.id, noted.id}
        writer.note(noted)
        good = [an_event() for _ in range(50)]
        adding = [asyncio.create_task(writer.add(event, within=0.3)) for event in [*good, bad]]
        *results, refused = await asyncio.gather(*adding, return_exceptions=True)
        assert results == [None] * 50
        assert isinstance(refused, LedgerError)
        # What nobody waits for is tried again, and then given up and counted.
        for _ in range(20):
            await writer.add(an_event(), within=5)
        assert writer.lost == {"Unrouted": 1}
        assert not writer.why_not
    assert {*good} <= store.written


async def test_a_lone_event_that_is_not_taken_does_not_make_the_ledger_useless_for_others() -> None:
    store = Store()
    async with writing(store) as writer:
        noted = an_event()
        store.refused = {noted.id}
        writer.note(noted)
        await eventually(lambda: writer.why_not)
        await writer.add(an_event(), within=5)
        assert not writer.why_not


async def test_while_the_ledger_fails_who_waits_hears_it_and_what_is_noted_stays() -> None:
    store = Store()
    store.broken = True
    async with writing(store) as writer:
        noted = [an_event() for _ in range(1000)]
        for event in noted:
            writer.note(event)
        put = [writer.put(an_event()) for _ in range(10)]
        for one in put:
            assert one.written is not None
            with pytest.raises(LedgerError, match="locked"):
                await one.written
        assert writer.why_not == "locked"
        kept = put[0]
        writer.keep(kept)
        writer.withdraw(put[1])
        # One tries, the others hear at once.
        canary, other = writer.put(an_event()), writer.put(an_event())
        assert other.written is not None
        assert other.written.done()
        assert canary.written is not None
        assert not canary.written.done()
        patient = asyncio.create_task(writer.add(an_event(), within=30))
        with pytest.raises(LedgerError):
            await canary.written
        store.broken = False
        await patient
        await eventually(lambda: not writer.waiting)
        assert not writer.why_not
        assert not writer.lost
        assert store.written >= {*noted, *kept.events}
        assert not store.written & {*put[1].events, *canary.events}


async def test_the_ledger_is_looked_at_again_when_nothing_waits() -> None:
    store = Store()
    store.broken = True
    async with writing(store) as writer:
        put = writer.put(an_event())
        await eventually(lambda: writer.why_not)
        writer.withdraw(put)
        store.broken = False
        await eventually(lambda: not writer.why_not)


async def test_a_full_ledger_takes_what_is_no_entry() -> None:
    store = Store()
    store.full = True
    async with writing(store) as writer:
        entry, outcome = writer.put(an_entry()), an_event()
        await writer.add(outcome, within=5)
        assert entry.written is not None
        assert isinstance(entry.written.exception(), LedgerFull)
        writer.keep(entry)
        store.full = False
        await eventually(lambda: not writer.waiting)
    assert [*entry.events] in store.commits


async def test_what_is_noted_is_bounded_and_what_is_over_is_counted() -> None:
    store = Store()
    store.broken = True
    async with writing(store, most_noted=3) as writer:
        for _ in range(5):
            writer.note(an_event())
        assert writer.lost == {"Unrouted": 2}
        assert writer.waiting == 3
    async with writing(store, most_bytes=5000) as writer:
        for _ in range(3):
            writer.note(an_entry(bytes(2000)))
        assert writer.lost == {"Entry": 1}


async def test_of_the_entries_that_were_given_up_the_ledger_hears_once_it_can_be_written() -> None:
    store = Store()
    store.broken = True
    async with writing(store, most_noted=1) as writer:
        for at in (1000, 1003, 1001, 1002):
            writer.note(replace(an_entry(), received=at))
        writer.note(an_event())
        assert writer.lost == {"Entry": 3, "Unrouted": 1}
        store.broken = False
        await eventually(lambda: not writer.waiting and not writer.why_not)
    lacking = [event for commit in store.commits for event in commit if isinstance(event, Incomplete)]
    assert lacking == [Incomplete(1001, 1003, 3)]


async def test_what_nobody_waits_for_any_more_is_written_or_not_as_was_asked() -> None:
    store = Store()
    async with writing(store) as writer:
        store.free.clear()
        under_way = writer.put(an_event())
        await eventually(lambda: store.tries)
        kept, withdrawn = writer.put(an_event()), writer.put(an_event())
        writer.keep(under_way)
        writer.keep(kept)
        writer.withdraw(withdrawn)
        store.free.set()
        await eventually(lambda: not writer.waiting)
        assert store.written == {*under_way.events, *kept.events}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await writer.add(an_event(), within=5)
        assert not writer.waiting


async def test_close_writes_what_there_is_and_counts_what_is_left() -> None:
    store = Store()
    async with writing(store) as writer:
        for _ in range(2000):
            writer.note(an_event())
        await writer.close(within=5)
        assert len(store.written) == 2000
        store.broken = True
        writer.note(Heartbeat("deliverer-1", True))
        waiting = asyncio.create_task(writer.add(an_event(), within=30))
        await eventually(lambda: writer.why_not)
        await writer.close(within=0.01)
        with pytest.raises(LedgerError, match="stops"):
            await waiting
        assert writer.lost == {"Heartbeat": 1}
