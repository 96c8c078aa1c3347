"""The only code that declares and removes things in RabbitMQ. Runs in the router process alone.

What it is about to declare it first notes in the registry, since AMQP has no list: that is how reconcile
later finds what nobody asks for any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from router import names, resting
from router.catalogue import Catalogue
from router.endings import Endings
from router.presence import Thing, missing
from router.refusals import Refusals
from router.renewals import Renewals
from router.topology import (
    AbonnementTopology,
    Binding,
    Exchange,
    Filtered,
    FixedTopology,
    Queue,
    of_abonnement,
    of_kanaal,
)
from router.unrested import Unrested
from runtime.amqp import describe
from runtime.log import logger
from schemas.abonnement import Abonnement, FilterGroup
from schemas.errors import BrokerUnfit, QueueRefused
from schemas.kanaal import Kanaal
from store.registry import Declared, DeclaredKind, Registry

FILTER_ATTEMPTS = 10
PREPARED_FOR = 30.0  # seconds in which the registry has what was prepared, or never will

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Removed:
    """What became of what waited in a queue that was removed, in messages."""

    kept: int
    discarded: int


class Declarer:
    """Declares through one connection, at most `at_once` channels at a time.

    empty: moves what is in an abonnement's queue to `nrc.undeliverable`, and says how many went.
    under_way: the abonnementen that are being declared. refusals: those whose queue RabbitMQ refuses.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        *,
        registry: Registry,
        catalogue: Catalogue,
        renewals: Renewals,
        empty: Callable[[UUID], Awaitable[int]],
        endings: Endings,
        at_once: int = 8,
    ) -> None:
        self._connection = connection
        self._registry = registry
        self._catalogue = catalogue
        self._renewals = renewals
        self._empty = empty
        self._endings = endings
        # A request and reconcile may want the same abonnement at once. Each has its own: a new queue rests
        # while its lock is held.
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._turns = asyncio.Semaphore(at_once)
        self._idle: list[AbstractChannel] = []
        self._resting = resting.Resting()
        self._unrested = Unrested(registry)
        self._stood: set[str] = set()
        self._prepared: dict[UUID, dict[tuple[FilterGroup, ...], float]] = {}
        self.under_way: set[UUID] = set()
        self.refusals = Refusals()
        self._seen_missing: frozenset[Thing] = frozenset()
        self._touched: set[Thing] = set()

    # -- channels: kept and used again; an error closes the one on which it happened

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        async with self._turns:
            channel = self._idle.pop() if self._idle else self._connection.channel()
            if not channel.is_initialized:
                await channel.initialize()
            yield channel
            if not channel.is_closed:
                self._idle.append(channel)

    async def take_over(self) -> None:
        """Know what an earlier router left unfinished; before this one declares anything. RegistryError."""
        await self._unrested.load()
        await self._renewals.load(self._catalogue.abonnementen)

    # -- everything

    async def declare_fixed(self, topology: FixedTopology) -> None:
        """Make what is everyone's stand, except the marker."""
        await self._registry.note_declared(_noted(topology.exchanges, topology.queues, owner=""))
        async with self._channel() as channel:
            for exchange in topology.exchanges:
                await _declare_exchange(channel, exchange)
        await asyncio.gather(*map(self._unmake_unrested, topology.queues))
        await self._make(topology.queues, new=await self._missing_queues(topology.queues))
        async with self._channel() as channel:
            for binding in topology.bindings:
                await _bind(channel, binding)

    async def declare_ready(self) -> None:
        """Make the marker stand, last of all: from here on gateways accept.

        It is not durable: a RabbitMQ that comes back may have forgotten what it had answered last, so all is
        looked at before gateways accept again.
        """
        try:
            await self._declare_marker()
        except ChannelPreconditionFailed:
            # A durable one, of an older router.
            await self.remove_exchange(names.READY)
            await self._declare_marker()

    async def _declare_marker(self) -> None:
        async with self._channel() as channel:
            await channel.declare_exchange(names.READY, "fanout", durable=False)

    async def declare_kanaal(self, kanaal: Kanaal) -> None:
        """Make the exchange of a kanaal stand. For one that gateways cannot know yet: a new one, or all."""
        exchange = of_kanaal(kanaal)
        await self._registry.note_declared(_noted([exchange], [], owner=kanaal.naam))
        async with self._channel() as channel:
            await _declare_exchange(channel, exchange)

    async def remove_former(self, kanaal: Kanaal) -> None:
        """Remove the exchanges of an earlier kanaal of that naam.

        A gateway that has not heard of this one publishes there, by slots that may be others. It is refused
        then, and looks.
        """
        first, now = names.kanaal_exchange(kanaal.naam), of_kanaal(kanaal).name
        for thing in await self._registry.declared_by(kanaal.naam):
            # An abonnement may own things under the same text, if a naam is a UUID.
            if thing.key != now and (thing.key == first or thing.key.startswith(f"{first}@")):
                await self.remove_exchange(thing.key)
                await self._registry.forget_declared([thing])

    async def renew_kanaal(self, kanaal: Kanaal) -> None:
        """Give a kanaal whose exchange was deleted another, which gateways hear of when it is fully bound.

        Made again under its own name it would stand without bindings for a moment, and what a gateway
        published in that moment would be confirmed and gone.
        """
        renewed = replace(kanaal, generation=kanaal.generation + 1)
        await self.declare_kanaal(renewed)
        kanalen = {**self._catalogue.kanalen, kanaal.naam: renewed}
        bound = self.bound_to(kanaal.naam)
        await asyncio.gather(
            *(
                self._renew_ways(abonnement, of_abonnement(abonnement, kanalen))
                for uuid in bound
                if (abonnement := self._catalogue.abonnementen.get(uuid)) is not None
            )
        )
        await self._registry.set_generation(kanaal.uuid, renewed.generation)
        await self._registry.forget_declared(_noted([of_kanaal(kanaal)], [], owner=kanaal.naam))
        await self._catalogue.refresh()
        for uuid in bound:
            with suppress(QueueRefused):  # told of above
                await self.declare_abonnement(uuid)

    def bound_to(self, naam: str) -> list[UUID]:
        """The abonnementen on a kanaal."""
        return [
            uuid
            for uuid, abonnement in self._catalogue.abonnementen.items()
            if any(group.naam == naam for group in abonnement.kanalen)
        ]

    async def declare_abonnement(self, uuid: UUID) -> bool:
        """Make queue and bindings stand as the catalogue has them now, and none of the former bindings.

        New ones first, then the old ones off: a message in between may be wanted by both, never by neither.
        False, and nothing done, when the catalogue does not have the abonnement. Raises QueueRefused.
        """
        async with self._lock(uuid):
            abonnement = self._catalogue.abonnementen.get(uuid)
            if abonnement is None:
                self.refusals.forget(uuid)
                return False
            self.under_way.add(uuid)
            try:
                await self._declare(abonnement)
                self.refusals.stands(uuid)
            finally:
                self.under_way.discard(uuid)
            return True

    def prepare(self, uuid: UUID, kanalen: tuple[FilterGroup, ...]) -> None:
        """Let bindings for these stand too, from the next time it is declared until the registry has them.

        They go with a later comparison when the registry does not get them within PREPARED_FOR.
        """
        self._prepared.setdefault(uuid, {})[kanalen] = asyncio.get_running_loop().time() + PREPARED_FOR

    def _with_prepared(self, abonnement: Abonnement) -> Abonnement:
        now = asyncio.get_running_loop().time()
        prepared = {
            kanalen: until
            for kanalen, until in self._prepared.pop(abonnement.uuid, {}).items()
            if until > now and kanalen != abonnement.kanalen
        }
        if not prepared:
            return abonnement
        self._prepared[abonnement.uuid] = prepared
        return replace(abonnement, kanalen=(*abonnement.kanalen, *chain.from_iterable(prepared)))

    def _lock(self, uuid: UUID) -> asyncio.Lock:
        return self._locks.setdefault(uuid, asyncio.Lock())

    async def _declare(self, abonnement: Abonnement) -> None:
        topology = of_abonnement(self._with_prepared(abonnement), self._catalogue.kanalen)
        owner = str(abonnement.uuid)
        before = await self._registry.declared_by(owner)
        asked = _noted_of(topology, owner=owner)
        keys = {(thing.kind, thing.key) for thing in asked}
        known = {(thing.kind, thing.key) for thing in before if thing.orphan_since is None}
        if not keys <= known:
            await self._registry.note_declared(asked)
        noted = (DeclaredKind.QUEUE, topology.queue.name) in known
        await self._declare_ways(abonnement, topology, noted=noted)
        former = [thing for thing in before if (thing.kind, thing.key) not in keys]
        await self._unbind(former)
        await self._registry.forget_declared(former)

    async def note_abonnementen(self) -> None:
        """Note what all of them have, in one write; each would otherwise write for itself."""
        known = {each for each in await self._registry.declared() if each.orphan_since is None}
        asked = [
            thing
            for uuid, abonnement in self._catalogue.abonnementen.items()
            for thing in _noted_of(of_abonnement(abonnement, self._catalogue.kanalen), owner=str(uuid))
            if thing not in known
        ]
        await self._registry.note_declared(asked)

    async def _declare_ways(
        self, abonnement: Abonnement, topology: AbonnementTopology, *, noted: bool = True
    ) -> None:
        """From the queue outwards: a message that gets into the exchange finds the queue, or is a stray.

        noted: it was noted before that there is such a queue.
        """
        exchange, queue = _own(abonnement.uuid)
        # In this order: a queue that goes in between is noticed at the next look.
        seen, self._seen_missing = self._seen_missing, self._seen_missing - {exchange, queue}
        self._touched |= {exchange, queue}
        strays_come = exchange not in seen and await self._exchange_is_there(exchange.name)
        if queue in seen:
            new = [queue.name]
        else:
            await self._unmake_unrested(topology.queue)
            new = await self._missing_queues([topology.queue])
        if new and strays_come:
            log.warning("queue was missing", abonnement=str(abonnement.uuid))
            await self._renewals.open(abonnement, note=True)
        if lost := bool(new) and (strays_come or noted):
            await self._endings.queue_lost(abonnement.uuid, "queue was missing")
        try:
            await self._make([topology.queue], new=new)
        except BrokerUnfit as error:
            raise QueueRefused(str(error)) from error
        async with self._channel() as channel:
            await _bind(channel, topology.back)
            await _declare_exchange(channel, topology.exchange)
            for binding in (topology.entry, *topology.direct):
                await _bind(channel, binding)
        await asyncio.gather(*(self._declare_filtered(way) for way in topology.filtered))
        async with self._channel() as channel:
            # Last: what came straight while the exchange did not lead here yet would come twice.
            for binding in topology.straight:
                await _bind(channel, binding)
        self._renewals.stands(abonnement.uuid)
        if lost:
            self._endings.queue_stands(abonnement.uuid)

    async def _renew_ways(self, abonnement: Abonnement, topology: AbonnementTopology) -> None:
        async with self._lock(abonnement.uuid):
            try:
                await self._declare_ways(abonnement, topology)
            except QueueRefused as error:  # the kanaal of all the others does not wait for this one
                self.refusals.refused(abonnement.uuid, error)

    async def _missing_queues(self, queues: Sequence[Queue]) -> list[str]:
        if len(queues) == 1:
            return [] if await self.messages_in(queues[0].name) is not None else [queues[0].name]
        return [thing.name for thing in await self.missing([Thing.queue(queue.name) for queue in queues])]

    async def _make(self, queues: Sequence[Queue], *, new: Sequence[str]) -> None:
        """They stand. Those that are `new` have rested, and anything may be led to them."""
        if not self._stood.isdisjoint(new):
            # Deleted by hand: whoever consumes it must hear of that before it is there again.
            await asyncio.sleep(resting.BEFORE_AGAIN)
        if new:
            await self._unrested.note(new)
        async with self._channel() as channel:
            for queue in queues:
                await self.declare_queue(channel, queue)
        self._stood.update(queue.name for queue in queues)
        if new:
            self._resting.made()
            await self._resting.rested()
        await self._unrested.forget(queue.name for queue in queues)

    async def _unmake_unrested(self, queue: Queue) -> None:
        """Delete a queue that a router or RabbitMQ did not live to finish: it may have no leader.

        Nothing was ever led to it. One that holds something or is consumed has a leader, and stays.
        """
        if queue.name not in self._unrested:
            return
        await self._resting.may_delete()
        async with self._channel() as channel:
            with suppress(ChannelNotFoundEntity):
                found = (await channel.declare_queue(queue.name, passive=True)).declaration_result
                if not found.message_count and not found.consumer_count:
                    log.warning("queue was not finished, made again", queue=queue.name)
                    # Of one without a leader this takes five seconds.
                    await channel.queue_delete(queue.name)

    async def declare_requests(self, channel: AbstractChannel, queue: Queue) -> None:
        """Declare the queue of requests. It need not rest: what gets lost of it is asked again."""
        await self._unrested.load()
        await self._unmake_unrested(queue)
        if new := await self._missing_queues([queue]):
            await self._unrested.note(new)
            self._resting.made()
        await self.declare_queue(channel, queue)

    async def requests_rested(self, queue: Queue) -> None:
        """Return when the queue of requests is safe, and known to be."""
        await self._resting.rested()
        await self._unrested.forget([queue.name])

    async def _declare_filtered(self, way: Filtered) -> None:
        """Declare → feed → match. The exchange may go with its last binding in between: again."""
        for attempt in range(1, FILTER_ATTEMPTS + 1):
            async with self._channel() as channel:
                try:
                    await _declare_exchange(channel, way.exchange)
                    await _bind(channel, way.feed)
                    await _bind(channel, way.match)
                except ChannelNotFoundEntity:
                    if attempt == FILTER_ATTEMPTS:
                        raise
                else:
                    return

    async def remove_abonnement(self, uuid: UUID, *, discard: bool = False) -> Removed:
        """Remove all of an abonnement that has gone, its queue when what it held is in `nrc.undeliverable`.

        discard: what waits is not to be kept; somebody was asked. Raises BrokerUnavailable, with the queue
        as it was but for what was moved.
        """
        await self._resting.may_delete()
        async with self._lock(uuid):
            queue = names.abonnement_queue(uuid)
            noted = await self._registry.declared_by(str(uuid))
            # First: what comes after it is nobody's. After the queue it would be a stray.
            await self.remove_exchange(names.abonnement_exchange(uuid))
            kept = 0
            if not discard:
                await self._unbind(thing for thing in noted if _leads_to(queue, thing))
                kept = await self._empty(uuid)
            async with self._channel() as channel:
                deleted = await channel.queue_delete(queue)
            self._renewals.stands(uuid)
            self._prepared.pop(uuid, None)
            self._stood.discard(queue)
            await self._unrested.forget([queue])
            await self._registry.forget_declared(noted)
            removed = Removed(kept, deleted.message_count or 0)
        log.info(
            "abonnement removed",
            abonnement=str(uuid),
            moved_to_undeliverable=removed.kept,
            messages_discarded=removed.discarded,
        )
        return removed

    async def _unbind(self, things: Iterable[Declared]) -> None:
        for thing in things:
            if thing.kind is DeclaredKind.BINDING:
                binding = Binding.thaw(thing.key)
                async with self._channel() as channel:
                    # A binding that is not there is no error to RabbitMQ; what it leads to must be there.
                    with suppress(ChannelNotFoundEntity):
                        await _unbind(channel, binding)

    # -- one by one, for reconcile

    async def missing(self, things: Sequence[Thing]) -> list[Thing]:
        """Those that are not there."""
        async with self._turns:
            return await missing(self._connection, things)

    async def look_before_declaring(self, things: Sequence[Thing]) -> list[Thing]:
        """The same; when one of these is declared next it is not asked once more whether it is there.

        Each answer that something is missing costs a channel. Whatever is touched meanwhile is asked about.
        """
        self._touched = {thing for uuid in self.under_way for thing in _own(uuid)}
        found = await self.missing(things)
        self._seen_missing = frozenset(found) - self._touched
        return found

    async def exists(self, thing: Thing) -> bool:
        """Whether it is there."""
        return not await self.missing([thing])

    async def _exchange_is_there(self, name: str) -> bool:
        async with self._channel() as channel:
            try:
                await channel.declare_exchange(name, passive=True)
            except ChannelNotFoundEntity:
                return False
            return True

    async def messages_in(self, queue: str) -> int | None:
        """How many messages are ready in a queue; None when there is no such queue."""
        async with self._channel() as channel:
            try:
                found = await channel.declare_queue(queue, passive=True)
            except ChannelNotFoundEntity:
                return None
            return found.declaration_result.message_count or 0

    async def remove_empty_queue(self, name: str) -> bool:
        """Delete a queue if it is empty and nobody consumes it; whether it is gone.

        Looked at first, since quorum queues refuse to be deleted on such conditions.
        """
        await self._resting.may_delete()
        async with self._channel() as channel:
            try:
                found = await channel.declare_queue(name, passive=True)
            except ChannelNotFoundEntity:
                return True
            if found.declaration_result.message_count or found.declaration_result.consumer_count:
                return False
            await found.delete(if_unused=False, if_empty=False)
            return True

    async def remove_exchange(self, name: str) -> None:
        """Delete an exchange, with its bindings."""
        async with self._channel() as channel:
            await channel.exchange_delete(name)

    async def declare_queue(self, channel: AbstractChannel, queue: Queue) -> None:
        """Declare a queue. Raises BrokerUnfit when it has other arguments, or there may be no more queues."""
        try:
            await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments))
        except ChannelPreconditionFailed as error:
            raise BrokerUnfit(_why_refused(queue, describe(error))) from error


