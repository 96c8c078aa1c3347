"""What the exchange of each kanaal got last, and what becomes of it when somebody deletes that exchange.

RabbitMQ takes an exchange apart piece by piece. A notificatie that comes in that instant finds some of its
bindings gone, or all, and is confirmed nevertheless. Whatever comes later is refused. So it is among the last
that the exchange got, and these go to the kanaal's next exchange once more, under the ids that they have.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

from router.catalogue import Catalogue
from router.publishing import Outgoing, Publisher
from router.routing import route
from runtime.log import logger
from schemas.errors import BrokerError, MessageTooLarge
from schemas.kanaal import Kanaal
from schemas.notificatie import Notificatie
from store.registry import Changes

INSTANT = 0.05  # seconds before the last one; RabbitMQ takes an exchange apart within a thousandth
KEPT = 60.0  # seconds; by then the router has found an exchange that is gone, and made another
MOST = 32 * 1024 * 1024  # bytes of what is kept for all kanalen together; of more, the oldest are let go
LOOK = 5.0  # seconds between two looks for what has been kept for long enough
AGAIN = 1.0  # seconds
LATER = 60.0  # seconds before one is tried again that is larger than RabbitMQ takes now

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A sound notificatie, and all else that goes along. hops: deliveries that it went through before."""

    notificatie: Notificatie
    message_id: str
    accepted_at: datetime
    hops: int = 0

    def routed_by(self, kanaal: Kanaal) -> Outgoing:
        """The message for the exchange of this kanaal."""
        return route(
            kanaal,
            self.notificatie,
            message_id=self.message_id,
            accepted_at=self.accepted_at,
            hops=self.hops,
        )


@dataclass(frozen=True, slots=True)
class Published:
    """One that RabbitMQ has confirmed. began: when it was published (monotonic seconds)."""

    accepted: Accepted
    began: float

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return self.accepted.notificatie.size


@dataclass(slots=True)
class _Last:
    """The last that one exchange of a kanaal got."""

    generation: int
    published: deque[Published] = field(default_factory=deque)


class Latest:
    """The last of each kanaal's exchange; `run` publishes them again when the kanaal has got another."""

    def __init__(self, publisher: Publisher, catalogue: Catalogue) -> None:
        self._publisher = publisher
        self._catalogue = catalogue
        self._lasts: dict[str, _Last] = {}  # the one first that got something longest ago
        self.size = 0  # bytes of what is kept
        self._again: asyncio.Queue[Published] = asyncio.Queue()
        catalogue.subscribe(self._changed)

    def note(self, kanaal: Kanaal, published: Published) -> None:
        """The exchange that the kanaal has, as it is given here, got this."""
        now = self._catalogue.kanalen.get(kanaal.naam)
        if now is not None and now.generation > kanaal.generation:
            self._again.put_nowait(published)  # confirmed after the news of another exchange
            return
        last = self._last_of(kanaal)
        self._lasts[kanaal.naam] = self._lasts.pop(kanaal.naam)
        last.published.append(published)
        self.size += published.size
        while last.published[0].began < published.began - INSTANT:
            self.size -= last.published.popleft().size
        self._forget(before=published.began - KEPT)
        while self.size > MOST and len(self._lasts) > 1:
            self._drop(next(iter(self._lasts)))
        while self.size > MOST and len(last.published) > 1:
            self.size -= last.published.popleft().size

    def _last_of(self, kanaal: Kanaal) -> _Last:
        last = self._lasts.get(kanaal.naam)
        if last is None or last.generation != kanaal.generation:
            since = monotonic() - KEPT
            for published in self._drop(kanaal.naam):
                if published.began > since:
                    self._again.put_nowait(published)
            last = self._lasts[kanaal.naam] = _Last(kanaal.generation)
        return last

    def _drop(self, naam: str) -> deque[Published]:
        last = self._lasts.pop(naam, None)
        if last is None:
            return deque()
        self.size -= sum(published.size for published in last.published)
        return last.published

    def _forget(self, *, before: float) -> None:
        """Let go of what the exchanges got that have had nothing since `before` (monotonic seconds)."""
        while self._lasts:
            naam, last = next(iter(self._lasts.items()))
            if last.published and last.published[-1].began >= before:
                return
            self._drop(naam)

    def _changed(self, _: Changes) -> None:
        for naam in list(self._lasts):
            if (kanaal := self._catalogue.kanalen.get(naam)) is not None:
                self._last_of(kanaal)

    async def run(self) -> None:
        """Publish again what has to be, and let go of what nobody will need, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(LOOK):
                    published = await self._again.get()
            except TimeoutError:
                self._forget(before=monotonic() - KEPT)
                continue
            accepted = published.accepted
            naam, number = accepted.notificatie.kanaal, accepted.message_id
            while (kanaal := self._catalogue.kanalen.get(naam)) is not None:
                try:
                    await self._publisher.publish(accepted.routed_by(kanaal))
                except MessageTooLarge as error:
                    # RabbitMQ took it once, with another limit: the others need not wait for it.
                    log.error("not published again", notificatie=number, kanaal=naam, reason=str(error))
                    asyncio.get_running_loop().call_later(LATER, self._again.put_nowait, published)
                    break
                except BrokerError as error:
                    log.debug("not published again yet", notificatie=number, reason=str(error))
                    await asyncio.sleep(AGAIN)
                else:
                    log.info("published again", notificatie=number, kanaal=naam)
                    break
