"""How often the keeper looks at the ledger's budget."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ledger.keeper import shedding as module
from ledger.keeper.shedding import NEAR, Shedding
from ledger.values import Shed
from runtime.settings import Settings
from tests.eventually import eventually

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


class Ledger:
    """One of so many bytes, of which nothing may go."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.looks = 0

    async def shed(self, **_: Any) -> Shed:
        self.looks += 1
        return Shed(size=self.size)


@pytest.mark.parametrize("near", [False, True])
async def test_near_its_budget_the_ledger_is_looked_at_again_soon(
    monkeypatch: pytest.MonkeyPatch, near: bool
) -> None:
    monkeypatch.setattr(module, "SOON", 0.01)
    ledger = Ledger(int(SETTINGS.ledger_budget * NEAR) + (1 if near else -1))
    opened, lease = cast(Any, SimpleNamespace(ledger=ledger)), cast(Any, SimpleNamespace(held=True))
    running = asyncio.create_task(Shedding(SETTINGS, ledger=opened, lease=lease).run())
    await eventually(lambda: ledger.looks >= (3 if near else 1))
    await asyncio.sleep(0.1)
    assert near or ledger.looks == 1
    running.cancel()
    await asyncio.wait({running})
