"""Admission: how many notificaties, bytes of bodies and changes may be under way in one gateway at once.

Decides before a body is read, or while one of unknown size comes, and gives nobody more than half. Knows
nothing of HTTP or RabbitMQ; docs/decisions/0021-limits.md has why it is so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from deliverer.attempting.concurrency import Slots
from schemas.errors import Overloaded, Throttled

RETRY_AFTER = 1  # seconds
BODIES = 64  # times the largest body: the bytes of all bodies that are here at once
IN_TURN = 200
"""Notificaties that are checked and given to RabbitMQ at once; the others wait. The time in which RabbitMQ
must confirm must not pass in a queue of our own: after it the connection is cut, with all that is on it."""
TURN_WITHIN = 4.0  # seconds that a notificatie waits for that
CHANGES = 40  # kanalen and abonnementen being made or changed at once, callback check and all
CHANGE_WITHIN = 10.0  # seconds that a change waits for its turn


class Publishes:
    """The notificaties under way: how many, and with how many bytes of body. One client may have half."""

    def __init__(self, *, requests: int, largest_body: int) -> None:
        self._most = {"requests": requests, "bytes": BODIES * largest_body}
        self._under_way: Counter[str] = Counter()
        self._of_client: Counter[tuple[str, str]] = Counter()
        self._turns = Slots(IN_TURN)

    @contextmanager
    def one(self, client_id: str, *, size: int) -> Iterator[Callable[[int], None]]:
        """One more of this client, with `size` bytes, from before its body until its answer.

        Gives what to call with the number of further bytes that come. Both raise Overloaded when there is as
        much as there may be, Throttled when this client has its half.
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

    @asynccontextmanager
    async def turn(self, client_id: str) -> AsyncIterator[None]:
        """This client's turn to have one checked and given to RabbitMQ. Raises Overloaded when it is long."""
        async with _in_turn(self._turns, client_id, within=TURN_WITHIN):
            yield

    def _must_fit(self, client_id: str, what: str, amount: int) -> None:
        most, has = self._most[what], self._of_client[client_id, what]
        if self._under_way[what] + amount > most:
            raise Overloaded(f"notificaties under way: {self._under_way[what]} {what} of at most {most}")
        if has and has + amount > most // 2:
            raise Throttled(
                "Van deze applicatie zijn te veel notificaties tegelijk onderweg; wacht op antwoord "
                "voordat er meer komen. Er is niets aangenomen.",
                retry_after=RETRY_AFTER,
            )

    def _count(self, client_id: str, what: str, amount: int) -> None:
        self._under_way[what] += amount
        self._of_client[client_id, what] += amount
        if not self._of_client[client_id, what]:
            del self._of_client[client_id, what]


class Changes:
    """The kanalen and abonnementen being made or changed; of one client at most half of them."""

    def __init__(self) -> None:
        self._slots = Slots(CHANGES)

    @asynccontextmanager
    async def one(self, client_id: str) -> AsyncIterator[None]:
        """One more of this client, in its turn. Raises Overloaded when that does not come in time."""
        async with _in_turn(self._slots, client_id, within=CHANGE_WITHIN):
            yield


@asynccontextmanager
async def _in_turn(slots: Slots, client_id: str, *, within: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(within):
            await slots.take(client_id)
    except TimeoutError:
        raise Overloaded(f"so much is under way that its turn did not come within {within:g} s") from None
    try:
        yield
    finally:
        slots.give(client_id)
