"""Those who wait until there is something for their abonnement, bounded; one look for all of them.

Gateways do not tell each other what they accept, so the ledger is looked at: once every LOOK seconds while
anybody waits, by what is open of each abonnement, and not at all while nobody does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from ledger.reopening import ReadLedger
from runtime.log import Occasional, logger
from schemas.errors import LedgerError, Overloaded, Throttled

LOOK = 0.5  # seconds
MOST, MOST_OF_CLIENT = 200, 20  # who wait in one gateway
RETRY_AFTER = 5  # seconds
REPORT_INTERVAL = 10.0  # seconds between two lines that say the same

log = logger(__name__)


class Waiting:
    """Who waits, and for what. `run` looks for them."""

    def __init__(self, reading: ReadLedger) -> None:
        self._reading = reading
        self._of_client: Counter[str] = Counter()
        self._events: dict[UUID, set[asyncio.Event]] = {}
        self._anyone = asyncio.Event()
        self._failures = Occasional(every=REPORT_INTERVAL)

    @contextmanager
    def one(self, client_id: str, abonnement: UUID) -> Iterator[asyncio.Event]:
        """One more who waits: an event that is set when something may be there.

        Raises Throttled when this application has its share, Overloaded when there are too many.
        """
        if self._of_client[client_id] >= MOST_OF_CLIENT:
            raise Throttled(
                f"Deze applicatie wacht hier al {MOST_OF_CLIENT} keer tegelijk op notificaties. Eén wachtend "
                "verzoek per abonnement is genoeg; wacht tot een ander klaar is.",
                retry_after=RETRY_AFTER,
            )
        if self._of_client.total() >= MOST:
            raise Overloaded(f"{MOST} wait here already")
        event = asyncio.Event()
        self._of_client[client_id] += 1
        self._events.setdefault(abonnement, set()).add(event)
        self._anyone.set()
        try:
            yield event
        finally:
            self._of_client -= Counter((client_id,))
            self._events[abonnement].discard(event)
            if not self._events[abonnement]:
                del self._events[abonnement]

    async def run(self) -> None:
        """Look, while anybody waits, until cancelled."""
        while True:
            if not self._events:
                self._anyone.clear()
                await self._anyone.wait()
            await asyncio.sleep(LOOK)
            try:
                ledger = await self._reading.opened()
                for abonnement in await ledger.keeping.with_open():
                    for event in self._events.get(abonnement, ()):
                        event.set()
            except LedgerError as error:
                await self._reading.failed()
                if times := self._failures.due():
                    log.warning("those who fetch wait for the ledger", reason=str(error), times=times)
            except Exception:  # the outermost loop of this task, without which nobody hears of anything
                log.exception("a look for those who fetch failed")


async def something_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event is set within so many seconds; it is cleared."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
            event.clear()
            return True
    return False
