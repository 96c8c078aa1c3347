"""What this process wrote last, to write it again where a standby took over that lacks the last commits.

Without I/O. Writing the same event again changes nothing where it is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from ledger.values import Entry, Event, Outcome, Probe, Unrouted

FOR = 30.0
"""Seconds for which an event is remembered; an asynchronous standby lags by far less."""
MOST_BYTES = 16 * 1024 * 1024
"""Of events that are remembered, about; the oldest are forgotten first."""
_OVERHEAD = 500  # bytes of memory that an event takes beside its body, about
_AGAIN = (Entry, Outcome, Probe, Unrouted)  # the others tell of a moment, and it has passed


@dataclass(frozen=True, slots=True)
class _Commit:
    at: float
    timeline: str
    events: tuple[Event, ...]
    size: int


class Recent:
    """The last commits of one process, each with the timeline of the database that it was made on.

    PostgreSQL begins another timeline when a standby takes over. clock: monotonic, in seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = monotonic, most: int = MOST_BYTES) -> None:
        self._clock = clock
        self._most = most
        self._commits: deque[_Commit] = deque()
        self._size = 0

    def add(self, timeline: str, events: Sequence[Event]) -> None:
        """These are committed."""
        kept = tuple(event for event in events if isinstance(event, _AGAIN))
        now = self._clock()
        if kept:
            size = sum(_OVERHEAD + (len(each.body) if isinstance(each, Entry) else 0) for each in kept)
            self._commits.append(_Commit(now, timeline, kept, size))
            self._size += size
        while self._commits and (self._size > self._most or self._commits[0].at < now - FOR):
            self._size -= self._commits.popleft().size

    def elsewhere(self, timeline: str) -> list[tuple[Event, ...]]:
        """The commits that were made on another timeline than this one, the oldest first."""
        if not self._commits or self._commits[0].timeline == timeline:
            return []
        return [each.events for each in self._commits if each.timeline != timeline]

    def are_on(self, timeline: str) -> None:
        """All of them are committed on this timeline."""
        self._commits = deque(_Commit(each.at, timeline, each.events, each.size) for each in self._commits)
