"""Sends deliveries again for an operator, each into the queue of its one abonnement.

Each is committed as RETURNING in its next round, and then published. RabbitMQ may still have an older copy
(in a wait queue, or undeliverable): a deliverer reads the row before it attempts that one, and drops it. What
RabbitMQ did not confirm stays RETURNING, and the keeper publishes it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from ledger.keeper.giving_back.message import message_of
from ledger.keeper.giving_back.publishing import notificaties_of, publish_all
from ledger.ledger import Ledger
from ledger.operating.replays import FIRST_ROUND
from ledger.values import (
    Attempt,
    Cause,
    Delivery,
    Key,
    Notificatie,
    Outcome,
    State,
    WhyEnded,
    returned,
)
from router.history import resent_header
from router.names import abonnement_queue
from router.publishing import Outgoing, Publisher
from router.queue_depth import depths
from schemas.errors import BrokerError, BrokerUnavailable, MessageTooLarge
from schemas.kanaal import Kanaal

AT_ONCE = 100
"""Deliveries in one transaction, and published at the same time."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The result for one delivery. problem: why RabbitMQ does not have it; "" when it has.

    later: RabbitMQ did not confirm it, and the keeper sends it.
    """

    delivery: Delivery
    problem: str = ""
    later: bool = False


class Sending:
    """Sends again through `publisher`, a mandatory one that its owner runs. kanalen: by naam.

    pulled: abonnementen without a queue; what is for these is ready once it is PENDING.
    """

    def __init__(
        self,
        ledger: Ledger,
        publisher: Publisher,
        *,
        kanalen: Mapping[str, Kanaal],
        pulled: Container[UUID] = frozenset(),
    ) -> None:
        self._pulled = pulled
        self._ledger = ledger
        self._publisher = publisher
        self._kanalen = kanalen
        self._standing: dict[UUID, bool] = {}

    async def send(self, rows: Sequence[Delivery], *, anew: bool, tell: Callable[[Sent], None]) -> None:
        """Send these in their next round. anew: with as many attempts as a new one, else with those it has.

        tell: called with each result. One that was settled since it was read is left alone. Raises
        LedgerError, and BrokerUnavailable when RabbitMQ is away; those without a result are unchanged then.
        """
        for start in range(0, len(rows), AT_ONCE):
            wanted = [
                replace(row, round=row.round + 1, attempts=0 if anew else row.attempts, next_at=None)
                for row in rows[start : start + AT_ONCE]
            ]
            for sent in await self._send(wanted, anew=anew):
                tell(sent)

    async def replay(self, notificatie: UUID, abonnement: UUID, *, number: int) -> Sent:
        """Send it to this abonnement as a delivery of its own. Raises as `send`."""
        key = Key(notificatie, abonnement, number)
        row = Delivery(key, State.RETURNING, round=FIRST_ROUND, attempts=0, since=0, last_at=0)
        (sent,) = await self._send([row], anew=True)
        return sent

    async def _send(self, wanted: Sequence[Delivery], *, anew: bool) -> list[Sent]:
        """wanted: the rows as they will be, in the next round."""
        await self._look({row.key.abonnement for row in wanted})
        bodies = await notificaties_of(self._ledger, wanted)
        problems = {row.key: self._why_not(row, bodies) for row in wanted}
        able = [row for row in wanted if not problems[row.key]]
        await self._ledger.write([replace(returning(row), anew=anew) for row in able])
        now = {row.key: await self._ledger.delivery(row.key) or row for row in wanted}
        meant = [row for row in able if _is_still(now[row.key], row)]
        done = dict(
            zip((row.key for row in meant), await self._publish(meant, bodies, anew=anew), strict=True)
        )
        for row in able:
            if row not in meant:
                problems[row.key] = f"it is {now[row.key].state} meanwhile"
        return [done.get(row.key) or Sent(now[row.key], problems[row.key]) for row in wanted]

    async def _publish(
        self, rows: Sequence[Delivery], bodies: Mapping[UUID, Notificatie | None], *, anew: bool
    ) -> list[Sent]:
        queued = [row for row in rows if row.key.abonnement not in self._pulled]
        messages = [self._message(row, bodies[row.key.notificatie], anew=anew) for row in queued]
        found = await publish_all(self._publisher, messages)
        faults = dict(zip((row.key for row in queued), found, strict=True))
        sent = [_sent(row, faults.get(row.key)) for row in rows]
        await self._ledger.write(
            [
                _too_large(each) if each.problem else _outcome(each.delivery, State.PENDING)
                for each in sent
                if not each.later
            ]
        )
        return sent

    def _message(self, row: Delivery, notificatie: Notificatie | None, *, anew: bool) -> Outgoing:
        assert notificatie is not None  # noqa: S101 - `_why_not`
        message = message_of(row, notificatie, self._kanalen.get(notificatie.kanaal))
        if not anew:
            return message
        # The retention of a held abonnement counts from here, not from its acceptance.
        return replace(message, headers={**message.headers, **resent_header(datetime.now(UTC))})

    def _why_not(self, row: Delivery, bodies: Mapping[UUID, Notificatie | None]) -> str:
        notificatie = bodies[row.key.notificatie]
        if notificatie is None:
            return "the ledger does not have the notificatie"
        if notificatie.body is None:
            return "the ledger does not have its body any more"
        if row.key.abonnement not in self._pulled and not self._standing[row.key.abonnement]:
            return f"abonnement {row.key.abonnement} has no queue (any more)"
        return ""

    async def _look(self, abonnementen: Iterable[UUID]) -> None:
        """Ask whether the queues of these exist."""
        connection = self._publisher.link.connection
        if connection is None or not self._publisher.ready:
            raise BrokerUnavailable(self._publisher.why_not)
        asked = [uuid for uuid in abonnementen if uuid not in self._standing and uuid not in self._pulled]
        found = await depths(connection, map(abonnement_queue, asked)) if asked else {}
        self._standing |= {uuid: found[abonnement_queue(uuid)] is not None for uuid in asked}


def _sent(row: Delivery, fault: BrokerError | None) -> Sent:
    return Sent(row, str(fault or ""), later=fault is not None and not isinstance(fault, MessageTooLarge))


def removed(row: Delivery) -> Outcome:
    """The outcome of a delivery that an operator removes."""
    return _outcome(row, State.REMOVED)


def returning(row: Delivery) -> Outcome:
    """The outcome of a delivery that goes to its queue in this round, since an operator asked for it."""
    outcome = _outcome(row, State.RETURNING)
    if row.key.replay and row.round == FIRST_ROUND:
        return outcome  # for the first time
    return replace(outcome, failed=returned(outcome.at, Cause.OPERATOR))


def _is_still(now: Delivery, wanted: Delivery) -> bool:
    return now.state is State.RETURNING and now.round == wanted.round


def _too_large(sent: Sent) -> Outcome:
    """The outcome of one that RabbitMQ refuses for its size: it is not tried again."""
    failed = Attempt(_now(), 0, WhyEnded.TOO_LARGE, sent.problem)
    return replace(_outcome(sent.delivery, State.UNDELIVERABLE), failed=failed)


def _outcome(row: Delivery, state: State) -> Outcome:
    return Outcome(key=row.key, state=state, round=row.round, attempts=row.attempts, at=_now())


def _now() -> int:
    return time.time_ns() // 1_000_000
