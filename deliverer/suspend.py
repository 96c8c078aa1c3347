"""Suspending an abonnement whose callback says that it is gone (410).

The message that was answered so is given back to its queue once that is consumed no more (`Settle.hold`), its
attempt not counted, and stays there with all that come after it until somebody resumes. Not in a wait queue:
it would come back from there again and again, and use up attempts that no callback could have answered.
"""

from __future__ import annotations

import asyncio

from router.catalogue import Catalogue
from router.requests import RouterClient
from runtime.log import logger
from schemas.abonnement import Abonnement, State
from schemas.errors import BrokerUnavailable, RegistryError
from store.registry import Registry

log = logger(__name__)


class Suspender:
    """Suspends in the registry, and sees to it that this and every other process knows."""

    def __init__(self, registry: Registry, catalogue: Catalogue, router: RouterClient) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._router = router
        self._one_at_a_time = asyncio.Lock()

    async def suspend(self, abonnement: Abonnement, reason: str) -> bool:
        """Whether the abonnement is suspended now, as far as this process knows.

        Not when it was changed since the request went out: the answer was that of another callback.
        """
        async with self._one_at_a_time:
            current = self._catalogue.abonnementen.get(abonnement.uuid)
            if current is not None and current.state is State.SUSPENDED:
                return True  # by another message of the same queue, just now
            try:
                suspended = await self._registry.set_state(
                    abonnement.uuid, State.SUSPENDED, reason, callback_url=abonnement.callback_url
                )
                await self._catalogue.refresh()
            except RegistryError as error:
                log.warning("abonnement not suspended", abonnement=str(abonnement.uuid), reason=str(error))
                return False
        if suspended is None:
            return False
        log.warning("abonnement suspended", abonnement=str(abonnement.uuid), reason=reason)
        try:
            await self._router.announce()
        except BrokerUnavailable as error:
            # The others will see it at their next look, or at their own 410.
            log.warning("suspension not announced", abonnement=str(abonnement.uuid), reason=str(error))
        return True
