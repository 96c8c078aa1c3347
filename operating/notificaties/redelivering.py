"""Has one delivery made again, or not at all any more: what `nrc resend` and `nrc retry` do, and the console.

Each returns what became of it; noting that is `note`'s.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from ledger.explaining.account import Account
from ledger.keeper_ledger import Hands
from ledger.ledger import Ledger
from ledger.operating.replays import Plan, Progress
from ledger.operating.sending import Sending, Sent, removed
from ledger.values import LIVE, Delivery, Notificatie, Search, State, is_in_hand
from operating.acts import Log
from router.catalogue import Catalogue
from router.matching.filters import matches
from router.publishing import Publisher
from runtime.lifecycle import Tasks
from schemas.notificatie import values_of
from store.registry import Act

SENT_ONCE_MORE = "notificatie sent once more"
SENT_AGAIN = "notificatie sent again"
SENT_NOW = "retry sent now"
DROPPED = "retry dropped"
REMOVED = "undeliverable notificatie removed"

MAY_BE_SENT_NOW = frozenset({State.RETRYING, State.STUCK})
MAY_BE_DROPPED = MAY_BE_SENT_NOW | {State.RETURNING}
"""For these a deliverer reads the row before it attempts the copy that RabbitMQ still has."""

READY_TIMEOUT = 5.0  # seconds
AT_ONCE = 500  # rows in one transaction
PAGE = 500  # notificaties that are looked at together


class WhyNot(StrEnum):
    """Why a notificatie is not sent to an abonnement once more."""

    NO_ABONNEMENT = "no_abonnement"
    """It does not exist (any more)."""
    STILL_TO_COME = "still_to_come"
    """A delivery of it to this abonnement is open."""
    NOT_ASKED_FOR = "not_asked_for"
    """The filters of the abonnement do not match it."""


@dataclass(frozen=True, slots=True)
class TakenOut:
    """done: are REMOVED. under_way: of these an attempt may be under way; nothing breaks that off.

    changed: were in another state meanwhile, and are left alone.
    """

    done: Sequence[Delivery]
    under_way: Sequence[Delivery]
    changed: Sequence[Delivery]


@asynccontextmanager
async def opened_sending(
    publisher: Publisher, ledger: Ledger, catalogue: Catalogue
) -> AsyncIterator[Sending]:
    """Sends deliveries of this ledger again while it is open. Raises BrokerUnavailable."""
    async with Tasks() as tasks:
        tasks.start("publishing", publisher.run())
        await publisher.wait_ready(READY_TIMEOUT)
        yield Sending(ledger, publisher, kanalen=catalogue.kanalen, pulled=catalogue.pulled)


async def of_abonnement(
    ledger: Ledger, abonnement: UUID, *, states: Set[State], most: int | None = None
) -> list[Delivery]:
    """Every delivery to this abonnement in one of these states, the oldest first. most: of them."""
    search = Search(abonnement=abonnement, states=frozenset(states))
    rows: list[Delivery] = []
    after: UUID | None = None
    while True:
        page = await ledger.search(search, limit=PAGE, after=after, oldest_first=True)
        by_id = await ledger.deliveries([each.id for each in page])
        for each in page:
            rows += [
                row for row in by_id[each.id] if row.key.abonnement == abonnement and row.state in states
            ]
        if len(page) < PAGE or (most is not None and len(rows) >= most):
            return rows[:most]
        after = page[-1].id


async def why_not(
    account: Account, notificatie: Notificatie, abonnement: UUID, rows: Iterable[Delivery]
) -> WhyNot | None:
    """Why nobody would want to send it to this abonnement once more; None when that may be done.

    rows: its deliveries to this abonnement. What is not asked for may be sent all the same.
    """
    known = account.catalogue.everyone.get(abonnement)
    if known is None:
        return WhyNot.NO_ABONNEMENT
    if any(row.is_open for row in rows):
        return WhyNot.STILL_TO_COME
    whole = await account.ledger.notificatie(notificatie.id)
    kenmerken = values_of(whole.body) if whole is not None and whole.body is not None else None
    if kenmerken is not None and not matches(known, notificatie.kanaal, kenmerken):
        return WhyNot.NOT_ASKED_FOR
    return None


async def resend(ledger: Ledger, sending: Sending, notificatie: UUID, to: UUID, *, reason: str) -> Sent:
    """Send it to this abonnement once more, as a delivery of its own. Raises as `Sending.send`."""
    plan = Plan(to, Search(text=str(notificatie)), reason, rate=1, total=1)
    replay = await ledger.replays.make(plan, progress=Progress.DONE)
    return await sending.replay(notificatie, to, number=replay.number)


async def take_out(
    ledger: Ledger, rows: Sequence[Delivery], *, states: Set[State]
) -> AsyncIterator[TakenOut]:
    """These are REMOVED, for good, those that are still in one of `states`: what was done, piece by piece.

    Raises LedgerError; what was told before that stands.
    """
    for start in range(0, len(rows), AT_ONCE):
        piece = rows[start : start + AT_ONCE]
        now = {row.key: await ledger.delivery(row.key) or row for row in piece}
        meant = [row for row in now.values() if row.state in states]
        hands = await ledger.keeping.hands(live=LIVE)
        await ledger.write([removed(row) for row in meant])
        yield TakenOut(
            meant,
            [row for row in meant if _may_be_under_way(row, hands)],
            [row for row in now.values() if row.state not in states],
        )


def _may_be_under_way(row: Delivery, hands: Hands) -> bool:
    """Whether an attempt may be under way, by the heartbeats of deliverers of the last seconds."""
    if not row.is_open:
        return False
    due = row.next_at is None or row.next_at <= hands.now
    return is_in_hand(row.key, hands.keys) or (row.state is not State.STUCK and due)


def note(log: Log, act: str, row: Delivery, *, why: str = "") -> Act:
    """Note in the audit log that it was done to this one; `log.keep` puts that into the registry."""
    key = row.key
    return log.append(
        act,
        notificatie=key.notificatie,
        abonnement=key.abonnement,
        replay=key.replay or None,
        why=why or None,
    )
