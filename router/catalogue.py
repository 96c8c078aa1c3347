"""A process's copy of the registry, kept up to date, so that no hot path waits for a database.

It reads the registry at every hint, on `nrc.changes` or of the registry itself, and at a fixed interval.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import replace
from uuid import UUID

from router.matching.index import Index, Rows, is_large, rows_of
from runtime.joining import Joined
from runtime.log import logger
from schemas.abonnement import Abonnement
from schemas.application import Application
from schemas.errors import RegistryError
from schemas.events.mapping import EventMapping
from schemas.fields import EVENTS
from schemas.kanaal import EVENTS_KANAAL, Kanaal
from store.registry import Changes, Registry

FRESH_LOOK_INTERVAL = 0.25  # seconds; all refusals together cost the database at most four reads a second

log = logger(__name__)


class Catalogue:
    """As of change `number`: kanalen by naam, abonnementen by UUID, applications by client_id.

    kanalen: with EVENTS_KANAAL, by which CloudEvents have an exchange too; `every_kanaal` is without.
    mappings: own ones, to CloudEvents, by name.
    abonnementen: those with a queue in RabbitMQ. pulled: those without, whose consumers fetch (`is_pull`).
    """

    def __init__(self, registry: Registry, *, refresh_interval: float) -> None:
        self._registry = registry
        self._interval = refresh_interval
        self._kanalen: dict[str, Kanaal] = {EVENTS: EVENTS_KANAAL}
        self._kanaal_names: dict[UUID, str] = {}
        self._abonnementen: dict[UUID, Abonnement] = {}
        self._pulled: dict[UUID, Abonnement] = {}
        self._applications: dict[str, Application] = {}
        self._every_kanaal: tuple[Kanaal, ...] | None = None
        self._every_abonnement: tuple[Abonnement, ...] | None = None
        self._index: Index | None = None
        self._listeners: list[Callable[[Changes], None]] = []
        self._looks = Joined(self._look, name="registry look")
        self._last_look = 0.0
        self.number = 0
        self.mappings: Mapping[str, EventMapping] = {}
        self.kanalen: Mapping[str, Kanaal] = self._kanalen
        self.abonnementen: Mapping[UUID, Abonnement] = self._abonnementen
        self.pulled: Mapping[UUID, Abonnement] = self._pulled
        self.everyone: Mapping[UUID, Abonnement] = ChainMap(self._abonnementen, self._pulled)
        self.applications: Mapping[str, Application] = self._applications

    def every_kanaal(self) -> tuple[Kanaal, ...]:
        """All kanalen as they are now, safe to iterate over slowly: the same tuple until one changes."""
        if self._every_kanaal is None:
            self._every_kanaal = tuple(each for each in self._kanalen.values() if each is not EVENTS_KANAAL)
        return self._every_kanaal

    def every_abonnement(self) -> tuple[Abonnement, ...]:
        """The same for abonnementen, without those that the standard's API does not know."""
        if self._every_abonnement is None:
            self._every_abonnement = tuple(each for each in self._abonnementen.values() if not each.is_amqp)
        return self._every_abonnement

    @property
    def index(self) -> Index:
        """Finds the abonnementen that match a notificatie. Built at the first use, then kept up to date."""
        if self._index is None:
            self._index = Index()
            for abonnement in self.everyone.values():
                self._index.put(abonnement)
        return self._index

    def kanaal_by_uuid(self, uuid: UUID) -> Kanaal | None:
        """The kanaal with this UUID."""
        naam = self._kanaal_names.get(uuid)
        return None if naam is None else self._kanalen.get(naam)

    def subscribe(self, listener: Callable[[Changes], None]) -> None:
        """Call `listener` after each `Changes` that is applied, the first, whole one included."""
        self._listeners.append(listener)

    async def refresh(self) -> None:
        """Apply all changes that the registry has at this call. Raises RegistryError."""
        await self._looks.run()

    async def fresh_look(self) -> None:
        """`refresh`, at most four times a second for all callers together. For use before a refusal."""
        loop = asyncio.get_running_loop()
        await self._looks.run(delay=max(0.0, self._last_look + FRESH_LOOK_INTERVAL - loop.time()))

    async def try_refresh(self) -> None:
        """`refresh`, or go on with the copy as it is."""
        try:
            await self.refresh()
        except RegistryError as error:
            log.warning("registry cannot be read; going on with the copy", reason=str(error))

    async def run(self) -> None:
        """Refresh when the registry says so, and every `refresh_interval` seconds, until cancelled."""
        while True:
            await self._registry.wait_for_change(self._interval)
            await self.try_refresh()

    async def _look(self) -> None:
        self._last_look = asyncio.get_running_loop().time()
        changes = await self._registry.changes_since(self.number)
        self._apply(changes, await self._rows_of_large(changes))

    async def _rows_of_large(self, changes: Changes) -> Mapping[UUID, Rows]:
        """`rows_of` of large abonnementen, made in a thread: it takes 0.1 s for a megabyte."""
        large = [each for each in changes.abonnementen if is_large(each.routed)]
        if self._index is None or not large:
            return {}
        return await asyncio.to_thread(lambda: {each.uuid: rows_of(each.routed) for each in large})

    def _apply(self, changes: Changes, rows: Mapping[UUID, Rows]) -> None:
        if changes.whole:
            # The registry does not remember all removals since then, or it is another registry.
            kanalen = {kanaal.uuid for kanaal in changes.kanalen}
            abonnementen = {abonnement.uuid for abonnement in changes.abonnementen}
            applications = {application.client_id for application in changes.applications}
            changes = replace(
                changes,
                gone_kanalen=changes.gone_kanalen | (self._kanaal_names.keys() - kanalen),
                gone_abonnementen=changes.gone_abonnementen | (self.everyone.keys() - abonnementen),
                gone_applications=changes.gone_applications | (self._applications.keys() - applications),
            )
        # Removals first: another kanaal may have the same naam.
        for uuid in changes.gone_kanalen:
            self._kanalen.pop(self._kanaal_names.pop(uuid, ""), None)
        for uuid in changes.gone_abonnementen:
            self._abonnementen.pop(uuid, None)
            self._pulled.pop(uuid, None)
        for client_id in changes.gone_applications:
            self._applications.pop(client_id, None)
        for kanaal in changes.kanalen:
            self._kanalen[kanaal.naam] = kanaal
            self._kanaal_names[kanaal.uuid] = kanaal.naam
        for abonnement in changes.abonnementen:
            (self._pulled if abonnement.is_pull else self._abonnementen)[abonnement.uuid] = abonnement
        for application in changes.applications:
            self._applications[application.client_id] = application
        if self._index is not None:
            for uuid in changes.gone_abonnementen:
                self._index.remove(uuid)
            for abonnement in changes.abonnementen:
                self._index.put(abonnement, rows.get(abonnement.uuid))
        if changes.mappings is not None:
            self.mappings = changes.mappings
        if changes.whole or changes.number != self.number:
            self._every_kanaal = self._every_abonnement = None
        if changes.number != self.number:
            self.number = changes.number
            for listener in self._listeners:
                listener(changes)
