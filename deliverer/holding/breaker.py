"""The circuit breaker: decides when to hold an abonnement because its callback does not work.

Pure: failures and a monotonic clock come in, and whether to hold the abonnement comes out; `hold` holds it.
Each process counts for itself. One message that keeps failing does not hold an abonnement: others that
succeed reset the count. Nor does a 429, or a refusal of a loop between NRCs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from deliverer.attempting.decide import MAX_RETRY_AFTER, TOO_MANY
from deliverer.http.client import Failure, FailureClass

IN_A_ROW = 10  # failures with no success in between; a 429 or a loop is none
DIFFERENT = 3  # notificaties, at least, that these were of
IN_A_ROW_AFTER_HOLD = 3  # failures; for one that was released and has had no success since
NO_ANSWER_FOR = 30.0  # seconds with only refused, broken or silent connections

FIRST_PROBE = 5.0  # seconds
LONGEST_PAUSE = 300.0  # seconds between two probes


@dataclass(slots=True)
class _Streak:
    """Failures without a success in between. no_answer_since: None when one of them was answered."""

    count: int = 0
    notificaties: set[str] = field(default_factory=set)
    no_answer_since: float | None = None


class Breaker:
    """The streaks of failures in this process; none for an abonnement whose last attempt succeeded."""

    def __init__(self) -> None:
        self._streaks: dict[UUID, _Streak] = {}
        self._tried: dict[UUID, int] = {}

    def succeeded(self, abonnement: UUID) -> None:
        """Its callback accepted a notificatie: reset the count."""
        self._streaks.pop(abonnement, None)
        self._tried.pop(abonnement, None)

    def failed(self, abonnement: UUID, notificatie: str, failure: Failure, *, now: float) -> bool:
        """Whether the abonnement is to be held after this failure. now: monotonic seconds."""
        streak = self._streaks.setdefault(abonnement, _Streak())
        if failure.status is not None:
            streak.no_answer_since = None
        elif streak.no_answer_since is None:
            streak.no_answer_since = now
        if failure.status == TOO_MANY or failure.kind is FailureClass.LOOP:
            return False
        streak.count += 1
        if len(streak.notificaties) < DIFFERENT:
            streak.notificaties.add(notificatie)
        if streak.no_answer_since is not None and now - streak.no_answer_since >= NO_ANSWER_FOR:
            return True
        enough = self._tried.get(abonnement, IN_A_ROW)
        return streak.count >= enough and len(streak.notificaties) >= DIFFERENT

    def released(self, abonnement: UUID) -> None:
        """It was released: until its first success fewer failures hold it again."""
        self._streaks.pop(abonnement, None)
        self._tried[abonnement] = IN_A_ROW_AFTER_HOLD

    def forget(self, abonnement: UUID) -> None:
        """Reset the count of one that is held, changed or removed."""
        self._streaks.pop(abonnement, None)
        self._tried.pop(abonnement, None)


def pause_before(probe: int, *, timeout: float) -> float:
    """Seconds before the probe with this number (0 is the first): 5, 10, 20 … 300.

    timeout: of a probe. The pause is longer, so that two probes never overlap.
    """
    growing: float = FIRST_PROBE * 2.0 ** min(probe, 16)
    return (
        min(growing, LONGEST_PAUSE) if not probe else max(min(growing, LONGEST_PAUSE), timeout + FIRST_PROBE)
    )


def is_due(next_probe: float, *, now: float) -> bool:
    """Whether a probe is due (Unix seconds), or further ahead than any pause (a clock was set back)."""
    return not now < next_probe <= now + LONGEST_PAUSE + MAX_RETRY_AFTER
