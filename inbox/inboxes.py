"""All inboxes, in memory: bounds, expiry, and who waits for news.

Nothing is on disk: what this process has is gone when it ends. Every bound drops the oldest first.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from inbox.behaviour import Behaviour
from inbox.received import Received
from schemas.errors import NotFound, ServiceUnavailable


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept. body, inbox_bytes, all_bytes: bytes. lifetime, unused: seconds.

    lifetime: an inbox that nobody used for so long is gone. unused: when there are as many as may be, one
    that nobody used for so long gives way. waiting: streams and long polls at once. answering: requests that
    are being answered at once.
    """

    inboxes: int = 100
    requests: int = 500
    body: int = 1024 * 1024
    inbox_bytes: int = 8 * 1024 * 1024
    all_bytes: int = 64 * 1024 * 1024
    lifetime: float = 72 * 3600.0
    unused: float = 600.0
    waiting: int = 200
    answering: int = 500


class Inbox:
    """One address, and what came in there."""

    def __init__(self, number: str, behaviour: Behaviour, *, now: float) -> None:
        self.id = number
        self.behaviour = behaviour
        self.made = self.used = now
        self.requests: dict[int, Received] = {}
        self.unread: set[int] = set()
        self.last = 0
        """The number of the newest request, also after it was dropped."""
        self.held = 0
        self.emptied = 0
        """How often somebody emptied it."""
        self._by_webhook_id: dict[str, list[int]] = {}
        self._news = asyncio.Event()

    def since(self, number: int) -> list[Received]:
        """The requests after that number, the oldest first."""
        return [each for each in self.requests.values() if each.number > number]

    def same_id(self, received: Received) -> list[int]:
        """The numbers of the others that it still has with the same webhook-id."""
        return [each for each in self._by_webhook_id.get(received.webhook_id, ()) if each != received.number]

    def tell(self) -> None:
        """Wake whoever waits for news."""
        told, self._news = self._news, asyncio.Event()
        told.set()

    async def news(self, within: float) -> None:
        """Return when something is another than now, or after `within` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._news.wait()

    def read(self, number: int) -> None:
        """Somebody looked at that request."""
        if number in self.unread:
            self.unread.discard(number)
            self.tell()

    def read_all(self) -> None:
        """Nothing is unread any more."""
        self.unread.clear()
        self.tell()

    def empty(self) -> None:
        """Drop every request; numbers go on."""
        while self.requests:
            self.drop_oldest()
        self.emptied += 1
        self.tell()

    def drop_oldest(self) -> None:
        """Drop the oldest request."""
        number = next(iter(self.requests))
        dropped = self.requests.pop(number)
        self.held -= dropped.held
        self.unread.discard(number)
        if known := self._by_webhook_id.get(dropped.webhook_id):
            known.remove(number)
            if not known:
                del self._by_webhook_id[dropped.webhook_id]

    def keep(self, received: Received, limits: Limits) -> Received:
        """Add a request, with a number and what came before it; older ones go where there is no room."""
        self.last += 1
        known = self._by_webhook_id.get(received.webhook_id, []) if received.webhook_id else []
        kept = replace(received, number=self.last, earlier=tuple(known))
        self.requests[kept.number] = kept
        self.unread.add(kept.number)
        self.held += kept.held
        if kept.webhook_id:
            self._by_webhook_id.setdefault(kept.webhook_id, []).append(kept.number)
        while len(self.requests) > limits.requests:
            self.drop_oldest()
        while self.held > limits.inbox_bytes and len(self.requests) > 1:
            self.drop_oldest()
        self.tell()
        return kept


class Inboxes:
    """Every inbox of this process. clock: Unix seconds.

    answered: how many requests came in, by the status of their answer; `reset` where there was none.
    """

    def __init__(self, limits: Limits | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self.limits = limits or Limits()
        self.stopped = asyncio.Event()
        self._clock = clock
        self._all: dict[str, Inbox] = {}
        self._waiting = self._answering = 0
        self.answered: Counter[str] = Counter()

    def make(self, behaviour: Behaviour) -> Inbox:
        """A new one, with an id that nobody guesses. Raises ServiceUnavailable when there are too many."""
        self.expire()
        if len(self._all) >= self.limits.inboxes:
            oldest = min(self._all.values(), key=lambda each: each.used)
            wait = oldest.used + self.limits.unused - self._clock()
            if wait > 0:
                raise ServiceUnavailable(
                    f"Er zijn al {self.limits.inboxes} inboxen in gebruik, en meer kunnen er niet zijn. "
                    "Gebruik er een die je al hebt, of probeer het later opnieuw.",
                    retry_after=int(wait) + 1,
                )
            self._remove(oldest)
        made = Inbox(secrets.token_urlsafe(16), behaviour, now=self._clock())
        self._all[made.id] = made
        return made

    def find(self, number: str) -> Inbox:
        """The inbox with this id, which is in use from now. Raises NotFound."""
        self.expire()
        found = self._all.get(number)
        if found is None:
            raise NotFound(
                "Deze inbox is er niet (meer). Een inbox verdwijnt als hij drie dagen niet is gebruikt, en "
                "als `nrc up` stopt. Open /inbox/ voor een nieuwe."
            )
        found.used = self._clock()
        return found

    def keep(self, inbox: Inbox, received: Received) -> Received:
        """Add a request to an inbox; as long as all hold too much, the largest drops its oldest."""
        kept = inbox.keep(received, self.limits)
        self.answered[str(received.answer.status or "reset")] += 1
        while self.held > self.limits.all_bytes:
            max(self._all.values(), key=lambda each: each.held).drop_oldest()
        return kept

    @property
    def count(self) -> int:
        """How many inboxes there are."""
        self.expire()
        return len(self._all)

    @property
    def held(self) -> int:
        """Bytes that all of them hold."""
        return sum(each.held for each in self._all.values())

    def expire(self) -> None:
        """Remove those that nobody used for their lifetime."""
        until = self._clock() - self.limits.lifetime
        for each in [each for each in self._all.values() if each.used < until]:
            self._remove(each)

    def stop(self) -> None:
        """Whoever waits for news goes."""
        self.stopped.set()
        for each in self._all.values():
            each.tell()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A place for one who waits for news. Raises ServiceUnavailable when none is left."""
        if self._waiting >= self.limits.waiting:
            raise _no_place()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A place for a request that is being answered. Raises ServiceUnavailable when none is left."""
        if self._answering >= self.limits.answering:
            raise _no_place()
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1

    def _remove(self, inbox: Inbox) -> None:
        self._all.pop(inbox.id, None)
        inbox.tell()


def _no_place() -> ServiceUnavailable:
    return ServiceUnavailable(
        "Er is hier nu te veel tegelijk onderweg. Probeer het zo opnieuw.", retry_after=2
    )
