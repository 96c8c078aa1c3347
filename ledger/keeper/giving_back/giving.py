"""A give-back: committed as RETURNING in the next round, then published to the queue of its abonnement.

In this order: what was committed and not published (the keeper died, RabbitMQ went away) is published again
after AGAIN seconds, in the same round. In the other order a publish without its commit would be repeated as
if it had not happened. With RabbitMQ's confirm the delivery is PENDING again.

Nothing is given back to an abonnement in an open gap: once that is closed, all of before is given back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence, Set
from time import monotonic
from uuid import UUID

from ledger.keeper.giving_back.message import message_of
from ledger.keeper.giving_back.publishing import notificaties_of, publish_all
from ledger.keeper.giving_back.queue_room import Room
from ledger.keeper.lease import Lease
from ledger.ledger import Ledger
from ledger.values import OPERATOR, Cause, Delivery, Notificatie, Scope
from router.publishing import Outgoing, Publisher
from runtime.log import Occasional, logger
from schemas.errors import BrokerError, BrokerUnavailable, MessageTooLarge
from schemas.kanaal import Kanaal

PER_SECOND = 200
"""Deliveries that are given back in a second, at most, where their loss is inferred (E1, E2)."""
KNOWN_PER_SECOND = 2000
"""The same where it is certain that RabbitMQ does not have them (unrouted, gaps)."""
AT_ONCE = 100
"""Deliveries in one transaction, and published at the same time."""
AGAIN = 60.0
"""Seconds after which one that RabbitMQ did not confirm is published again."""
RECONNECTED = 5.0
"""Seconds to wait for another connection, where the last one was cut over a queue that does not confirm."""
MOST_FAILURES = 3
"""Failures in a row, each of another queue, after which RabbitMQ as a whole takes nothing."""
REPORT_INTERVAL = 10.0  # seconds between two lines that say the same

log = logger(__name__)


class Giving:
    """Gives deliveries back. counts: how many, by cause, and those that RabbitMQ refused ("refused").

    stopping: set when this process stops: what is under way ends, and nothing more is begun. pulled: the
    abonnementen without a queue, whose deliveries are ready once they are PENDING.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        lease: Lease,
        room: Room,
        kanalen: Callable[[], Mapping[str, Kanaal]],
        pulled: Container[UUID] = frozenset(),
        per_second: float = PER_SECOND,
        known_per_second: float = KNOWN_PER_SECOND,
        again: float = AGAIN,
    ) -> None:
        self._publisher = publisher
        self._lease = lease
        self._room = room
        self._kanalen = kanalen
        self._pulled = pulled
        self._judged_per_second = per_second
        self._known_per_second = known_per_second
        self._again = again
        self._next = 0.0  # monotonic time before which nothing more is given back
        self._refusals = Occasional(every=REPORT_INTERVAL)
        self._takes = False
        self._failures = 0
        self.stopping = asyncio.Event()
        self.counts: Counter[str] = Counter()

    async def give(
        self,
        ledger: Ledger,
        rows: Sequence[Delivery],
        *,
        cause: Cause,
        full: set[UUID],
        caused: int | None = None,
        judged: bool = False,
    ) -> int:
        """Give back those of these that are unchanged and whose queue has room now; returns how many.

        full: abonnementen that get nothing; those whose queue has no room, or did not take something, are
        added, so that later deliveries do not overtake earlier ones. caused: when it was lost. judged: each
        counts in `given`. A queue that hangs (its leader is on a host that is gone) holds up no other: what
        is for one that took nothing the last time comes last.
        Raises LeaseLost, LedgerError, or BrokerUnavailable.
        """
        given = await self._give_to_pulled(ledger, rows, cause=cause, caused=caused, judged=judged)
        left = [row for row in rows if row.key.abonnement not in self._pulled]
        left.sort(key=lambda row: row.key.abonnement in self._room.doubted)
        while left and not self.stopping.is_set():
            full |= await in_open_gap(ledger, {row.key.abonnement for row in left})
            # One first where it is not known whether RabbitMQ takes messages: it may have an alarm.
            at_once = AT_ONCE if self._takes else 1
            piece, left = left[:at_once], left[at_once:]
            piece = [row for row in piece if row.key.abonnement not in full]
            await self._room.look({row.key.abonnement for row in piece})
            piece = [row for row in piece if self._has_room(row.key.abonnement, full)]
            if piece:
                epoch = await self._lease.keep(ledger.keeping)
                given_back = await ledger.keeping.give_back(
                    epoch, piece, cause=cause, caused=caused, judged=judged
                )
                rate = self._judged_per_second if judged else self._known_per_second
                full |= await self._publish(ledger, epoch, given_back, why=cause, rate=rate)
                given += len(piece)
        return given

    async def _give_to_pulled(
        self, ledger: Ledger, rows: Sequence[Delivery], *, cause: Cause, caused: int | None, judged: bool
    ) -> int:
        """The same for those whose consumers fetch: without RabbitMQ, and ready at once."""
        meant = [row for row in rows if row.key.abonnement in self._pulled]
        if meant:
            epoch = await self._lease.keep(ledger.keeping)
            given = await ledger.keeping.give_back(epoch, meant, cause=cause, caused=caused, judged=judged)
            await ledger.keeping.given_back(epoch, given)
        return len(meant)

    def _has_room(self, abonnement: UUID, full: set[UUID]) -> bool:
        if abonnement not in full and not self._room.take(abonnement):
            full.add(abonnement)
        return abonnement not in full

    async def give_again(self, ledger: Ledger) -> int:
        """Publish again what is RETURNING for too long; returns how many."""
        given = 0
        while not self.stopping.is_set():
            epoch = await self._lease.keep(ledger.keeping)
            rows = await ledger.keeping.give_back_again(
                epoch,
                after=self._again,
                limit=AT_ONCE if self._takes else 1,
                but=self._room.resting,
            )
            if not rows:
                break
            pulled = [row for row in rows if row.key.abonnement in self._pulled]
            await ledger.keeping.given_back(epoch, pulled)
            given += len(pulled)
            rows = [row for row in rows if row not in pulled]
            abonnementen = {row.key.abonnement for row in rows}
            await self._room.look(abonnementen)
            waits = await in_open_gap(ledger, abonnementen)
            # These get a new `since` too, so they come again after the same time.
            rows = [row for row in rows if row.key.abonnement not in waits]
            rows = [row for row in rows if self._room.take(row.key.abonnement)]
            await self._publish(ledger, epoch, rows, why="again", rate=self._judged_per_second)
            given += len(rows)
        return given

    async def _publish(
        self, ledger: Ledger, epoch: int, rows: Sequence[Delivery], *, why: str, rate: float
    ) -> set[UUID]:
        """Publish these; returns the abonnementen whose queue did not take one. Raises BrokerUnavailable."""
        if not rows:
            return set()
        notificaties = await notificaties_of(ledger, rows)
        lost = [row for row in rows if not _has_body(notificaties[row.key.notificatie])]
        if lost:
            await ledger.keeping.end(epoch, lost)
            log.error("cannot be given back: its body is gone", count=len(lost), first=_named(lost[0]))
        rows = [row for row in rows if row not in lost]
        await self._wait_for_turn(len(rows), rate=rate)
        self._lease.check()
        messages = [self._message(row, notificaties[row.key.notificatie]) for row in rows]
        faults = await publish_all(self._publisher, messages)
        for row, fault in zip(rows, faults, strict=True):
            self._heard(row, fault)
        confirmed = [row for row, fault in zip(rows, faults, strict=True) if fault is None]
        await ledger.keeping.given_back(epoch, confirmed)
        if confirmed:
            self.counts[why] += len(confirmed)
            log.info("given back", why=why, count=len(confirmed), first=_named(confirmed[0]))
        await self._go_on_after(faults)
        return {row.key.abonnement for row, fault in zip(rows, faults, strict=True) if fault is not None}

    async def _go_on_after(self, faults: Sequence[BrokerError | None]) -> None:
        """Return when more can be published. Raises BrokerUnavailable: RabbitMQ takes nothing."""
        failed = [fault for fault in faults if fault is not None]
        self._failures = self._failures + 1 if failed and len(failed) == len(faults) else 0
        if self._failures >= MOST_FAILURES:
            self._failures = 0
            raise BrokerUnavailable(str(failed[0]))
        if failed and not self._publisher.ready:
            await self._publisher.wait_ready(RECONNECTED)

    def _message(self, row: Delivery, notificatie: Notificatie | None) -> Outgoing:
        assert notificatie is not None  # noqa: S101 - it has a body
        return message_of(row, notificatie, self._kanalen().get(notificatie.kanaal))

    def _heard(self, row: Delivery, fault: BrokerError | None) -> None:
        """Count and log RabbitMQ's answer for one."""
        self._takes = fault is None
        if fault is None:
            self._room.took(row.key.abonnement)
            return
        self._room.none(row.key.abonnement)
        self.counts["refused"] += 1
        if times := self._refusals.due():
            log.warning(
                "RabbitMQ did not take what is given back",
                times=times,
                reason=str(fault),
                too_large=isinstance(fault, MessageTooLarge),
                **_named(row),
            )

    async def _wait_for_turn(self, count: int, *, rate: float) -> None:
        """Return when `count` more may be published, at `rate` a second."""
        now = monotonic()
        if (wait := self._next - now) > 0:
            await asyncio.sleep(wait)
        self._next = max(now, self._next) + count / rate


async def in_open_gap(ledger: Ledger, abonnementen: Set[UUID]) -> Set[UUID]:
    """Which of these have an open gap. An operator's gap does not count: it may be open for long."""
    gaps = [gap for gap in await ledger.keeping.gaps(done=False) if gap.closed is None]
    of = {gap.of for gap in gaps if gap.scope is not Scope.KANAAL and gap.why != OPERATOR}
    return abonnementen if "" in of else {uuid for uuid in abonnementen if str(uuid) in of}


def _has_body(notificatie: Notificatie | None) -> bool:
    return notificatie is not None and notificatie.body is not None


def _named(row: Delivery) -> dict[str, str]:
    return {"notificatie": str(row.key.notificatie), "abonnement": str(row.key.abonnement)}
