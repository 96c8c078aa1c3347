"""Removes deliveries for an operator."""

from __future__ import annotations

from collections.abc import Sequence, Set

from ledger.values import Delivery, State
from nrc.cli.redelivery.results import Told
from nrc.cli.tracing.account import opened_account
from runtime.settings import Settings


async def take_out(settings: Settings, rows: Sequence[Delivery], told: Told, *, states: Set[State]) -> None:
    """Make these REMOVED, if they are still in one of `states`. Raises LedgerError."""
    from operating.notificaties import redelivering

    if not rows:
        return
    async with opened_account(settings) as account:
        async for taken in redelivering.take_out(account.ledger, rows, states=states):
            told.done += taken.done
            for row in taken.done:
                told.note(row)
            told.under_way += taken.under_way
            told.failed += [(row, f"it is {row.state} meanwhile") for row in taken.changed]
