"""Writes outcomes and heartbeats to the ledger, and reads a row before an attempt that is not the first.

Outcomes go into group commits; nothing waits for these. A heartbeat every few seconds lists the deliveries
that this process has in hand, or whose outcome is not stored yet: the keeper gives none of these back.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from time import monotonic
from uuid import UUID

from deliverer.http.client import Failure
from ledger import values
from ledger.ids import received_of
from ledger.values import (
    CONSOLIDATED,
    CUT_OFF,
    EVERYTHING,
    NO_EVENT,
    ORIGINAL,
    Attempt,
    Heartbeat,
    Key,
    Outcome,
    Probe,
    State,
    ms_of,
)
from ledger.writer import Writer
from router.history import History
from runtime.log import logger
from runtime.metrics.histogram import Histogram
from schemas.errors import LedgerError

BEAT = 5.0  # seconds between two heartbeats
BACK_WITHIN = 2.0  # seconds for the one that says that there is RabbitMQ again
MOST_KEYS = 4000  # that a heartbeat names one by one
LOOK_TIMEOUT = 0.25  # seconds; after that an attempt is made without a look
FINAL_IN_ANY_CASE = 2**62
"""In the place of a change number in `not_wanted`: of what was matched by fewer rules than there are."""
LOOK_AGAIN = 5.0  # seconds after a look that took too long
ARRIVALS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    *(300.0, 1800.0, 7200.0, 28_800.0, 86_400.0),
)  # seconds from accepted to delivered, for the metrics

log = logger(__name__)

Look = Callable[[Key], Awaitable[values.Delivery | None]]
Then = Callable[[], None] | None


class _Hand:
    """A delivery in hand, or an outcome that is not stored. Hashed by identity: faster than a Key."""

    __slots__ = ("key",)

    def __init__(self, key: Key) -> None:
        self.key = key


class Account:
    """The ledger as one deliverer process uses it.

    look: returns the ledger's row of a delivery; raises LedgerError. process: a unique name. counts: where
    dropped deliveries are counted. arrivals: seconds from accepted to delivered, of what is no replay.
    delivered_to: how many were delivered, by abonnement. is_cut_off: whether it has no RabbitMQ; may be set.
    """

    def __init__(self, writer: Writer, look: Look, *, process: str, counts: Counter[str]) -> None:
        self._writer = writer
        self._look = look
        self._process = process
        self._counts = counts
        self._hands: set[_Hand] = set()
        self._look_again = 0.0
        self._has_stopped = False
        self._said_cut_off = False
        self.is_cut_off: Callable[[], bool] = lambda: False
        self.arrivals = Histogram(ARRIVALS)
        self.delivered_to: Counter[UUID] = Counter()

    @property
    def is_away(self) -> bool:
        """Whether the ledger cannot be written now, as far as known."""
        return bool(self._writer.why_not)

    @contextmanager
    def in_hand(self, key: Key) -> Iterator[None]:
        """Count it as in hand of this process, until the context has ended and its outcome is stored."""
        hand = _Hand(key)
        self._hands.add(hand)
        try:
            yield
        finally:
            self._hands.discard(hand)

    def delivered(self, key: Key, history: History, *, status: int, ms: float, then: Then = None) -> None:
        """Its callback answered 2xx after `ms` milliseconds. then: called when that is stored or given up."""
        at = _now()
        outcome = Outcome(
            key=key,
            state=State.DELIVERED,
            round=history.round,
            attempts=history.attempts + 1,
            at=at,
            status=status,
            ms=ms,
        )
        self._note(key, outcome, then)
        self.delivered_to[key.abonnement] += 1
        if key.replay == ORIGINAL and (received := received_of(key.notificatie)) is not None:
            self.arrivals.observe((at - received) / 1000)

    def retrying(self, key: Key, history: History, *, wait: float, ms: float | None) -> None:
        """It is in a wait queue after the last attempt of `history`. wait: seconds until the next."""
        self._ended(key, State.RETRYING, history, wait=wait, ms=ms)

    def rested(self, key: Key, history: History, *, wait: float) -> None:
        """It is in a wait queue without an attempt, and goes to the end of its queue after `wait` seconds."""
        state = State.RETRYING if history.attempts else State.PENDING
        outcome = Outcome(key, state, round=history.round, attempts=history.attempts, at=_now(), wait=wait)
        self._note(key, outcome)

    def undeliverable(self, key: Key, history: History, *, at: datetime, ms: float | None) -> None:
        """It is in the undeliverable after the last attempt of `history`. at: as its message says."""
        self._ended(key, State.UNDELIVERABLE, history, at=ms_of(at), wait=None, ms=ms)

    def not_wanted(self, key: Key, history: History, *, kanalen_change: int) -> None:
        """Its abonnement does not want it. kanalen_change: that of the abonnement.

        The ledger decides whether that is final: only when that change came after the acceptance.
        """
        outcome = Outcome(
            key=key,
            state=State.NOT_WANTED,
            round=history.round,
            attempts=history.attempts,
            at=_now(),
            kanalen_change=kanalen_change,
        )
        self._note(key, outcome)

    def consolidated(self, key: Key, history: History, *, into: UUID) -> None:
        """It is not sent, since a newer notificatie about the same resource stands for it."""
        self._counts["consolidated"] += 1
        self._not_sent(key, history, CONSOLIDATED, str(into))

    def no_event(self, key: Key, history: History, *, detail: str) -> None:
        """It becomes no CloudEvent for its abonnement, which is final. detail: as of NO_EVENT."""
        self._not_sent(key, history, NO_EVENT, detail)

    def _not_sent(self, key: Key, history: History, kind: str, detail: str) -> None:
        """It ends without being sent, with a note that says why."""
        outcome = Outcome(
            key=key,
            state=State.NOT_WANTED,
            round=history.round,
            attempts=history.attempts,
            at=(at := _now()),
            failed=Attempt(at, 0, kind, detail),
        )
        self._note(key, outcome)

    def not_counted(self, key: Key, failure: Failure, *, ms: float | None) -> None:
        """A probe failed, or an attempt after which its abonnement was held: its state is the same."""
        attempt = Attempt(_now(), 0, str(failure.kind), failure.detail, failure.status, ms)
        self._note(key, Probe(key, attempt))

    async def overtaken(self, key: Key, history: History) -> bool:
        """Whether the ledger says that it is settled, or that there is a newer round.

        False when the ledger does not answer in time.
        """
        if monotonic() < self._look_again:
            return False
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                row = await self._look(key)
        except TimeoutError:
            self._look_again = monotonic() + LOOK_AGAIN
            return False
        except LedgerError:
            return False
        if row is None or not row.overtakes(history.round):
            return False
        self._counts["settled before"] += 1
        log.debug(
            "not attempted: settled before, or given back since",
            notificatie=str(key.notificatie),
            abonnement=str(key.abonnement),
            state=str(row.state),
            round=row.round,
        )
        return True

    async def run(self) -> None:
        """Write heartbeats, until `stopped`."""
        while not self._has_stopped:
            await self._beat(within=BEAT)
            await asyncio.sleep(BEAT)

    async def is_back(self) -> bool:
        """Call when there is RabbitMQ again; whether others were told that it was cut off.

        Then they know better now, as far as the ledger could be written.
        """
        if was_told := self._said_cut_off:
            await self._beat(within=BACK_WITHIN)
        return was_told

    async def _beat(self, *, within: float) -> None:
        beat = self._heartbeat()
        self._said_cut_off = CUT_OFF in beat.hands
        with suppress(LedgerError):
            await self._writer.add(beat, within=within)

    def stopped(self) -> None:
        """Write that this process has nothing in hand; to be called last."""
        self._has_stopped = True
        self._writer.note(Heartbeat(self._process, all_flushed=not self.is_away, stopped=True))

    def _heartbeat(self) -> Heartbeat:
        hands = frozenset(hand.key for hand in self._hands)
        if len(hands) > MOST_KEYS:
            hands = frozenset(Key(EVERYTHING, uuid) for uuid in {key.abonnement for key in hands})
        if not hands and self.is_cut_off():
            hands = frozenset({CUT_OFF})
        # Outcomes that are not stored yet are in `hands`, so all others are stored.
        return Heartbeat(self._process, all_flushed=True, hands=hands)

    def _ended(
        self,
        key: Key,
        state: State,
        history: History,
        *,
        wait: float | None,
        ms: float | None,
        at: int | None = None,
    ) -> None:
        last = history.failures[-1] if history.failures else None
        failed = None
        if last is not None:
            number = history.attempts
            failed = Attempt(ms_of(last.at), number, last.kind, last.detail, last.status, ms)
        outcome = Outcome(
            key=key,
            state=state,
            round=history.round,
            attempts=history.attempts,
            at=_now() if at is None else at,
            wait=wait,
            failed=failed,
        )
        self._note(key, outcome)

    def _note(self, key: Key, event: Outcome | Probe, then: Then = None) -> None:
        hand = _Hand(key)
        self._hands.add(hand)
        self._writer.note(event, then=partial(self._stored, hand, then))

    def _stored(self, hand: _Hand, then: Then) -> None:
        self._hands.discard(hand)
        if then is not None:
            then()


def is_again(history: History, *, redelivered: bool) -> bool:
    """Whether a message may have been attempted or settled before."""
    return redelivered or history.attempts > 0 or history.round > 0


def _now() -> int:
    return int(time.time() * 1000)
