"""Deciding on what is unsure: as many rows in memory as one transaction changes, however many there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from ledger.ids import new_id
from ledger.opening import open_ledger
from ledger.operating import unsure as module
from ledger.operating.unsure import decide, taken_as_delivered, unsure
from ledger.values import Delivery, Key, Outcome, State


async def test_it_is_decided_on_as_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    one, other = uuid4(), uuid4()
    keys = [Key(new_id(), abonnement) for abonnement in (one, one, one, other, other)]
    async with open_ledger(tmp_path / "ledger.db") as ledger:
        await ledger.write([Outcome(key, State.UNSURE, round=0, attempts=0, at=1) for key in keys])
        most = 0

        async def read() -> AsyncIterator[Delivery]:
            nonlocal most
            seen = []
            async for row in unsure(ledger):
                seen.append(row.key)
                yield row
                rows = [await ledger.delivery(key) for key in seen]
                most = max(most, sum(row is not None and row.state is State.UNSURE for row in rows))

        assert await decide(ledger, read(), taken_as_delivered) == 5
        assert [row async for row in unsure(ledger)] == []
    assert most <= 2
