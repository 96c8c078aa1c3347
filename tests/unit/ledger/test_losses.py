"""Gaps while the ledger is away: what is closed meanwhile is not open when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest

from ledger import losses
from ledger.losses import LedgerLosses
from ledger.values import Event, GapClosed, GapOpened, Scope
from runtime.settings import load_settings
from schemas.errors import LedgerError
from tests.eventually import eventually


async def test_a_gap_that_could_not_be_written_is_closed_after_it_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(losses, "GAP_WITHIN", 0.2)
    written: list[Event] = []
    away = True

    async def write(events: Sequence[Event]) -> None:
        if away:
            await asyncio.sleep(0.05)
            raise LedgerError("away")
        written.extend(events)

    told = LedgerLosses(load_settings(_env_file=None))
    monkeypatch.setattr(told._ledger, "write", write)
    running = asyncio.create_task(told.run())
    abonnement = uuid4()
    await told.queue_lost(abonnement, "queue was missing")
    await told.exchange_lost("zaken", "exchange was missing")
    told.queue_stands(abonnement)
    told.queue_stands(None)
    away = False
    await eventually(lambda: len(written) == 4)
    assert written == [
        GapOpened(Scope.ABONNEMENT, str(abonnement), "queue was missing"),
        GapClosed(Scope.ABONNEMENT, str(abonnement)),
        GapOpened(Scope.KANAAL, "zaken", "exchange was missing"),
        GapClosed(),
    ]
    running.cancel()
