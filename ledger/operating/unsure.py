"""Deliveries that are UNSURE, and what an operator decides of them: given back, or taken as delivered.

They were open in an older copy of the ledger that was put back, or in one that was rebuilt. The keeper
publishes what is given back, as all that is RETURNING; so this needs no RabbitMQ.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from ledger.ids import received_of
from ledger.ledger import Ledger
from ledger.operating.sending import returning
from ledger.values import TAKEN_AS_DELIVERED, Attempt, Delivery, Outcome, State

AT_ONCE = 500  # deliveries in one transaction
SAMPLE = 3  # ids of each abonnement


@dataclass(slots=True)
class Unsure:
    """Totals of what is UNSURE of one abonnement. oldest, newest: milliseconds. sample: the oldest ids."""

    count: int = 0
    oldest: int = 0
    newest: int = 0
    sample: list[UUID] = field(default_factory=list)

    def add(self, row: Delivery) -> None:
        """Count one more; they must come in order, the oldest first."""
        at = accepted(row)
        self.oldest = self.oldest or at
        self.newest = at
        self.count += 1
        if len(self.sample) < SAMPLE:
            self.sample.append(row.key.notificatie)


def accepted(row: Delivery) -> int:
    """When its notificatie was accepted, in milliseconds since 1970."""
    return received_of(row.key.notificatie) or row.last_at


async def unsure(
    ledger: Ledger, *, abonnement: UUID | None = None, since: int | None = None
) -> AsyncIterator[Delivery]:
    """What is UNSURE of all abonnementen or this one, accepted at `since` (milliseconds) or later."""
    for uuid in [abonnement] if abonnement is not None else sorted(await ledger.backlogs()):
        async for row in ledger.open_of(uuid):
            if row.state is State.UNSURE and (since is None or accepted(row) >= since):
                yield row


async def decide(
    ledger: Ledger, rows: AsyncIterator[Delivery], outcome: Callable[[Delivery], Outcome]
) -> int:
    """Write `outcome` for these, except where another came meanwhile; returns how many.

    `rows` is read while it is worked on.
    """
    decided, page = 0, list[Delivery]()
    async for row in rows:
        page.append(row)
        if len(page) == AT_ONCE:
            decided += await _decide(ledger, page, outcome)
            page = []
    return decided + await _decide(ledger, page, outcome)


async def _decide(ledger: Ledger, rows: Sequence[Delivery], outcome: Callable[[Delivery], Outcome]) -> int:
    now = [await ledger.delivery(row.key) for row in rows]
    still = [row for row in now if row is not None and row.state is State.UNSURE]
    if still:
        await ledger.write([outcome(row) for row in still])
    return len(still)


def given_back(row: Delivery) -> Outcome:
    """The outcome of one that is sent again: the keeper publishes it."""
    return returning(replace(row, round=row.round + 1))


def taken_as_delivered(row: Delivery) -> Outcome:
    """The outcome of one that an operator calls delivered. Not REMOVED: a later outcome may still count."""
    now = time.time_ns() // 1_000_000
    why = Attempt(now, 0, TAKEN_AS_DELIVERED, "door de beheerder als afgeleverd aangemerkt")
    return Outcome(row.key, State.DELIVERED, round=row.round, attempts=row.attempts, at=now, failed=why)
