"""Decides whether it is a delivery's turn, from what is known of those before it. Pure.

Of two deliveries of one hoofdObject the later is not attempted before the earlier has ended. One whose
attempts have failed for longer than `set_aside_after`, or that an operator has to look at, is set aside:
those behind it go on. Moments are milliseconds by the database's clock, durations seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from uuid import UUID

from ledger.tables.turns import Ahead, Turn
from ledger.values import Delivery, Key, State

NEXT = 5
"""Messages of a lane that stay in hand for longer, as long as those before them are delivered."""
PATIENCE = 2.0
"""Seconds that a message stays in hand for one before it; then it waits in the ledger."""
ROW_WITHIN = 60.0
"""Seconds since its acceptance after which a notificatie that is not in the ledger is sent in any case."""
WAIT_ON = 30.0
"""Seconds that a delivery waits in the ledger, unless it is brought back before that."""
WAIT_FAR = 300.0
"""The longest such wait: the next attempt of the delivery before it may be far away."""
LONGEST = 900.0
"""The longest such wait with many deliveries before it; then it is WAIT_FAR at least."""
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.2  # seconds between two questions about one that another process has

_LEFT_ALONE = frozenset({State.STUCK, State.UNSURE})
"""Open states in which no attempt is made until an operator has looked."""


@dataclass(frozen=True, slots=True)
class Settled:
    """It ended, or there is a newer round: no attempt is made of this message."""


@dataclass(frozen=True, slots=True)
class Go:
    """It is its turn. set_aside: those before it that are not waited for."""

    set_aside: tuple[Ahead, ...] = ()


@dataclass(frozen=True, slots=True)
class InHand:
    """It waits in hand. here: for one that this process has; else the ledger is asked again."""

    here: bool


@dataclass(frozen=True, slots=True)
class Park:
    """It waits in the ledger for `earlier`; after so many seconds it comes back by itself."""

    earlier: UUID
    seconds: float


Decision = Settled | Go | InHand | Park


@dataclass(frozen=True, slots=True)
class Mine:
    """What this process knows of a message. key, round: of it.

    before: notificaties of its lane that are in hand here before it, its own for another message of it.
    delivered: whether this process has delivered one. waited: seconds that it is in hand, without those in
    which its lane went on where it is among the next. age: seconds since it was accepted. has_ended: whether
    this process has delivered it, in this round or a later one. waited_for: seconds for which messages of
    this lane have waited here for another, as its row is. few_places: whether so few messages are in hand
    here that none may wait for one that is not.
    """

    key: Key
    round: int
    before: Set[UUID]
    delivered: Callable[[Key], bool]
    waited: float
    age: float
    has_ended: bool = False
    waited_for: Callable[[Delivery], float] = lambda _: 0.0
    few_places: bool = False


def decide(turn: Turn, mine: Mine, *, set_aside_after: float) -> Decision:
    """What follows for a message from the ledger's answer and from what this process knows."""
    if (turn.own is not None and turn.own.overtakes(mine.round)) or mine.has_ended:
        return Settled()
    if mine.key.notificatie in mine.before:
        return InHand(here=True)  # another message of it; what becomes of that decides
    set_aside = [each for each in turn.ahead if is_set_aside(each, now=turn.now, after=set_aside_after)]
    aside = {each.delivery.key.notificatie for each in set_aside}
    here = mine.before - aside
    if not turn.known:
        # One put in by hand has no row at all. It cannot wait in the ledger, which lacks its body.
        return Go() if mine.age >= ROW_WITHIN and not here else InHand(here=bool(here))
    waits = [
        each
        for each in turn.ahead
        if each.delivery.key.notificatie not in aside and not mine.delivered(each.delivery.key)
    ]
    if not waits and turn.more:
        return InHand(here=False)  # there may be others, of which the next answer tells
    if not waits and not here:
        return Go(tuple(set_aside))
    until, waited = 0.0, mine.waited
    if waits:
        until = until_attempt(waits[0], now=turn.now)
        # The patience is that of the lane: else each of many keeps a place that others need.
        waited = max(waited, mine.waited_for(waits[0].delivery))
    is_here = not waits or any(each.delivery.key.notificatie in here for each in waits)
    if waited < PATIENCE and until <= PATIENCE and (is_here or not mine.few_places):
        return InHand(here=is_here)
    if not waits:
        return Park(min(here), WAIT_ON)
    head = waits[0]
    seconds = min(until + WAIT_ON, LONGEST if turn.more else WAIT_FAR)
    if turn.more:
        seconds = max(seconds, WAIT_FAR)
    if head.first_failed is not None:
        seconds = min(seconds, max((head.first_failed - turn.now) / 1000 + set_aside_after, 1.0))
    return Park(head.delivery.key.notificatie, seconds)


def is_set_aside(ahead: Ahead, *, now: int, after: float) -> bool:
    """Whether those behind it go on without it."""
    if ahead.delivery.state in _LEFT_ALONE:
        return True
    return ahead.first_failed is not None and now - ahead.first_failed >= after * 1000


def until_attempt(ahead: Ahead, *, now: int) -> float:
    """Seconds until its next attempt; 0 when it may be made now."""
    row = ahead.delivery
    # What was put off without an attempt (`consolidate`) is in its queue again from `since` on.
    due = row.since if row.state is State.PENDING else row.next_at
    return 0.0 if due is None else max(0.0, (due - now) / 1000)
