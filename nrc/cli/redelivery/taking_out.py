"""Removes deliveries for an operator."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from ledger.values import LIVE, Delivery, State, is_in_hand
from nrc.cli.redelivery.results import Told
from nrc.cli.tracing.account import opened_account
from runtime.settings import Settings

if TYPE_CHECKING:
    from ledger.keeper_ledger import Hands

AT_ONCE = 500  # rows in one transaction


async def take_out(settings: Settings, rows: Sequence[Delivery], told: Told, *, states: Set[State]) -> None:
    """Make these REMOVED, if they are still in one of `states`. Raises LedgerError."""
    from ledger.operating.sending import removed

    if not rows:
        return
    async with opened_account(settings) as account:
        for start in range(0, len(rows), AT_ONCE):
            piece = rows[start : start + AT_ONCE]
            still = {row.key: await account.ledger.delivery(row.key) for row in piece}
            meant = [row for row in piece if (it := still[row.key]) is None or it.state in states]
            hands = await account.ledger.keeping.hands(live=LIVE)
            await account.ledger.write([removed(still[row.key] or row) for row in meant])
            told.under_way += [row for row in meant if _may_be_under_way(still[row.key] or row, hands)]
            for row in meant:
                told.done.append(row)
                told.note(row)
            told.failed += [
                (row, f"it is {it.state} meanwhile")
                for row in piece
                if (it := still[row.key]) is not None and it.state not in states
            ]


def _may_be_under_way(row: Delivery, hands: Hands) -> bool:
    """Whether an attempt may be under way, by the heartbeats of deliverers of the last seconds."""
    if not row.is_open:
        return False
    due = row.next_at is None or row.next_at <= hands.now
    return is_in_hand(row.key, hands.keys) or (row.state is not State.STUCK and due)
