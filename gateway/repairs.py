"""Kanalen whose exchange somebody deleted by hand, until the router has given them another.

The router binds the new exchange fully before any gateway hears its name (`Declarer.renew_kanaal`), so
nothing is published into an exchange without bindings, which RabbitMQ would confirm and drop.
"""

from __future__ import annotations

import asyncio

from router.catalogue import Catalogue
from router.requests import RouterClient
from schemas.errors import BrokerUnavailable
from schemas.kanaal import Kanaal

TIMEOUT = 1.0  # seconds; with the confirm after it, a publisher hears 503 within 5


class Repairs:
    """The repairs under way: one request to the router for each kanaal, however many ask."""

    def __init__(self, router: RouterClient, catalogue: Catalogue) -> None:
        self._router = router
        self._catalogue = catalogue
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def repaired(self, kanaal: Kanaal) -> Kanaal:
        """The kanaal with an exchange that stands. Raises BrokerUnavailable when that takes too long."""
        repair = self._under_way.get(kanaal.naam)
        if repair is None:
            repair = asyncio.create_task(self._router.apply_kanaal(kanaal.naam), name="repairing a kanaal")
            self._under_way[kanaal.naam] = repair
            repair.add_done_callback(lambda _: self._under_way.pop(kanaal.naam, None))
        try:
            async with asyncio.timeout(TIMEOUT):
                await asyncio.shield(repair)
        except TimeoutError:
            raise BrokerUnavailable(f"kanaal {kanaal.naam} has no exchange yet") from None
        await self._catalogue.refresh()
        return self._catalogue.kanalen.get(kanaal.naam, kanaal)

    def close(self) -> None:
        """Wait for no repair any more."""
        for repair in self._under_way.values():
            repair.cancel()
