"""What a gateway missed with an older copy of the registry gets a row, also after the ledger was away."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from uuid import UUID

import pytest

from ledger.ids import new_id
from ledger.keeper.lease import Lease
from ledger.keeper.losses.registry_changes import ChangedKanalen
from ledger.opening import open_ledger
from ledger.values import Entry, Key
from router.catalogue import Catalogue
from schemas.errors import LedgerError
from store.opening import open_registry
from tests.make import a_kanaal, an_abonnement

AGAIN = 0.2  # seconds


def an_entry(*, catalogue: int, matched: tuple[UUID, ...] = ()) -> Entry:
    id_, url = new_id(), "https://zaken.example.nl/zaken/1"
    at = round(time.time() * 1000)
    return Entry(id_, at, "zac", "zaken", "zaak", "create", url, url, {}, b"{}", catalogue, matched)


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
