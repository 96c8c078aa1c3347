"""Marks the ledger, notes the mark in the registry, and detects by it an older copy that was put back.

First the ledger, then the registry: a ledger without the noted mark is therefore older. A copy that was made
after the last mark is not detected. A ledger that was made after the note replaces a lost one, and is the
one that is noted from then on.
"""

from __future__ import annotations

from time import monotonic

from ledger.copies.instance import older_than_noted
from ledger.keeper.lease import Lease
from ledger.ledger import Ledger
from ledger.values import Incomplete
from runtime.log import logger
from store.registry import Registry

EVERY = 10.0
"""Seconds between two marks."""

log = logger(__name__)


class Marking:
    """The marks that one keeper makes. Times are in seconds."""

    def __init__(self, *, registry: Registry, lease: Lease, every: float = EVERY) -> None:
        self._registry = registry
        self._lease = lease
        self._every = every
        self._ledger: Ledger | None = None
        self._epoch = 0
        self._next = 0.0  # monotonic

    async def look(self, ledger: Ledger) -> int:
        """Mark it when that is due; returns how many deliveries became UNSURE since it is an older copy.

        Always due when it was just opened or the lease just taken: before anything is given back.
        Raises LeaseLost, LedgerError, or RegistryError.
        """
        epoch = await self._lease.keep(ledger.keeping)
        if ledger is self._ledger and epoch == self._epoch and monotonic() < self._next:
            return 0
        instance, noted = await ledger.instance(), await self._registry.noted_ledger()
        count = 0
        if noted is not None and older_than_noted(instance, noted):
            count = await ledger.keeping.mark_unsure(epoch, until=noted.at)
            log.error(
                "the ledger is an older copy",
                unsure=count,
                ledger=str(instance.id),
                mark=instance.mark,
                noted_ledger=str(noted.instance),
                noted_mark=noted.mark,
            )
        elif noted is not None and noted.instance != instance.id:
            # It was made after the note: the noted one is lost.
            await ledger.write([Incomplete(None, instance.made)])
            log.warning("the ledger is a new one", ledger=str(instance.id), noted_ledger=str(noted.instance))
        above = noted.mark if noted is not None and noted.instance == instance.id else 0
        marked = await ledger.keeping.mark(epoch, above=above)
        await self._registry.note_ledger(marked.noted())
        self._ledger, self._epoch, self._next = ledger, epoch, monotonic() + self._every
        return count
