"""Publishes what gateways accepted without RabbitMQ: notificaties that are marked Unrouted.

Only those that were marked so long ago that no confirm can come any more: until then some queues may still
get them. Each delivery of which nothing is known goes into its own queue, the oldest first. Through the
kanaal's exchange an abonnement that has the notificatie already would get it twice.

RabbitMQ never routed these, so an abonnement that a gateway missed (its copy of the registry was older) would
never get them: they are matched again, with the kanalen of when they were accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from ledger.ids import received_of
from ledger.keeper.giving_back.giving import Giving
from ledger.keeper.lease import Lease
from ledger.keeper.losses.registry_changes import SKEW, Window, add_missed, kanalen_since
from ledger.keeper.undeliverable.removed_abonnementen import Removed
from ledger.keeper_ledger import Unsent
from ledger.ledger import Ledger
from ledger.values import LIVE, Cause
from router.catalogue import Catalogue
from store.registry import Registry

SETTLED = 10.0
"""Seconds after the mark, when no confirm can come any more: a publish is given up after 4."""
PAGE = 200  # notificaties that are looked at together


class Unrouted:
    """Passes over the unrouted notificaties. Times are in seconds."""

    def __init__(
        self,
        *,
        giving: Giving,
        registry: Registry,
        lease: Lease,
        catalogue: Catalogue,
        removed: Removed,
        settled: float = SETTLED,
        live: float = LIVE,
    ) -> None:
        self._giving = giving
        self._registry = registry
        self._since: dict[tuple[UUID, int], int | None] = {}  # of each change of kanalen: when it was
        self._lease = lease
        self._catalogue = catalogue
        self._settled = settled
        self._live = live
        self._removed = removed

    async def bring_on(self, ledger: Ledger) -> int:
        """Give back what is due, and clear the mark where all deliveries are published; returns how many.

        Raises LeaseLost, LedgerError, BrokerUnavailable, or RegistryError.
        """
        moved, after = 0, None
        full: set[UUID] = set()
        while not self._giving.stopping.is_set():
            page = await ledger.keeping.unrouted(
                settled=self._settled, live=self._live, limit=PAGE, after=after
            )
            if not page:
                break
            if after is None:
                await self._catalogue.refresh()  # what was made or removed while RabbitMQ was away
            await self._match_again(ledger, page)
            moved += await self._bring_on(ledger, page, full)
            after = page[-1].notificatie
        return moved

    async def _match_again(self, ledger: Ledger, page: Sequence[Unsent]) -> None:
        """Add the rows that are missing; the next pass publishes those."""
        oldest = min(unsent.catalogue for unsent in page)
        first, last = (received_of(page[end].notificatie) or 0 for end in (0, -1))
        windows = []
        for each in list(self._catalogue.everyone.values()):
            change = each.kanalen_change
            if change <= oldest:
                continue
            if (each.uuid, change) not in self._since:
                self._since[each.uuid, change] = await kanalen_since(self._registry, each.uuid, change)
            since = self._since[each.uuid, change]
            if since is not None and since <= last:
                after, before = max(since, first - SKEW), last + SKEW
                windows.append(Window(each, change, after=after, before=before))
        await add_missed(ledger, self._lease, windows)

    async def _bring_on(self, ledger: Ledger, page: Sequence[Unsent], full: set[UUID]) -> int:
        rows = [row for unsent in page for row in unsent.deliveries]
        known = self._catalogue.everyone
        here = [row for row in rows if row.key.abonnement in known]
        moved = await self._giving.give(ledger, here, cause=Cause.UNROUTED, full=full)
        moved += await self._removed.end_these(
            ledger, [row for row in rows if row.key.abonnement in self._removed]
        )
        epoch = await self._lease.keep(ledger.keeping)
        return moved + await ledger.keeping.routed(epoch, [unsent.notificatie for unsent in page])
