"""What a gateway missed with an older copy of the registry gets a row, also after the ledger was away."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from ledger.ids import new_id
from ledger.keeper.lease import Lease
from ledger.keeper.losses.registry_changes import ChangedKanalen, kanalen_since
from ledger.opening import open_ledger
from ledger.values import Entry, Key
from router.catalogue import Catalogue
from schemas.errors import LedgerError
from store.opening import open_registry
from tests.make import a_kanaal, an_abonnement

AGAIN = 0.2  # seconds


def an_entry(*, catalogue: int, matched: tuple[UUID, ...] = (), at: float | None = None) -> Entry:
    id_, url = new_id(at=at), "https://zaken.example.nl/zaken/1"
    received = int((at or time.time()) * 1000)
    return Entry(id_, received, "zac", "zaken", "zaak", "create", url, url, {}, b"{}", catalogue, matched)


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
