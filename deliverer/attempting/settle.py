"""Settling: the only place where a message is acknowledged or requeued.

A message is acknowledged once its delivery is in the ledger (or 2 s later), or its copy is confirmed in a
wait queue or in `nrc.undeliverable`. Until then RabbitMQ delivers it again if this process ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, repeat
from uuid import UUID

from aiormq.abc import AbstractChannel

from deliverer.attempting.decide import Retry, Undeliverable, ways_to_wait
from deliverer.outcomes.account import Account
from deliverer.outcomes.acknowledging import Acknowledging
from ledger.values import Key
from router import names
from router.history import DUE, History, built_anew
from router.publishing import ExchangeMissing, Outgoing, Publisher
from router.requests import RouterClient
from router.topology import RUNGS
from runtime.amqp import AMQP_ERRORS, acknowledge
from runtime.log import logger
from schemas.errors import BrokerUnavailable, MessageTooLarge, Unroutable

PAUSES = (0.5, 1.0, 2.0, 5.0)  # seconds between tries to publish; the last one repeats
KEEP_TRYING = 600.0  # seconds; RabbitMQ closes the channel of a message that is held for 30 minutes
REST = RUNGS[1]  # seconds that the message of a failed probe stays in a wait queue
STOP_TIMEOUT = 5.0  # seconds for a consumer to stop
MISSING_FOR = 30.0  # seconds in which a missing exchange is not tried again
MEND_INTERVAL = 60.0  # seconds between two requests to the router to repair what is missing

log = logger(__name__)


class Origin:
    """The channel on which messages came in, the only one on which they can be settled."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self._left = False
        self._later: set[int] = set()
        self._unsettled: set[int] = set()

    def leave(self) -> None:
        """Settle nothing more: settling on a closing channel makes RabbitMQ close the connection."""
        self._left = True

    def came(self, tag: int) -> None:
        """A message came in with this tag."""
        self._unsettled.add(tag)

    def is_settled(self, tag: int) -> bool:
        """Whether it was acknowledged (or is to be) or requeued: twice would close the channel."""
        return tag not in self._unsettled

    async def ack(self, tag: int) -> None:
        """Acknowledge a message. If the channel is closed, RabbitMQ delivers it again."""
        self._unsettled.discard(tag)
        await self._ack([tag])

    async def _ack(self, tags: Sequence[int]) -> None:
        if tags and not self._left:
            with suppress(*AMQP_ERRORS):
                await acknowledge(self._channel, tags)

    def ack_later(self, tag: int) -> None:
        """Leave the acknowledgement to the next `ack_now` or `ack_all`."""
        self._unsettled.discard(tag)
        self._later.add(tag)

    async def ack_now(self, tags: Sequence[int]) -> None:
        """Acknowledge those of these for which `ack_later` was called, unless that was done."""
        due = [tag for tag in tags if tag in self._later]
        self._later.difference_update(due)
        try:
            await self._ack(due)
        except asyncio.CancelledError:
            self._later.update(due)
            raise

    async def ack_all(self) -> None:
        """Acknowledge all that `ack_later` was called for."""
        await self.ack_now(sorted(self._later))

    async def requeue(self, tag: int, *, all_before: bool = False) -> None:
        """Requeue a message. By nack, since RabbitMQ counts rejects. all_before: and all with lower tags."""
        self._unsettled.discard(tag)
        if not self._left:
            with suppress(*AMQP_ERRORS):
                await self._channel.basic_nack(tag, multiple=all_before, requeue=True, wait=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way to the callback of one abonnement.

    key: as in the ledger. tag: its delivery tag on `origin`. consumer_stopped: set when its queue is not
    consumed any more, so that a requeued message does not come in again at once. again: whether it may have
    been attempted or settled before.
    """

    notificatie: str
    abonnement: UUID
    key: Key
    body: bytes
    kept: dict[str, str]
    timestamp: datetime | None
    history: History
    origin: Origin
    tag: int
    consumer_stopped: asyncio.Event
    again: bool = False


class Settle:
    """Carries decisions out. `close` it before the connection is closed."""

    def __init__(
        self,
        publisher: Publisher,
        router: RouterClient,
        *,
        account: Account,
        acknowledging: Acknowledging,
    ) -> None:
        self._publisher = publisher
        self._router = router
        self._account = account
        self._acknowledging = acknowledging
        self._closing = asyncio.Event()
        self._missing: dict[str, float] = {}
        self._mending: asyncio.Task[None] | None = None
        self._last_mend = -MEND_INTERVAL

    async def delivered(self, delivery: Delivery, *, status: int, ms: float) -> None:
        """Acknowledge it once the ledger has its outcome; at once while the ledger is away."""
        origin, tag, key = delivery.origin, delivery.tag, delivery.key
        if self._account.is_away or self._acknowledging.is_behind:
            then = self._acknowledging.caught_up
            self._account.delivered(key, delivery.history, status=status, ms=ms, then=then)
            await origin.ack(tag)
        else:
            then = self._acknowledging.begin(origin, tag)
            self._account.delivered(key, delivery.history, status=status, ms=ms, then=then)

    async def drop(self, delivery: Delivery) -> None:
        """Acknowledge a message that must not be sent."""
        await delivery.origin.ack(delivery.tag)

    async def hold(self, delivery: Delivery) -> None:
        """Leave it in its queue: requeue it once the queue is not consumed any more.

        Before that it would come in again at once.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT):
                await delivery.consumer_stopped.wait()
        await delivery.origin.requeue(delivery.tag)

    async def wait_on(self, delivery: Delivery) -> None:
        """Publish it to the next wait queue of its ladder; no attempt was made."""
        await self._wait(delivery, Retry(delivery.history, step=0))

    async def rest(self, delivery: Delivery) -> None:
        """Send it through a short wait queue to the end of its queue, without counting an attempt."""
        await self._postpone(delivery, until=None)

    async def postpone(self, delivery: Delivery, *, until: int) -> None:
        """The same until that moment, in milliseconds since 1970, through as many wait queues as it takes."""
        await self._postpone(delivery, until=until)

    async def _postpone(self, delivery: Delivery, *, until: int | None) -> None:
        retry = Retry(delivery.history.waiting_until(until), step=REST)
        if (wait := await self._wait(delivery, retry)) is not None:
            self._account.rested(delivery.key, delivery.history, wait=wait)

    async def retry(self, delivery: Delivery, retry: Retry, *, ms: float) -> None:
        """Publish it to a wait queue after an attempt that took `ms` milliseconds, then acknowledge it."""
        if (wait := await self._wait(delivery, retry)) is not None:
            self._account.retrying(delivery.key, retry.history, wait=wait, ms=ms)

    async def _wait(self, delivery: Delivery, retry: Retry) -> float | None:
        """Publish it to a wait queue; the seconds until it is due, None when it was requeued instead."""

        def ways() -> Iterable[Outgoing]:
            for seconds, history in ways_to_wait(retry, now=datetime.now(UTC)):
                yield self._outgoing(delivery, names.wait_queue(seconds), history)

        if (sent := await self._move(delivery, ways)) is None:
            return None
        return _seconds_of(sent, now=time.time())

    async def undeliverable(self, delivery: Delivery, verdict: Undeliverable, *, ms: float) -> None:
        """Publish it to `nrc.undeliverable` with its history, then acknowledge. ms: of its last attempt."""
        at = datetime.now(UTC)
        outgoing = self._outgoing(delivery, names.UNDELIVERABLE, verdict.history, undeliverable_at=at)
        if await self._move(delivery, lambda: [outgoing]) is not None:
            self._account.undeliverable(delivery.key, verdict.history, at=at, ms=ms)

    async def close(self) -> None:
        """From now on requeue messages that are still to be published."""
        self._closing.set()
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.wait({self._mending})

    def _outgoing(
        self,
        delivery: Delivery,
        exchange: str,
        history: History,
        *,
        undeliverable_at: datetime | None = None,
    ) -> Outgoing:
        return built_anew(
            exchange,
            abonnement=delivery.abonnement,
            body=delivery.body,
            message_id=delivery.notificatie,
            timestamp=delivery.timestamp,
            kept=delivery.kept,
            history=history,
            undeliverable_at=undeliverable_at,
        )

    async def _move(self, delivery: Delivery, ways: Callable[[], Iterable[Outgoing]]) -> Outgoing | None:
        """Publish to the first of these that exists, then acknowledge; try again while RabbitMQ refuses.

        It is not requeued at once, since its callback would then get it again and again. Returns what was
        published; None when the message was requeued after KEEP_TRYING or when the process stops.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + KEEP_TRYING
        reason = "none of its wait queues is there"
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            try:
                for outgoing in ways():
                    if await self._published(outgoing):
                        await delivery.origin.ack(delivery.tag)
                        return outgoing
            except MessageTooLarge as error:
                # It was published under another limit; keep it until it fits, or is requeued.
                if reason != str(error):
                    reason = str(error)
                    log.error(
                        "message is larger than RabbitMQ takes",
                        notificatie=delivery.notificatie,
                        abonnement=str(delivery.abonnement),
                        reason=reason,
                    )
            except BrokerUnavailable as error:
                reason = str(error)
            if self._closing.is_set() or loop.time() > give_up:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._closing.wait()
        log.warning(
            "message requeued, its failed attempt not counted",
            notificatie=delivery.notificatie,
            abonnement=str(delivery.abonnement),
            reason=reason,
        )
        await delivery.origin.requeue(delivery.tag)
        return None

    async def _published(self, outgoing: Outgoing) -> bool:
        """Whether RabbitMQ has it; False when the exchange is missing. Raises BrokerUnavailable."""
        now = asyncio.get_running_loop().time()
        if self._missing.get(outgoing.exchange, now) > now:
            return False
        try:
            await self._publisher.publish(outgoing)
        except (ExchangeMissing, Unroutable) as error:
            self._missing[outgoing.exchange] = now + MISSING_FOR
            self._mend(outgoing.exchange, str(error))
            return False
        return True

    def _mend(self, exchange: str, reason: str) -> None:
        """Ask the router to declare again what is missing."""
        now = asyncio.get_running_loop().time()
        log.warning("exchange to publish to is missing in RabbitMQ", exchange=exchange, reason=reason)
        everyones = exchange == names.UNDELIVERABLE or names.wait_seconds(exchange) in RUNGS
        if everyones and now > self._last_mend + MEND_INTERVAL and not self._closing.is_set():
            self._last_mend = now
            self._mending = asyncio.create_task(self._ask_to_mend(), name="asking the router to repair")

    async def _ask_to_mend(self) -> None:
        try:
            await self._router.reconcile()
        except BrokerUnavailable as error:
            log.warning("the router did not repair it", reason=str(error))
        else:
            self._missing.clear()


def _seconds_of(waiting: Outgoing, *, now: float) -> float:
    """How long a message that was just published to a wait queue waits in all. now: Unix seconds."""
    due = waiting.headers.get(DUE)
    return max(0.0, due / 1000 - now) if isinstance(due, int) else names.wait_seconds(waiting.exchange) or 0
