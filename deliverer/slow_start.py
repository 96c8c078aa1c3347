"""Slow start: an abonnement that was held begins with one request at a time, and doubles with each success.

Its callback was down a moment ago, and thousands may wait for it. All else passes at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(slots=True)
class Gate:
    """What the messages of one abonnement go through, since it was released."""

    abonnement: UUID
    room: int = 1
    inside: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class SlowStart:
    """Gates, each open a bit further with every success; one that is `full` open is gone."""

    def __init__(self, full: int) -> None:
        self._full = full
        self._gates: dict[UUID, Gate] = {}

    def begin(self, abonnement: UUID) -> None:
        """From now on one request at a time."""
        self._gates.setdefault(abonnement, Gate(abonnement))

    def end(self, abonnement: UUID) -> None:
        """Let all through that wait: it is held again, changed or gone, and they see so for themselves."""
        gate = self._gates.pop(abonnement, None)
        for place in gate.waiting if gate else ():
            if not place.done():
                place.set_result(None)

    def close(self) -> None:
        """Let everyone through, since the process stops."""
        for abonnement in list(self._gates):
            self.end(abonnement)

    async def enter(self, abonnement: UUID) -> Gate | None:
        """Return when it is this message's turn; `leave` what it gives after it, whatever happened."""
        gate = self._gates.get(abonnement)
        if gate is None:
            return None
        if gate.inside < gate.room:
            gate.inside += 1
            return gate
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gate.waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave(gate, succeeded=False)  # its turn came in the same moment
            raise
        return gate

    def leave(self, gate: Gate | None, *, succeeded: bool) -> None:
        """A message has had its turn, at the gate that `enter` gave."""
        if gate is None or self._gates.get(gate.abonnement) is not gate:
            return  # there is none any more, or another, which it did not come through
        gate.inside -= 1
        if succeeded:
            gate.room *= 2
        if gate.room >= self._full:
            self.end(gate.abonnement)
            return
        while gate.inside < gate.room and gate.waiting:
            place = gate.waiting.popleft()
            if not place.done():
                place.set_result(None)
                gate.inside += 1
