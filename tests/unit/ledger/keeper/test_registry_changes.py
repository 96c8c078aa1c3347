"""What a gateway missed with an older copy of the registry gets a row, also after the ledger was away."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ledger.ids import new_id
from ledger.keeper.lease import Lease
from ledger.keeper.losses.registry_changes import ChangedKanalen, Window, add_missed, kanalen_since
from ledger.ledger import Ledger
from ledger.opening import open_ledger
from ledger.values import Entry, Key, Search
from router.catalogue import Catalogue
from schemas.errors import LedgerError
from store.opening import open_registry
from tests.make import a_kanaal, an_abonnement

AGAIN = 0.2  # seconds


def an_entry(*, catalogue: int, matched: tuple[UUID, ...] = (), at: float | None = None) -> Entry:
    id_, url = new_id(at=at), "https://zaken.example.nl/zaken/1"
    received = int((at or time.time()) * 1000)
    return Entry(id_, received, "zac", "zaken", "zaak", "create", url, url, {}, b"{}", catalogue, matched)


def counting_searches(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[Search]:
    """A list that each search of the ledger is added to."""
    searches: list[Search] = []
    search = ledger.search

    async def counted(asked: Search, **kwargs: Any) -> Any:
        searches.append(asked)
        return await search(asked, **kwargs)

    monkeypatch.setattr(ledger, "search", counted)
    return searches


async def test_what_had_to_wait_for_the_ledger_is_found_by_the_look_after_the_next(tmp_path: Path) -> None:
    async with open_registry(tmp_path / "registry.db") as registry:
        catalogue = Catalogue(registry, refresh_interval=60)
        lease = Lease()
        changed = ChangedKanalen(registry=registry, catalogue=catalogue, lease=lease, again=AGAIN)
        await registry.add_kanaal(a_kanaal("zaken"))
        one = await registry.add_abonnement(an_abonnement(("zaken", {})))
        late = an_entry(catalogue=one.kanalen_change - 1)
        await catalogue.refresh()
        away = open_ledger(tmp_path / "ledger.db")
        for _ in range(2):  # the times of both looks pass
            with pytest.raises(LedgerError):
                await changed.add_rows(away)
            await asyncio.sleep(AGAIN)
        async with open_ledger(tmp_path / "ledger.db") as ledger:
            assert await lease.take(ledger.keeping) is not None
            assert await changed.add_rows(ledger) == 0
            await ledger.write([late])
            await asyncio.sleep(AGAIN)
            assert await changed.add_rows(ledger) == 1
            assert await ledger.delivery(Key(late.id, one.uuid)) is not None
            await asyncio.sleep(AGAIN)
            await ledger.write([too_late := an_entry(catalogue=one.kanalen_change - 1)])
            assert await changed.add_rows(ledger) == 0, "two looks at each change"
            assert await ledger.delivery(Key(too_late.id, one.uuid)) is None


async def test_what_was_accepted_before_an_abonnement_was_made_is_not_for_it(tmp_path: Path) -> None:
    """Both moments are of the clock of this host: milliseconds tell them apart."""
    async with (
        open_registry(tmp_path / "registry.db") as registry,
        open_ledger(tmp_path / "ledger.db") as ledger,
    ):
        catalogue = Catalogue(registry, refresh_interval=60)
        lease = Lease()
        assert await lease.take(ledger.keeping) is not None
        changed = ChangedKanalen(registry=registry, catalogue=catalogue, lease=lease)
        await registry.add_kanaal(a_kanaal("zaken"))
        before = an_entry(catalogue=1)
        await asyncio.sleep(0.02)
        one = await registry.add_abonnement(an_abonnement(("zaken", {})))
        after = an_entry(catalogue=one.kanalen_change - 1)
        await ledger.write([before, after])
        await catalogue.refresh()
        assert await changed.add_rows(ledger) == 1
        assert await ledger.delivery(Key(before.id, one.uuid)) is None
        assert await ledger.delivery(Key(after.id, one.uuid)) is not None


@pytest.mark.parametrize("back", [0.5, 90.0])
async def test_a_clock_that_was_set_back_since_takes_nothing_from_an_abonnement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, back: float
) -> None:
    true = time.time
    monkeypatch.setattr("ledger.keeper.losses.registry_changes.time", lambda: true() - back)
    async with (
        open_registry(tmp_path / "registry.db") as registry,
        open_ledger(tmp_path / "ledger.db") as ledger,
    ):
        catalogue = Catalogue(registry, refresh_interval=60)
        lease = Lease()
        assert await lease.take(ledger.keeping) is not None
        changed = ChangedKanalen(registry=registry, catalogue=catalogue, lease=lease)
        await registry.add_kanaal(a_kanaal("zaken"))
        one = await registry.add_abonnement(an_abonnement(("zaken", {})))
        after = an_entry(catalogue=one.kanalen_change - 1, at=true() - back)
        await ledger.write([after])
        await catalogue.refresh()
        assert await changed.add_rows(ledger) == 1
        assert await ledger.delivery(Key(after.id, one.uuid)) is not None


async def test_of_a_change_from_before_an_upgrade_two_seconds_are_looked_at_too(tmp_path: Path) -> None:
    async with open_registry(tmp_path / "registry.db") as registry:
        await registry.add_kanaal(a_kanaal("zaken"))
        one = await registry.add_abonnement(an_abonnement(("zaken", {})))
        (version,) = await registry.kanalen_versions(one.uuid)
        exactly = await kanalen_since(registry, one.uuid, one.kanalen_change)
        with closing(sqlite3.connect(tmp_path / "registry.db")) as db, db:
            db.execute("UPDATE kanalen_version SET clock = NULL")
        assert exactly is not None
        assert version.valid_from * 1000 - 10 < exactly <= version.valid_from * 1000
        earlier = await kanalen_since(registry, one.uuid, one.kanalen_change)
        assert earlier is not None
        assert exactly - earlier == pytest.approx(2000, abs=10)


async def test_one_search_serves_all_that_are_looked_at_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gets what was accepted since it was made, and matched by a copy from before that; no more."""
    async with (
        open_registry(tmp_path / "registry.db") as registry,
        open_ledger(tmp_path / "ledger.db") as ledger,
    ):
        catalogue = Catalogue(registry, refresh_interval=60)
        lease = Lease()
        assert await lease.take(ledger.keeping) is not None
        changed = ChangedKanalen(registry=registry, catalogue=catalogue, lease=lease)
        await registry.add_kanaal(a_kanaal("zaken"))
        made, entries = [], []
        for number in range(6):
            filters = {"zaaktype": "other" if number == 2 else "this"}
            made.append(await registry.add_abonnement(an_abonnement(("zaken", filters))))
            await asyncio.sleep(0.01)
            # By the copy from before the last change but one, where there is one.
            entry = an_entry(catalogue=made[max(0, number - 1)].change - 1)
            entries.append(replace(entry, body=b'{"kenmerken": {"zaaktype": "this"}}'))
            await asyncio.sleep(0.01)
        await ledger.write(entries)
        await catalogue.refresh()
        searches = counting_searches(ledger, monkeypatch)
        assert await changed.add_rows(ledger) == 9
        assert len(searches) == 2, "a page, and the end of it"
        for number, entry in enumerate(entries):
            got = {each.uuid for each in made if await ledger.delivery(Key(entry.id, each.uuid)) is not None}
            may = {each.uuid for each in made[max(0, number - 1) : number + 1]}
            assert got == may - {made[2].uuid}, number


async def test_windows_that_do_not_overlap_are_searched_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time between two changes may be most of a day."""
    async with open_ledger(tmp_path / "ledger.db") as ledger:
        lease = Lease()
        assert await lease.take(ledger.keeping) is not None
        one, other = (an_abonnement(("zaken", {})) for _ in range(2))
        now = int(time.time() * 1000)
        entries = [an_entry(catalogue=1, at=(now + late) / 1000) for late in range(0, 6000, 1000)]
        await ledger.write(entries)
        windows = [
            Window(other, 3, after=now + 4000, before=now + 6000),
            Window(one, 2, after=now, before=now + 2000),
            Window(one, 2, after=now + 2000, before=now + 3000),
        ]
        searches = counting_searches(ledger, monkeypatch)
        assert await add_missed(ledger, lease, windows) == 5
        assert {(each.after, each.before) for each in searches} == {
            (now, now + 3000),
            (now + 4000, now + 6000),
        }
        for number, entry in enumerate(entries):
            got = {each.uuid for each in (one, other) if await ledger.delivery(Key(entry.id, each.uuid))}
            assert got == ({one.uuid} if number < 3 else {other.uuid} if number > 3 else set()), number
