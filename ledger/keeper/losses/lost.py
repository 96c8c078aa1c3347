"""Looks for deliveries that RabbitMQ lost (judging.py), and gives them back.

Not those of a held or suspended abonnement: its queue keeps them. Nothing for a while after an alarm of
RabbitMQ or after the ledger was away, nor while a live deliverer has outcomes that are not written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from time import monotonic
from uuid import UUID

from ledger.keeper.giving_back.binding import Binding
from ledger.keeper.giving_back.giving import Giving
from ledger.keeper.giving_back.queue_room import Room
from ledger.keeper.lease import Lease
from ledger.keeper.losses.judging import PATIENCE, Look, Patience, Verdict, is_used_up, judge
from ledger.keeper_ledger import Hands
from ledger.ledger import Ledger
from ledger.values import LIVE, Cause, Delivery, Key, Scope
from router.catalogue import Catalogue
from router.publishing import Publisher
from runtime.log import logger
from schemas.abonnement import State

EVERY = 20.0
"""Seconds between two looks at all queues."""
AFTER_ALARM = 300.0
"""Seconds after an alarm in which nothing is taken for lost: messages are held back everywhere."""
AFTER_AWAY = 60.0
"""Seconds after the ledger was away, or this keeper began: deliverers may still have outcomes to write."""
MOST_LOOKS = 200  # of a queue that are remembered
PAGE = 500  # rows that are judged together

log = logger(__name__)


class Lost:
    """Passes over the deliveries without an outcome. Times are in seconds."""

    def __init__(
        self,
        *,
        giving: Giving,
        lease: Lease,
        room: Room,
        publisher: Publisher,
        catalogue: Catalogue,
        binding: Binding,
        every: float = EVERY,
        after_away: float = AFTER_AWAY,
        patience: Patience = PATIENCE,
    ) -> None:
        self._giving = giving
        self._lease = lease
        self._room = room
        self._publisher = publisher
        self._catalogue = catalogue
        self._binding = binding
        self._every = every
        self._after_away = after_away
        self._patience = patience
        self._looks: dict[UUID, list[Look]] = {}
        self._next = 0.0
        self._not_before = monotonic() + after_away

    def forget(self) -> None:
        """Drop earlier looks: after an interruption they prove nothing."""
        self._looks.clear()
        self._not_before = max(self._not_before, monotonic() + self._after_away)

    def alarm(self) -> None:
        """Note that RabbitMQ has an alarm now."""
        self._looks.clear()
        self._not_before = monotonic() + AFTER_ALARM

    async def give_back(self, ledger: Ledger) -> int:
        """Give back what is found lost; returns how many.

        Raises LeaseLost, LedgerError, BrokerUnavailable, or RegistryError.
        """
        if monotonic() < self._next:
            return 0
        self._next = monotonic() + self._every
        keeping = ledger.keeping
        await self._catalogue.refresh()
        known = self._catalogue.abonnementen
        uuids = [
            uuid for uuid in await keeping.with_open() if uuid in known and known[uuid].state is State.ACTIVE
        ]
        await self._look(ledger, uuids)
        hands = await keeping.hands(live=LIVE)
        if monotonic() < self._not_before or hands.now - hands.heard > LIVE * 1000:
            return 0
        # What an open gap covers is given back once it is closed. With a kanaal's gap it need not wait:
        # a give-back does not pass the exchange, and the gap does not cover what was given back.
        open_ = [gap for gap in await keeping.gaps(done=False) if gap.closed is None]
        gaps = {gap.of for gap in open_ if gap.scope is not Scope.KANAAL}
        if "" in gaps:
            return 0
        firsts = await keeping.first_attempts(ended=self._patience.ended / 1000)
        given = 0
        for uuid in (each for each in uuids if str(each) not in gaps):
            given += await self._give_back(ledger, uuid, first=firsts.get(uuid), hands=hands)
        return given

    async def _look(self, ledger: Ledger, uuids: list[UUID]) -> None:
        began = (await ledger.keeping.hands(live=LIVE)).now
        ready = await self._room.ready(uuids)
        ended = (await ledger.keeping.hands(live=LIVE)).now
        for uuid in self._looks.keys() - set(uuids):
            del self._looks[uuid]
        for uuid in uuids:
            if ready[uuid] == 0:
                looks = self._looks.setdefault(uuid, [])
                looks.append(Look(began, ended))
                del looks[:-MOST_LOOKS]
            else:  # something is ready, or the queue is missing, for which the router opens a gap
                self._looks.pop(uuid, None)

    async def _give_back(self, ledger: Ledger, uuid: UUID, *, first: int | None, hands: Hands) -> int:
        looks = self._looks.get(uuid, [])
        before = max(first or 0, looks[-1].began - self._patience.apart if looks else 0)
        full: set[UUID] = set()
        given, after = 0, None
        while before and not self._giving.stopping.is_set():
            page = await ledger.keeping.suspects(uuid, before=before, limit=PAGE, after=after)
            if not page:
                break
            after = page[-1].key
            found: dict[Verdict, list[Delivery]] = {}
            for row in page:
                verdict = judge(row, first=first, looks=looks, hands=hands, patience=self._patience)
                if verdict is not Verdict.NOTHING:
                    found.setdefault(verdict, []).append(row)
            if found:
                self._binding.want([uuid])
            for verdict, rows in found.items():
                await self._end([row for row in rows if is_used_up(row, self._patience)], ledger)
                lost = [row for row in rows if not is_used_up(row, self._patience)]
                cause = Cause(verdict.value)
                given += await self._giving.give(ledger, lost, cause=cause, full=full, judged=True)
        return given

    async def _end(self, rows: list[Delivery], ledger: Ledger) -> None:
        if not rows:
            return
        epoch = await self._lease.keep(ledger.keeping)
        ended = await ledger.keeping.end(epoch, rows)
        for abonnement, count in Counter(key.abonnement for key in ended).items():
            log.error(
                "given back three times and lost again",
                abonnement=str(abonnement),
                count=count,
                first=str(_first(ended, abonnement).notificatie),
            )


def _first(keys: Sequence[Key], abonnement: UUID) -> Key:
    return next(key for key in keys if key.abonnement == abonnement)
