"""Marks the ledger, has the registry note that, and sees by it when an older copy was put back.

First the ledger, then the registry: a mark that was noted is in the ledger, so a ledger without it is older.
What changed after the last mark is not seen: an older copy that was made since then passes for the ledger.
A ledger that was made after the note took the place of a lost one, and says so itself from then on.
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
        """Mark it when that is due; returns how many deliveries became UNSURE, as it is an older copy.

        Always when it was just opened or the lease taken: before anything of it is given back.
        Raises LeaseLost, LedgerError, or RegistryError.
        """
        epoch = await self._lease.keep(ledger.keeping)
        if ledger is self._ledger and epoch == self._epoch and monotonic() < self._next:
            return 0
        instance, noted = await ledger.instance(), await self._registry.noted_ledger()
        count = 0
        if noted is not None and older_than_noted(instance, noted):
            count = await ledger.keeping.doubt(epoch, until=noted.at)
            log.error(
                "the ledger is an older copy",
                unsure=count,
                ledger=str(instance.id),
                mark=instance.mark,
                noted_ledger=str(noted.instance),
                noted_mark=noted.mark,
            )
        elif noted is not None and noted.instance != instance.id:
            # It was made after the note: the one before is lost.
            await ledger.write([Incomplete(None, instance.made)])
            log.warning("the ledger is a new one", ledger=str(instance.id), noted_ledger=str(noted.instance))
        above = noted.mark if noted is not None and noted.instance == instance.id else 0
        marked = await ledger.keeping.mark(epoch, above=above)
        await self._registry.note_ledger(marked.noted())
        self._ledger, self._epoch, self._next = ledger, epoch, monotonic() + self._every
        return count
