"""Probes held callbacks: one message of an abonnement at a time, by one of all processes.

A process first claims a probe in the registry (`Holder.claim_probe`). A success releases the abonnement. A
failure costs its message no attempt; the message goes through a wait queue to the end of its queue, since it
may be the one message that its callback cannot process.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from uuid import UUID

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel

from deliverer.attempting.concurrency import Slots
from deliverer.attempting.decide import GONE, GONE_REASON, Undeliverable, asked_wait, classify
from deliverer.attempting.deliver import Deliverer, facts_of, host_of, prepare, unexpected, why_of
from deliverer.attempting.faults import NOT_THE_MESSAGE
from deliverer.attempting.settle import Delivery, Origin, Settle
from deliverer.attempting.wanted import is_wanted
from deliverer.events.request import NoEvent
from deliverer.holding.breaker import FIRST_PROBE, is_due
from deliverer.holding.hold import Holder
from deliverer.http.client import Failure, FailureClass, Response
from deliverer.ordering.in_turn import InTurn
from deliverer.outcomes.account import Account
from deliverer.outcomes.last_failures import LastFailures
from router import names
from router.queue_depth import depth_of
from runtime.amqp import AMQP_ERRORS, describe, open_channel
from runtime.lifecycle import cancelled
from runtime.log import logger
from schemas.abonnement import Abonnement
from schemas.errors import BrokerUnavailable, LedgerError, RegistryError

LOOK = 1.0  # seconds between two looks at what is due
AT_ONCE = 20  # probes
EMPTY_AGAIN = (
    FIRST_PROBE,
    30.0,
)  # seconds before an empty queue is looked at again: the first time, and at most
GET_TIMEOUT = 10.0  # seconds
MOST_SKIPPED = 1000  # messages that are not due or not wanted, in one probe

log = logger(__name__)


class _Probed(Enum):
    ATTEMPTED = "attempted"
    SKIPPED = "skipped"
    """Its message was not due or not wanted; another may be."""
    NOTHING = "nothing"
    """There was no message, or it could not be attempted now."""


class Prober:
    """Probes on the consuming connection. `stop` it before that is closed."""

    def __init__(
        self,
        *,
        holder: Holder,
        deliverer: Deliverer,
        in_turn: InTurn,
        slots: Slots,
        settle: Settle,
        last_failures: LastFailures,
        account: Account,
    ) -> None:
        self._holder = holder
        self._deliverer = deliverer
        self._in_turn = in_turn
        self._slots = slots
        self._settle = settle
        self._last_failures = last_failures
        self._account = account
        self._probing: dict[UUID, asyncio.Task[None]] = {}
        self._empty: dict[UUID, tuple[float, float]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)
        self._stopping = False

    async def session(self, connection: AbstractConnection) -> None:
        """Make the probes that are due, until cancelled."""
        try:
            while True:
                for abonnement in list(self._holder.held.values()):
                    if self._is_due(abonnement):
                        self._start(connection, abonnement)
                for uuid in self._empty.keys() - self._holder.held.keys():
                    del self._empty[uuid]
                # Not all processes at the same moment.
                await asyncio.sleep(LOOK * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        finally:
            for task in list(self._probing.values()):
                await cancelled(task)

    async def stop(self, *, within: float) -> None:
        """Begin no more probes, and let those under way end within so many seconds."""
        self._stopping = True
        if self._probing:
            await asyncio.wait(list(self._probing.values()), timeout=within)

    def _is_due(self, abonnement: Abonnement) -> bool:
        if self._stopping or abonnement.uuid in self._probing or abonnement.hold is None:
            return False
        look_again, _ = self._empty.get(abonnement.uuid, (0.0, 0.0))
        return is_due(abonnement.hold.next_probe, now=time.time()) and time.monotonic() >= look_again

    def _start(self, connection: AbstractConnection, abonnement: Abonnement) -> None:
        uuid = abonnement.uuid
        task = asyncio.create_task(self._probe(connection, abonnement), name=f"probing {uuid}")
        self._probing[uuid] = task
        task.add_done_callback(lambda _: self._probing.pop(uuid, None))

    async def _probe(self, connection: AbstractConnection, abonnement: Abonnement) -> None:
        try:
            async with self._places:
                if await self._is_empty(connection, abonnement):
                    return
                claimed = await self._holder.claim_probe(abonnement)
                if claimed is not None:
                    await self._with_a_message(connection, claimed)
        except (BrokerUnavailable, RegistryError, LedgerError) as error:
            log.warning("probe not finished", abonnement=str(abonnement.uuid), reason=str(error))
        except AMQP_ERRORS as error:
            log.warning("probe not finished", abonnement=str(abonnement.uuid), reason=describe(error))
        except Exception:  # its message goes back into its queue with the channel
            log.exception("probe failed unexpectedly", abonnement=str(abonnement.uuid))

    async def _is_empty(self, connection: AbstractConnection, abonnement: Abonnement) -> bool:
        """Whether its queue is empty; looks again after a while."""
        queue = names.abonnement_queue(abonnement.uuid)
        async with asyncio.timeout(GET_TIMEOUT):
            depth = await depth_of(connection, queue)
        if depth is not None and depth.messages:
            self._empty.pop(abonnement.uuid, None)
            return False
        first, most = EMPTY_AGAIN
        _, pause = self._empty.get(abonnement.uuid, (0.0, first / 2))
        pause = min(pause * 2, most)
        self._empty[abonnement.uuid] = (time.monotonic() + pause, pause)
        return True

    async def _with_a_message(self, connection: AbstractConnection, abonnement: Abonnement) -> None:
        channel = await open_channel(connection)
        origin = Origin(channel)
        try:
            for _ in range(MOST_SKIPPED):
                probed = await self._one(channel, origin, abonnement)
                if probed is not _Probed.SKIPPED:
                    return
        finally:
            await origin.ack_all()  # RabbitMQ would else deliver these again when the channel closes
            origin.leave()
            with suppress(*AMQP_ERRORS):
                await channel.close()

    async def _one(self, channel: AbstractChannel, origin: Origin, abonnement: Abonnement) -> _Probed:
        async with asyncio.timeout(GET_TIMEOUT):
            message = await channel.basic_get(names.abonnement_queue(abonnement.uuid))
        if message.delivery_tag is None:
            return _Probed.NOTHING
        # It can be requeued at any time: there is no consumer that would get it again at once.
        stopped = asyncio.Event()
        stopped.set()
        delivery = prepare(message, abonnement=abonnement.uuid, origin=origin, consumer_stopped=stopped)
        with self._account.in_hand(delivery.key):
            try:
                return await self._with(delivery, abonnement)
            except NOT_THE_MESSAGE:
                raise
            except Exception as error:
                log.exception(
                    "probe failed unexpectedly",
                    notificatie=delivery.notificatie,
                    abonnement=str(delivery.abonnement),
                )
                if not origin.is_settled(delivery.tag):  # to the end of the queue, so that others are tried
                    await self._conclude(delivery, abonnement, unexpected(error), milliseconds=0.0)
                return _Probed.ATTEMPTED

    async def _with(self, delivery: Delivery, abonnement: Abonnement) -> _Probed:
        if self._deliverer.waits(delivery):
            await self._settle.wait_on(delivery)
            return _Probed.SKIPPED
        fresh = await self._deliverer.look()
        held = self._holder.held.get(abonnement.uuid)
        if held is None:  # released, suspended or removed meanwhile
            await self._settle.hold(delivery)
            return _Probed.NOTHING
        abonnement = held
        if not is_wanted(delivery, abonnement):
            await self._deliverer.drop(delivery, abonnement, fresh=fresh)
            return _Probed.SKIPPED
        if await self._deliverer.overtaken(delivery):
            await self._settle.drop(delivery)
            return _Probed.SKIPPED
        if not (has_turn := await self._in_turn.has_turn(delivery, abonnement)):
            if has_turn is False:
                return _Probed.SKIPPED
            await self._settle.hold(delivery)
            return _Probed.NOTHING
        host = host_of(abonnement.callback_url)
        if not await self._slots.take(host, abonnement.uuid):
            await self._settle.hold(delivery)
            return _Probed.NOTHING
        started = time.perf_counter()
        try:
            answer = await self._deliverer.send(delivery, abonnement)
        finally:
            self._slots.give(host, abonnement.uuid)
        if isinstance(answer, NoEvent):
            await self._deliverer.drop(delivery, abonnement, fresh=fresh, no_event=answer)
            return _Probed.SKIPPED
        await self._conclude(
            delivery, abonnement, answer, milliseconds=(time.perf_counter() - started) * 1000
        )
        return _Probed.ATTEMPTED

    async def _conclude(
        self, delivery: Delivery, abonnement: Abonnement, answer: Response | Failure, *, milliseconds: float
    ) -> None:
        ms = round(milliseconds, 1)
        facts = facts_of(delivery, ms)
        failure = classify(answer)
        if failure is None:
            self._deliverer.counts["delivered"] += 1
            log.info("delivered", **facts)
            await self._settle.delivered(delivery, status=answer.status or 0, ms=ms)
            await self._holder.release(abonnement)
            return
        if failure.kind is FailureClass.SHORTAGE:
            await self._deliverer.put_off(delivery, failure)
            await self._holder.not_probed(abonnement)
            return
        self._last_failures.failed(abonnement.uuid, failure)
        if failure.kind is FailureClass.LOOP:
            verdict = Undeliverable(delivery.history.after(failure, at=datetime.now(UTC)))
            await self._deliverer.give_up(delivery, verdict, {**facts, **why_of(failure)}, ms=ms)
            await self._holder.release(abonnement)  # this message loops, but its callback works
            return
        self._deliverer.counts["probes failed"] += 1
        log.warning("probe failed", **facts, **why_of(failure))
        if failure.status == GONE and await self._holder.suspend(abonnement, GONE_REASON):
            await self._settle.hold(delivery)
            return
        self._account.not_counted(delivery.key, failure, ms=ms)
        await self._settle.rest(delivery)
        await self._holder.still_held(abonnement, failure, wait=asked_wait(answer, now=datetime.now(UTC)))
