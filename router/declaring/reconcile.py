"""Compares the registry with RabbitMQ: declares again what is missing, and removes orphans.

An orphan is what was declared and the registry does not ask for any more. What was removed through the API is
deleted at once; any other orphan when a second comparison finds it too and it holds no message.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import chain
from uuid import UUID

from router import names
from router.catalogue import Catalogue
from router.declaring.declared_things import owner_of_kanaal
from router.declaring.declarer import Declarer
from router.declaring.existence import Thing
from router.declaring.losses import Losses
from router.topology import AbonnementTopology, Filtered, FixedTopology, of_abonnement, of_kanaal
from runtime.log import logger
from schemas.errors import BrokerUnavailable, QueueRefused
from schemas.kanaal import Kanaal
from store.registry import Declared, DeclaredKind, Registry

AT_ONCE = 2  # abonnementen that are bound again at the same time, while deliveries go on
GENTLE_PAUSE = 0.02  # seconds between two: deliverers that have just started need RabbitMQ more

log = logger(__name__)


class Reconcile:
    """Runs one comparison at a time; `run` returns a line for each thing that it did.

    gone: abonnementen that were removed through the API; taken out of it once nothing of them is left.
    compared: the abonnementen of the last comparison, which stand after it unless they were refused.
    """

    def __init__(
        self,
        *,
        declarer: Declarer,
        registry: Registry,
        catalogue: Catalogue,
        fixed: FixedTopology,
        losses: Losses,
        gone: set[UUID],
    ) -> None:
        self._declarer = declarer
        self._registry = registry
        self._catalogue = catalogue
        self._fixed = fixed
        self._losses = losses
        self._gone = gone
        self._lines: list[str] = []
        self.compared: Set[UUID] = frozenset()
        self._to_bind: Set[UUID] = frozenset()
        self._wanted_now: Mapping[Thing, str] = {}
        self._wanted_as_of: int | None = None
        self._own: dict[UUID, tuple[object, object, tuple[Thing, ...]]] = {}  # by kanalen and options
        self._own_with: dict[str, Kanaal] = {}

    async def run(self, *, dry_run: bool) -> list[str]:
        """Compare and repair; with dry_run only say what would be done.

        First what is missing is declared, then gateways may publish. `bind_again` should follow. A refused
        queue of an abonnement is a line. Raises BrokerUnfit when a fixed queue has other arguments.
        """
        self._lines, gone = [], frozenset(self._gone)
        await self._catalogue.refresh()
        looked_at = frozenset(self._catalogue.abonnementen)
        missing = await self.missing()
        self.compared = looked_at
        self._lines += self._told(missing)
        if not dry_run:
            await self._declarer.declare_fixed(self._fixed)
            repaired = await self.repair(missing)
            self._to_bind = self._catalogue.abonnementen.keys() - repaired
            await self._declarer.declare_ready()
        # After the marker, so that gateways do not wait for it.
        declared = await self._registry.declared()
        gone -= self._catalogue.abonnementen.keys()
        await self._remove_gone(gone, declared, dry_run=dry_run)
        owners = set(map(str, gone))
        await self._orphans([thing for thing in declared if thing.owner not in owners], dry_run=dry_run)
        return self._lines

    async def bind_again(self, *, gently: bool) -> list[str]:
        """Bind all abonnementen again that the last `run` did not declare, since AMQP cannot list bindings.

        gently: one at a time, with pauses. Returns a line for each queue that is refused.
        """
        lines: list[str] = []
        left = deque(self._to_bind)

        async def some() -> None:
            while left:
                await self._abonnement(left.popleft(), lines)
                if gently:
                    await asyncio.sleep(GENTLE_PAUSE)

        await asyncio.gather(*(some() for _ in range(1 if gently else AT_ONCE)))
        return lines

    def _told(self, missing: Sequence[Thing]) -> Iterator[str]:
        """A line for each missing thing; none for a marker whose queue is missing too."""
        gone, wanted = frozenset(missing), self._wanted()
        for thing in missing:
            if not (queue := names.marked(thing.name)):
                yield f"declare {thing.kind} {thing.name}{wanted[thing]}"
            elif Thing.queue(queue) not in gone:
                yield f"bind queue {queue} again"

    async def missing(self) -> list[Thing]:
        """What is missing of all that the registry asks for, without what is declared meanwhile. Cheap."""
        with self._declarer.noting() as declared:
            missing = await self._declarer.missing([*self._wanted()])
        if missing and declared:
            known = declared & self._catalogue.abonnementen.keys()
            comes = set().union(*map(self.own, known))
            missing = [thing for thing in missing if thing not in comes]
        return missing

    def queues(self) -> list[str]:
        """All queues that the registry asks for."""
        return [thing.name for thing in self._wanted() if thing.kind is DeclaredKind.QUEUE]

    def _wanted(self) -> Mapping[Thing, str]:
        """Everything that must exist, and the end of a line about it."""
        if self._wanted_as_of != self._catalogue.number:
            self._wanted_as_of = self._catalogue.number
            self._wanted_now = self._all_wanted()
        return self._wanted_now

    def _all_wanted(self) -> Mapping[Thing, str]:
        """What is wanted for an abonnement is worked out once: for 5,000 it takes 0.2 s."""
        known, kanalen = self._own, dict(self._catalogue.kanalen)
        if kanalen != self._own_with:
            known, self._own_with = {}, kanalen
        self._own = {}
        for uuid, abonnement in self._catalogue.abonnementen.items():
            own = known.get(uuid)
            if own is None or own[0] is not abonnement.kanalen or own[1] is not abonnement.options:
                things = (*_things(of_abonnement(abonnement, kanalen)),)
                own = abonnement.kanalen, abonnement.options, things
            self._own[uuid] = own
        return wanted(self._fixed, kanalen.values(), (own for _, _, own in self._own.values()))

    async def repair(self, missing: Iterable[Thing]) -> Set[UUID]:
        """Declare what is missing of kanalen and abonnementen; returns which abonnementen it declared.

        Opens a gap for each kanaal that lost an exchange before it is declared again, and closes it once all
        is bound. No gap where `nrc.ready` is missing too: then no gateway published.
        """
        gone = frozenset(missing)
        if not gone:
            return frozenset()
        known = self._catalogue.kanalen
        without = [kanaal for kanaal in known.values() if Thing.exchange(of_kanaal(kanaal).name) in gone]
        unbound = {kanaal.naam for kanaal in without}
        affected: set[UUID] = set()
        feeds: list[tuple[UUID, Filtered]] = []  # with a missing filter exchange, and an existing queue
        for uuid, abonnement in self._catalogue.abonnementen.items():
            topology = of_abonnement(abonnement, known)
            own = gone.intersection(_things(topology))
            if own or any(group.naam in unbound for group in abonnement.routed):
                affected.add(uuid)
            # A filter exchange is auto-deleted with the last queue that is bound to it.
            if Thing.queue(topology.queue.name) not in own:
                feeds += [
                    (uuid, way) for way in topology.filtered if Thing.exchange(way.exchange.name) in own
                ]
        lost = set() if Thing.exchange(names.READY) in gone else await self._lost(without, feeds)
        for naam in sorted(lost):
            log.warning("exchange was missing", kanaal=naam)
        await asyncio.gather(*(self._losses.exchange_lost(naam, "exchange was missing") for naam in lost))
        await asyncio.gather(*map(self._declarer.declare_kanaal, without))
        await asyncio.gather(*(self._abonnement(uuid, self._lines) for uuid in affected))
        for naam in lost:
            self._losses.exchange_stands(naam)
        return affected

    async def _lost(self, without: Iterable[Kanaal], feeds: Iterable[tuple[UUID, Filtered]]) -> set[str]:
        """The namen of the kanalen that lost an exchange: a missing one that is noted as declared."""
        kanaal_of = {of_kanaal(kanaal).name: kanaal.naam for kanaal in self._catalogue.kanalen.values()}
        lost = {
            kanaal.naam
            for kanaal in without
            if await self._is_noted(owner_of_kanaal(kanaal.naam), of_kanaal(kanaal).name)
        }
        for uuid, way in feeds:
            naam = kanaal_of[way.feed.source]
            if naam not in lost and await self._is_noted(str(uuid), way.match.frozen()):
                lost.add(naam)
        return lost

    async def _is_noted(self, owner: str, key: str) -> bool:
        return any(thing.key == key for thing in await self._registry.declared_by(owner))

    def own(self, uuid: UUID) -> set[Thing]:
        """What exists for this abonnement alone."""
        return {*_things(of_abonnement(self._catalogue.abonnementen[uuid], self._catalogue.kanalen))}

    async def _abonnement(self, uuid: UUID, lines: list[str]) -> None:
        try:
            await self._declarer.declare_abonnement(uuid)
        except QueueRefused as error:
            lines.append(f"refused: {error}")
            self._declarer.refusals.refused(uuid, error)

    async def _remove_gone(self, gone: Set[UUID], declared: Iterable[Declared], *, dry_run: bool) -> None:
        owners = {thing.owner for thing in declared}
        for uuid in gone:
            if str(uuid) not in owners:
                self._gone.discard(uuid)  # nothing of it is left
                continue
            queue = names.abonnement_queue(uuid)
            self._lines.append(f"remove queue {queue}: its abonnement was removed")
            if dry_run:
                continue
            try:
                await self._declarer.remove_abonnement(uuid)
            except BrokerUnavailable as error:  # it stays noted, so the next comparison tries again
                reason = str(error)
                self._lines.append(f"kept queue {queue} for now: {reason}")
                log.warning("queue of a removed abonnement kept for now", abonnement=str(uuid), reason=reason)

    async def _orphans(self, declared: Iterable[Declared], *, dry_run: bool) -> None:
        wanted = self._wanted()  # after `declared` was read: what is declared meanwhile is no orphan
        seen: list[Declared] = []
        again: list[Declared] = []
        for thing in sorted(declared, key=lambda each: (each.kind, each.key)):
            if thing.kind not in (DeclaredKind.EXCHANGE, DeclaredKind.QUEUE):
                continue
            if Thing(thing.kind, thing.key) in wanted:
                if thing.orphan_since is not None:
                    seen.append(replace(thing, orphan_since=None))
            elif thing.orphan_since is None:
                self._lines.append(f"orphan {thing.kind} {thing.key}: seen for the first time, kept")
                seen.append(replace(thing, orphan_since=time.time()))
            else:
                again.append(thing)
        if seen and not dry_run:
            await self._registry.note_declared(seen)
        for thing in again:
            await self._remove_orphan(thing, dry_run=dry_run)

    async def _remove_orphan(self, thing: Declared, *, dry_run: bool) -> None:
        is_queue = thing.kind is DeclaredKind.QUEUE
        # The exchange before a wait queue stays as long as the queue holds messages.
        holds = is_queue or names.wait_seconds(thing.key) is not None
        depth = await self._declarer.depth(thing.key) if holds else None
        if depth and depth.messages:
            if is_queue:
                self._lines.append(f"orphan queue {thing.key} still holds {depth.messages} messages: kept")
            return
        self._lines.append(f"remove orphan {thing.kind} {thing.key}")
        if dry_run or (is_queue and depth and depth.consumers):
            return
        if not is_queue:
            await self._declarer.remove_exchange(thing.key)
        elif depth:
            await self._declarer.remove_queue(thing.key)
        await self._registry.forget_declared([thing])


def wanted(
    fixed: FixedTopology, kanalen: Iterable[Kanaal], of_abonnementen: Iterable[Iterable[Thing]]
) -> dict[Thing, str]:
    """What must exist, and the end of a line about it."""
    found = {Thing.exchange(exchange.name): "" for exchange in fixed.exchanges}
    found |= {Thing.queue(queue.name): "" for queue in fixed.queues}
    found[Thing.exchange(names.READY)] = ""
    for kanaal in kanalen:
        found[Thing.exchange(of_kanaal(kanaal).name)] = f" of kanaal {kanaal.naam}"
    found |= dict.fromkeys(chain.from_iterable(of_abonnementen), " with its bindings")
    return found


def _things(topology: AbonnementTopology) -> Iterator[Thing]:
    for queue in topology.queues:
        yield Thing.queue(queue.name)
    for exchange in (topology.marker, *(way.exchange for way in topology.filtered)):
        yield Thing.exchange(exchange.name)
