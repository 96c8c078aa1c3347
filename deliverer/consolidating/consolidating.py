"""One message of an abonnement with `consolidate`: it is sent, waits, or ends as a newer one stands for it.

Its end is written to the ledger as NOT_WANTED, with a note which one stands for it. While the ledger is away
everything is sent. One deliverer consumes such a queue (deliverer/pacing/shares.py): so what it sent last is
known here before the ledger has it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple
from uuid import UUID

from deliverer.attempting.settle import Delivery, Settle
from deliverer.attempting.wanted import wants
from deliverer.consolidating.deciding import Decision, End, Go, Repeat, Wait, decide, stands_for
from deliverer.outcomes.account import Account
from ledger.ids import received_of
from ledger.ledger import Ledger
from ledger.values import OPEN, ORIGINAL, Key, Search, State
from runtime.log import logger
from runtime.memory.bounded import Bounded
from schemas.abonnement import Abonnement
from schemas.errors import LedgerError, ParseError
from schemas.notificatie import read_accepted

NEWEST = 20
"""Deliveries about one resource that are looked at: the newest."""
WITHIN = 2.0  # seconds for an answer of the ledger
AGAIN = 300.0
"""Seconds after which a message that failed before, and waits for its window, is looked at again."""
CLOCK = 5.0  # seconds by which the clocks of deliverers may differ
REMEMBERED = 50_000  # resources of which this process knows when it last sent something
_COUNT = frozenset({*OPEN, State.DELIVERED})

log = logger(__name__)


class Resource(NamedTuple):
    """What makes two notificaties repeats of each other, for one abonnement."""

    abonnement: UUID
    kanaal: str
    resource: str
    actie: str
    url: str


class Consolidating:
    """ledger: the one that is open now. enabled: whether delivery options have an effect.

    Only messages of what is paced come to `settles` (deliverer/pacing).
    """

    def __init__(
        self,
        abonnementen: Mapping[UUID, Abonnement],
        *,
        ledger: Callable[[], Ledger],
        settle: Settle,
        account: Account,
        enabled: bool = True,
    ) -> None:
        self._abonnementen = abonnementen
        self._enabled = enabled
        self._ledger = ledger
        self._settle = settle
        self._account = account
        self._sent: Bounded[Resource, float] = Bounded(REMEMBERED)  # when, in monotonic seconds
        self._came: Bounded[Key, int] = Bounded(REMEMBERED)  # when it came in for the first time

    async def settles(self, delivery: Delivery) -> bool:
        """Whether this message is not to be sent now; then it is settled: it waits, or has ended."""
        abonnement = self._abonnementen.get(delivery.abonnement)
        if abonnement is None or abonnement.options is None or abonnement.options.consolidate is None:
            return False
        seconds = abonnement.options.consolidate
        if (resource := resource_of(delivery)) is None:
            return False
        try:
            async with asyncio.timeout(WITHIN):
                decision = await self._decide(delivery, resource, abonnement, seconds)
        except (LedgerError, TimeoutError) as error:
            log.debug("not consolidated", notificatie=delivery.notificatie, reason=str(error))
            decision = Go()
        match decision:
            case Wait(until=until):
                if delivery.history.attempts:  # its wait looks like that for its next attempt
                    until = min(until, round((time.time() + AGAIN) * 1000))
                await self._settle.postpone(delivery, until=until)
                return True
            case End(into=into):
                await self._end(delivery, into)
                return True
        self._sent[resource] = time.monotonic()
        return False

    def failed(self, delivery: Delivery) -> None:
        """Note that it was not delivered: the next message about its resource need not wait."""
        if self._sent and (resource := resource_of(delivery)) is not None:
            self._sent.pop(resource, None)

    def was_put_off_too_long(self, delivery: Delivery) -> bool:
        """Whether it waits for longer than its window: that is shorter now, or the clock was put back.

        Only `postpone` has a message wait of which no attempt was made. What was attempted before waits for
        AGAIN at a time.
        """
        due = delivery.history.due
        if due is None or delivery.history.attempts:
            return False
        abonnement = self._abonnementen.get(delivery.abonnement)
        options = abonnement.options if abonnement is not None and self._enabled else None
        window = None if options is None else options.consolidate
        return due / 1000 - time.time() > (0 if window is None else window + CLOCK)

    async def _decide(
        self, delivery: Delivery, resource: Resource, abonnement: Abonnement, seconds: int
    ) -> Decision:
        """What becomes of this message. seconds: the window. Raises LedgerError."""
        if delivery.history.round and await self._is_asked_for(delivery):
            return Go()
        own = delivery.key.notificatie
        window, now = seconds * 1000, time.time_ns() // 1_000_000
        if not delivery.again and delivery.history.due is None:
            self._came[delivery.key] = now
        came = self._came.get(delivery.key)
        into, before = None, []
        for each in await self._repeats(resource):  # the newest first
            if each.id > own and stands_for(each, came=came, now=now):
                body = await self._about(each.id, resource)
                # By filters that changed it may be dropped when its turn comes, and the older one not.
                if body and (each.state is State.DELIVERED or wants(abonnement, body)):
                    into = each.id
                    break
                continue
            recent = each.state is State.DELIVERED and each.at > now - window
            if recent and await self._about(each.id, resource):
                before.append(each)
        sent = self._sent.get(resource)
        last_sent = None if sent is None else now - round((time.monotonic() - sent) * 1000)
        return decide(into, before, last_sent=last_sent, window=window, now=now)

    async def _is_asked_for(self, delivery: Delivery) -> bool:
        """Whether somebody had it sent once more."""
        row = await self._ledger().delivery(delivery.key)
        return row is not None and row.again_at is not None

    async def _repeats(self, of: Resource) -> list[Repeat]:
        ledger = self._ledger()
        search = Search(
            resource_url=of.url,
            kanaal=of.kanaal,
            resource=of.resource,
            actie=of.actie,
            abonnement=of.abonnement,
            states=_COUNT,
        )
        found = await ledger.search(search, limit=NEWEST)
        rows = await ledger.deliveries([each.id for each in found])
        return [
            Repeat(each.id, row.state, row.last_at)
            for each in found
            for row in rows.get(each.id, ())
            if row.key.abonnement == of.abonnement and row.key.replay == ORIGINAL
        ]

    async def _about(self, id_: UUID, resource: Resource) -> bytes:
        """The body of a notificatie about this resource, else b"": the search is by the end of a URL."""
        found = await self._ledger().notificatie(id_)
        if found is None or found.body is None:
            return b""
        try:
            return found.body if read_accepted(found.body)["resourceUrl"] == resource.url else b""
        except (ParseError, KeyError, TypeError):
            return b""

    async def _end(self, delivery: Delivery, into: UUID) -> None:
        log.debug(
            "consolidated",
            notificatie=delivery.notificatie,
            abonnement=str(delivery.abonnement),
            into=str(into),
        )
        self._account.consolidated(delivery.key, delivery.history, into=into)
        await self._settle.drop(delivery)


def resource_of(delivery: Delivery) -> Resource | None:
    """What a message is about; None of what is not consolidated: a replay, and what no gateway accepted."""
    if delivery.key.replay != ORIGINAL or received_of(delivery.key.notificatie) is None:
        return None
    try:
        data = read_accepted(delivery.body)
        about = [data[name] for name in ("kanaal", "resource", "actie", "resourceUrl")]
    except (ParseError, KeyError, TypeError):
        return None
    if not all(isinstance(each, str) and each for each in about):
        return None
    kanaal, resource, actie, url = about
    return Resource(delivery.abonnement, kanaal, resource, actie, url)
