"""Brings a notificatie into RabbitMQ and the ledger (its two homes), and decides when to answer 201.

Implements the table of docs/decisions/0035-two-homes.md. Reads no database, and knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime
from enum import StrEnum
from functools import partial
from time import monotonic, time
from uuid import UUID

from ledger.pulled import keep_beside
from ledger.values import Entry, Event, Key, Outcome, PassedOn, State, Unrouted, ms_of
from ledger.writer import Writer, Writing
from router.catalogue import Catalogue
from router.publishing import Outgoing, Publisher
from runtime.deadlines import Deadlines
from runtime.log import Occasional, logger
from runtime.metrics.histogram import LATENCIES, Histogram
from schemas.errors import BrokerError, BrokerUnavailable, LedgerError, MessageTooLarge
from schemas.notificatie import Notificatie

CONFIRM_WITHIN = 1.0  # seconds for RabbitMQ's confirm, after which the ledger decides
SECOND_HOME_WITHIN = 0.25  # seconds for the ledger, since the start, once RabbitMQ has confirmed
ONLY_HOME_WITHIN = 2.0  # seconds for the ledger when RabbitMQ has not confirmed
MOST_LATE = 50  # publishes of one kanaal with a late confirm; beyond it others go to the ledger only
MOST_LATE_BYTES = 64 * 1024 * 1024  # of all kanalen together
REPORT_INTERVAL = 10.0  # seconds between two lines that say the same

log = logger(__name__)


def entry_of(
    notificatie: Notificatie,
    *,
    id_: UUID,
    now: datetime,
    client: str,
    catalogue: int,
    matched: tuple[UUID, ...],
    hops: int,
    passed_on: PassedOn | None = None,
) -> Entry:
    """What the ledger is to have of a notificatie that is accepted now, by this state of the catalogue."""
    return Entry(
        id=id_,
        received=ms_of(now),
        client=client,
        kanaal=notificatie.kanaal,
        resource=notificatie.resource,
        actie=notificatie.actie,
        hoofd_object=notificatie.hoofd_object,
        resource_url=notificatie.resource_url,
        kenmerken=notificatie.kenmerken,
        body=notificatie.body,
        catalogue=catalogue,
        matched=matched,
        hops=hops,
        passed_on=passed_on,
    )


class Homes(StrEnum):
    """Where a notificatie was when it was answered with 201."""

    BOTH = "2"
    RABBITMQ = "rabbitmq"
    LEDGER = "ledger"
    LANE = "lane"
    """In the ledger, in the lane for bulk: the keeper brings it into RabbitMQ."""


class Accepting:
    """Brings notificaties into RabbitMQ and the ledger; counts `homes`, and the seconds of `confirms`."""

    def __init__(self, publisher: Publisher, writer: Writer, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._publisher = publisher
        self._writer = writer
        self._confirm, self._commit = Deadlines(CONFIRM_WITHIN), Deadlines(SECOND_HOME_WITHIN)
        self._late: dict[str, set[asyncio.Task[None]]] = {}
        self._late_bytes = 0
        self._single = Occasional(every=REPORT_INTERVAL)
        self.homes: Counter[Homes] = Counter()
        self.confirms = Histogram(LATENCIES)

    async def accept(self, message: Outgoing, entry: Entry) -> Homes:
        """Return once RabbitMQ, the ledger or both have it for certain. Raises BrokerError when neither has.

        message, entry: the same notificatie for RabbitMQ and for the ledger. After BrokerUnavailable one of
        the two may have it nevertheless.
        """
        if len(entry.body) > self._publisher.limit:
            raise MessageTooLarge(len(entry.body), self._publisher.limit)
        if entry.passed_on is not None and entry.passed_on.lane and await self._in_lane(entry):
            self.homes[Homes.LANE] += 1
            return Homes.LANE
        if why_not := self._why_not(entry.kanaal):
            return await self._only_ledger(entry, None, BrokerUnavailable(why_not))
        began = monotonic()
        writing = self._writer.put(entry)
        publishing = asyncio.create_task(self._publisher.publish(message), name="publishing")
        try:
            await self._confirm.wait(publishing)
        finally:
            if not publishing.done():
                self._leave(publishing, entry)
        if not publishing.done():
            late = BrokerUnavailable(f"RabbitMQ gave no confirm within {CONFIRM_WITHIN:g} s")
            return await self._only_ledger(entry, writing, late)
        fault = publishing.exception()
        if fault is None:
            return await self._second_home(entry, writing, began)
        if isinstance(fault, BrokerError):
            return await self._only_ledger(entry, writing, fault)
        raise fault

    async def _in_lane(self, entry: Entry) -> bool:
        """Whether it is durable in the lane; without the ledger it goes with the rest."""
        try:
            await self._writer.add(entry, Unrouted(entry.id, lane=True), within=ONLY_HOME_WITHIN)
        except LedgerError as error:
            log.debug("not in the lane", notificatie=str(entry.id), reason=str(error))
            return False
        return True

    def _why_not(self, kanaal: str) -> str:
        """Why nothing can be published on this kanaal now; "" when it can."""
        if not self._publisher.ready:
            return self._publisher.why_not
        if len(self._late.get(kanaal, ())) >= MOST_LATE or self._late_bytes > MOST_LATE_BYTES:
            return f"RabbitMQ gives no confirms for kanaal {kanaal}"
        return ""

    async def _second_home(self, entry: Entry, writing: Writing, began: float) -> Homes:
        """RabbitMQ has it; the ledger gets it now or later."""
        assert writing.written is not None  # noqa: S101 - put makes it
        self.confirms.observe(took := monotonic() - began)
        if took < SECOND_HOME_WITHIN:
            await self._commit.wait(writing.written)
        if writing.durable:
            self.homes[Homes.BOTH] += 1
            return Homes.BOTH
        self._writer.keep(writing)
        await keep_beside(self._publisher, entry, self._catalogue.pulled)
        reason = self._writer.why_not or f"no commit to the ledger within {SECOND_HOME_WITHIN:g} s"
        return self._single_home(Homes.RABBITMQ, reason)

    async def _only_ledger(self, entry: Entry, writing: Writing | None, fault: BrokerError) -> Homes:
        """RabbitMQ may not have it: write it, unless `writing` did, marked unrouted. Raises BrokerError."""
        there = writing is not None and not self._writer.withdraw(writing)
        try:
            if isinstance(fault, MessageTooLarge):
                raise fault
            durable = writing is not None and writing.durable
            events = (Unrouted(entry.id),) if durable else (entry, Unrouted(entry.id))
            await self._writer.add(*events, within=ONLY_HOME_WITHIN)
        except (BrokerError, LedgerError) as error:
            if there:
                self._take_back(entry)
            if error is fault:
                raise
            raise BrokerUnavailable(f"{fault}; {error}") from error
        return self._single_home(Homes.LEDGER, str(fault))

    def _take_back(self, entry: Entry) -> None:
        """Mark a refused notificatie that the ledger may have as removed, so that it is not delivered.

        Except where it may stand for an older one already (the option `consolidate`): there it is delivered.
        """
        at = int(time() * 1000)
        removed = [Key(entry.id, each) for each in entry.matched if not self._consolidates(each)]
        events: list[Event] = [Outcome(key, State.REMOVED, round=0, attempts=0, at=at) for key in removed]
        if len(removed) < len(entry.matched):
            events.append(Unrouted(entry.id))
        self._writer.note(*events)

    def _consolidates(self, abonnement: UUID) -> bool:
        found = self._catalogue.abonnementen.get(abonnement)
        return found is not None and found.options is not None and found.options.consolidate is not None

    def _single_home(self, homes: Homes, reason: str) -> Homes:
        self.homes[homes] += 1
        if times := self._single.due():
            facts = {"homes": homes.value, "reason": reason, "times": times}
            log.warning("accepted by RabbitMQ or the ledger only", **facts)
        return homes

    def _leave(self, publishing: asyncio.Task[None], entry: Entry) -> None:
        """Wait for a late confirm in the background: the answer waits no longer."""
        self._late.setdefault(entry.kanaal, set()).add(publishing)
        self._late_bytes += len(entry.body)
        publishing.add_done_callback(partial(self._ended, entry))

    def _ended(self, entry: Entry, publishing: asyncio.Task[None]) -> None:
        self._late_bytes -= len(entry.body)
        of_kanaal = self._late[entry.kanaal]
        of_kanaal.discard(publishing)
        if not of_kanaal:
            del self._late[entry.kanaal]
        if not publishing.cancelled():
            log.debug("confirmed late, or not", notificatie=str(entry.id), reason=str(publishing.exception()))

    def away(self) -> tuple[list[str], list[str]]:
        """(why nothing is accepted now, what is unavailable while notificaties are accepted), a line each."""
        broker = [f"broker: {self._publisher.why_not}"] if not self._publisher.ready else []
        ledger = [f"ledger: {why_not}"] if (why_not := self._writer.why_not) else []
        return (broker + ledger, []) if broker and ledger else ([], broker + ledger)

    def close(self) -> None:
        """Stop waiting for late confirms."""
        for tasks in list(self._late.values()):
            for task in list(tasks):
                task.cancel()
