"""Consumes the queues of the active abonnementen in the catalogue, on each new connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence, Set
from contextlib import suppress
from itertools import chain, repeat
from time import monotonic
from uuid import UUID

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ConnectionInternalError

from deliverer.consuming.channels import (
    CAPACITY,
    Consumer,
    ConsumeRefused,
    ConsumingChannel,
    Deliver,
)
from deliverer.consuming.prefetch import Budget
from deliverer.consuming.trying import QueueMissing, Trying
from router.catalogue import Catalogue
from router.changes import Hint, follow_changes
from router.readiness import topology_stands
from router.requests import RouterClient
from runtime.amqp import AMQP_ERRORS, describe
from runtime.lifecycle import Tasks
from runtime.log import Occasional, logger
from schemas.abonnement import State
from schemas.errors import BrokerError, BrokerUnavailable, RegistryError
from store.registry import Changes

SEEK_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)  # seconds before a missing queue is looked for again
ASK_AT_ONCE = 4  # requests to the router to declare an abonnement
LOST_PAUSE = 0.1  # seconds before a queue is consumed again whose consumer RabbitMQ cancelled
FOLLOW_PAUSE = 1.0  # seconds before following changes is tried again
DECLARED_WITHIN = 15.0  # seconds after which a queue is tried that no hint has called declared
CLOSE_TIMEOUT = 1.0  # seconds
WIDEN_LOOK = 5.0  # seconds between two looks at whether a prefetch may grow again
REPORT_INTERVAL = 30.0  # seconds

log = logger(__name__)


class Consumers:
    """Consumes every queue that should be consumed, and no other.

    caught_up: set while that is so, as far as this process knows. Missing queues, and those about to get
    another prefetch, do not count.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        router: RouterClient,
        deliver: Deliver,
        budget: Budget,
        trying: Trying,
    ) -> None:
        self._catalogue = catalogue
        self._router = router
        self._deliver = deliver
        self._budget = budget
        self._trying = trying
        self._over_budget = Occasional(every=REPORT_INTERVAL)
        self._channels: list[ConsumingChannel] = []
        self._consuming: dict[UUID, Consumer] = {}
        self._beginning_anew: dict[UUID, asyncio.Task[None]] = {}
        self._seeking: dict[UUID, asyncio.Task[None]] = {}
        self._sought: dict[UUID, int] = {}
        # What is consumed first on a connection, when nothing is in hand yet, and what was tried since.
        self._sure: set[UUID] = set()
        self._seen: set[UUID] = set()  # what was tried on this connection, or sure
        self._hint = Hint()
        self._awaited: dict[UUID, float] = {}  # since when (monotonic) the router declares these
        # Those among which one was that RabbitMQ ended a connection for. They are tried on the next one.
        self._doubted: set[UUID] = set()
        # Each of these is tried on a channel of its own, since a refusal closes the channel.
        self._refused: set[UUID] = set()
        self._ask_at_once = asyncio.Semaphore(ASK_AT_ONCE)
        self._look = asyncio.Event()
        self._connected = False
        self._stopping = False
        self.caught_up = asyncio.Event()
        catalogue.subscribe(self._changed)

    @property
    def consumed(self) -> int:
        """How many queues this process consumes now."""
        return len(self._consuming)

    def _changed(self, _: Changes | None = None) -> None:
        self._look.set()

    async def session(self, connection: AbstractConnection) -> None:
        """Consume all queues on this connection, until it is lost."""
        await topology_stands(connection)
        self._connected = True
        try:
            async with Tasks() as tasks:
                tasks.start("following changes", self._follow_changes(connection))
                tasks.start("consuming", self._keep(connection))
                tasks.start("taking more again", self._widen())
                await tasks.run_until(asyncio.Event())
        finally:
            self._connected = False
            self._forget()

    async def stop(self, *, within: float) -> bool:
        """Consume no more, let what is under way end within so many seconds, and requeue the rest.

        False when RabbitMQ does not answer.
        """
        self._stopping = True
        self.caught_up.clear()
        self._changed()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                if self._connected:
                    await self.caught_up.wait()
                await asyncio.gather(*(channel.finish() for channel in self._channels))
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await asyncio.gather(*(channel.close() for channel in self._channels))
                return True
        return False

    def _heard(self, body: bytes) -> None:
        if (hint := Hint.read(body)) is None:
            return
        self._hint = hint
        if self._awaited:
            self._changed()

    def _forget(self) -> None:
        for task in chain(self._seeking.values(), self._beginning_anew.values()):
            task.cancel()
        self._seeking.clear()
        self._hint = Hint()
        self._awaited.clear()
        self._beginning_anew.clear()
        self._consuming.clear()
        self._channels.clear()
        # A stop that waits for this waits for consumers to end, and they have.
        (self.caught_up.set if self._stopping else self.caught_up.clear)()

    async def _follow_changes(self, connection: AbstractConnection) -> None:
        while True:
            try:
                await follow_changes(connection, self._catalogue, heard=self._heard)
            except AMQP_ERRORS as error:
                log.warning("no hints of changes; looking at the interval only", reason=describe(error))
            await asyncio.sleep(FOLLOW_PAUSE)

    async def _keep(self, connection: AbstractConnection) -> None:
        await self._catalogue.try_refresh()
        self._sure = self._wanted() - self._doubted
        self._seen = self._sure.copy()
        first = True
        while True:
            self._look.clear()
            await self._cancel_unwanted()
            await self._consume_wanted(connection)
            if first:
                log.info("consuming", queues=len(self._consuming))
                first = False
            if not self._look.is_set():
                self.caught_up.set()
            await self._look.wait()
            self.caught_up.clear()

    def _wanted(self) -> set[UUID]:
        if self._stopping:
            return set()
        return {
            uuid
            for uuid, abonnement in self._catalogue.abonnementen.items()
            if abonnement.state is State.ACTIVE
        }

    async def _cancel_unwanted(self) -> None:
        wanted = self._wanted()
        for uuid in self._seeking.keys() - wanted:
            self._seeking.pop(uuid).cancel()
        for uuid in self._sought.keys() - wanted:
            del self._sought[uuid]
        self._refused &= wanted
        self._sure &= wanted
        self._seen &= wanted
        self._doubted &= wanted
        for uuid in (self._consuming.keys() | self._beginning_anew.keys()) - wanted:
            self._budget.forget(uuid)
        unwanted = [self._consuming.pop(uuid) for uuid in self._consuming.keys() - wanted]
        await asyncio.gather(*(consumer.channel.cancel(consumer) for consumer in unwanted))

    async def _consume_wanted(self, connection: AbstractConnection) -> None:
        self._channels = [channel for channel in self._channels if not channel.is_closed]
        wanted = self._wanted()
        self._budget.sharers = len(wanted)
        elsewhere = self._consuming.keys() | self._seeking.keys() | self._beginning_anew.keys()
        for uuid in self._to_try(wanted - elsewhere - self._sure):
            self._seeking[uuid] = asyncio.create_task(self._try(uuid), name=f"trying {uuid}")
        missing = deque((wanted & self._sure) - elsewhere - self._refused)
        work = [
            self._consume(connection, None, [uuid])
            for uuid in (wanted & self._refused & self._sure) - self._seeking.keys()
        ]
        for channel in chain(self._channels, repeat(None)):
            if not missing:
                break
            room = CAPACITY if channel is None else channel.room
            batch = [missing.popleft() for _ in range(min(room, len(missing)))]
            work.append(self._consume(connection, channel, batch))
        await asyncio.gather(*work)

    def _to_try(self, missing: Set[UUID]) -> Set[UUID]:
        """Those of the missing that are tried now: not what the router declares, DECLARED_WITHIN at most."""
        known, now = self._catalogue.abonnementen, monotonic()
        undeclared = {uuid for uuid in missing - self._seen if self._hint.is_undeclared(known[uuid])}
        awaited = {uuid: self._awaited.get(uuid, now) for uuid in undeclared}
        if awaited.keys() - self._awaited.keys():
            asyncio.get_running_loop().call_later(DECLARED_WITHIN, self._changed)
        self._awaited = awaited
        to_try = missing - {uuid for uuid, since in awaited.items() if now < since + DECLARED_WITHIN}
        self._seen |= to_try
        return to_try

    async def _consume(
        self, connection: AbstractConnection, channel: ConsumingChannel | None, batch: Sequence[UUID]
    ) -> None:
        """Consume these on one channel, a new one for None: all at once, then one by one what is left."""
        try:
            if channel is None:
                channel = await self._open(connection)
            begun: list[Consumer] = []
            if len(batch) > 1 and not self._stopping:
                try:
                    begun = await channel.consume_all(batch)
                except ConsumeRefused:
                    channel = await self._open(connection)
            for consumer in begun:
                self._began(consumer)
            done = {consumer.abonnement for consumer in begun}
            for uuid in batch:
                if uuid in done:
                    continue
                if self._stopping:
                    return
                try:
                    self._began(await channel.consume(uuid))
                except QueueMissing as error:
                    self._seek(uuid, str(error))
                except ConsumeRefused as error:
                    self._refused.add(uuid)
                    self._seek(uuid, str(error))
                    break
        except (BrokerUnavailable, *AMQP_ERRORS) as error:
            if isinstance(error, ConnectionInternalError):
                self._doubted |= {*batch} - self._consuming.keys()
            reason = str(error) if isinstance(error, BrokerUnavailable) else describe(error)
            log.warning("queues not consumed yet", queues=len(batch), reason=reason)
            asyncio.get_running_loop().call_later(LOST_PAUSE, self._changed)

    async def _open(self, connection: AbstractConnection) -> ConsumingChannel:
        channel = await ConsumingChannel.open(
            connection,
            deliver=self._deliver,
            budget=self._budget,
            lost=self._lost,
            too_much=self._narrow,
        )
        self._channels.append(channel)
        return channel

    def _began(self, consumer: Consumer) -> None:
        self._sought.pop(consumer.abonnement, None)
        self._refused.discard(consumer.abonnement)
        self._sure.discard(consumer.abonnement)
        self._doubted.discard(consumer.abonnement)
        self._consuming[consumer.abonnement] = consumer
        # It may have been lost, or have exceeded the budget, before this was known.
        if consumer.stopped.is_set():
            self._lost(consumer)
        elif consumer.not_kept:
            self._narrow(consumer)

    def _lost(self, consumer: Consumer) -> None:
        """RabbitMQ ended this consumer: consume again after LOST_PAUSE."""
        if self._consuming.get(consumer.abonnement) is consumer:
            del self._consuming[consumer.abonnement]
        asyncio.get_running_loop().call_later(LOST_PAUSE, self._changed)

    def _narrow(self, consumer: Consumer) -> None:
        """A message exceeds the budget: consume its queue with a smaller prefetch."""
        if self._consuming.get(consumer.abonnement) is not consumer:
            return  # it is ending already, or is only just beginning
        prefetch = self._budget.narrow(consumer.abonnement, consumer.not_kept, now=monotonic())
        if times := self._over_budget.due():
            log.warning(
                "prefetch lowered for memory",
                abonnement=consumer.tag,
                at_once=prefetch,
                bytes=consumer.not_kept,
                in_hand=self._budget.in_hand,
                times=times,
            )
        self._begin_anew(consumer)

    async def _widen(self) -> None:
        while True:
            await asyncio.sleep(WIDEN_LOOK)
            for uuid in self._budget.widen(now=monotonic()):
                if (consumer := self._consuming.get(uuid)) is not None:
                    self._begin_anew(consumer)

    def _begin_anew(self, consumer: Consumer) -> None:
        """End a consumer; when all its messages are settled, consume with the new prefetch."""
        uuid = consumer.abonnement
        del self._consuming[uuid]
        self._beginning_anew[uuid] = asyncio.create_task(self._end(consumer), name=f"beginning anew {uuid}")

    async def _end(self, consumer: Consumer) -> None:
        try:
            await consumer.channel.cancel(consumer)
            await self._budget.emptied(consumer.abonnement)
            self._sure.add(consumer.abonnement)
        finally:
            if self._beginning_anew.get(consumer.abonnement) is asyncio.current_task():
                del self._beginning_anew[consumer.abonnement]
            self._changed()

    async def _try(self, uuid: UUID) -> None:
        """Find out whether its queue can be consumed, and consume or seek it."""
        reason = ""
        try:
            await self._trying.consume(uuid)
            self._sure.add(uuid)
        except BrokerError as error:  # RabbitMQ may refuse one connection more
            reason = str(error)
        finally:
            if self._seeking.get(uuid) is asyncio.current_task():
                del self._seeking[uuid]
        if reason:
            self._seek(uuid, reason)
        else:
            self._changed()

    def _seek(self, uuid: UUID, reason: str) -> None:
        tries = self._sought[uuid] = self._sought.get(uuid, 0) + 1
        # Once is normal: an abonnement is in the registry for a moment before its queue is declared.
        tell = log.warning if tries > 1 else log.debug
        tell("queue cannot be consumed", abonnement=str(uuid), reason=reason, tries=tries)
        self._seeking[uuid] = asyncio.create_task(self._ask_for(uuid, tries), name=f"seeking {uuid}")

    async def _ask_for(self, uuid: UUID, tries: int) -> None:
        try:
            await self._have_declared(uuid)
            await asyncio.sleep(SEEK_PAUSES[min(tries, len(SEEK_PAUSES)) - 1])
        finally:
            # The caller that cancels this has removed it already, and may be seeking again.
            if self._seeking.get(uuid) is asyncio.current_task():
                del self._seeking[uuid]
            self._changed()

    async def _have_declared(self, uuid: UUID) -> None:
        """Ask the router to declare the queue of an abonnement, if that still exists."""
        try:
            async with self._ask_at_once:
                await self._catalogue.refresh()
                if uuid in self._wanted():
                    await self._router.apply_abonnement(uuid)
        except (BrokerError, RegistryError) as error:
            log.warning("queue not declared", abonnement=str(uuid), reason=str(error))
