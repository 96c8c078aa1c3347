"""Which of several processes sends: a lease in the registry, renewed long before it runs out."""

from __future__ import annotations

import asyncio
from time import monotonic

from runtime.lifecycle import instance_name
from runtime.log import logger
from schemas.errors import RegistryError
from store.alerts import Alerts

SECONDS = 30.0
"""How long a lease lasts: after this another process takes over from one that was killed or hangs."""
RENEWAL = 5.0
"""Seconds after which it is renewed."""

log = logger(__name__)


class Lease:
    """The lease of this process."""

    def __init__(self, alerts: Alerts, *, seconds: float = SECONDS, renewal: float = RENEWAL) -> None:
        self.holder = instance_name()
        self._alerts = alerts
        self._seconds = seconds
        self._renewal = renewal
        self._until = 0.0  # monotonic
        self._had = False

    @property
    def held(self) -> bool:
        """Whether this process is the one that sends, for certain."""
        return self._had and monotonic() < self._until

    @property
    def was_held(self) -> bool:
        """Whether it was when the registry last answered."""
        return self._had

    async def take(self) -> bool:
        """Take or renew it. Raises RegistryError."""
        began = monotonic()
        had, self._had = self._had, await self._alerts.take_lease(self.holder, seconds=self._seconds)
        if self._had:
            self._until = began + self._seconds
        if self._had and not had:
            log.info("this process sends the alerts now")
        elif had and not self._had:
            log.warning("another process sends the alerts now")
        return self._had

    async def run(self) -> None:
        """Take it whenever it is free, and keep it, until cancelled."""
        while True:
            try:
                await self.take()
            except RegistryError as error:
                log.warning("the lease of the alerts could not be renewed", reason=str(error))
            await asyncio.sleep(self._renewal)

    async def release(self) -> None:
        """Give it up, so that another process may send at once. Raises RegistryError."""
        if self._had:
            self._had = False
            await self._alerts.release_lease(self.holder)
