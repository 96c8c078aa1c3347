"""Takes dead letters into the ledger: the messages in the queue `nrc.undeliverable`.

A message with a deliverer's verdict (router/history.py) is undeliverable; the deliverer wrote that to the
ledger too, and twice changes nothing. All others were dead-lettered by RabbitMQ (a policy, or a missing
queue) or put there by somebody. They are still to be delivered, so they are given back: at most three times,
then they are stuck. What the ledger does not know gets its entry from the message.

A message is acknowledged once its outcome is committed. So it stays in the queue when this process dies,
and while the ledger is away or no keeper runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from time import time

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel, DeliveredMessage

from ledger.keeper.giving_back.binding import Binding
from ledger.keeper.giving_back.giving import AGAIN
from ledger.keeper.lease import Lease
from ledger.keeper.losses.judging import PATIENCE, Patience, is_used_up
from ledger.keeper.undeliverable.entry_of_message import (
    DeadLetter,
    ended,
    entry_of,
    history_of,
    pending,
    read_letter,
)
from ledger.keeper.undeliverable.removed_abonnementen import Removed
from ledger.ledger import Ledger
from ledger.reopening import ReopenedLedger
from ledger.values import UNKNOWN, Attempt, Cause, Delivery, Event, State, WhyEnded
from router import names
from router.catalogue import Catalogue
from router.matching.filters import matches
from router.readiness import topology_stands
from runtime.amqp import AMQP_ERRORS, Link, close_reason, open_channel
from runtime.log import Occasional, logger
from schemas.errors import BrokerUnavailable, LeaseLost, LedgerError, RegistryError
from schemas.notificatie import values_of

AT_ONCE = 100  # messages in hand, and in one transaction
LOOK = 0.5  # seconds between two looks at whether this keeper works
TRY_AGAIN = 5.0
"""Seconds until the next try to write what the ledger did not take."""
CONSUME_TIMEOUT = 10.0  # seconds
REPORT_INTERVAL = 60.0  # seconds between two lines that say the same
NOBODYS = "nothing on it says for which abonnement it was"

log = logger(__name__)


@dataclass(slots=True)
class _Taken:
    """What becomes of some dead letters: events to write, those of no abonnement, those to give back."""

    events: list[Event] = field(default_factory=list)
    nobodys: list[DeadLetter] = field(default_factory=list)
    lost: list[DeadLetter] = field(default_factory=list)


class DeadLetters:
    """Takes dead letters while this keeper works. Times are in seconds.

    link: not one that publishes: under an alarm RabbitMQ reads no acknowledgements from such a connection.
    again: after how long `KeeperLedger.give_back_again` takes up what is RETURNING.
    """

    def __init__(
        self,
        link: Link,
        *,
        ledger: ReopenedLedger,
        lease: Lease,
        catalogue: Catalogue,
        removed: Removed,
        binding: Binding,
        patience: Patience = PATIENCE,
        again: float = AGAIN,
    ) -> None:
        self._link = link
        self._ledger = ledger
        self._lease = lease
        self._catalogue = catalogue
        self._removed = removed
        self._binding = binding
        self._patience = patience
        self._again = again
        self._failures = Occasional(every=REPORT_INTERVAL)
        self.count = 0

    async def run(self) -> None:
        """Consume dead letters while this keeper works, until cancelled."""
        await self._link.run(self._session)

    async def _session(self, connection: AbstractConnection) -> None:
        await topology_stands(connection)
        while True:
            if self._lease.held:
                channel = await open_channel(connection)
                try:
                    await self._consume(channel)
                finally:
                    # What is not acknowledged goes back.
                    with suppress(*AMQP_ERRORS):
                        await channel.close()
            await asyncio.sleep(LOOK)

    async def _consume(self, channel: AbstractChannel) -> None:
        """Consume until this keeper works no more. Raises BrokerUnavailable or AMQP_ERRORS."""
        waiting: list[DeliveredMessage] = []
        something = asyncio.Event()

        async def on_message(message: DeliveredMessage) -> None:
            waiting.append(message)
            something.set()

        deleted = asyncio.Event()
        channel.on_consumer_cancel_callbacks.add(lambda _: deleted.set())
        async with asyncio.timeout(CONSUME_TIMEOUT):
            await channel.basic_qos(prefetch_count=AT_ONCE)
            await channel.basic_consume(names.UNDELIVERABLE, on_message)
        while self._lease.held:
            if channel.closing.done():
                raise close_reason(channel) or BrokerUnavailable("the connection to RabbitMQ was lost")
            if deleted.is_set():
                raise BrokerUnavailable(f"{names.UNDELIVERABLE} was deleted")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await something.wait()
            something.clear()
            if waiting:
                messages, waiting[:] = waiting[:], []
                if not await self._take(messages):
                    return
                await channel.basic_ack(messages[-1].delivery_tag or 0, multiple=True, wait=False)

    async def _take(self, messages: Sequence[DeliveredMessage]) -> bool:
        """Write these to the ledger, however long it is away; False when another keeper works by then."""
        letters = [read_letter(message, now=int(time() * 1000)) for message in messages]
        while self._lease.held:
            try:
                await self._write(self._ledger.ledger, letters)
            except LeaseLost:
                return False
            except LedgerError as error:
                if times := self._failures.due():
                    log.warning("dead letters wait for the ledger", reason=str(error), times=times)
                await asyncio.sleep(TRY_AGAIN)
            else:
                self.count += len(letters)
                return True
        return False

    async def _write(self, ledger: Ledger, letters: Sequence[DeadLetter]) -> None:
        if any(letter.verdict is None for letter in letters):
            with suppress(RegistryError):
                await self._catalogue.refresh()
        taken = _Taken()
        for letter in letters:
            await self._decide(ledger, letter, taken)
        if taken.events:
            await ledger.write(taken.events)
        for letter in taken.nobodys:
            log.warning("undeliverable message of no abonnement", notificatie=str(letter.key.notificatie))
        await self._give_back(ledger, taken.lost)

    async def _decide(self, ledger: Ledger, letter: DeadLetter, taken: _Taken) -> None:
        at = int(time() * 1000)
        unknown = letter.key.abonnement == UNKNOWN
        ends = letter.verdict is not None and not unknown
        known: list[Event] = [
            entry_of(letter, catalogue=self._catalogue.number),
            *history_of(letter, without_last=ends),
        ]
        if unknown:
            reason = Attempt(letter.verdict or letter.received, 0, WhyEnded.UNKNOWN_ABONNEMENT, NOBODYS)
            taken.events += [*known, ended(letter, at=letter.verdict or at, reason=reason)]
            taken.nobodys.append(letter)
        elif letter.verdict is not None:
            taken.events += [*known, ended(letter, at=letter.verdict)]
        elif (row := await ledger.delivery(letter.key)) is None:
            if await self._is_wanted(ledger, letter):
                taken.events += [*known, pending(letter, at=at)]
                if letter.key.abonnement not in self._catalogue.pulled:  # put there by ledger/pulled.py
                    taken.lost.append(letter)
            else:
                log.debug("dropped: it was not for this abonnement", **_named(letter))
        elif letter.key.abonnement in self._catalogue.pulled:
            log.debug("dropped: the ledger has it", **_named(letter))
        elif row.state is not State.STUCK and not row.overtakes(letter.history.round):
            taken.lost.append(letter)

    async def _is_wanted(self, ledger: Ledger, letter: DeadLetter) -> bool:
        """Whether one without a row was for its abonnement: bindings may be wider than the filters."""
        notificatie = await ledger.notificatie(letter.key.notificatie)
        abonnement = self._catalogue.everyone.get(letter.key.abonnement)
        if notificatie is None or abonnement is None or letter.key.replay:
            return True
        kenmerken = values_of(letter.body)
        return kenmerken is None or matches(abonnement, notificatie.kanaal, kenmerken)

    async def _give_back(self, ledger: Ledger, letters: Iterable[DeadLetter]) -> None:
        """Make those that are still open RETURNING; `Giving.give_again` publishes them when due."""
        keys = {letter.key: letter for letter in letters}
        rows = [row for key in keys if (row := await ledger.delivery(key)) is not None]
        rows = [row for row in rows if not row.overtakes(keys[row.key].history.round)]
        gone = [row for row in rows if row.key.abonnement in self._removed]
        await self._removed.end_these(ledger, gone)
        used_up = [row for row in rows if row not in gone and is_used_up(row, self._patience)]
        if used_up:
            await ledger.keeping.end(await self._lease.keep(ledger.keeping), used_up)
            log.error(
                "dropped by RabbitMQ for the fourth time",
                count=len(used_up),
                **_named(keys[used_up[0].key]),
            )
        left = [row for row in rows if row not in gone and row not in used_up]
        # A retry whose queue is not bound to `nrc.return` is dead-lettered.
        self._binding.want(row.key.abonnement for row in left)
        for given, group in groupby(sorted(left, key=_given), key=_given):
            some = list(group)
            # At once the first time, then after a pause in which the cause may have been repaired.
            pause = self._patience.pauses[given - 1] / 1000 if given else 0.0
            epoch = await self._lease.keep(ledger.keeping)
            await ledger.keeping.give_back(
                epoch, some, cause=Cause.DROPPED, judged=True, ahead=pause - self._again
            )
            log.warning(
                "dropped by RabbitMQ, to be given back",
                count=len(some),
                seconds=pause,
                **_named(keys[some[0].key]),
            )


def _given(row: Delivery) -> int:
    return row.given


def _named(letter: DeadLetter) -> dict[str, str]:
    return {"notificatie": str(letter.key.notificatie), "abonnement": str(letter.key.abonnement)}
