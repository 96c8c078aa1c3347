"""Removes messages from the front of a queue that have ended in the ledger: else they would be delivered.

A few messages are taken at a time, and acknowledged while their row has ended. It stops at the first whose
row has not, and requeues what it still holds. RabbitMQ keeps the order of at most 32 messages that one
consumer requeues with one nack, and delivers requeued messages first, in the order in which they were
requeued. So where a message that stays was requeued before, all requeued ones are taken and requeued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic, time
from uuid import UUID

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel, DeliveredMessage, FieldValue
from aiormq.exceptions import ChannelNotFoundEntity

from ledger.keeper.lease import Lease
from ledger.keeper.undeliverable.entry_of_message import DeadLetter, ended, entry_of, history_of, read_letter
from ledger.ledger import Ledger
from ledger.values import Attempt, WhyEnded, ms_of
from router.catalogue import Catalogue
from router.history import in_queue_since
from router.names import abonnement_queue
from router.queue_depth import ready_of
from runtime.amqp import AMQP_ERRORS, Link, describe, open_channel
from runtime.log import Occasional, logger
from schemas.errors import BrokerError, BrokerUnavailable

AT_ONCE = 10_000  # messages of one queue, before another has its turn
IN_ONE_NACK = 32  # messages in the hands of one consumer
MOST_REQUEUED = 10_000  # messages in hand; with more of them the order changes
NONE_LEFT = 0.1  # seconds without a message, after which it is asked whether there are more
ANSWER_TIMEOUT = 10.0  # seconds
AFTER_OTHERS: dict[str, FieldValue] = {"x-priority": -1}
"""Below the deliverers' consumers, which get messages first."""
LOOK_AGAIN = 6 * 3600.0
"""Seconds until a queue with more than the ledger has is looked at again: each look counts as a delivery."""
REPORT_INTERVAL = 60.0  # seconds between two lines that say the same
UNKNOWN_TOO_OLD = "held longer than NRC_HOLD_RETENTION, and not known to the ledger until then"

log = logger(__name__)


class Trimming:
    """The trimming that one keeper does while it works. link: connected by its owner."""

    def __init__(
        self, link: Link, *, lease: Lease, catalogue: Catalogue, look_again: float = LOOK_AGAIN
    ) -> None:
        self._link = link
        self._lease = lease
        self._catalogue = catalogue
        self._look_again = look_again
        self._due: set[UUID] = set()
        self._not_before: dict[UUID, float] = {}  # monotonic
        self._failures = Occasional(every=REPORT_INTERVAL)

    def forget(self) -> None:
        """Look at every queue again: another keeper may have ended what is in it."""
        self._not_before.clear()

    async def trim(
        self,
        ledger: Ledger,
        abonnementen: Sequence[UUID],
        *,
        ended: Collection[UUID],
        open_: Mapping[UUID, int],
        before: int,
    ) -> None:
        """Trim the queues of those for which something `ended`, and of others that seem to need it.

        That is: those that have more messages than the ledger has open (`open_`), and each queue once, as
        the keeper before may have died in the middle. before: what was accepted before this (milliseconds
        since 1970) and is not known to the ledger goes too. Raises LedgerError.
        """
        self._due |= set(ended)
        if self._link.connection is None:
            return
        try:
            ready = await self._link.use(lambda connection: ready_of(connection, abonnementen))
        except BrokerUnavailable as error:
            self._tell(error)
            return
        now = monotonic()
        for uuid, count in ready.items():
            is_first = uuid not in self._not_before
            more = (count or 0) > open_.get(uuid, 0)
            may_look = is_first or (more and now >= self._not_before[uuid])
            if not count or not (uuid in self._due or may_look):
                self._due.discard(uuid)
                continue
            if not self._lease.held:
                return
            self._due.add(uuid)
            try:
                is_done = await self._link.use(partial(self._trim, ledger, uuid, before=before))
            except (BrokerError, *AMQP_ERRORS) as error:
                # It may be this queue alone, such as one without a leader; if not, the next one fails too.
                self._tell(error, uuid)
                continue
            if is_done:
                self._due.discard(uuid)
                self._not_before[uuid] = monotonic() + self._look_again

    async def _trim(self, ledger: Ledger, uuid: UUID, connection: AbstractConnection, *, before: int) -> bool:
        """Trim one queue; whether that is complete: the first message that is left has not ended."""
        trimmed = 0
        channel = await open_channel(connection)
        unacked = _Unacked(channel, uuid)
        try:
            while trimmed < AT_ONCE and self._lease.held:
                taken = await unacked.take()
                gone = 0
                while gone < len(taken) and not unacked.kept:
                    if not await self._has_ended(ledger, uuid, taken[gone], before=before):
                        break
                    gone += 1
                await unacked.remove(gone)
                trimmed += gone
                unacked.kept += len(taken) - gone
                if len(taken) < IN_ONE_NACK or (unacked.kept and not taken[-1].redelivered):
                    return True
                if unacked.kept >= MOST_REQUEUED:
                    return True
            return False
        except ChannelNotFoundEntity:  # removed meanwhile
            return True
        finally:
            with suppress(*AMQP_ERRORS):
                await unacked.requeue()
            with suppress(*AMQP_ERRORS):
                await channel.close()
            if trimmed:
                log.info("front of a queue trimmed", abonnement=str(uuid), count=trimmed)

    async def _has_ended(self, ledger: Ledger, uuid: UUID, message: DeliveredMessage, *, before: int) -> bool:
        """Whether it is not to be delivered. One that is too old and not in the ledger is ended now."""
        letter = read_letter(message, owner=uuid, now=int(time() * 1000))
        row = await ledger.delivery(letter.key)
        if row is not None:
            return row.overtakes(letter.history.round)
        properties = message.header.properties
        since = in_queue_since(properties.headers or {}, properties.timestamp)
        if since is None or ms_of(since) >= before:
            return False
        await self._end(ledger, letter)
        return True

    async def _end(self, ledger: Ledger, letter: DeadLetter) -> None:
        now = int(time() * 1000)
        reason = Attempt(now, 0, WhyEnded.RETENTION, UNKNOWN_TOO_OLD)
        await ledger.write(
            [
                entry_of(letter, catalogue=self._catalogue.number),
                *history_of(letter),
                ended(letter, at=now, reason=reason),
            ]
        )

    def _tell(self, error: Exception, uuid: UUID | None = None) -> None:
        if times := self._failures.due():
            reason = str(error) if isinstance(error, BrokerError) else describe(error)
            log.warning("queue not trimmed", abonnement=str(uuid or ""), reason=reason, times=times)


