"""Retention: what an abonnement's queue holds for too long, or too much of, goes to `nrc.undeliverable`.

Carries out what `hold_limits` decides, the oldest first, whatever the state of the abonnement. We do it and
not arguments of the queue, which can never change. Only the active router does, on connections of its own. A
message is acknowledged once RabbitMQ has confirmed it in `nrc.undeliverable`: a stop in between leaves both.

What waits for an abonnement that was removed goes the same way, before its queue is deleted.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID, uuid4

from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from router import names
from router.catalogue import Catalogue
from router.depth import Depth, depths
from router.endings import ABONNEMENT_REMOVED, Endings
from router.history import FailedAttempt, built_anew, kept_headers, read_history
from router.hold_limits import Known, Limits, Survey, excess, how_far, is_due, since_when, size_of
from router.publishing import Publisher
from router.walk import reach, walk
from runtime.amqp import AMQP_ERRORS, connect_to_first, describe
from runtime.log import Occasional, logger
from runtime.settings import Settings
from schemas.errors import BrokerError, BrokerUnavailable, MessageTooLarge

DEPTHS_TIMEOUT = 60.0  # seconds
READY_TIMEOUT = 10.0  # seconds
LEAVING_TIMEOUT = 5.0  # seconds in which deliverers give back what they hold of a removed abonnement
LOOK_AGAIN = 0.1  # seconds
REPORT_INTERVAL = 60.0  # seconds

TOO_OLD = "retention"
TOO_MUCH = "budget"
REMOVED = ABONNEMENT_REMOVED
"""Why a message went, in the place of a class of failure."""

log = logger(__name__)


class Retention:
    """One for the whole life of a router: it remembers what it knows of the queues.

    publisher: a mandatory one, which its owner runs. endings: told of each that goes.
    """

    def __init__(
        self, settings: Settings, *, catalogue: Catalogue, publisher: Publisher, endings: Endings
    ) -> None:
        self._endings = endings
        self._urls = settings.amqp_url
        self._catalogue = catalogue
        self._publisher = publisher
        self._limits = Limits(settings.hold_retention, settings.hold_budget, settings.max_body)
        self._known: dict[UUID, Known] = {}
        self._one_walk = asyncio.Lock()
        self._too_large = Occasional(every=REPORT_INTERVAL)
        self._why = {
            TOO_OLD: f"held longer than NRC_HOLD_RETENTION ({settings.hold_retention} s)",
            REMOVED: "its abonnement was removed",
            TOO_MUCH: f"among the oldest of a queue over NRC_HOLD_BUDGET ({settings.hold_budget} bytes)",
        }

    async def run(self, connection: AbstractConnection) -> None:
        """See to it, again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._limits.interval)
            try:
                await self.enforce(connection)
            except (BrokerError, *AMQP_ERRORS) as error:
                log.warning("retention not enforced", reason=_reason(error))

    async def enforce(self, connection: AbstractConnection) -> None:
        """Both limits hold for every queue that was due. Raises BrokerUnavailable or AMQP_ERRORS.

        connection: to ask how full the queues are. They are walked through on another: what comes in on that
        would hold up all else.
        """
        try:
            due = await self._due(connection)
            if not due:
                return
            own = await connect_to_first(self._urls, name="router retention")
            try:
                await self._enforce_on(own, due)
            finally:
                with suppress(*AMQP_ERRORS):
                    await own.close()
        except asyncio.CancelledError:
            # The client library cancels whoever waits on a connection that is lost; nobody cancelled us.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise BrokerUnavailable("the connection to RabbitMQ was lost") from None

    async def _enforce_on(self, own: AbstractConnection, due: Mapping[UUID, Depth]) -> None:
        for uuid, depth in due.items():
            try:
                async with self._one_walk:
                    await self._look_through(own, uuid, depth)
            except ChannelNotFoundEntity:
                self._known.pop(uuid, None)  # removed meanwhile
            except BrokerUnavailable:
                raise
            except (BrokerError, *AMQP_ERRORS) as error:
                # Of this queue alone, such as one whose node is down; if not, the next one fails too.
                log.warning("retention not enforced", abonnement=str(uuid), reason=_reason(error))

    async def empty(self, uuid: UUID) -> int:
        """What is ready in the queue of a removed abonnement is in `nrc.undeliverable`; how many went.

        To be called when nothing new gets into the queue, and before it is deleted. Raises BrokerUnavailable,
        also when a deliverer does not give back in time what it has in hand: deleted, the queue would take
        that with it.
        """
        queue = names.abonnement_queue(uuid)
        try:
            # A walk of ours may hold some of it.
            async with self._one_walk:
                own = await connect_to_first(self._urls, name="router removal")
                try:
                    return await self._empty(own, uuid, queue)
                finally:
                    with suppress(*AMQP_ERRORS):
                        await own.close()
        except ChannelNotFoundEntity:
            return 0
        except AMQP_ERRORS as error:
            raise BrokerUnavailable(describe(error)) from error
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise BrokerUnavailable("the connection to RabbitMQ was lost") from None

    async def _empty(self, own: AbstractConnection, uuid: UUID, queue: str) -> int:
        moved = 0

        stays = False

        async def remove(message: DeliveredMessage) -> bool:
            nonlocal moved, stays
            if not await self._fits(uuid, message, REMOVED):
                stays = True
                return False
            moved += 1
            return True

        loop = asyncio.get_running_loop()
        give_up = loop.time() + LEAVING_TIMEOUT
        while (depth := (await depths(own, [queue]))[queue]) is not None:
            if depth.messages:
                await self._publisher.wait_ready(READY_TIMEOUT)
                await walk(own, queue, at_most=depth.messages, look=lambda _: True, remove=remove)
                give_up = loop.time() + LEAVING_TIMEOUT
                if stays:
                    raise BrokerUnavailable("some of its notificaties are larger than RabbitMQ takes now")
            elif not depth.consumers:
                break
            elif loop.time() > give_up:
                # RabbitMQ counts a consumer that was cancelled until it has settled all that it was given.
                raise BrokerUnavailable("a deliverer has some of its notificaties in hand")
            else:
                await asyncio.sleep(LOOK_AGAIN)
        return moved

    async def _due(self, connection: AbstractConnection) -> dict[UUID, Depth]:
        """The abonnementen whose queues are to be walked through."""
        queues = {uuid: names.abonnement_queue(uuid) for uuid in self._catalogue.abonnementen}
        async with asyncio.timeout(DEPTHS_TIMEOUT):
            found = await depths(connection, queues.values())
        now = time.monotonic()
        before, self._known = self._known, {}
        due = {}
        for uuid, queue in queues.items():
            depth = found[queue] or Depth(0, 0)
            known = before.get(uuid)
            if known is None and not depth.messages:
                known = Known(0, 0.0, at=now, took=0.0)  # what comes is younger than this
            if known is not None:
                self._known[uuid] = known = known.seen(depth.messages)
            if is_due(known, depth.messages, now=now, limits=self._limits):
                due[uuid] = depth
        return due

    async def _look_through(self, own: AbstractConnection, uuid: UUID, depth: Depth) -> None:
        started = time.monotonic()
        survey = Survey()

        def look(message: DeliveredMessage) -> bool:
            survey.note(message)
            return False

        queue = names.abonnement_queue(uuid)
        farthest = reach(depth)
        await walk(own, queue, at_most=farthest, look=look)
        took = time.monotonic() - started
        before = time.time() - self._limits.retention
        seen = len(survey.sizes)
        # Fewer than there were: what is not there any more was delivered meanwhile.
        behind = depth.messages - seen if seen == farthest else 0
        over = excess(survey, behind=behind, limits=self._limits)
        log.debug("walked through", abonnement=str(uuid), messages=seen, took=round(took, 3))
        moved = 0
        if at_most := how_far(survey, before=before, over=over):
            moved = await self._move(own, uuid, at_most=at_most, before=before, over=over)
        self._known[uuid] = Known(seen + behind - moved, survey.average, at=time.monotonic(), took=took)

    async def _move(
        self, own: AbstractConnection, uuid: UUID, *, at_most: int, before: float, over: float
    ) -> int:
        """How many went: of the first `at_most` those from `before`, and the first until `over` bytes had."""
        await self._publisher.wait_ready(READY_TIMEOUT)
        left = over
        moved: Counter[str] = Counter()

        def look(message: DeliveredMessage) -> bool:
            nonlocal left
            goes = since_when(message) < before or left > 0
            if goes:
                left -= size_of(message)
            return goes

        async def remove(message: DeliveredMessage) -> bool:
            kind = TOO_OLD if since_when(message) < before else TOO_MUCH
            if not await self._fits(uuid, message, kind):
                return False
            moved[kind] += 1
            return True

        queue = names.abonnement_queue(uuid)
        try:
            await walk(own, queue, at_most=at_most, look=look, remove=remove)
        finally:
            if moved:
                log.warning(
                    "held notificaties moved to nrc.undeliverable",
                    abonnement=str(uuid),
                    too_old=moved[TOO_OLD],
                    over_budget=moved[TOO_MUCH],
                )
        return moved.total()

    async def _fits(self, uuid: UUID, message: DeliveredMessage, kind: str) -> bool:
        """Whether it is in `nrc.undeliverable`; not when it came with another limit on a message's size."""
        try:
            await self._publish(uuid, message, kind)
        except MessageTooLarge as error:
            if times := self._too_large.due():
                log.error(
                    "notificatie stays in its queue", abonnement=str(uuid), reason=str(error), times=times
                )
            return False
        return True

    async def _publish(self, uuid: UUID, message: DeliveredMessage, kind: str) -> None:
        now = datetime.now(UTC)
        properties = message.header.properties
        found = properties.headers or {}
        history = read_history(found).ended(FailedAttempt(now, kind, None, self._why[kind]))
        outgoing = built_anew(
            names.UNDELIVERABLE,
            abonnement=uuid,
            body=message.body,
            message_id=properties.message_id or str(uuid4()),
            timestamp=properties.timestamp,
            kept=kept_headers(found),
            history=history,
            undeliverable_at=now,
        )
        await self._publisher.publish(outgoing)
        self._endings.undeliverable(outgoing.message_id, uuid, history)
        log.info(
            "moved to nrc.undeliverable",
            notificatie=outgoing.message_id,
            abonnement=str(uuid),
            failure=kind,
        )


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, BrokerError) else describe(error)
