"""The keeper marks the ledger, and tells an older copy by it; on real files, without RabbitMQ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ledger.copies.copying import copy_ledger
from ledger.ids import new_id
from ledger.keeper.lease import Lease
from ledger.keeper.older_copy import Marking
from ledger.ledger import Ledger
from ledger.opening import open_ledger
from ledger.values import Delivery, Entry, Incomplete, Key, State
from schemas.errors import LeaseLost
from store.opening import open_registry
from store.registry import Registry


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with open_registry(tmp_path / "registry.db") as opened:
        yield opened


def an_entry(*matched: UUID) -> Entry:
    id_, url = new_id(), "https://zaken.example.nl/zaken/1"
    return Entry(id_, id_.int >> 80, "zac", "zaken", "zaak", "create", url, url, {}, b"{}", 1, matched)


async def a_keeper(ledger: Ledger, registry: Registry, *, every: float = 0) -> Marking:
    """One that has the lease."""
    lease = Lease()
    assert await lease.take(ledger.keeping) is not None
    return Marking(registry=registry, lease=lease, every=every)


async def the_state(ledger: Ledger, entry: Entry) -> State:
    found: Delivery | None = await ledger.delivery(Key(entry.id, entry.matched[0]))
    assert found is not None
    return found.state


async def test_each_look_marks_it_and_the_registry_notes_that(tmp_path: Path, registry: Registry) -> None:
    async with open_ledger(tmp_path / "ledger.db") as ledger:
        keeper = await a_keeper(ledger, registry)
        for mark in (1, 2):
            assert await keeper.look(ledger) == 0
            instance = await ledger.instance()
            assert instance.mark == mark
            assert await registry.noted_ledger() == instance.noted()
        later = Marking(registry=registry, lease=keeper._lease, every=1e6)
        assert await later.look(ledger) == 0 == await later.look(ledger)
        assert (await ledger.instance()).mark == 3, "the second was not due yet"
        keeper._lease.lost()
        with pytest.raises(LeaseLost):
            await later.look(ledger)


@pytest.mark.parametrize("anew", [False, True])
async def test_yesterdays_copy_that_was_put_back(tmp_path: Path, registry: Registry, anew: bool) -> None:
    """anew: meanwhile the ledger was lost, and another one made."""
    file, copy = tmp_path / "ledger.db", tmp_path / "copy.db"
    old = an_entry(uuid4())
    async with AsyncExitStack() as opened:
        ledger = await opened.enter_async_context(open_ledger(file))
        await ledger.write([old])
        keeper = await a_keeper(ledger, registry)
        await keeper.look(ledger)
        await keeper._lease.release(ledger.keeping)
        copy_ledger(file, copy)
        if anew:
            await opened.aclose()
            file.unlink()
            ledger = await opened.enter_async_context(open_ledger(file))
        keeper = await a_keeper(ledger, registry)
        assert await keeper.look(ledger) == 0
        assert await keeper.look(ledger) == 0
    file.unlink()
    copy.rename(file)

    async with open_ledger(file) as ledger:
        keeper = await a_keeper(ledger, registry)
        noted = await registry.noted_ledger()
        assert noted is not None
        await ledger.write([new := an_entry(uuid4())])
        assert await keeper.look(ledger) == 1
        assert await the_state(ledger, old) is State.UNSURE
        assert await the_state(ledger, new) is State.PENDING
        assert (await ledger.instance()).unsure_until == noted.at
        # From here on it is the ledger.
        assert await keeper.look(ledger) == 0
        assert await registry.noted_ledger() == (await ledger.instance()).noted()


async def test_a_ledger_that_was_lost_has_nothing_unsure(tmp_path: Path, registry: Registry) -> None:
    async with open_ledger(tmp_path / "ledger.db") as ledger:
        await (await a_keeper(ledger, registry)).look(ledger)
    async with open_ledger(tmp_path / "another.db") as ledger:
        await ledger.write([entry := an_entry(uuid4())])
        keeper = await a_keeper(ledger, registry)
        assert await keeper.look(ledger) == 0 == await keeper.look(ledger)
        assert await the_state(ledger, entry) is State.PENDING
        made = (await ledger.instance()).made
        assert await ledger.incomplete() == [Incomplete(None, made)], "it knows nothing of before"
