"""A replay: past notificaties that are sent to one abonnement again; and the protocol of a store for it.

Its deliveries are rows of their own (`Key.replay` is its number), so those of the originals do not change. A
replay of one notificatie is carried out by the command that makes it, all others by the keeper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from ledger.values import Search

FIRST_ROUND = 1
"""The round of a replay when it is first sent: from 1 on a deliverer looks at the row before each attempt."""


class Progress(StrEnum):
    """The state of a replay."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"


UNFINISHED = frozenset({Progress.RUNNING, Progress.PAUSED})


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay sends. abonnement: that gets it. search: which notificaties.

    unmatched: also those that the filters of the abonnement do not match. rate: deliveries in a second.
    lacking: only those that it has not got yet. total: how many notificaties `search` found when it was made.
    reason: why, by the operator who made it.
    """

    abonnement: UUID
    search: Search
    reason: str
    rate: float
    total: int
    unmatched: bool = False
    lacking: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay, and how far it is.

    made, ended: milliseconds since 1970. sent: how many deliveries it made. skipped: notificaties that the
    abonnement's filters do not match, or whose body is gone. last: the last notificatie that was looked at.
    """

    number: int
    plan: Plan
    made: int
    progress: Progress
    sent: int = 0
    skipped: int = 0
    last: UUID | None = None
    ended: int | None = None


class ReplayLedger(Protocol):
    """The part of a ledger that keeps replays."""

    async def make(self, plan: Plan, *, progress: Progress = Progress.RUNNING) -> Replay:
        """Make a replay, with a number that no other has had."""

    async def replay(self, number: int) -> Replay | None:
        """One replay."""

    async def replays(self, *, limit: int, unfinished: bool = False) -> Sequence[Replay]:
        """The newest first. unfinished: only those that run or are paused."""

    async def change(self, number: int, progress: Progress) -> bool:
        """Let it run, pause it or stop it. False when it has ended already.

        When it is stopped, its deliveries that are not published yet become REMOVED.
        """

    async def unpublished(self, number: int) -> int:
        """How many of its deliveries are still to be published."""

    async def advance(
        self, epoch: int, number: int, *, sends: Sequence[UUID], skipped: int, last: UUID | None
    ) -> int | None:
        """Make a RETURNING delivery of each of `sends`, to be published at once, and note how far it is.

        last: None when there is no more, so that it is DONE. Returns how many were made; None, without any
        change, when it is not RUNNING. Raises LeaseLost, as the keeper's other methods.
        """
