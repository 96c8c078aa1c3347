"""Order per hoofdObject: what a store tells of the deliveries before one, and behind it. Pure.

Of an abonnement whose options ask for order, deliveries of the same replay and the same hoofdObject follow
each other by the ids of their notificaties. hoofdObjecten are told apart by the hash that the ledger has:
the last segment of the URL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from ledger.values import Attempt, Delivery, Key, State

MOST_AHEAD = 20
"""Deliveries before one that are told; the decision about it needs the first ones only."""

BEHIND = "behind"
"""`kind` of the note among the attempts of a delivery that it waits for an earlier one. detail: its id."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which deliveries are before this one? ended: all up to this notificatie are known to have ended."""

    key: Key
    ended: UUID | None = None


@dataclass(frozen=True, slots=True)
class Ahead:
    """An open delivery before another. first_failed: when its first attempt failed, in milliseconds."""

    delivery: Delivery
    first_failed: int | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What the ledger knows of the turn of one delivery. now: by the database's clock.

    known: whether its notificatie is in the ledger. own: its row. ahead: the open ones before it, the oldest
    first, MOST_AHEAD of them at most; more: whether there may be others.
    """

    now: int
    known: bool
    own: Delivery | None = None
    ahead: tuple[Ahead, ...] = ()

    @property
    def more(self) -> bool:
        """Whether there may be more than `ahead`."""
        return len(self.ahead) == MOST_AHEAD


@dataclass(frozen=True, slots=True)
class Behind:
    """An open delivery behind another. waits: whether it is RETURNING because it waits for its turn."""

    delivery: Delivery
    waits: bool


def behind(at: int, earlier: UUID) -> Attempt:
    """The note among the attempts that it waits for an earlier one, from this moment on."""
    return Attempt(at, 0, BEHIND, str(earlier))


def waits_for(row: Delivery, notes: Sequence[Attempt]) -> UUID | None:
    """For which notificatie a delivery waits; None when it waits for none.

    notes: its attempts. The note of the moment of its last change says so.
    """
    if row.state is not State.RETURNING:
        return None
    for note in reversed(notes):
        if note.kind == BEHIND and note.at == row.last_at:
            return UUID(note.detail)
    return None
