"""Consumes the queues of the active abonnementen in the catalogue, on each new connection.

After the first look on a connection only what is due is looked at (`standings.py`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from itertools import chain, repeat
from time import monotonic
from uuid import UUID

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ConnectionInternalError

from deliverer.attempting.faults import Faults
from deliverer.consuming import standings
from deliverer.consuming.channels import (
    CAPACITY,
    Consumer,
    ConsumeRefused,
    ConsumingChannel,
    Deliver,
)
from deliverer.consuming.prefetch import Budget
from deliverer.consuming.standings import Standings
from deliverer.consuming.trying import QueueMissing, Trying
from deliverer.pacing.pacing import Pacing
from router.catalogue import Catalogue
from router.changes import Hint, follow_changes
from router.readiness import topology_stands
from router.requests import RouterClient
from runtime.amqp import AMQP_ERRORS, describe
from runtime.lifecycle import Tasks
from runtime.log import Occasional, logger
from schemas.errors import BrokerError, BrokerUnavailable, RegistryError
from store.registry import Changes

SEEK_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)  # seconds before a missing queue is looked for again
ASK_AT_ONCE = 4  # requests to the router to declare an abonnement
LOST_PAUSE = 0.1  # seconds before a queue is consumed again whose consumer RabbitMQ cancelled
FOLLOW_PAUSE = 1.0  # seconds before following changes is tried again
CLOSE_TIMEOUT = 1.0  # seconds
WIDEN_LOOK = 5.0  # seconds between two looks at whether a prefetch may grow again
WHOLE_LOOK = 30.0  # seconds between two looks at all queues that are not consumed
REPORT_INTERVAL = 30.0  # seconds
CUT_OFF = 10.0  # seconds without RabbitMQ after which other deliverers take over what is paced

log = logger(__name__)


class Consumers:
    """Consumes every queue that should be consumed, and no other.

    caught_up: set while that is so, as far as this process knows. Missing queues, and those about to get
    another prefetch, do not count. is_back: called when there is RabbitMQ again; whether other deliverers had
    taken over what is paced.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        router: RouterClient,
        deliver: Deliver,
        faults: Faults,
        budget: Budget,
        trying: Trying,
        pacing: Pacing,
        is_back: Callable[[], Awaitable[bool]],
    ) -> None:
        self._catalogue = catalogue
        self._router = router
        self._deliver = deliver
        self._faults = faults
        self._budget = budget
        self._trying = trying
        self._pacing = pacing
        self._is_back = is_back
        self._over_budget = Occasional(every=REPORT_INTERVAL)
        self._channels: list[ConsumingChannel] = []
        self._consuming: dict[UUID, Consumer] = {}
        self._beginning_anew: dict[UUID, asyncio.Task[None]] = {}
        self._seeking: dict[UUID, asyncio.Task[None]] = {}
        self._standings = Standings(catalogue)
        self._ask_at_once = asyncio.Semaphore(ASK_AT_ONCE)
        self._look = asyncio.Event()
        self._connected = False
        self._away_since = monotonic()
        self._stopping = False
        self.caught_up = asyncio.Event()
        catalogue.subscribe(self._changed)
        self._pace()
        pacing.changed = self._pace

    @property
    def consumed(self) -> int:
        """How many queues this process consumes now."""
        return len(self._consuming)

    @property
    def is_cut_off(self) -> bool:
        """Whether it consumes nothing, for CUT_OFF seconds, as there is no RabbitMQ for this process."""
        return not self._connected and monotonic() - self._away_since >= CUT_OFF

    def _changed(self, changes: Changes) -> None:
        self._standings.changed(changes)
        self._look.set()

    def _look_at(self, uuids: Iterable[UUID]) -> None:
        self._standings.look_at(uuids)
        self._look.set()

    def _look_later(self, uuids: Collection[UUID]) -> None:
        asyncio.get_running_loop().call_later(LOST_PAUSE, self._look_at, uuids)

    def _pace(self) -> None:
        """Take over how much of the paced abonnementen this process may have in hand."""
        for uuid in self._budget.limit(self._pacing.prefetches):
            if (consumer := self._consuming.get(uuid)) is not None:
                self._begin_anew(consumer)
        self._standings.leave_to_others(self._pacing.elsewhere)
        self._look.set()

    async def session(self, connection: AbstractConnection) -> None:
        """Consume all queues on this connection, until it is lost."""
        await topology_stands(connection)
        self._connected = True
        try:
            if await self._is_back():
                await self._pacing.look()
            async with Tasks() as tasks:
                tasks.start("following changes", self._follow_changes(connection))
                tasks.start("consuming", self._keep(connection))
                tasks.start("taking more again", self._widen())
                tasks.start("looking at all queues", self._look_at_all())
                await tasks.run_until(asyncio.Event())
        finally:
            self._connected, self._away_since = False, monotonic()
            self._forget()

    async def stop(self, *, within: float) -> bool:
        """Consume no more, let what is under way end within so many seconds, and requeue the rest.

        False when RabbitMQ does not answer.
        """
        self._stopping = True
        self.caught_up.clear()
        self._standings.stop()
        self._look.set()
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
        if (hint := Hint.read(body)) is not None and self._standings.heard(hint):
            self._look.set()

    def _forget(self) -> None:
        for task in chain(self._seeking.values(), self._beginning_anew.values()):
            task.cancel()
        self._seeking.clear()
        self._standings.end()
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
        self._standings.begin()
        first = True
        while True:
            self._look.clear()
            wanted, unwanted = self._standings.take()
            await self._leave(unwanted)
            await self._consume_wanted(connection, wanted)
            if first:
                log.info("consuming", queues=len(self._consuming))
                first = False
            if not self._look.is_set():
                self.caught_up.set()
            await self._look.wait()
            self.caught_up.clear()

    async def _leave(self, unwanted: Iterable[UUID]) -> None:
        consumers = []
        for uuid in unwanted:
            if (task := self._seeking.pop(uuid, None)) is not None:
                task.cancel()
            if uuid in self._consuming or uuid in self._beginning_anew:
                self._budget.forget(uuid)
            if (consumer := self._consuming.pop(uuid, None)) is not None:
                consumers.append(consumer)
        await asyncio.gather(*(consumer.channel.cancel(consumer) for consumer in consumers))

    async def _consume_wanted(self, connection: AbstractConnection, wanted: Iterable[UUID]) -> None:
        """Consume what is sure of these, and begin to try the rest."""
        self._channels = [channel for channel in self._channels if not channel.is_closed]
        self._budget.sharers = len(self._standings)
        not_sure: list[UUID] = []
        refused: list[UUID] = []
        missing: deque[UUID] = deque()
        for uuid in wanted:
            if self._has(uuid):
                continue
            standing = self._standings.get(uuid)
            if standing is None or not self._standings.wanted(uuid):
                continue  # it changed just now, so it is due again
            if not standing.sure:
                not_sure.append(uuid)
            elif standing.refused:
                refused.append(uuid)
            else:
                missing.append(uuid)
        for uuid in self._to_try(not_sure):
            self._seeking[uuid] = asyncio.create_task(self._try(uuid), name=f"trying {uuid}")
        work = [self._consume(connection, None, [uuid]) for uuid in refused]
        for channel in chain(self._channels, repeat(None)):
            if not missing:
                break
            room = CAPACITY if channel is None else channel.room
            if batch := [missing.popleft() for _ in range(min(room, len(missing)))]:
                work.append(self._consume(connection, channel, batch))
        await asyncio.gather(*work)

    def _has(self, uuid: UUID) -> bool:
        """Whether its queue is consumed, or something is done already so that it will be."""
        return uuid in self._consuming or uuid in self._seeking or uuid in self._beginning_anew

    async def _look_at_all(self) -> None:
        """Look at whatever is not consumed, also when nothing told that it should be looked at."""
        while True:
            await asyncio.sleep(WHOLE_LOOK)
            if missed := [uuid for uuid in self._standings if not self._has(uuid)]:
                self._look_at(missed)

    def _to_try(self, missing: Iterable[UUID]) -> Collection[UUID]:
        """Those of the missing that are tried now: not what the router declares, DECLARED_WITHIN at most."""
        to_try, awaited = self._standings.to_try(missing, now=monotonic())
        if awaited:
            asyncio.get_running_loop().call_later(standings.DECLARED_WITHIN, self._look_at, awaited)
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
                    if (standing := self._standings.get(uuid)) is not None:
                        standing.refused = True
                    self._seek(uuid, str(error))
                    self._look_at(self._not_begun(batch))
                    break
        except (BrokerUnavailable, *AMQP_ERRORS) as error:
            left = self._not_begun(batch)
            if isinstance(error, ConnectionInternalError):
                self._standings.doubt(left)
            reason = str(error) if isinstance(error, BrokerUnavailable) else describe(error)
            log.warning("queues not consumed yet", queues=len(batch), reason=reason)
            self._look_later(left)

    def _not_begun(self, batch: Iterable[UUID]) -> Collection[UUID]:
        return [uuid for uuid in batch if uuid not in self._consuming]

    async def _open(self, connection: AbstractConnection) -> ConsumingChannel:
        channel = await ConsumingChannel.open(
            connection,
            deliver=self._deliver,
            faults=self._faults,
            budget=self._budget,
            lost=self._lost,
            too_much=self._narrow,
        )
        self._channels.append(channel)
        return channel

    def _began(self, consumer: Consumer) -> None:
        if (standing := self._standings.get(consumer.abonnement)) is not None:
            standing.consumed()
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
        self._look_later([consumer.abonnement])

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
            self._sure(consumer.abonnement)
        finally:
            _remove_own(self._beginning_anew, consumer.abonnement)
            self._look_at([consumer.abonnement])

    def _sure(self, uuid: UUID) -> None:
        if (standing := self._standings.get(uuid)) is not None:
            standing.sure = True

    async def _try(self, uuid: UUID) -> None:
        """Find out whether its queue can be consumed, and consume or seek it."""
        reason = ""
        try:
            await self._trying.consume(uuid)
            self._sure(uuid)
        except BrokerError as error:  # RabbitMQ may refuse one connection more
            reason = str(error)
        finally:
            _remove_own(self._seeking, uuid)
        if reason:
            self._seek(uuid, reason)
        else:
            self._look_at([uuid])

    def _seek(self, uuid: UUID, reason: str) -> None:
        tries = 1
        if (standing := self._standings.get(uuid)) is not None:
            tries = standing.tries = standing.tries + 1
        # Once is normal: an abonnement is in the registry for a moment before its queue is declared.
        tell = log.warning if tries > 1 else log.debug
        tell("queue cannot be consumed", abonnement=str(uuid), reason=reason, tries=tries)
        self._seeking[uuid] = asyncio.create_task(self._ask_for(uuid, tries), name=f"seeking {uuid}")

    async def _ask_for(self, uuid: UUID, tries: int) -> None:
        try:
            await self._have_declared(uuid)
            await asyncio.sleep(SEEK_PAUSES[min(tries, len(SEEK_PAUSES)) - 1])
        finally:
            _remove_own(self._seeking, uuid)
            self._look_at([uuid])

    async def _have_declared(self, uuid: UUID) -> None:
        """Ask the router to declare the queue of an abonnement, if that still exists."""
        try:
            async with self._ask_at_once:
                await self._catalogue.refresh()
                if self._standings.wanted(uuid):
                    await self._router.apply_abonnement(uuid)
        except (BrokerError, RegistryError) as error:
            log.warning("queue not declared", abonnement=str(uuid), reason=str(error))


def _remove_own(tasks: dict[UUID, asyncio.Task[None]], uuid: UUID) -> None:
    """Remove the task that runs now: who cancelled it removed it already, and there may be another by now."""
    if tasks.get(uuid) is asyncio.current_task():
        del tasks[uuid]
