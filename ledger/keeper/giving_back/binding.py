"""Asks the router to bind an abonnement again when a delivery of it was lost: a binding may be missing.

The router itself finds missing queues and exchanges, but AMQP cannot list bindings. Without this later
notificaties would be lost too, until the next reconcile. A router that is away binds all when it starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic
from uuid import UUID

from router.requests import RouterClient
from runtime.log import Occasional, logger
from schemas.errors import BrokerError

AGAIN = 60.0
"""Seconds in which the router is not asked for the same abonnement again."""
REPORT_INTERVAL = 60.0  # seconds between two lines that say the same

log = logger(__name__)


class Binding:
    """Asks for one abonnement at a time, in the background. again: seconds, as AGAIN."""

    def __init__(self, router: RouterClient, *, again: float = AGAIN) -> None:
        self._router = router
        self._again = again
        self._wanted: dict[UUID, None] = {}
        self._asked: dict[UUID, float] = {}  # monotonic
        self._something = asyncio.Event()
        self._failures = Occasional(every=REPORT_INTERVAL)

    def want(self, abonnementen: Iterable[UUID]) -> None:
        """Queue a request for each of these, except where one was sent less than `again` seconds ago."""
        before = monotonic() - self._again
        self._asked = {uuid: at for uuid, at in self._asked.items() if at > before}
        self._wanted.update(dict.fromkeys(uuid for uuid in abonnementen if uuid not in self._asked))
        if self._wanted:
            self._something.set()

    async def run(self) -> None:
        """Send the queued requests, until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self._wanted:
                uuid = next(iter(self._wanted))
                del self._wanted[uuid]
                self._asked[uuid] = monotonic()
                await self._bind(uuid)

    async def _bind(self, uuid: UUID) -> None:
        try:
            await self._router.apply_abonnement(uuid)
        except BrokerError as error:
            if times := self._failures.due():
                reason = str(error)
                log.warning("not bound again", abonnement=str(uuid), reason=reason, times=times)
        else:
            log.info("bound again", abonnement=str(uuid))
