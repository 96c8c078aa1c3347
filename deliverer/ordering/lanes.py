"""What this process has in hand of each hoofdObject, in order, and what it has delivered. No I/O.

A lane is an abonnement, a replay and a hoofdObject. Outcomes reach the ledger some milliseconds late, so
what this process has delivered itself is remembered here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple
from uuid import UUID

from ledger.values import Key
from runtime.memory.bounded import Bounded

REMEMBERED = 10_000
"""Deliveries of this process that are remembered; their outcomes are in the ledger long before that."""


class LaneKey(NamedTuple):
    """Whose order it is. hoofd: what the ledger tells hoofdObjecten apart by (rows.last_segment)."""

    abonnement: UUID
    replay: int
    hoofd: str


@dataclass(slots=True)
class _Lane:
    places: list[Place] = field(default_factory=list)
    went_on: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True, eq=False)
class Place:
    """A message of this process in its lane. number: in the order in which they came in."""

    key: Key
    number: int
    lane: _Lane

    @property
    def before(self) -> Set[UUID]:
        """The notificaties in hand before this one; also its own, where another message of it came first."""
        own = (self.key.notificatie, self.number)
        return {
            each.key.notificatie for each in self.lane.places if (each.key.notificatie, each.number) < own
        }

    @property
    def went_on(self) -> float:
        """When a message of this lane was last delivered here, by the monotonic clock; 0 when none was."""
        return self.lane.went_on

    async def changed(self, within: float) -> None:
        """Return when a message left the lane, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.lane.changed.wait()


class Lanes:
    """The lanes with messages in hand."""

    def __init__(self) -> None:
        self._lanes: dict[LaneKey, _Lane] = {}
        self._numbers = count()
        self._delivered: Bounded[Key, int] = Bounded(REMEMBERED)  # in which round

    @contextmanager
    def place(self, of: LaneKey, key: Key) -> Iterator[Place]:
        """A place in a lane, until the context has ended."""
        lane = self._lanes.setdefault(of, _Lane())
        place = Place(key, next(self._numbers), lane)
        lane.places.append(place)
        try:
            yield place
        finally:
            lane.places.remove(place)
            if not lane.places:
                del self._lanes[of]
            lane.changed.set()
            lane.changed = asyncio.Event()

    def delivered(self, place: Place, *, in_round: int, now: float) -> None:
        """This process delivered the message in this place. now: monotonic seconds."""
        place.lane.went_on = now
        self._delivered[place.key] = in_round

    def was_delivered(self, key: Key, *, in_round: int = 0) -> bool:
        """Whether this process delivered it in this round or a later one, as far as it remembers.

        Who gives one back in a newer round knows better: the ledger lost what this process told it.
        """
        return self._delivered.get(key, -1) >= in_round
