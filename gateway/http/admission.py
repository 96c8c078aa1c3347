"""Admission: limits the notificaties, bytes of bodies and changes that are under way in one gateway.

It decides before a body is read, or while one of unknown size comes in. No client gets more than half. Knows
nothing of HTTP or RabbitMQ. Reasons: docs/decisions/0021-limits.md.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from deliverer.attempting.concurrency import Slots
from schemas.errors import Overloaded, Throttled

RETRY_AFTER = 1  # seconds
BODIES = 64  # times the largest body: the bytes of all bodies under way
IN_TURN = 200
"""Notificaties that are checked and published at once; others wait. With more, RabbitMQ would not confirm all
in time, and the connection would be cut."""
TURN_WITHIN = 4.0  # seconds that a notificatie waits for its turn
CHANGES = 40  # kanalen and abonnementen that are made or changed at once, with the callback check
CHANGE_WITHIN = 10.0  # seconds that a change waits for its turn


class Turns:
    """Limits work to `places` at once, and to half of these for one client. Others wait."""

    def __init__(self, places: int, *, within: float) -> None:
        self._slots = Slots(places)
        self._within = within

    @asynccontextmanager
    async def one(self, client_id: str) -> AsyncIterator[None]:
        """Wait for this client's turn; it lasts for the context. Raises Overloaded after `within` seconds."""
        try:
            async with asyncio.timeout(self._within):
                await self._slots.take(client_id)
        except TimeoutError:
            raise Overloaded(
                f"so much is under way that its turn did not come within {self._within:g} s"
            ) from None
        try:
            yield
        finally:
            self._slots.give(client_id)


class Publishes:
    """Limits the notificaties `under_way`, and the bytes of their bodies; one client gets half of each."""

    def __init__(self, *, requests: int, largest_body: int) -> None:
        self._most = {"requests": requests, "bytes": BODIES * largest_body}
        self.under_way: Counter[str] = Counter()
        self._of_client: Counter[tuple[str, str]] = Counter()
        self.turns = Turns(IN_TURN, within=TURN_WITHIN)

    @contextmanager
    def one(self, client_id: str, *, size: int) -> Iterator[Callable[[int], None]]:
        """Count one more of this client, of `size` bytes, from before its body until its answer.

        Yields a function to call with the number of further bytes. Both raise Overloaded at the limit, and
        Throttled when this client has its half.
        """
        held: Counter[str] = Counter()

        def take(what: str, amount: int) -> None:
            self._must_fit(client_id, what, amount)
            held[what] += amount
            self._count(client_id, what, amount)

        try:
            take("requests", 1)
            take("bytes", size)
            yield lambda more: take("bytes", more)
        finally:
            for what, amount in held.items():
                self._count(client_id, what, -amount)

    def _must_fit(self, client_id: str, what: str, amount: int) -> None:
        most, has = self._most[what], self._of_client[client_id, what]
        if self.under_way[what] + amount > most:
            raise Overloaded(f"notificaties under way: {self.under_way[what]} {what} of at most {most}")
        if has and has + amount > most // 2:
            raise Throttled(
                "Van deze applicatie zijn te veel notificaties tegelijk onderweg; wacht op antwoord "
                "voordat er meer komen. Er is niets aangenomen.",
                retry_after=RETRY_AFTER,
            )

    def _count(self, client_id: str, what: str, amount: int) -> None:
        self.under_way[what] += amount
        self._of_client[client_id, what] += amount
        if not self._of_client[client_id, what]:
            del self._of_client[client_id, what]
