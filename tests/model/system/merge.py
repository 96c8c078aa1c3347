"""A delivery's row, and which of two writes of it stands: by the product's own key, `ledger/values.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ledger import values
from ledger.values import State
from tests.model.system.broker import Message

SWEPT = frozenset({State.RETURNING, State.PENDING, State.RETRYING})
"""What the keeper looks after; unsure and stuck are an operator's."""


@dataclass(frozen=True, slots=True)
class Row:
    """One delivery. `at` is when it last changed, `since` when it last went into its queue; seconds."""

    id: int
    ab: str
    state: State = State.PENDING
    round: int = 0
    attempts: int = 0
    since: int = 0
    at: int = 0
    given: int = 0
    doubt: bool = False

    @property
    def key(self) -> tuple[int, str]:
        return self.id, self.ab

    @property
    def merge_key(self) -> tuple[int, int, int, int, int]:
        return values.merge_key(self.state, round_=self.round, attempts=self.attempts, at=self.at)


def row_of(message: Message, now: int) -> Row:
    """The row that a copy of a delivery tells of itself."""
    return Row(message.id, message.ab, State.PENDING, message.round, message.attempts, message.since, now)


def merge(old: Row | None, new: Row, *, by_key: bool = True) -> Row:
    """The row that stands after `new` was written over `old`; `old` itself where nothing changed."""
    if old is None:
        return new
    if by_key and new.merge_key <= old.merge_key:
        return old
    return replace(new, given=max(old.given, new.given))
