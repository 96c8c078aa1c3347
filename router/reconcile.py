"""Registry against broker: what is missing is declared again, what nobody asks for any more is removed.

Removal is slow on purpose: what reconcile itself finds to be an orphan goes only when it was seen so before
and holds no message. What was removed through the API goes at once, since that was asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Set
from uuid import UUID

from router import names
from router.catalogue import Catalogue
from router.declarer import Declarer
from router.presence import Thing
from router.topology import FixedTopology, of_abonnement, of_kanaal
from runtime.log import logger
from schemas.errors import BrokerUnavailable, QueueRefused
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
        self._wanted_now: Mapping[Thing, str] = {}
        self._wanted_as_of: int | None = None

    async def run(self, *, dry_run: bool, gone: Set[UUID]) -> list[str]:
        """Compare and repair; with dry_run only say what would be done.

        gone: abonnementen that were removed through the API. Raises BrokerUnfit when a queue of everyone's
        has other arguments; one abonnement's queue that has is a line, and the rest goes on.
        """
        self._lines = []
        await self._catalogue.refresh()
        # Before a kanaal that is renewed brings some of them back.
        look = self._declarer.missing if dry_run else self._declarer.look_before_declaring
        missing = await look([*self._wanted()])
        self._lines += [f"declare {thing.kind} {thing.name}{self._wanted()[thing]}" for thing in missing]
        if not dry_run:
            await self._declarer.declare_fixed(self._fixed)
        await self._kanalen(missing, dry_run=dry_run)
        if not dry_run:
            await self._abonnementen()
            await self._declarer.declare_ready()
        # After the marker: what waits in a queue that goes is published first, which needs it.
        await self._remove_gone(gone, dry_run=dry_run)
        await self._orphans(dry_run=dry_run)
        return self._lines

    async def missing(self) -> list[Thing]:
        """What is not there of all that the registry asks for. Costs little, so it may be asked often."""
        return await self._declarer.missing([*self._wanted()])

    def queues(self) -> list[str]:
        """All queues that the registry asks for."""
        return [thing.name for thing in self._wanted() if thing.kind is DeclaredKind.QUEUE]

    def _wanted(self) -> Mapping[Thing, str]:
        """Everything that must be there, by name, and what a line says of it."""
        if self._wanted_as_of != self._catalogue.number:
            self._wanted_as_of = self._catalogue.number
            self._wanted_now = wanted(self._fixed, self._catalogue)
        return self._wanted_now

    async def _kanalen(self, missing: Iterable[Thing], *, dry_run: bool) -> None:
        if dry_run:
            return
        gone = set(missing)
        # Without the marker no gateway publishes, and all are bound below before it stands again.
        unwatched = Thing.exchange(names.READY) in gone
        for kanaal in list(self._catalogue.kanalen.values()):
            exchange = of_kanaal(kanaal).name
            if Thing.exchange(exchange) not in gone:
                continue
            log.warning("exchange was missing", exchange=exchange, kanaal=kanaal.naam)
            if unwatched:
                await self._declarer.declare_kanaal(kanaal)
            else:
                await self._declarer.renew_kanaal(kanaal)

    async def _abonnementen(self) -> None:
        """Declare them all: AMQP cannot list bindings, and to bind again what is bound costs little."""
        await self._declarer.note_abonnementen()
        await asyncio.gather(*(self._abonnement(uuid) for uuid in list(self._catalogue.abonnementen)))

    async def _abonnement(self, uuid: UUID) -> None:
        try:
            await self._declarer.declare_abonnement(uuid)
        except QueueRefused as error:
            self._lines.append(f"refused: {error}")
            self._declarer.refusals.refused(uuid, error)

    async def _remove_gone(self, gone: Set[UUID], *, dry_run: bool) -> None:
        noted = {thing.owner for thing in await self._registry.declared()}
        for uuid in gone - self._catalogue.abonnementen.keys():
            if str(uuid) in noted:
                self._lines.append(f"remove queue {names.abonnement_queue(uuid)}: its abonnement was removed")
                if not dry_run:
                    await self._remove(uuid)

    async def _remove(self, uuid: UUID) -> None:
        try:
            await self._declarer.remove_abonnement(uuid)
        except BrokerUnavailable as error:
            # It stays noted, so the next comparison comes to it again.
            self._lines.append(f"kept queue {names.abonnement_queue(uuid)} for now: {error}")
            log.warning("queue of a removed abonnement kept for now", abonnement=str(uuid), reason=str(error))

    async def _orphans(self, *, dry_run: bool) -> None:
        asked = {(thing.kind, thing.name) for thing in self._wanted()}
        # An exchange before the queue that it leads to: what it takes would become strays.
        for thing in sorted(await self._registry.declared(), key=lambda each: (each.kind, each.key)):
            if thing.kind not in (DeclaredKind.EXCHANGE, DeclaredKind.QUEUE):
                continue
            if (thing.kind, thing.key) in asked:
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


def wanted(fixed: FixedTopology, catalogue: Catalogue) -> dict[Thing, str]:
    """What must be there, by kind and name, and what a line about it says more."""
    found = {Thing.exchange(exchange.name): "" for exchange in fixed.exchanges}
    found |= {Thing.queue(queue.name): "" for queue in fixed.queues}
    found[Thing.exchange(names.READY)] = ""
    for kanaal in catalogue.kanalen.values():
        found[Thing.exchange(of_kanaal(kanaal).name)] = f" of kanaal {kanaal.naam}"
    for abonnement in catalogue.abonnementen.values():
        topology = of_abonnement(abonnement, catalogue.kanalen)
        found[Thing.queue(topology.queue.name)] = " with its bindings"
        for exchange in topology.exchanges:
            found[Thing.exchange(exchange.name)] = " with its bindings"
    return found
