"""The lane for bulk: brings what gateways put there into the queues of abonnementen, a few at a time.

What was published with X-Batch-Id is in the ledger only, marked `lane`. Each abonnement has its own pace: it
gets as many as had an outcome since the last look, and no more are under way than pass in a moment. So a
notificatie that is no bulk finds few before it, and a slow abonnement holds up no other. Each is given as
what RabbitMQ lost is (giving_back/giving.py), so that a keeper that dies loses none.

An abonnement that is held or suspended gets nothing until HELD: what is published for it meanwhile goes first
when it goes on. After that its queue gets it, where NRC_HOLD_RETENTION and NRC_HOLD_BUDGET apply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic, time
from uuid import UUID

from ledger.ids import received_of
from ledger.keeper.giving_back.giving import Giving
from ledger.keeper.lease import Lease
from ledger.ledger import Ledger
from ledger.reopening import ReopenedLedger
from ledger.values import Cause, Delivery
from router.catalogue import Catalogue
from router.publishing import Publisher
from runtime.amqp import AMQP_ERRORS, describe
from runtime.log import Occasional, logger
from schemas.abonnement import State
from schemas.errors import LeaseLost, NrcError

TICK = 0.2  # seconds between two looks at the queues, while anything waits
IDLE = 1.0  # seconds between two looks whether anything waits
LOOK_AGAIN = 2.0  # seconds between two looks for abonnementen for which something waits
CLEAR = 5.0  # seconds between two clearings of marks
FEWEST, MOST = 10, 100
"""Messages of an abonnement that are under way: the former at first, doubled while all had an outcome."""
ANY_NUMBER = 2**62  # of messages that are ready in a queue
HELD = 3600.0  # seconds that something for an abonnement that is not active waits here
REPORT_INTERVAL = 60.0  # seconds between two lines that say the same

log = logger(__name__)


class Pace:
    """How many messages one abonnement may get now. Pure."""

    def __init__(self) -> None:
        self._most = FEWEST

    def next(self, under_way: int) -> int:
        """How many it gets. under_way: how many of those before had no outcome yet.

        More and more while there are none of these; fewer when it is more than half of them.
        """
        if not under_way:
            self._most = min(2 * self._most, MOST)
        elif under_way > self._most // 2:
            self._most = max(self._most // 2, FEWEST)
        return max(self._most - under_way, 0)


class Lane:
    """Works through the lane while this keeper has the lease. Times are in seconds.

    giving: one of its own, whose room is no limit: this is.
    """

    def __init__(
        self,
        *,
        ledger: ReopenedLedger,
        lease: Lease,
        giving: Giving,
        catalogue: Catalogue,
        publisher: Publisher,
    ) -> None:
        self._ledger = ledger
        self._lease = lease
        self._giving = giving
        self._catalogue = catalogue
        self._publisher = publisher
        self._begins: dict[UUID, UUID] = {}  # of each abonnement, from where to read
        self._paces: dict[UUID, Pace] = {}
        self._given: dict[UUID, set[UUID]] = {}  # of each, the notificaties that may be under way
        self._look = self._clear = 0.0  # monotonic times of the next ones
        self._failures = Occasional(every=REPORT_INTERVAL)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`."""
        self._giving.stopping = stop
        while not stop.is_set():
            waits = False
            if self._lease.held and self._publisher.ready:
                waits = await self._try_tick()
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK if waits else IDLE):
                    await stop.wait()

    async def _try_tick(self) -> bool:
        """One tick; whether anything waits."""
        try:
            return await self._tick(self._ledger.ledger)
        except LeaseLost:
            pass  # the keeper's loop notices it too, and says so
        except (NrcError, *AMQP_ERRORS) as error:
            if times := self._failures.due():
                reason = str(error) if isinstance(error, NrcError) else describe(error)
                log.warning("bulk could not be brought on", reason=reason, times=times)
        self._begins.clear()  # what was read and not given is read again
        return False

    async def _tick(self, ledger: Ledger) -> bool:
        now = monotonic()
        if now >= self._look:
            self._begins = {uuid: each.oldest for uuid, each in (await ledger.keeping.in_lane()).items()}
            self._paces = {uuid: self._paces.get(uuid) or Pace() for uuid in self._begins}
            self._given = {uuid: self._given.get(uuid, set()) for uuid in self._begins}
            self._look = now + (LOOK_AGAIN if self._begins else IDLE)
        if now >= self._clear:
            self._clear = now + CLEAR
            await ledger.keeping.leave_lane(await self._lease.keep(ledger.keeping))
        known = self._catalogue.everyone
        rows: list[Delivery] = []
        for uuid in [uuid for uuid in self._begins if uuid in known]:
            rows += await self._next(ledger, uuid)
        if rows:
            full: set[UUID] = set()
            await self._giving.give(ledger, rows, cause=Cause.UNROUTED, full=full)
            for uuid in full:  # the same, so that nothing goes before it
                self._begins.pop(uuid, None)
        return bool(self._begins)

    async def _next(self, ledger: Ledger, uuid: UUID) -> Sequence[Delivery]:
        """What it gets now."""
        begin, given = self._begins[uuid], self._given[uuid]
        if given:
            given &= await ledger.keeping.under_way(uuid, [*given])
        if (abonnement := self._catalogue.everyone.get(uuid)) is None:
            return ()  # it was removed just now
        if abonnement.state is State.ACTIVE:
            limit = self._paces[uuid].next(len(given))
        else:
            limit = 0 if (received_of(begin) or 0) > (time() - HELD) * 1000 else MOST
        if not limit:
            return ()
        rows = await ledger.keeping.of_lane(uuid, begin=begin, limit=limit)
        given |= {row.key.notificatie for row in rows}
        if rows:
            self._begins[uuid] = rows[-1].key.notificatie
        else:
            del self._begins[uuid]
        return rows
