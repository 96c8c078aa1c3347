"""Accepts a CloudEvent once: its source sends it again when it got no answer, or the answer was lost.

What is known of a source and an id is in the ledger, which all gateways share and which outlives them: an
event is found by `Event.address` in the place of a resourceUrl. So nothing is written for this alone. What
this process accepted or refused itself it remembers, since the ledger may be behind. Where the ledger cannot
be read an event is accepted, perhaps for the second time: nothing is lost, and consumers know it by its id.
Reasons: docs/decisions/0065-cloudevents-in.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from time import monotonic, time
from typing import TypeVar
from uuid import UUID

from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.values import ORIGINAL, Delivery, Notificatie, Search, State
from runtime.log import Occasional, logger
from runtime.memory.bounded import Bounded
from schemas.errors import LedgerError, ParseError
from schemas.events.event import Event
from schemas.fields import EVENTS
from schemas.notificatie import read_accepted

LOOK_WITHIN = 1.0  # seconds for the ledger's answer
MOST_REMEMBERED = 10_000
MOST_COMPARED = 20  # events with the same id, of several sources
REFUSED_WITHIN = 5.0
"""Seconds after which a gateway that refuses an event has said so in the ledger."""
LOOK_AGAIN = 0.5  # seconds until a second look at an event that is that young
REPORT_INTERVAL = 30.0  # seconds

V = TypeVar("V")

log = logger(__name__)


class Repeats:
    """Which events were accepted in the last `window` seconds. 0: none is known, each is accepted.

    ledger: to read from, once it is open; raises LedgerError when it cannot be opened.
    """

    def __init__(self, ledger: Callable[[], Awaitable[Ledger]], *, window: float) -> None:
        self._ledger = ledger
        self._window = window
        self._under_way: dict[bytes, asyncio.Event] = {}
        self._accepted: Bounded[bytes, tuple[UUID, float]] = Bounded(MOST_REMEMBERED)
        self._refused: Bounded[UUID, None] = Bounded(MOST_REMEMBERED)
        self._failures = Occasional(every=REPORT_INTERVAL)

    async def once(self, event: Event, accept: Callable[[UUID], Awaitable[V]]) -> tuple[UUID, V | None]:
        """(its id here, what `accept` gave), or (the id that it has already, None): then it is a repeat.

        accept: called with the id to use; an event for which it raises is accepted the next time. Of the same
        events at once one is accepted, and the others wait for it.
        """
        key = _key_of(event)
        while (others := self._under_way.get(key)) is not None:
            await others.wait()
        self._under_way[key] = done = asyncio.Event()
        try:
            id_, is_repeat = await self._known(event)
            if is_repeat:
                return id_, None
            try:
                accepted = await accept(id_)
            except Exception:
                self._refused[id_] = None
                raise
            self._accepted[key] = (id_, monotonic())
            return id_, accepted
        finally:
            del self._under_way[key]
            done.set()

    async def _known(self, event: Event) -> tuple[UUID, bool]:
        """(its id, whether it is a repeat); another id than before where that was refused."""
        if self._window <= 0:
            return new_id(), False
        known = self._accepted.get(_key_of(event))
        if known is not None and monotonic() - known[1] <= self._window:
            return known[0], True
        try:
            ledger = await self._ledger()
            async with asyncio.timeout(LOOK_WITHIN):
                found = await self._look(event, ledger)
        except (LedgerError, TimeoutError) as error:
            if times := self._failures.due():
                reason = str(error) or f"no answer within {LOOK_WITHIN:g} s"
                log.warning(
                    "cannot see whether events are repeats; accepting them", reason=reason, times=times
                )
            found = None
        return found or (new_id(), False)

    async def _look(self, event: Event, ledger: Ledger) -> tuple[UUID, bool] | None:
        """The same by the ledger; None when it was not accepted before."""
        after = int((time() - self._window) * 1000)
        search = Search(kanaal=EVENTS, resource_url=event.address, after=after)
        for each in await ledger.search(search, limit=MOST_COMPARED):
            if each.id in self._refused or not _is_same(await ledger.notificatie(each.id), event):
                continue
            rows = await _rows(ledger, each.id)
            states = {row.state for row in rows}
            if states == {State.PENDING} and time() - each.received / 1000 < REFUSED_WITHIN:
                # Another gateway may be about to refuse it.
                await asyncio.sleep(LOOK_AGAIN)
                rows = await _rows(ledger, each.id)
                states = {row.state for row in rows}
            if states == {State.REMOVED} or any(_was_taken_back(row, each) for row in rows):
                # It was refused after all, for some at least (gateway/accepting.py, _take_back); or an
                # operator removed it.
                continue
            # Without deliveries it may have been refused too: accepted again, it is the same notificatie.
            return each.id, bool(rows)
        return None


async def _rows(ledger: Ledger, id_: UUID) -> Sequence[Delivery]:
    """Its deliveries, without replays."""
    return [row for row in (await ledger.deliveries([id_])).get(id_, ()) if row.key.replay == ORIGINAL]


def _was_taken_back(row: Delivery, of: Notificatie) -> bool:
    """Whether a gateway that refused the event removed this delivery; an operator does so later."""
    removed = row.state is State.REMOVED and not row.attempts and not row.round
    return removed and row.last_at - of.received < REFUSED_WITHIN * 1000


def _is_same(known: Notificatie | None, event: Event) -> bool:
    """Whether this is the event; one without its body cannot be told."""
    if known is None or known.body is None:
        return False
    try:
        data = read_accepted(known.body)
        return bool(data["source"] == event.source and data["id"] == event.id)
    except (ParseError, KeyError, TypeError):
        return False


def _key_of(event: Event) -> bytes:
    return blake2b(event.address.encode(), digest_size=16).digest()
