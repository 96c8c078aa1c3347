"""Notes new queues, which RabbitMQ may lose in part when it is killed within seconds (decision 23).

RabbitMQ keeps the name of a quorum queue's log in a table that it writes to disk up to some seconds later.
Killed before that, it comes back with the queue and without its log; the ledger gives back what was in it.
Some of these queues get no leader either. Such a queue seems empty and takes nothing, and publishes to its
kanaal get no confirm. So the registry has a note of each queue until it is old enough, and at the next
connection the router looks whether the noted ones have a leader.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from router.declaring.declared_things import Notes
from runtime.log import logger
from schemas.errors import RegistryError
from store.registry import Declared, DeclaredKind, Registry

YOUNG_FOR = 10.0  # seconds; the oldest that was seen to come back without its log was 3 s old
LOOK = 5.0  # seconds

log = logger(__name__)


class Young:
    """The names of young queues, also those that another router or connection noted."""

    def __init__(
        self, registry: Registry, notes: Notes, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry = registry
        self._notes = notes
        self._clock = clock
        self._made: dict[str, float] = {}

    async def left_behind(self, chosen: Callable[[str], bool]) -> list[str]:
        """Those chosen ones that were young when the last connection or router ended.

        Raises RegistryError.
        """
        declared = await self._registry.declared()
        found = [thing.key for thing in declared if thing.kind is DeclaredKind.YOUNG and chosen(thing.key)]
        self.made(found)
        return found

    def made(self, names: Iterable[str]) -> None:
        """Remember that these were declared now; they must be noted as young already (`noted`)."""
        now = self._clock()
        self._made.update((name, now) for name in names)

    async def run(self) -> None:
        """Forget those that are old enough, every LOOK seconds, until cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            before = self._clock() - YOUNG_FOR
            old = [name for name, made in self._made.items() if made <= before]
            try:
                await self._notes.forget(map(noted, old))
            except RegistryError as error:
                log.debug("young queues not forgotten yet", reason=str(error))
            else:
                # One that was declared again meanwhile is still young.
                self._made = {name: made for name, made in self._made.items() if made > before}


def noted(name: str) -> Declared:
    """The note that says that a queue is young."""
    return Declared(DeclaredKind.YOUNG, name)
