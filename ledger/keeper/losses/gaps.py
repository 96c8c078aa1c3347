"""Gives back what a gap covers: what RabbitMQ lost with a queue or an exchange, or as an operator says.

The router opens a gap (ledger/losses.py) before it repairs anything, and closes it after that. What it covers
is given back some seconds later, so that messages that reached the queue anyway are delivered first.

Of a queue: all open deliveries, held or not, and notificaties of the gap without a row, which a gateway
matched with an older copy of the registry. Of a kanaal's exchange: deliveries to active abonnementen that
were accepted in the gap and of which nothing more is known. Those to a held one may be in its queue; E1 and
E2 (lost.py) decide that once it is released.
"""

from __future__ import annotations

from uuid import UUID

from ledger.keeper.giving_back.giving import Giving
from ledger.keeper.lease import Lease
from ledger.keeper.losses.registry_changes import Window, add_missed, kanalen_since
from ledger.keeper_ledger import BEFORE_GAP, Gap
from ledger.ledger import Ledger
from ledger.values import LIVE, Cause, Scope, is_in_hand
from router.catalogue import Catalogue
from runtime.log import logger
from schemas.abonnement import State
from store.registry import Registry

SETTLED = 10.0
"""Seconds after a gap was closed; messages on their way to the queue have arrived by then."""
PAGE = 200  # rows that are given back together
_CAUSES = {Scope.ABONNEMENT: Cause.QUEUE, Scope.KANAAL: Cause.EXCHANGE, Scope.EVERYTHING: Cause.RABBITMQ}

log = logger(__name__)


class Gaps:
    """Passes over the gaps that are not done. Times are in seconds."""

    def __init__(
        self,
        *,
        giving: Giving,
        registry: Registry,
        lease: Lease,
        catalogue: Catalogue,
        settled: float = SETTLED,
    ) -> None:
        self._giving = giving
        self._registry = registry
        self._lease = lease
        self._catalogue = catalogue
        self._settled = settled

    async def give_back(self, ledger: Ledger) -> int:
        """Give back what closed gaps cover; returns how many.

        Raises LeaseLost, LedgerError, BrokerUnavailable, or RegistryError.
        """
        gaps = await ledger.keeping.gaps(done=False)
        closed = [gap for gap in gaps if gap.closed is not None]
        if not closed:
            return 0
        await self._catalogue.refresh()
        now = (await ledger.keeping.hands(live=LIVE)).now
        given = 0
        for gap in closed:
            if self._giving.stopping.is_set():
                break
            if gap.closed is not None and gap.closed + self._settled * 1000 <= now:
                given += await self._give_back(ledger, gap)
        return given

    async def _give_back(self, ledger: Ledger, gap: Gap) -> int:
        full: set[UUID] = set()
        given = left = 0
        for uuid in await self._covered(ledger, gap):
            if gap.scope is Scope.ABONNEMENT:
                await self._add_missed(ledger, gap, uuid)
            after = None
            while uuid not in full and not self._giving.stopping.is_set():
                rows = await ledger.keeping.in_gap(gap, uuid, limit=PAGE, after=after)
                if not rows:
                    break
                after = rows[-1].key
                hands = (await ledger.keeping.hands(live=LIVE)).keys
                lost = [row for row in rows if not is_in_hand(row.key, hands)]
                given += await self._giving.give(
                    ledger, lost, cause=_CAUSES[gap.scope], caused=gap.closed, full=full
                )
                left += len(rows) - len(lost)
        epoch = await self._lease.keep(ledger.keeping)
        # What had no room, or was in the hands of a deliverer, is left to the next pass.
        if not full and not left and not self._giving.stopping.is_set():
            await ledger.keeping.end_gap(epoch, gap.nr)
            log.info("gap is done", gap=gap.nr, scope=gap.scope, of=gap.of, why=gap.why, given_back=given)
        return given

    async def _add_missed(self, ledger: Ledger, gap: Gap, uuid: UUID) -> None:
        """Add rows for what its queue may have got in the gap, since it has these kanalen."""
        abonnement = self._catalogue.abonnementen[uuid]
        change = abonnement.kanalen_change
        since = await kanalen_since(self._registry, uuid, change)
        if since is not None and gap.closed is not None:
            after = max(since, gap.opened - BEFORE_GAP)
            window = Window(abonnement, change, after=after, before=gap.closed + 1)
            await add_missed(ledger, self._lease, [window])

    async def _covered(self, ledger: Ledger, gap: Gap) -> list[UUID]:
        """The abonnementen that may have lost something. Of a kanaal only active ones, as said above."""
        known = self._catalogue.abonnementen
        if gap.scope is Scope.ABONNEMENT:
            uuid = UUID(gap.of)
            return [uuid] if uuid in known else []
        there = [uuid for uuid in await ledger.keeping.with_open() if uuid in known]
        if gap.scope is Scope.EVERYTHING:
            return there
        return [uuid for uuid in there if known[uuid].state is State.ACTIVE]
