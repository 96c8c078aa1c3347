"""What waits for an abonnement that was removed goes to `nrc.undeliverable`, before its queue is deleted.

A message is acknowledged once RabbitMQ has confirmed it there: a stop in between leaves both.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID, uuid4

from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from router import names
from router.catalogue import Catalogue
from router.declaring.endings import ABONNEMENT_REMOVED, Endings
from router.depth import depths
from router.history import FailedAttempt, built_anew, kept_headers, read_history
from router.publishing import Publisher
from router.walk import walk
from runtime.amqp import AMQP_ERRORS, connect_to_first, describe
from runtime.log import Occasional, logger
from runtime.settings import Settings
from schemas.errors import BrokerUnavailable, MessageTooLarge

READY_TIMEOUT = 10.0  # seconds
LEAVING_TIMEOUT = 5.0  # seconds in which deliverers give back what they hold of a removed abonnement
LOOK_AGAIN = 0.1  # seconds
REPORT_INTERVAL = 60.0  # seconds

log = logger(__name__)


class Retention:
    """publisher: a mandatory one, which its owner runs. endings: told of each that goes."""

    def __init__(
        self, settings: Settings, *, catalogue: Catalogue, publisher: Publisher, endings: Endings
    ) -> None:
        self._endings = endings
        self._urls = settings.amqp_url
        self._publisher = publisher
        self._one_walk = asyncio.Lock()
        self._too_large = Occasional(every=REPORT_INTERVAL)

    async def run(self, _: AbstractConnection) -> None:
        """Nothing, until cancelled: the keeper sees to it."""
        await asyncio.Event().wait()

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
            if not await self._fits(uuid, message, ABONNEMENT_REMOVED):
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
        history = read_history(found).ended(FailedAttempt(now, kind, None, "its abonnement was removed"))
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
