"""Limits the requests under way: a total for this process, and at most half of it to one host.

So a host that hangs leaves the other half to all others. An abonnement gets another place of its host only
while it holds fewer places than are free there. So one alone gets half of the host's places, two get a third
each, and the last place goes to one that holds none.

Hosts are served in turn; within a host the abonnement that holds the fewest places first, equal ones in turn.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Hashable

_Row = dict[Hashable, deque[asyncio.Future[bool]]]  # by user, whose turn it is first


class Slots:
    """`take` a place for a host, `give` it back. Once closed, no place is given out.

    user: one of those that share the host; None where the host is not shared, so that one may have all.
    per_user: places of a host that one user has at most; None: as many as the others leave.
    """

    def __init__(self, total: int, *, per_user: int | None = None) -> None:
        self._total = self._free = total
        self._per_user = total if per_user is None else per_user
        self._per_host = max(1, total // 2)
        self._taken: Counter[str] = Counter()
        self._held: Counter[tuple[str, Hashable]] = Counter()
        self._waiting: dict[str, _Row] = {}
        self._closed = False

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._total - self._free

    async def take(self, host: str, user: Hashable = None) -> bool:
        """Wait for a place; False when there will be none because the process stops."""
        if self._closed:
            return False
        # No caller that could have it waits: a place that becomes free is given away at once.
        if self._fits(host, user):
            self._occupy(host, user)
            return True
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(host, {}).setdefault(user, deque()).append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.give(host, user)  # it was given out at the moment of the cancellation
            else:
                self._leave(host, user, place)
            raise

    def give(self, host: str, user: Hashable = None) -> None:
        """Give a place back; it goes to the next that waits."""
        self._free += 1
        self._taken[host] -= 1
        self._held[host, user] -= 1
        if not self._held[host, user]:
            del self._held[host, user]
        if not self._taken[host]:
            del self._taken[host]
        # To one at most: a user that does not wait for the last place of all holds as many as are free, or as
        # many as it may. Of two users of a host this place can be enough for one only.
        self._serve()

    def close(self) -> None:
        """Let all that wait return without a place."""
        self._closed = True
        for row in self._waiting.values():
            for places in row.values():
                for place in places:
                    if not place.done():
                        place.set_result(False)
        self._waiting.clear()

    def _fits(self, host: str, user: Hashable) -> bool:
        left = self._per_host - self._taken[host]
        most = min(left, self._per_user)
        return self._free > 0 and left > 0 and (user is None or self._held[host, user] < most)

    def _occupy(self, host: str, user: Hashable) -> None:
        self._free -= 1
        self._taken[host] += 1
        self._held[host, user] += 1

    def _serve(self) -> None:
        """Give a place to the next that waits, and put host and user at the end of their rows."""
        for host, row in self._waiting.items() if self._free else ():
            if (turn := self._turn(host, row)) is None:
                continue
            user, place = turn
            self._occupy(host, user)
            place.set_result(True)
            self._leave(host, user, place)
            if user in row:
                row[user] = row.pop(user)
            if row:
                self._waiting[host] = self._waiting.pop(host)
            return

    def _turn(self, host: str, row: _Row) -> tuple[Hashable, asyncio.Future[bool]] | None:
        """The next of those that wait for this host: of the user that holds fewest places of it."""
        turn, fewest = None, self._per_host
        for user, places in row.items():
            held = self._held[host, user]
            if held >= fewest or not self._fits(host, user):
                continue
            # One that is done was cancelled, and removes itself from the row in a moment.
            place = next((place for place in places if not place.done()), None)
            if place is not None:
                turn, fewest = (user, place), held
                if not held:
                    break
        return turn

    def _leave(self, host: str, user: Hashable, place: asyncio.Future[bool]) -> None:
        """Remove it from the row, if it is in there."""
        row = self._waiting.get(host, {})
        places = row.get(user, deque())
        if place in places:
            places.remove(place)
            if not places:
                del row[user]
            if not row:
                del self._waiting[host]
