"""Ends what is open of a removed abonnement as undeliverable.

The router deletes its queue with what waits there. Only a tombstone counts: a registry that was put back
from an older copy may lack an abonnement that exists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from time import monotonic
from uuid import UUID

from ledger.keeper.undeliverable.ending import end
from ledger.ledger import Ledger
from ledger.values import Delivery, WhyEnded
from router.catalogue import Catalogue
from runtime.log import logger
from store.registry import Changes

SETTLED = 60.0
"""Seconds after a removal was read; what deliverers had in hand then has its outcome by now."""

log = logger(__name__)


class Removed:
    """The abonnementen that were removed, and passes over what is open of them.

    settled: seconds, as SETTLED.
    """

    def __init__(self, catalogue: Catalogue, *, settled: float = SETTLED) -> None:
        self._catalogue = catalogue
        self._settled = settled
        self._since: dict[UUID, float] = {}
        catalogue.subscribe(self._remember)

    def __contains__(self, uuid: UUID) -> bool:
        """Whether it was removed, and not put back since."""
        return uuid in self._since and uuid not in self._catalogue.everyone

    def _remember(self, changes: Changes) -> None:
        now = monotonic()
        for uuid in changes.gone_abonnementen:
            self._since.setdefault(uuid, now)

    async def end(self, ledger: Ledger) -> int:
        """End what is open of those that were removed a while ago; returns how many. Raises LedgerError."""
        before = monotonic() - self._settled
        ended = 0
        for uuid in await ledger.keeping.with_open():
            if uuid in self and self._since[uuid] <= before:
                ended += await self.end_these(ledger, [row async for row in ledger.open_of(uuid)])
        return ended

    async def end_these(self, ledger: Ledger, rows: Iterable[Delivery]) -> int:
        """End these open deliveries of removed abonnementen; returns how many. Raises LedgerError."""
        ended = list(rows)
        await end(ledger, ended, WhyEnded.ABONNEMENT_REMOVED, "its abonnement was removed")
        for abonnement, count in Counter(row.key.abonnement for row in ended).items():
            log.info("undeliverable: the abonnement was removed", abonnement=str(abonnement), count=count)
        return len(ended)
