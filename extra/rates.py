"""How many requests an application may make here: so many a second, and some at once. Pure: no clock."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from schemas.errors import Throttled

AT_ONCE = 5.0
"""Seconds' worth of requests that may come at once, after a pause."""


@dataclass(slots=True)
class _Left:
    requests: float
    at: float


class Rates:
    """What each application has left, for those that the registry knows. rate: requests a second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(rate * AT_ONCE, 1.0)
        self._left: dict[str, _Left] = {}

    def take(self, client_id: str, *, now: float, cost: float = 1.0) -> None:
        """Count a request. now: seconds, of a clock that only goes forward. Raises Throttled.

        cost: for how many it counts; at most what may come at once.
        """
        cost = min(cost, self._most)
        left = self._left.setdefault(client_id, _Left(self._most, now))
        left.requests = min(left.requests + (now - left.at) * self._rate, self._most)
        left.at = now
        if left.requests < cost:
            wait = ceil((cost - left.requests) / self._rate)
            raise Throttled(
                f"Deze applicatie vraagt hier te vaak iets: hoogstens {self._rate:g} keer per seconde. "
                f"Probeer het over {wait} s opnieuw.",
                retry_after=wait,
            )
        left.requests -= cost
