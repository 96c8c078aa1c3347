"""Makes deliveries undeliverable without an attempt: they waited too long, or their abonnement is gone."""

from __future__ import annotations

from collections.abc import Sequence
from time import time

from ledger.ledger import Ledger
from ledger.values import Attempt, Delivery, Outcome, State, WhyEnded

AT_ONCE = 500  # deliveries that end in one transaction


async def end(ledger: Ledger, rows: Sequence[Delivery], why: WhyEnded, detail: str) -> None:
    """Make these undeliverable for this reason. detail: a line for people. Raises LedgerError.

    A deliverer's outcome that comes later overrides it: that one was delivered, or is retried.
    """
    for start in range(0, len(rows), AT_ONCE):
        now = int(time() * 1000)
        reason = Attempt(now, 0, why, detail)
        await ledger.write([undeliverable(row, reason) for row in rows[start : start + AT_ONCE]])


def undeliverable(row: Delivery, reason: Attempt) -> Outcome:
    """The outcome of a delivery that ends for this reason."""
    return Outcome(
        key=row.key,
        state=State.UNDELIVERABLE,
        round=row.round,
        attempts=row.attempts,
        at=reason.at,
        failed=reason,
    )
