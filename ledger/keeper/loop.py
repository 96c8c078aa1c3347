"""The keeper's outermost loop: pass after pass over all that may have to be given back.

A failure is logged; the next pass tries again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ledger.keeper.giving_back.giving import Giving
from ledger.keeper.lease import Lease
from ledger.keeper.left_behind import LeftBehind
from ledger.keeper.losses.gaps import Gaps
from ledger.keeper.losses.lost import Lost
from ledger.keeper.losses.registry_changes import ChangedKanalen
from ledger.keeper.losses.unrouted import Unrouted
from ledger.keeper.older_copy import Marking
from ledger.keeper.replays import Replays
from ledger.keeper.undeliverable.removed_abonnementen import Removed
from ledger.reopening import ReopenedLedger
from router.publishing import Publisher
from runtime.amqp import AMQP_ERRORS, describe
from runtime.log import Occasional, logger
from schemas.errors import LeaseLost, LedgerError, NrcError

PAUSE, LONGEST_PAUSE = 1.0, 15.0  # seconds between two passes; it grows while there is nothing to do
REPORT_INTERVAL = 60.0  # seconds between two lines that say the same

log = logger(__name__)


class KeeperLoop:
    """The passes of one keeper process over `ledger`. Times are in seconds."""

    def __init__(
        self,
        *,
        ledger: ReopenedLedger,
        publisher: Publisher,
        lease: Lease,
        giving: Giving,
        marking: Marking,
        left_behind: LeftBehind,
        removed: Removed,
        unrouted: Unrouted,
        lost: Lost,
        gaps: Gaps,
        changed: ChangedKanalen,
        replays: Replays,
        pause: float = PAUSE,
        longest_pause: float = LONGEST_PAUSE,
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._lease = lease
        self._giving = giving
        self._marking = marking
        self._left_behind = left_behind
        self._removed = removed
        self._unrouted = unrouted
        self._lost = lost
        self._gaps = gaps
        self._changed = changed
        self._replays = replays
        self._first_pause = pause
        self._longest_pause = longest_pause
        self._stuck = 0
        self._failures = Occasional(every=REPORT_INTERVAL)
        self._fault = "the ledger was not opened yet"

    def not_ready(self) -> list[str]:
        """What prevents it from working, a line each; not that another keeper works."""
        ledger = [f"ledger: {self._fault}"] if self._fault else []
        broker = [f"broker: {self._publisher.why_not}"] if self._publisher.why_not else []
        return ledger + broker

    def warnings(self) -> list[str]:
        """What an operator must look at although it works, a line each."""
        if not self._stuck:
            return []
        return [f"stuck: {self._stuck} deliveries were given back three times and lost again"]

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; then finish what is under way, and give the lease up."""
        self._giving.stopping = stop
        pause = self._first_pause
        while not stop.is_set():
            moved = await self._try_pass()
            # A queue that was full may have room in a moment.
            pause = self._first_pause if moved else min(2 * pause, self._longest_pause)
            await self._rest(pause / 4 if moved else pause, stop)
        with suppress(LedgerError):
            await self._lease.release(self._ledger.ledger.keeping)

    async def _rest(self, seconds: float, stop: asyncio.Event) -> None:
        """Wait; meanwhile renew the lease, or try to take it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0 and not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, self._first_pause)):
                    await stop.wait()
                    return
            had = self._lease.held
            if await self._try_lease() and not had:
                return  # there may be much to do

    async def _try_lease(self) -> bool:
        """Whether this keeper is the one that works."""
        try:
            await self._ledger.write(())
            epoch = await self._lease.take(self._ledger.ledger.keeping)
        except LedgerError as error:
            self._lease.lost()
            self._lost.forget()
            self._fault = str(error)
            self._tell(error)
            return False
        self._fault = ""
        return epoch is not None

    async def _try_pass(self) -> int:
        """One pass; returns how many deliveries it moved on."""
        if self._publisher.link.blocked:
            self._lost.alarm()
        if not await self._try_lease():
            return 0
        try:
            ledger = self._ledger.ledger
            await self._marking.look(ledger)
            await self._left_behind.tell(ledger)
            await self._changed.add_rows(ledger)
            moved = await self._removed.end(ledger)
            if not self._publisher.ready:
                return moved
            moved += await self._replays.go_on(ledger)
            moved += await self._giving.give_again(ledger)
            moved += await self._unrouted.bring_on(ledger)
            moved += await self._gaps.give_back(ledger)
            moved += await self._lost.give_back(ledger)
            self._stuck = await ledger.keeping.stuck_count()
            return moved
        except LeaseLost as error:
            self._lease.lost()
            self._lost.forget()
            log.warning("this keeper stopped working", reason=str(error))
        except (NrcError, *AMQP_ERRORS) as error:
            self._tell(error)
        return 0

    def _tell(self, error: BaseException) -> None:
        if times := self._failures.due():
            reason = str(error) if isinstance(error, NrcError) else describe(error)
            log.warning("the keeper could not do its work", reason=reason, times=times)
