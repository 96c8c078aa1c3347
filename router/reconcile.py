"""Registry against broker: what is missing is declared again, what nobody asks for any more is removed.

Removal is slow on purpose: what reconcile itself finds to be an orphan goes only when it was seen so before
and holds no message. What was removed through the API goes at once, since that was asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Set
from uuid import UUID

from router import names
from router.catalogue import Catalogue
from router.declarer import Declarer
from router.topology import FixedTopology, of_abonnement, of_kanaal
from runtime.log import logger
from schemas.errors import BrokerUnfit
from store.registry import Declared, DeclaredKind, Registry

log = logger(__name__)


class Reconcile:
    """One comparison at a time; `run` says what it did, a line each."""

    def __init__(
        self, *, declarer: Declarer, registry: Registry, catalogue: Catalogue, fixed: FixedTopology
    ) -> None:
        self._declarer = declarer
        self._registry = registry
        self._catalogue = catalogue
        self._fixed = fixed
        self._lines: list[str] = []

    async def run(self, *, dry_run: bool, gone: Set[UUID]) -> list[str]:
        """Compare and repair; with dry_run only say what would be done.

        gone: abonnementen that were removed through the API. Raises BrokerUnfit when a queue of everyone's
        has other arguments; one abonnement's queue that has is a line, and the rest goes on.
        """
        self._lines = []
        await self._catalogue.refresh()
        await self._fixed_things(dry_run=dry_run)
        await self._queues()
        await self._kanalen(dry_run=dry_run)
        if not dry_run:
            await self._abonnementen()
        await self._remove_gone(gone, dry_run=dry_run)
        await self._orphans(dry_run=dry_run)
        if not dry_run:
            await self._declarer.declare_ready()
        return self._lines

    async def missing_for_all(self) -> list[str]:
        """What is not there of that which concerns more than one abonnement."""
        exchanges = [exchange.name for exchange in self._fixed.exchanges] + [names.READY]
        exchanges += [of_kanaal(kanaal).name for kanaal in self._catalogue.kanalen.values()]
        missing = [name for name in exchanges if not await self._declarer.exists(exchange=name)]
        queues = [queue.name for queue in self._fixed.queues]
        return missing + [name for name in queues if not await self._declarer.exists(queue=name)]

    async def _fixed_things(self, *, dry_run: bool) -> None:
        for exchange in self._fixed.exchanges:
            if not await self._declarer.exists(exchange=exchange.name):
                self._lines.append(f"declare exchange {exchange.name}")
        for queue in self._fixed.queues:
            if not await self._declarer.exists(queue=queue.name):
                self._lines.append(f"declare queue {queue.name}")
        if not dry_run:
            await self._declarer.declare_fixed(self._fixed)

    async def _kanalen(self, *, dry_run: bool) -> None:
        # Without the marker no gateway publishes, and all are bound below before it stands again.
        unwatched = not await self._declarer.exists(exchange=names.READY)
        for kanaal in list(self._catalogue.kanalen.values()):
            name = of_kanaal(kanaal).name
            if await self._declarer.exists(exchange=name):
                continue
            self._lines.append(f"declare exchange {name} of kanaal {kanaal.naam}")
            if dry_run:
                continue
            log.warning("exchange was missing", exchange=name, kanaal=kanaal.naam)
            if unwatched:
                await self._declarer.declare_kanaal(kanaal)
            else:
                await self._declarer.renew_kanaal(kanaal)

    async def _queues(self) -> None:
        """Say which are missing, before a kanaal that is renewed brings some of them back."""
        for uuid in list(self._catalogue.abonnementen):
            queue = names.abonnement_queue(uuid)
            if not await self._declarer.exists(queue=queue):
                self._lines.append(f"declare queue {queue} with its bindings")
        filters = {
            way.exchange.name
            for abonnement in list(self._catalogue.abonnementen.values())
            for way in of_abonnement(abonnement, self._catalogue.kanalen).filtered
        }
        for name in sorted(filters):
            if not await self._declarer.exists(exchange=name):
                self._lines.append(f"declare exchange {name} with its bindings")

    async def _abonnementen(self) -> None:
        """Declare them all: AMQP cannot list bindings, and to bind again what is bound costs little."""
        await asyncio.gather(*(self._abonnement(uuid) for uuid in list(self._catalogue.abonnementen)))

    async def _abonnement(self, uuid: UUID) -> None:
        try:
            await self._declarer.declare_abonnement(uuid)
        except BrokerUnfit as error:
            self._lines.append(f"refused: {error}")
            log.error("queue of an abonnement is unusable", abonnement=str(uuid), reason=str(error))

    async def _remove_gone(self, gone: Set[UUID], *, dry_run: bool) -> None:
        noted = {thing.owner for thing in await self._registry.declared()}
        for uuid in gone - self._catalogue.abonnementen.keys():
            if str(uuid) in noted:
                self._lines.append(f"remove queue {names.abonnement_queue(uuid)}: its abonnement was removed")
                if not dry_run:
                    await self._declarer.remove_abonnement(uuid)

    async def _orphans(self, *, dry_run: bool) -> None:
        asked = {exchange.name for exchange in self._fixed.exchanges}
        asked |= {queue.name for queue in self._fixed.queues}
        asked |= {of_kanaal(kanaal).name for kanaal in self._catalogue.kanalen.values()}
        asked |= {names.abonnement_queue(uuid) for uuid in self._catalogue.abonnementen}
        for thing in await self._registry.declared():
            if thing.kind is DeclaredKind.BINDING:
                continue
            if thing.key in asked:
                if thing.orphan_since is not None and not dry_run:
                    await self._registry.note_declared([Declared(thing.kind, thing.key, thing.owner)])
            elif thing.orphan_since is None:
                self._lines.append(f"orphan {thing.kind} {thing.key}: seen for the first time, kept")
                if not dry_run:
                    seen = Declared(thing.kind, thing.key, thing.owner, orphan_since=time.time())
                    await self._registry.note_declared([seen])
            else:
                await self._remove_orphan(thing, dry_run=dry_run)

    async def _remove_orphan(self, thing: Declared, *, dry_run: bool) -> None:
        if thing.kind is DeclaredKind.QUEUE:
            held = await self._declarer.messages_in(thing.key)
            if held:
                self._lines.append(f"orphan queue {thing.key} still holds {held} messages: kept")
                return
        elif names.wait_seconds(thing.key) and await self._declarer.messages_in(thing.key):
            return
        self._lines.append(f"remove orphan {thing.kind} {thing.key}")
        if dry_run:
            return
        if thing.kind is DeclaredKind.QUEUE:
            if not await self._declarer.remove_empty_queue(thing.key):
                return
        else:
            await self._declarer.remove_exchange(thing.key)
        await self._registry.forget_declared([thing])
