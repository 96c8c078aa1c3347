"""Decides the prefetch of each queue, by the bytes of bodies that this process has in hand. No I/O.

RabbitMQ's prefetch counts messages, whatever their size. So a message that exceeds the budget is requeued,
and its queue gets a smaller prefetch.

Half of the budget is given out first come, first served; the other half is divided evenly. The first message
of each abonnement is always kept. So at most `most` bytes and one body of each abonnement are in hand, and
no abonnement waits for another.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

LOW = 4  # prefetches may grow again while no more than this part of the budget is in hand: a fourth
STEP = 30.0  # seconds, at least, between two doublings of a prefetch


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A queue with a smaller prefetch. since: when it got that (monotonic seconds)."""

    prefetch: int
    since: float


class Budget:
    """The bytes of the bodies in hand, of all abonnementen together and of each.

    most: bytes. prefetch: the largest of a queue. sharers: among how many abonnementen half of the budget is
    divided; set by the caller.
    """

    def __init__(self, most: int, *, prefetch: int) -> None:
        self._half = most // 2
        self._most = most
        self._prefetch = prefetch
        self._bytes: Counter[UUID] = Counter()
        self._messages: Counter[UUID] = Counter()
        self._narrowed: dict[UUID, Narrowed] = {}
        self._limits: Mapping[UUID, int] = {}
        self._emptied: dict[UUID, asyncio.Event] = {}
        self.sharers = 1
        self.in_hand = 0

    def take(self, abonnement: UUID, size: int) -> bool:
        """Whether a message of so many bytes is kept; then `give` must follow when it is settled."""
        if self._messages[abonnement] and not self._fits(abonnement, size):
            return False
        self._messages[abonnement] += 1
        self._bytes[abonnement] += size
        self.in_hand += size
        return True

    def _fits(self, abonnement: UUID, size: int) -> bool:
        all_of_them = self.in_hand + size
        own = self._bytes[abonnement] + size
        return all_of_them <= self._half or (all_of_them <= self._most and own <= self._share)

    @property
    def _share(self) -> int:
        return self._half // max(self.sharers, 1)

    def give(self, abonnement: UUID, size: int) -> None:
        """Count a kept message as no longer in hand."""
        self.in_hand -= size
        self._bytes[abonnement] -= size
        self._messages[abonnement] -= 1
        if self._messages[abonnement]:
            return
        del self._messages[abonnement], self._bytes[abonnement]
        if (emptied := self._emptied.pop(abonnement, None)) is not None:
            emptied.set()

    async def emptied(self, abonnement: UUID) -> None:
        """Return when nothing of this abonnement is in hand."""
        if abonnement in self._messages:
            await self._emptied.setdefault(abonnement, asyncio.Event()).wait()

    def prefetch_of(self, abonnement: UUID) -> int:
        """The prefetch of its queue."""
        narrowed = self._narrowed.get(abonnement)
        most = self._prefetch if narrowed is None else narrowed.prefetch
        return min(most, self._limits.get(abonnement, most))

    def limit(self, limits: Mapping[UUID, int]) -> list[UUID]:
        """Set the largest prefetch of some queues, by their options; returns those that changed."""
        before, self._limits = self._limits, limits
        return [uuid for uuid in before.keys() | limits.keys() if before.get(uuid) != limits.get(uuid)]

    def narrow(self, abonnement: UUID, size: int, *, now: float) -> int:
        """The new prefetch of a queue whose message of so many bytes exceeded the budget.

        As many as fit in its share, at most half of before, at least one. now: monotonic seconds.
        """
        in_hand = self._bytes[abonnement] // max(self._messages[abonnement], 1)
        prefetch = max(1, min(self._share // max(size, in_hand, 1), self.prefetch_of(abonnement) // 2))
        self._narrowed[abonnement] = Narrowed(prefetch, now)
        return prefetch

    def widen(self, *, now: float) -> list[UUID]:
        """Double prefetches when little is in hand; returns the abonnementen."""
        if self.in_hand > self._most // LOW:
            return []
        due = [uuid for uuid, each in self._narrowed.items() if each.since + STEP <= now]
        for uuid in due:
            prefetch = self._narrowed.pop(uuid).prefetch * 2
            if prefetch < self._prefetch:
                self._narrowed[uuid] = Narrowed(prefetch, now)
        return due

    def forget(self, abonnement: UUID) -> None:
        """Forget a queue that is not consumed any more; it starts with the largest prefetch again."""
        self._narrowed.pop(abonnement, None)
