"""How many requests may be under way: so many in this process, and at most half of them to one host.

So a host that hangs leaves the other half to all others. An abonnement gets another place of its host while
it holds fewer than are free there. Alone it gets half of them, of two each gets a third, and the last place
is for one that holds none.

Hosts are served in turn, and within a host the abonnement that holds fewest places first, equal ones in turn.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Hashable

_Row = dict[Hashable, deque[asyncio.Future[bool]]]  # by user, whose turn it is first


class Slots:
    """`take` a place for a host, `give` it back. Once closed, nobody gets one.

    user: one of those that share the host; None where nobody shares it, and one may have all. per_user:
    places of a host that one user has at most; None: as many as the others leave.
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
        """Wait for a place; False when there will be none, since the process stops."""
        if self._closed:
            return False
        # Nobody waits who could have it: what comes free is given away at once.
        if self._fits(host, user):
            self._occupy(host, user)
            return True
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(host, {}).setdefault(user, deque()).append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.give(host, user)  # it was given in the same moment
            else:
                self._leave(host, user, place)
            raise

    def give(self, host: str, user: Hashable = None) -> None:
        """Give a place back, to whoever's turn it is."""
        self._free += 1
        self._taken[host] -= 1
        self._held[host, user] -= 1
        if not self._held[host, user]:
            del self._held[host, user]
        if not self._taken[host]:
            del self._taken[host]
        # One at most: whoever waits for another reason than the last place of all holds as many as are left,
        # or as many as it may; of two users on a host only one can be such that this place makes it fit.
        self._serve()

    def close(self) -> None:
        """Send everyone who waits away."""
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
        """Give a place to whoever's turn it is, and put host and user at the end of their rows."""
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
            # A place that is done was cancelled, and takes itself out of the row in a moment.
            place = next((place for place in places if not place.done()), None)
            if place is not None:
                turn, fewest = (user, place), held
                if not held:
                    break
        return turn

    def _leave(self, host: str, user: Hashable, place: asyncio.Future[bool]) -> None:
        """Take it out of the row, if it is there."""
        row = self._waiting.get(host, {})
        places = row.get(user, deque())
        if place in places:
            places.remove(place)
            if not places:
                del row[user]
            if not row:
                del self._waiting[host]