class _Unacked:
    """The unacknowledged messages of one queue, on a channel of its own. kept: how many of them stay."""

    def __init__(self, channel: AbstractChannel, uuid: UUID) -> None:
        self._channel = channel
        self._queue = abonnement_queue(uuid)
        self._consumers: list[tuple[str, list[DeliveredMessage]]] = []
        self.kept = 0

    async def take(self) -> list[DeliveredMessage]:
        """The next IN_ONE_NACK messages, or all that there are. Raises AMQP_ERRORS."""
        taken: list[DeliveredMessage] = []
        changed = asyncio.Event()

        async def on_message(message: DeliveredMessage) -> None:
            taken.append(message)
            changed.set()

        async with asyncio.timeout(ANSWER_TIMEOUT):
            await self._channel.basic_qos(prefetch_count=IN_ONE_NACK)
            answer = await self._channel.basic_consume(self._queue, on_message, arguments=AFTER_OTHERS)
        self._consumers.append((answer.consumer_tag or "", taken))
        while len(taken) < IN_ONE_NACK:
            changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(NONE_LEFT):
                    await changed.wait()
                    continue
            async with asyncio.timeout(ANSWER_TIMEOUT):
                declared = await self._channel.queue_declare(self._queue, passive=True)
            if not declared.message_count:
                await self._cancel()  # else it would get what comes from now on
                break
        return taken

    async def remove(self, count: int) -> None:
        """Acknowledge the first so many of those that were taken last. Raises AMQP_ERRORS."""
        if count:
            await self._cancel()  # else it would get as many more
            tag, taken = self._consumers[-1]
            await self._channel.basic_ack(taken[count - 1].delivery_tag or 0, multiple=True, wait=False)
            self._consumers[-1] = (tag, taken[count:])

    async def _cancel(self) -> None:
        """Cancel the last consumer; RabbitMQ has then applied all that was sent on the channel before."""
        tag, taken = self._consumers[-1]
        if tag:
            self._consumers[-1] = ("", taken)
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._channel.basic_cancel(tag)

    async def requeue(self) -> None:
        """Put all that was not removed back at the front of the queue, in order. Raises AMQP_ERRORS."""
        for tag, taken in self._consumers:
            if tag:
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    await self._channel.basic_cancel(tag)
            if taken:
                await self._channel.basic_nack(
                    taken[-1].delivery_tag or 0, multiple=True, requeue=True, wait=False
                )
