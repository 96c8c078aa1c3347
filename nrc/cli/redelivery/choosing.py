"""Finds the deliveries that a command means: by ids of notificaties and an abonnement, also in part."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence, Set
from dataclasses import dataclass, field
from uuid import UUID

from ledger.values import Delivery, Key, State
from nrc.cli.terminal import ids
from nrc.cli.tracing.account import Account

MOST_ALIKE = 10_000  # deliveries of notificaties whose ids begin with what is typed
PAGE = 500  # notificaties that are read together
_HINTS = {
    State.PENDING: "it is in the queue of its abonnement, or on its way there",
    State.RETURNING: "it waits for an earlier one, or is on its way to the queue of its abonnement again",
    State.UNDELIVERABLE: "it is undeliverable: `nrc undeliverable resend` sends it again",
    State.DELIVERED: "it is delivered: `nrc resend` sends it once more",
    State.RETRYING: "it waits for its next attempt: `nrc retry` is for that",
    State.STUCK: "it is stuck: `nrc retry` is for that",
}


@dataclass(slots=True)
class Chosen:
    """What was found. refused: deliveries in another state. missing: ids that do not exist."""

    rows: list[Delivery] = field(default_factory=list)
    refused: list[Delivery] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def why_refused(row: Delivery) -> str:
    """Why the command does nothing with this delivery."""
    return _HINTS.get(row.state, f"it is {row.state}")


async def choose(
    account: Account, typed: Sequence[str], abonnement: str | None, *, states: Set[State]
) -> Chosen:
    """Deliveries in one of `states`, of these notificaties (none: of all), to this abonnement (None: to all).

    abonnement: may be one that was removed. Raises UsageError when what is typed means several.
    """
    chosen = Chosen()
    if not typed:
        if states == {State.UNDELIVERABLE}:
            uuid = await of_undeliverable(account, abonnement or "")
            chosen.rows = [row async for row in every_undeliverable(account, uuid)]
        else:
            uuid = account.abonnement(abonnement or "")
            from operating.notificaties.redelivering import of_abonnement

            chosen.rows = await of_abonnement(account.ledger, uuid, states=states)
        return chosen
    for each in dict.fromkeys(typed):
        rows = await of_notificatie(account, each)
        if abonnement is not None and rows:
            uuid = account.abonnement(abonnement, {row.key.abonnement for row in rows})
            rows = [row for row in rows if row.key.abonnement == uuid]
        fit = [row for row in rows if row.state in states]
        chosen.rows += fit
        if not rows:
            chosen.missing.append(each)
        elif not fit:
            chosen.refused += rows
    return chosen


async def of_notificatie(account: Account, typed: str) -> list[Delivery]:
    """The deliveries of a notificatie, by its id, whole or in part. Raises UsageError."""
    first, last = ids.between(typed)
    rows = await account.ledger.deliveries_between(first, last, limit=MOST_ALIKE)
    ids.the_one(typed, (str(row.key.notificatie) for row in rows), what="notificatie")
    return list(rows)


async def of_undeliverable(account: Account, typed: str) -> UUID:
    """The abonnement that is typed: also a removed one for which something is undeliverable.

    Raises UsageError and Conflict.
    """
    if ids.is_whole(typed):
        return UUID(typed)
    others = {row.key.abonnement async for row in every_undeliverable(account)}
    return account.abonnement(typed, others)


async def every_undeliverable(account: Account, abonnement: UUID | None = None) -> AsyncIterator[Delivery]:
    """All undeliverable deliveries, the oldest first; also those without an entry in the ledger."""
    after: Key | None = None
    while page := await account.ledger.undeliverable(abonnement=abonnement, limit=PAGE, after=after):
        for row in page:
            yield row
        after = page[-1].key
