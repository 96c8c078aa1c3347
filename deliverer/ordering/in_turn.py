"""One message of an abonnement with order per hoofdObject: it is attempted when it is its turn.

It waits in hand for a moment, and else in the ledger (RETURNING, in its next round): its message is
acknowledged, takes no place of others, and comes back when the one before it has ended. While the ledger is
away nothing of such an abonnement is attempted; of all others it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from uuid import UUID

from deliverer.attempting.deliver import Deliverer
from deliverer.attempting.settle import Delivery, Settle
from deliverer.attempting.wanted import is_wanted
from deliverer.ordering.asking import Asking
from deliverer.ordering.lanes import LaneKey, Lanes, Place
from deliverer.ordering.releasing import AT_ONCE, Releasing
from deliverer.ordering.turns import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    NEXT,
    PATIENCE,
    Decision,
    Go,
    InHand,
    Mine,
    Park,
    Settled,
    decide,
)
from deliverer.outcomes.account import Account
from ledger.ids import received_of
from ledger.keeper.giving_back.giving import AGAIN
from ledger.tables.rows import last_segment
from ledger.tables.turns import Ahead, Turn, behind
from ledger.values import Attempt, Key, Outcome, State, WhyEnded, moment_of
from ledger.values import Delivery as Row
from ledger.writer import Writer
from runtime.log import logger
from runtime.memory.bounded import Bounded
from schemas.abonnement import Abonnement
from schemas.abonnement import State as Condition
from schemas.delivery_options.order import Order
from schemas.errors import LedgerError, ParseError
from schemas.notificatie import read_accepted

WRITE_WITHIN = 5.0  # seconds for the commit with which a message waits in the ledger
AWAY_PAUSE = 0.5  # seconds between two questions to a ledger that does not answer
KEPT_IN_HAND = 600.0
"""Seconds that a message is in hand without its turn being known; RabbitMQ allows 30 minutes."""
OUTCOME_WITHIN = 0.15  # seconds in which the outcome of a failed attempt is in the ledger, mostly
REMEMBERED = 1000  # deliveries that were told to be set aside, or for which others wait; and lanes

log = logger(__name__)


class InTurn:
    """`deliver` in place of that of the Deliverer. enabled: whether delivery options have an effect.

    places: how many messages of an abonnement this process may have in hand; None: as many as of any.
    """

    def __init__(
        self,
        deliverer: Deliverer,
        *,
        abonnementen: Mapping[UUID, Abonnement],
        asking: Asking,
        releasing: Releasing,
        settle: Settle,
        account: Account,
        writer: Writer,
        enabled: bool,
        places: Callable[[UUID], int | None],
    ) -> None:
        self._places = places
        self._deliverer = deliverer
        self._abonnementen = abonnementen
        self._asking = asking
        self._releasing = releasing
        self._settle = settle
        self._account = account
        self._writer = writer
        self._enabled = enabled
        self._lanes = Lanes()
        self._told: Bounded[Key, None] = Bounded(REMEMBERED)
        self._waited_for: Bounded[UUID, None] = Bounded(REMEMBERED)  # notificaties
        self._heads: Bounded[LaneKey, tuple[Row, float]] = Bounded(REMEMBERED)

    def deliver(self, delivery: Delivery) -> Awaitable[object]:
        """Deliver one message and settle it, as `Deliverer.deliver`; in order where that is asked for."""
        order = self._order(self._abonnementen.get(delivery.abonnement))
        return self._deliverer.deliver(delivery) if order is None else self._in_order(delivery, order)

    async def has_turn(self, delivery: Delivery, abonnement: Abonnement) -> bool | None:
        """Whether a probe may use this message; if not, it waits in the ledger from now on, or has ended.

        None when that is not known: it is to stay in its queue.
        """
        order = self._order(abonnement)
        if order is None or (lane := lane_of(delivery)) is None:
            return True
        try:
            with self._lanes.place(lane, delivery.key) as place:
                turn = await self._asking.turn(lane, delivery.key)
                match self._decide(delivery, place, lane, turn, order, waited=PATIENCE):
                    case Go():
                        return True
                    case InHand():
                        return None
                    case Settled():
                        await self._settle.drop(delivery)
                    case Park() as park:
                        await self._park(delivery, place, lane, order, park)
                return False
        except LedgerError:
            return None

    def _order(self, abonnement: Abonnement | None) -> Order | None:
        if abonnement is None or abonnement.options is None or not self._enabled:
            return None
        return abonnement.options.order

    async def _in_order(self, delivery: Delivery, order: Order) -> None:
        if self._deliverer.waits(delivery) or (lane := lane_of(delivery)) is None:
            await self._deliverer.deliver(delivery)
            return
        with self._account.in_hand(delivery.key):
            began = time.monotonic()
            with self._lanes.place(lane, delivery.key) as place:
                if not await self._wait(delivery, place, lane, order):
                    return
                sent = time.monotonic()
                delivered = await self._deliverer.deliver(delivery)
                if delivered:
                    self._lanes.delivered(place, in_round=delivery.history.round, now=time.monotonic())
            now = time.monotonic()
            if not delivered and await self._is_open(delivery, lane):
                return
            # Else nothing behind it waits in the ledger: that begins after PATIENCE.
            may_be = self._was_waited_for(delivery) or now - began > PATIENCE / 2
            if may_be or self._has_few_places(delivery.abonnement):
                # As many as are delivered, at this pace, within the PATIENCE of the last of them.
                most = round(PATIENCE / max(now - sent, 0.01))
                await self._releasing.after(delivery.key, most=max(1, min(AT_ONCE, most)))

    async def _wait(self, delivery: Delivery, place: Place, lane: LaneKey, order: Order) -> bool:
        """Whether it is its turn now; if not, the message is settled."""
        began, pause, turn = time.monotonic(), FIRST_PAUSE, None
        while not delivery.consumer_stopped.is_set() and self._is_active(delivery):
            now = time.monotonic()
            if now - began > KEPT_IN_HAND:
                await self._settle.rest(delivery)
                return False
            is_next = len(place.before) < NEXT
            waited = now - (max(began, place.went_on) if is_next else began)
            try:
                is_new = turn is None
                turn = turn or await self._asking.turn(lane, delivery.key)
                match self._decide(delivery, place, lane, turn, order, waited=waited):
                    case Go():
                        return True
                    case Settled():
                        await self._settle.drop(delivery)
                        return False
                    case Park() as park:
                        if not self._is_wanted(delivery):
                            return True
                        await self._park(delivery, place, lane, order, park)
                        return False
                    case InHand(here=True):
                        is_copy = delivery.key.notificatie in place.before
                        await place.changed(LONGEST_PAUSE)
                        turn = None if is_copy else turn  # its row may be another by then
                    case InHand():
                        turn = None
                        if is_new:
                            await place.changed(pause)
                            pause = min(pause * 1.5, LONGEST_PAUSE)
            except LedgerError:
                turn = None
                await place.changed(AWAY_PAUSE)
        await self._settle.hold(delivery)
        return False

    def _decide(
        self, delivery: Delivery, place: Place, lane: LaneKey, turn: Turn, order: Order, *, waited: float
    ) -> Decision:
        key, round_ = delivery.key, delivery.history.round
        mine = Mine(
            key=key,
            round=round_,
            before=place.before,
            delivered=self._lanes.was_delivered,
            waited=waited,
            age=_age(delivery),
            has_ended=self._lanes.was_delivered(key, in_round=round_),
            waited_for=partial(self._waited_behind, lane),
            few_places=self._has_few_places(key.abonnement),
        )
        decision = decide(turn, mine, set_aside_after=order.set_aside_after)
        if isinstance(decision, Go):
            for each in decision.set_aside:
                self._tell(each)
        return decision

    def _has_few_places(self, abonnement: UUID) -> bool:
        """Whether few of its messages are in hand of each process, by a rate or a concurrency."""
        places = self._places(abonnement)
        return places is not None and places < AT_ONCE

    def _waited_behind(self, lane: LaneKey, head: Row) -> float:
        """Seconds for which messages of this lane have waited here for `head`, as its row is."""
        now = time.monotonic()
        known, since = self._heads.get(lane, (None, now))
        if known != head:
            self._heads[lane] = (head, now)
            return 0.0
        return now - since

    async def _park(self, delivery: Delivery, place: Place, lane: LaneKey, order: Order, park: Park) -> None:
        """Have it wait in the ledger, and acknowledge its message. Raises LedgerError: it stays in hand."""
        at = time.time_ns() // 1_000_000
        key, history = delivery.key, delivery.history
        if self._deliverer.was_held_too_long(delivery):
            await self._end_too_old(delivery, park, at=at)
            return
        outcome = Outcome(
            key,
            State.RETURNING,
            round=history.round + 1,
            attempts=history.attempts,
            at=at,
            wait=park.seconds - AGAIN,  # the keeper brings back what is RETURNING for AGAIN seconds
            failed=behind(at, park.earlier),
            waits=True,
        )
        await self._writer.add(outcome, within=WRITE_WITHIN)
        self._waited_for[park.earlier] = None
        self._deliverer.counts["waiting for an earlier one"] += 1
        log.debug(
            "waits for an earlier one",
            notificatie=delivery.notificatie,
            abonnement=str(delivery.abonnement),
            earlier=str(park.earlier),
            at_most=round(park.seconds, 1),
        )
        await self._settle.drop(delivery)
        # The one before it may have ended meanwhile, and whoever ended it did not see this one wait.
        with suppress(LedgerError):
            turn = await self._asking.turn(lane, key)
            mine = Mine(key, history.round + 1, place.before, self._lanes.was_delivered, 0.0, 0.0)
            is_turn = isinstance(decide(turn, mine, set_aside_after=order.set_aside_after), Go)
            if turn.own is not None and turn.own.state is State.RETURNING and is_turn:
                await self._releasing.bring([turn.own])

    async def _end_too_old(self, delivery: Delivery, park: Park, *, at: int) -> None:
        """Make one undeliverable that waits for longer than is allowed, as the keeper does: in the ledger.

        Raises LedgerError.
        """
        why = Attempt(at, 0, WhyEnded.RETENTION, f"waited for {park.earlier}, and longer than is allowed")
        history = delivery.history
        outcome = Outcome(
            delivery.key,
            State.UNDELIVERABLE,
            round=history.round,
            attempts=history.attempts,
            at=at,
            failed=why,
        )
        await self._writer.add(outcome, within=WRITE_WITHIN)
        self._deliverer.tell_undeliverable(
            {
                "notificatie": delivery.notificatie,
                "abonnement": str(delivery.abonnement),
                "failure": why.kind,
                "detail": why.detail,
            }
        )
        await self._settle.drop(delivery)

    async def _is_open(self, delivery: Delivery, lane: LaneKey) -> bool:
        """Whether one that was not delivered is still to be, as far as is known."""
        # Its outcome is in the ledger by then, mostly. Where it is not, those behind it come back later.
        await asyncio.sleep(OUTCOME_WITHIN)
        try:
            turn = await self._asking.turn(lane, delivery.key)
        except LedgerError:
            return True
        return turn.own is None or turn.own.is_open

    def _was_waited_for(self, delivery: Delivery) -> bool:
        """Whether it may have come before: it was attempted, given back, or put off without an attempt."""
        put_off = delivery.history.due is not None or delivery.key.notificatie in self._waited_for
        return delivery.again or put_off

    def _is_wanted(self, delivery: Delivery) -> bool:
        abonnement = self._abonnementen.get(delivery.abonnement)
        return abonnement is None or is_wanted(delivery, abonnement)

    def _is_active(self, delivery: Delivery) -> bool:
        abonnement = self._abonnementen.get(delivery.abonnement)
        return abonnement is not None and abonnement.state is Condition.ACTIVE

    def _tell(self, ahead: Ahead) -> None:
        """Say once that one is set aside."""
        key = ahead.delivery.key
        if key in self._told:
            return
        self._told[key] = None
        self._deliverer.counts["set aside"] += 1
        log.warning(
            "set aside: those behind it go on",
            notificatie=str(key.notificatie),
            abonnement=str(key.abonnement),
            state=str(ahead.delivery.state),
            failing_since=moment_of(ahead.first_failed),
        )


def lane_of(delivery: Delivery) -> LaneKey | None:
    """The lane of a message; None of one that has no order: without a hoofdObject, or not a gateway's."""
    if received_of(delivery.key.notificatie) is None:
        return None
    try:
        url = read_accepted(delivery.body)["hoofdObject"]
    except (ParseError, KeyError, TypeError):
        return None
    if not isinstance(url, str) or not url:
        return None
    return LaneKey(delivery.abonnement, delivery.key.replay, last_segment(url))


def _age(delivery: Delivery) -> float:
    """Seconds since it was accepted, by its id."""
    received = received_of(delivery.key.notificatie)
    return 0.0 if received is None else max(0.0, time.time() - received / 1000)
