"""Limits the requests of one abonnement that are under way after a hold or a 429.

Slow start: after a hold one at a time, doubled with each success, since thousands may wait for a callback
that was just down. After a 429: a pause, then half as many, and one more with each success. Other
abonnementen are not limited.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

LONGEST_PAUSE = 10.0  # seconds; messages that wait are unacknowledged, which RabbitMQ allows for 30 minutes
SHUT_MARGIN = 0.01  # seconds that a timer may be early


@dataclass(slots=True)
class Gate:
    """The limit of one abonnement: `room` at once, `inside` now. shut_until: by the event loop's clock."""

    abonnement: UUID
    room: int = 1
    inside: int = 0
    doubles: bool = True
    shut_until: float = 0.0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class SlowStart:
    """Gates, each wider with every success; one that is `full` wide is removed."""

    def __init__(self, full: int) -> None:
        self._full = full
        self._gates: dict[UUID, Gate] = {}

    def begin(self, abonnement: UUID) -> None:
        """Limit it to one request at a time."""
        self._gates.setdefault(abonnement, Gate(abonnement))

    def narrow(self, abonnement: UUID, *, pause: float) -> None:
        """Limit it to half as many as now, after a pause of so many seconds (at most LONGEST_PAUSE)."""
        pause = min(pause, LONGEST_PAUSE)
        gate = self._gates.setdefault(abonnement, Gate(abonnement, room=self._full))
        gate.room = max(1, gate.room // 2)
        gate.doubles = False
        loop = asyncio.get_running_loop()
        gate.shut_until = max(gate.shut_until, loop.time() + pause)
        loop.call_later(pause + SHUT_MARGIN, self._let_in, gate)

    def end(self, abonnement: UUID) -> None:
        """Let all that wait go on: it is held again, changed or removed, which they check."""
        gate = self._gates.pop(abonnement, None)
        for place in gate.waiting if gate else ():
            if not place.done():
                place.set_result(None)

    def close(self) -> None:
        """Let all that wait go on, since the process stops."""
        for abonnement in list(self._gates):
            self.end(abonnement)

    async def enter(self, abonnement: UUID) -> Gate | None:
        """Wait for this message's turn; returns the gate, which must be passed to `leave` in any case."""
        gate = self._gates.get(abonnement)
        if gate is None:
            return None
        if _is_open(gate):
            gate.inside += 1
            return gate
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gate.waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave(gate, succeeded=False)  # its turn came at the moment of the cancellation
            raise
        return gate

    def leave(self, gate: Gate | None, *, succeeded: bool) -> None:
        """Count a message out, and adapt the limit to its result."""
        if gate is None or self._gates.get(gate.abonnement) is not gate:
            return  # it has no gate any more, or another one since
        gate.inside -= 1
        if _is_shut(gate):
            return  # requests from before the pause say nothing about those after it
        if succeeded:
            gate.room += gate.room if gate.doubles else 1
        if gate.room >= self._full:
            self.end(gate.abonnement)
            return
        self._let_in(gate)

    def _let_in(self, gate: Gate) -> None:
        while gate.waiting and _is_open(gate):
            place = gate.waiting.popleft()
            if not place.done():
                place.set_result(None)
                gate.inside += 1


def _is_open(gate: Gate) -> bool:
    return gate.inside < gate.room and not _is_shut(gate)


def _is_shut(gate: Gate) -> bool:
    return asyncio.get_running_loop().time() < gate.shut_until
