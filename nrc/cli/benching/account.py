"""The account of a load: what was published, answered and delivered, what is missing, what came twice.

Pure: moments are seconds of one clock, and come in as arguments.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

ACCEPTED = "201"
_NEVER = math.nan


@dataclass(frozen=True, slots=True)
class Figures:
    """What an account comes to. Times in ms, of those that there are; rates per second.

    answers: how many had each status, or why there was none. expected: deliveries of what was answered with
    201. twice: POSTs to a callback beyond the first of a delivery. unasked: deliveries of notificaties that
    were not answered with 201. seconds: from the first POST to the last answer. latencies: from the POST to
    its first arrival at a callback, ascending; answer_times: from the POST to its 201.
    """

    published: int
    answers: dict[str, int]
    accepted: int
    seconds: float
    accepted_per_second: float
    expected: int
    delivered: int
    delivered_per_second: float
    missing: int
    twice: int
    unasked: int
    latencies: Sequence[float]
    answer_times: Sequence[float]


class Account:
    """Of notificaties with the numbers 0, 1, … that each go to so many abonnementen, 0, 1, …"""

    def __init__(self, abonnementen: int) -> None:
        self._began = array("d")
        self._answered = array("d")  # of those with a 201, else never
        self._arrived = [array("d") for _ in range(abonnementen)]
        self._answers: Counter[str] = Counter()
        self._last_answer = self._last_arrival = _NEVER
        self._delivered = 0
        self._twice = 0
        self.arrivals = 0

    def posted(self, at: float) -> int:
        """The number of the notificatie that is sent now."""
        self._began.append(at)
        self._answered.append(_NEVER)
        for arrived in self._arrived:
            arrived.append(_NEVER)
        return len(self._began) - 1

    def answered(self, number: int, answer: str, at: float) -> None:
        """Its answer: a status, or why there was none."""
        self._answers[answer] += 1
        self._last_answer = at
        if answer == ACCEPTED:
            self._answered[number] = at
            self._delivered += sum(not math.isnan(arrived[number]) for arrived in self._arrived)

    def arrived(self, number: int, abonnement: int, at: float) -> bool:
        """One POST at a callback. False when there is no such notificatie or abonnement."""
        if not (0 <= number < len(self._began) and 0 <= abonnement < len(self._arrived)):
            return False
        self.arrivals += 1
        if not math.isnan(self._arrived[abonnement][number]):
            self._twice += 1
            return True
        self._arrived[abonnement][number] = at
        if not math.isnan(self._answered[number]):
            self._delivered += 1
        self._last_arrival = at
        return True

    @property
    def published(self) -> int:
        """How many were sent."""
        return len(self._began)

    @property
    def accepted(self) -> int:
        """How many were answered with 201."""
        return self._answers[ACCEPTED]

    @property
    def delivered(self) -> int:
        """Deliveries that arrived, of what was answered with 201."""
        return self._delivered

    @property
    def missing(self) -> int:
        """Deliveries that have not arrived, of what was answered with 201."""
        return self.accepted * len(self._arrived) - self._delivered

    def figures(self) -> Figures:
        """What it comes to now."""
        latencies, unasked = [], 0
        for arrived in self._arrived:
            for number, at in enumerate(arrived):
                if math.isnan(at):
                    continue
                latencies.append((at - self._began[number]) * 1000)
                unasked += math.isnan(self._answered[number])
        answers = [
            (at - began) * 1000
            for began, at in zip(self._began, self._answered, strict=True)
            if not math.isnan(at)
        ]
        began = self._began[0] if self._began else _NEVER
        seconds = _span(began, self._last_answer)
        return Figures(
            published=self.published,
            answers=dict(sorted(self._answers.items())),
            accepted=self.accepted,
            seconds=seconds,
            accepted_per_second=_rate(self.accepted, seconds),
            expected=self.accepted * len(self._arrived),
            delivered=self._delivered,
            delivered_per_second=_rate(self._delivered, _span(began, self._last_arrival)),
            missing=self.missing,
            twice=self._twice,
            unasked=unasked,
            latencies=sorted(latencies),
            answer_times=sorted(answers),
        )


def quantile(ascending: Sequence[float], share: float) -> float | None:
    """The value that this share of them does not exceed (nearest rank); None of nothing."""
    if not ascending:
        return None
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def _span(began: float, ended: float) -> float:
    return 0.0 if math.isnan(began) or math.isnan(ended) else ended - began


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0
