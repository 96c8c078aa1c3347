"""Which abonnementen's queues were missing, for as long as that explains a message in `nrc.stray`.

A message there was routed to an exchange whose queue was missing, and nothing on it says which. So the router
remembers each queue that it found missing: from before it declares it again until all that was published
before it was bound again has been seen. The second is told by a mark, a message that is put into `nrc.stray`
once the queue is bound. What follows the mark cannot be for that queue.

The registry has a note of each, so that the next router knows as much. Publishes nothing, declares nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

from router import names
from runtime.log import logger
from schemas.abonnement import Abonnement
from schemas.errors import RegistryError
from store.registry import Declared, DeclaredKind, Registry

GRACE = 5.0  # seconds after its mark was seen; a message may have been routed before and stored after it
EXPLAINED_FOR = 600.0  # seconds in which a queue that was bound again is not suspected once more

log = logger(__name__)


@dataclass(slots=True)
class _Renewal:
    """stands: bound again. mark: the one put after that. over: when it explains nothing any more."""

    abonnement: Abonnement
    noted: bool = False
    stands: bool = False
    mark: str = ""
    over: float | None = None


class Renewals:
    """The queues that were missing. clock: seconds.

    to_mark: set while a queue is bound again and no mark says so yet.
    """

    def __init__(self, registry: Registry, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._clock = clock
        self._renewals: dict[UUID, _Renewal] = {}
        self._explained: dict[UUID, float] = {}
        self._to_forget: list[Declared] = []
        self.to_mark = asyncio.Event()

    async def load(self, abonnementen: Mapping[UUID, Abonnement]) -> None:
        """Know what an earlier router knew; once, before this one declares anything. Raises RegistryError."""
        for thing in await self._registry.declared():
            if thing.kind is not DeclaredKind.RENEWED:
                continue
            uuid = names.abonnement_of(thing.key)
            if uuid is None or uuid not in abonnementen:
                self._to_forget.append(thing)
            elif uuid not in self._renewals:
                self._renewals[uuid] = _Renewal(abonnementen[uuid], noted=True, stands=True)
                self.to_mark.set()

    async def open(self, abonnement: Abonnement, *, note: bool) -> None:
        """Its queue is missing; call this before it is declared again. note: also in the registry."""
        renewal = self._renewals[abonnement.uuid] = _Renewal(abonnement)
        if note:
            try:
                await self._registry.note_declared([_noted(abonnement.uuid)])
            except RegistryError as error:
                # It only serves another router, to send a message to fewer.
                log.debug("renewal not noted", abonnement=str(abonnement.uuid), reason=str(error))
            else:
                renewal.noted = True

    def stands(self, uuid: UUID) -> None:
        """All that leads to its queue stands (again), or it was removed."""
        renewal = self._renewals.get(uuid)
        if renewal is not None and not renewal.stands:
            renewal.stands = True
            self.to_mark.set()

    def is_standing(self, uuid: UUID) -> bool:
        """Whether what goes to its exchange reaches its queue, as far as is known."""
        renewal = self._renewals.get(uuid)
        return renewal is None or renewal.stands

    @property
    def open_ones(self) -> tuple[Abonnement, ...]:
        """Those for which a message in `nrc.stray` may be."""
        return tuple(renewal.abonnement for renewal in self._renewals.values())

    def is_explained(self, uuid: UUID) -> bool:
        """Whether it was bound again lately, so that a message that came in since cannot be for it."""
        return self._explained.get(uuid, 0.0) > self._clock()

    # -- marks

    def new_mark(self) -> str:
        """A mark to put into `nrc.stray` now, for all that stand and have none; "" when there are none."""
        self.to_mark.clear()
        mark = ""
        for renewal in self._renewals.values():
            if renewal.stands and not renewal.mark:
                mark = renewal.mark = mark or uuid4().hex
        return mark

    def not_put(self, mark: str) -> None:
        """This mark did not get into `nrc.stray`."""
        for renewal in self._renewals.values():
            if renewal.mark == mark and renewal.over is None:
                renewal.mark = ""
                self.to_mark.set()

    def seen(self, mark: str) -> None:
        """Everything before this mark was seen. Another router's says nothing."""
        for renewal in self._renewals.values():
            if renewal.mark == mark:
                renewal.over = self._clock() + GRACE

    async def expire(self) -> None:
        """Forget what explains nothing any more."""
        now = self._clock()
        for uuid, renewal in list(self._renewals.items()):
            if renewal.over is not None and renewal.over <= now:
                del self._renewals[uuid]
                self._explained[uuid] = now + EXPLAINED_FOR
                if renewal.noted:
                    self._to_forget.append(_noted(uuid))
        self._explained = {uuid: until for uuid, until in self._explained.items() if until > now}
        if self._to_forget:
            try:
                await self._registry.forget_declared(self._to_forget)
            except RegistryError as error:
                log.debug("renewals not forgotten yet", reason=str(error))
            else:
                self._to_forget.clear()


def _noted(uuid: UUID) -> Declared:
    return Declared(DeclaredKind.RENEWED, names.abonnement_queue(uuid))
