"""Follows which abonnementen are paced and which deliverers live, and keeps gates and prefetches by that.

The deliverers that live are those of the ledger's heartbeats. While the ledger is away they are those of the
last look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from uuid import UUID

from deliverer.pacing.gates import Gate
from deliverer.pacing.shares import NOTHING, Share, is_paced, share_of
from runtime.log import logger
from schemas.abonnement import Abonnement, State
from schemas.errors import LedgerError
from store.registry import Changes

LOOK = 2.0  # seconds between two looks at which deliverers live
LOOK_WITHIN = 2.0  # seconds for one

log = logger(__name__)

Living = Callable[[], Awaitable[Collection[str]]]


class Pacing:
    """gates: of the abonnementen that are paced, by UUID. shares: what this process has of each.

    own: the name of this process in the ledger. living: the names of all that live; raises LedgerError.
    changed: called when `shares` changed. enabled: whether delivery options have an effect.
    """

    def __init__(
        self, abonnementen: Mapping[UUID, Abonnement], *, own: str, living: Living, enabled: bool
    ) -> None:
        self._abonnementen = abonnementen
        self._own = own
        self._look_at_living = living
        self._living: frozenset[str] = frozenset({own})
        self._enabled = enabled
        self.gates: dict[UUID, Gate] = {}
        self.shares: dict[UUID, Share] = {}
        self.changed: Callable[[], None] = lambda: None

    @property
    def elsewhere(self) -> set[UUID]:
        """Those of which this process has no part: it does not consume their queues."""
        return {uuid for uuid, share in self.shares.items() if share == NOTHING}

    @property
    def prefetches(self) -> dict[UUID, int]:
        """How many messages this process may have in hand of each that is paced."""
        return {uuid: each.prefetch for uuid, each in self.shares.items() if each.prefetch is not None}

    def places(self, abonnement: UUID) -> int | None:
        """How many messages of it this process may have in hand; None of what is not limited."""
        share = self.shares.get(abonnement)
        return None if share is None else share.prefetch

    def follow(self, changes: Changes | None = None) -> None:
        """Take over the options of the abonnementen as they are now."""
        if changes is not None and not changes.whole:
            touched = any(each.options or each.uuid in self.gates for each in changes.abonnementen)
            if not touched and self.gates.keys().isdisjoint(changes.gone_abonnementen):
                return
        shares = {
            uuid: share_of(each.options, uuid, own=self._own, living=self._living)
            for uuid, each in self._abonnementen.items()
            if self._enabled and each.options and is_paced(each.options) and each.state is State.ACTIVE
        }
        if shares == self.shares:
            return
        self.shares = shares
        for uuid in self.gates.keys() - shares.keys():
            self.gates.pop(uuid).open()
        for uuid, share in shares.items():
            self.gates.setdefault(uuid, Gate()).limit(rate=share.rate, room=share.room)
        self.changed()

    async def look(self) -> None:
        """Look once which deliverers live."""
        try:
            async with asyncio.timeout(LOOK_WITHIN):
                living = frozenset(await self._look_at_living())
        except (LedgerError, TimeoutError) as error:
            log.debug("deliverers that live are not known now", reason=str(error))
            return
        living |= {self._own}
        if living != self._living:
            self._living = living
            self.follow()

    async def run(self) -> None:
        """Look every LOOK seconds, while anything is paced."""
        while True:
            if self.gates:
                await self.look()
            await asyncio.sleep(LOOK)
