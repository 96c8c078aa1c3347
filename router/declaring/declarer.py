"""The only code that declares and removes things in RabbitMQ. Runs in the router process alone.

Everything is noted in the registry before it is declared, since AMQP cannot list bindings: by these notes
reconcile finds orphans, which nothing in the registry asks for any more.

Two faults of RabbitMQ need waits (decision 25). A queue that is declared within 20 ms of the deletion of one
with the same name hands messages to the consumers of that one, where they are lost. A queue that is deleted
within half a second of the start of RabbitMQ stops all dead-lettering.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from uuid import UUID
from weakref import WeakValueDictionary

from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from router import names
from router.catalogue import Catalogue
from router.declaring.channels import (
    Channels,
    bind,
    bind_all,
    declare_exchange,
    declare_queue,
    delete_exchange,
    unbind,
)
from router.declaring.declared_things import Notes, owner_of_kanaal
from router.declaring.existence import Thing, missing
from router.declaring.losses import Losses
from router.declaring.watching.new_queues import Young, noted
from router.declaring.watching.refusals import Refusals
from router.queue_depth import Depth, depth_of
from router.topology import (
    AbonnementTopology,
    Binding,
    Exchange,
    FixedTopology,
    Queue,
    of_abonnement,
    of_kanaal,
)
from runtime.amqp import describe
from runtime.log import logger
from schemas.abonnement import Abonnement, FilterGroup, event_groups
from schemas.errors import BrokerUnfit, QueueRefused
from schemas.kanaal import Kanaal
from store.registry import Declared, DeclaredKind, Registry

BEFORE_AGAIN = 1.0  # seconds from the deletion of a queue until it is declared again
BEFORE_DELETING = 3.0  # seconds since connecting, when RabbitMQ may have started just before
FILTER_ATTEMPTS = 10
PREPARED_FOR = 30.0  # seconds after which a prepared change that is not in the registry is given up

log = logger(__name__)


class Declarer:
    """Declares through one connection.

    leaderless: returns those of the given queues that have no leader. young: new queues; its `run` must run.
    under_way: the abonnementen that are being declared. refusals: those whose queue RabbitMQ refuses.
    declared: those whose queue and bindings stand, as far as is known.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        *,
        registry: Registry,
        catalogue: Catalogue,
        leaderless: Callable[[Iterable[str]], Awaitable[list[str]]],
        losses: Losses,
    ) -> None:
        self._connection = connection
        self._registry = registry
        self._catalogue = catalogue
        self._leaderless = leaderless
        self._losses = losses
        self._connected_at = time.monotonic()
        # A request and reconcile may want the same abonnement at once.
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._channels = Channels(connection)
        self._notes = Notes(registry)
        self.young = Young(registry, self._notes)
        self._stood: set[str] = set()
        self._lost: set[UUID] = set()  # whose gap is open
        self._prepared: dict[UUID, dict[tuple[FilterGroup, ...], float]] = {}
        self.under_way: set[UUID] = set()
        self._noting: list[set[UUID]] = []
        self.declared: set[UUID] = set()
        self._with_events: set[UUID] = set()  # those of which the exchange of events is bound
        self.refusals = Refusals()

    # -- what no single abonnement owns

    async def remove_leaderless_requests(self) -> None:
        """Delete the queue of requests, if it is new and has no leader. Raises as `remove_leaderless`."""
        await self._remove_leaderless(await self.young.left_behind(lambda name: name == names.REQUESTS))

    async def remove_leaderless(self) -> None:
        """Delete the other queues that were new when RabbitMQ ended and came back without a leader.

        What the new queues held may be lost: a gap is opened for each. The active router calls it before it
        declares anything else: later messages in these queues are not lost. Raises RegistryError,
        BrokerUnavailable or AMQP_ERRORS.
        """
        young = await self.young.left_behind(lambda name: name != names.REQUESTS)
        if young and await self.missing([Thing.exchange(names.READY)]):
            # RabbitMQ was restarted; the gaps are closed when everything is declared.
            uuids = [*filter(None, map(names.abonnement_of, young))]
            self._lost.update(uuids)
            why = "RabbitMQ ended just after the queue was made"
            await asyncio.gather(*(self._losses.queue_lost(uuid, why) for uuid in uuids))
        await self._remove_leaderless(young)

    async def _remove_leaderless(self, young: Sequence[str]) -> None:
        leaderless = await self._leaderless(young) if young else []
        for queue in leaderless:
            log.warning("queue has no leader, made again", queue=queue)
        await asyncio.gather(*map(self.remove_queue, leaderless))  # five seconds each

    async def declare_fixed(self, topology: FixedTopology) -> None:
        """Declare what does not depend on the registry, except the marker `nrc.ready`."""
        await self._notes.note(_noted([*topology.exchanges, *topology.queues]))
        await self._channels.do(map(declare_exchange, topology.exchanges))
        await self._make(topology.queues)
        await self._channels.do(map(bind, topology.bindings))

    async def declare_requests(self, queue: Queue) -> None:
        """Declare the queue of requests."""
        await self._make([queue])

    async def declare_ready(self) -> None:
        """Declare the marker `nrc.ready`, last of all: then gateways publish (router/readiness.py)."""
        ready = spec.Exchange.Declare(
            exchange=names.READY, exchange_type="direct", auto_delete=True, nowait=True
        )
        try:
            await self._channels.do([ready])
        except ChannelPreconditionFailed:  # of an older router: durable, or a fanout that nothing holds
            await self._channels.do([delete_exchange(names.READY), ready])

    async def declare_kanaal(self, kanaal: Kanaal) -> None:
        """Declare the exchange of a kanaal."""
        exchange = of_kanaal(kanaal)
        await self._notes.note(_noted([exchange], owner=owner_of_kanaal(kanaal.naam)))
        await self._channels.do([declare_exchange(exchange)])

    # -- an abonnement

    async def declare_abonnement(self, uuid: UUID) -> bool:
        """Declare queue and bindings as the catalogue has them now, and then remove the former bindings.

        False, without doing anything, when the catalogue lacks the abonnement. Raises QueueRefused.
        """
        async with self._lock(uuid):
            abonnement = self._catalogue.abonnementen.get(uuid)
            if abonnement is None:
                self.refusals.forget(uuid)
                return False
            self.under_way.add(uuid)
            for noted in self._noting:
                noted.add(uuid)
            try:
                await self._declare(abonnement)
                self.refusals.stands(uuid)
                self.declared.add(uuid)
                self._with_events.discard(uuid)
                if event_groups(abonnement.options):
                    self._with_events.add(uuid)
            finally:
                self.under_way.discard(uuid)
            return True

    def other_events(self) -> list[UUID]:
        """Those that want CloudEvents and are not known to be bound to them, or the reverse."""
        want = {uuid for uuid, each in self._catalogue.abonnementen.items() if event_groups(each.options)}
        known = self._with_events & self._catalogue.abonnementen.keys()
        return sorted(want ^ known)

    @contextmanager
    def noting(self) -> Iterator[set[UUID]]:
        """The abonnementen that are being declared at any moment for which the context is open."""
        noted = set(self.under_way)
        self._noting.append(noted)
        try:
            yield noted
        finally:
            self._noting = [each for each in self._noting if each is not noted]

    def prepare(self, uuid: UUID, kanalen: tuple[FilterGroup, ...]) -> None:
        """Declare bindings for these kanalen too, from the next `declare_abonnement` on.

        A later reconcile removes them when the registry does not have these kanalen within PREPARED_FOR.
        """
        self._prepared.setdefault(uuid, {})[kanalen] = asyncio.get_running_loop().time() + PREPARED_FOR

    def _with_prepared(self, abonnement: Abonnement) -> Abonnement:
        now = asyncio.get_running_loop().time()
        prepared = {
            kanalen: until
            for kanalen, until in self._prepared.pop(abonnement.uuid, {}).items()
            if until > now and kanalen and kanalen != abonnement.routed
        }
        if not prepared:
            return abonnement
        self._prepared[abonnement.uuid] = prepared
        return replace(abonnement, kanalen=(*abonnement.kanalen, *chain.from_iterable(prepared)))

    def _lock(self, uuid: UUID) -> asyncio.Lock:
        return self._locks.setdefault(uuid, asyncio.Lock())

    async def _declare(self, abonnement: Abonnement) -> None:
        own = of_abonnement(abonnement, self._catalogue.kanalen)
        topology = of_abonnement(self._with_prepared(abonnement), self._catalogue.kanalen)
        owner, queue, queues = str(abonnement.uuid), topology.queue, topology.queues
        before = await self._registry.declared_by(owner)
        asked = _noted([own.marker, *queues, *topology.bindings], owner=owner)
        known = {thing for thing in before if thing.orphan_since is None}
        had = Declared(DeclaredKind.QUEUE, queue.name, owner) in known
        new = await self._missing_queues(queues) if had else [each.name for each in queues]
        if had and new and abonnement.uuid not in self.refusals.now:
            await self._tell_missing(abonnement.uuid, topology, new)
        if new or not known.issuperset(asked):
            await self._notes.note([*asked, *map(noted, new)])
        try:
            await self._make(queues, new=new)
            await self._bind(topology, own)
        except BrokerUnfit as error:
            stood = queue.name in self._stood and queue.name not in new
            if stood and f"queue {queue.name} " in str(error) and abonnement.uuid not in self._lost:
                await self._open_gap(abonnement.uuid, "another queue was in its place")
            raise QueueRefused(str(error)) from error
        if abonnement.uuid in self._lost:
            self._lost.discard(abonnement.uuid)
            self._losses.queue_stands(abonnement.uuid)
        await self._remove({*before} - {*asked})

    async def _tell_missing(self, uuid: UUID, topology: AbonnementTopology, new: Sequence[str]) -> None:
        if topology.outward is not None and topology.outward.name in new:
            log.warning("queue of a consumer was missing", abonnement=str(uuid))
        if topology.queue.name in new:
            log.warning("queue was missing", abonnement=str(uuid))
            await self._open_gap(uuid, "queue was missing")

    async def _open_gap(self, uuid: UUID, why: str) -> None:
        """Open the gap of a queue, before it is declared again; it is closed after that."""
        self._lost.add(uuid)
        await self._losses.queue_lost(uuid, why)

    async def _bind(self, topology: AbonnementTopology, own: AbonnementTopology) -> None:
        """Declare all bindings, and last the marker of `own`: the abonnement without what is prepared.

        Starts again when a filter exchange was auto-deleted in between, with its last binding.
        """
        for attempt in range(1, FILTER_ATTEMPTS + 1):
            try:
                await self._channels.do(
                    [*bind_all(topology), declare_exchange(own.marker), bind(own.marking)]
                )
            except ChannelNotFoundEntity as error:
                if attempt == FILTER_ATTEMPTS or names.FILTER_PREFIX not in str(error):
                    raise
            else:
                return

    async def _make(self, queues: Sequence[Queue], *, new: Sequence[str] | None = None) -> None:
        """Declare queues. new: those that do not exist, when the caller has noted these as young."""
        if new is None:
            new = await self._missing_queues(queues)
            await self._notes.note(map(noted, new))
        if not self._stood.isdisjoint(new):
            # Deleted by hand: RabbitMQ must cancel its consumers first.
            await asyncio.sleep(BEFORE_AGAIN)
        try:
            await self._channels.do(map(declare_queue, queues))
        except ChannelPreconditionFailed as error:
            raise BrokerUnfit(_why_refused(queues, describe(error))) from error
        self.young.made(new)
        self._stood.update(queue.name for queue in queues)

    async def _missing_queues(self, queues: Sequence[Queue]) -> list[str]:
        return [thing.name for thing in await self.missing([Thing.queue(queue.name) for queue in queues])]

    async def remove_abonnement(self, uuid: UUID) -> None:
        """Remove all that was declared for a removed abonnement. Raises BrokerUnavailable."""
        async with self._lock(uuid):
            queue = names.abonnement_queue(uuid)
            self.declared.discard(uuid)
            things = await self._registry.declared_by(str(uuid))
            await self._remove(thing for thing in things if thing.kind is DeclaredKind.EXCHANGE)
            messages = await self.remove_queue(queue)
            for thing in things:
                if thing.kind is DeclaredKind.QUEUE and thing.key != queue:  # that its consumer reads
                    await self.remove_queue(thing.key)
            self._prepared.pop(uuid, None)
            await self._notes.forget([*things, noted(queue)])
        log.info("abonnement removed", abonnement=str(uuid), messages=messages)

    async def _remove(self, things: Iterable[Declared]) -> None:
        """Remove exchanges, the marker among them, and then bindings of an abonnement."""
        former = list(things)
        exchanges = [thing for thing in former if thing.kind is DeclaredKind.EXCHANGE]
        await self._channels.do(delete_exchange(thing.key) for thing in exchanges)
        for thing in former:
            if thing.kind is DeclaredKind.BINDING:
                async with self._channels.one() as channel:
                    # Raised when source or destination is gone, not when the binding is.
                    with suppress(ChannelNotFoundEntity):
                        await unbind(channel, Binding.thaw(thing.key))
        await self._notes.forget(former)

    async def remove_queue(self, name: str) -> int:
        """Delete a queue, empty or not; returns how many messages went with it."""
        await self._may_delete()
        async with self._channels.one() as channel:
            deleted = await channel.queue_delete(name)
        self._stood.discard(name)
        return (deleted and deleted.message_count) or 0

    async def _may_delete(self) -> None:
        await asyncio.sleep(max(0.0, self._connected_at + BEFORE_DELETING - time.monotonic()))

    # -- single things, for reconcile

    async def missing(self, things: Sequence[Thing]) -> list[Thing]:
        """Those that do not exist."""
        return await missing(self._channels, things)

    async def depth(self, queue: str) -> Depth | None:
        """The depth of a queue; None when it does not exist."""
        return await depth_of(self._connection, queue)

    async def remove_exchange(self, name: str) -> None:
        """Delete an exchange, with its bindings."""
        await self._channels.do([delete_exchange(name)])


def _why_refused(queues: Sequence[Queue], reason: str) -> str:
    """What to do about a refusal, with RabbitMQ's own text, by which alone the two kinds differ."""
    name = next((queue.name for queue in queues if f"'{queue.name}'" in reason), queues[0].name)
    if "limit in" in reason:
        return f"queue {name} cannot be made: raise the limit on queues in RabbitMQ ({reason})"
    return (
        f"queue {name} exists in RabbitMQ with other arguments than ours; "
        f"move its messages away and delete it ({reason})"
    )


def _noted(things: Iterable[Exchange | Queue | Binding], *, owner: str = "") -> list[Declared]:
    kinds = {Exchange: DeclaredKind.EXCHANGE, Queue: DeclaredKind.QUEUE, Binding: DeclaredKind.BINDING}
    return [
        Declared(kinds[type(thing)], thing.frozen() if isinstance(thing, Binding) else thing.name, owner)
        for thing in things
    ]