def _leads_to(queue: str, thing: Declared) -> bool:
    return thing.kind is DeclaredKind.BINDING and Binding.thaw(thing.key).destination == queue


def _why_refused(queue: Queue, reason: str) -> str:
    """What to do about it, with RabbitMQ's own words, which are all that tells the two apart."""
    if "limit in" in reason:
        return f"queue {queue.name} cannot be made: raise the limit on queues in RabbitMQ ({reason})"
    return (
        f"queue {queue.name} exists in RabbitMQ with other arguments than ours; "
        f"move its messages away and delete it ({reason})"
    )


def _own(uuid: UUID) -> tuple[Thing, Thing]:
    return Thing.exchange(names.abonnement_exchange(uuid)), Thing.queue(names.abonnement_queue(uuid))


def _noted(exchanges: Iterable[Exchange], queues: Iterable[Queue], *, owner: str) -> list[Declared]:
    return [
        *(Declared(DeclaredKind.EXCHANGE, exchange.name, owner) for exchange in exchanges),
        *(Declared(DeclaredKind.QUEUE, queue.name, owner) for queue in queues),
    ]


def _noted_of(topology: AbonnementTopology, *, owner: str) -> list[Declared]:
    return [
        *_noted([topology.exchange], [topology.queue], owner=owner),
        *(Declared(DeclaredKind.BINDING, binding.frozen(), owner) for binding in topology.bindings),
    ]


async def _declare_exchange(channel: AbstractChannel, exchange: Exchange) -> None:
    await channel.declare_exchange(
        exchange.name,
        exchange.type,
        durable=True,
        auto_delete=exchange.auto_delete,
        arguments=dict(exchange.arguments),
    )


async def _bind(channel: AbstractChannel, binding: Binding) -> None:
    arguments: dict[str, Any] = dict(binding.arguments)
    if binding.to == "queue":
        queue = await channel.get_queue(binding.destination, ensure=False)
        await queue.bind(binding.source, routing_key=binding.key, arguments=arguments)
    else:
        exchange = await channel.get_exchange(binding.destination, ensure=False)
        await exchange.bind(binding.source, routing_key=binding.key, arguments=arguments)


async def _unbind(channel: AbstractChannel, binding: Binding) -> None:
    arguments: dict[str, Any] = dict(binding.arguments)
    if binding.to == "queue":
        queue = await channel.get_queue(binding.destination, ensure=False)
        await queue.unbind(binding.source, routing_key=binding.key, arguments=arguments)
    else:
        exchange = await channel.get_exchange(binding.destination, ensure=False)
        await exchange.unbind(binding.source, routing_key=binding.key, arguments=arguments)
