"""What the keeper asks of a store of the ledger, beside what everyone does (ledger/ledger.py).

One keeper of several works: the one that has the lease. Every method that changes something takes the epoch
of its lease, and changes nothing and raises LeaseLost when another keeper has had the lease since.
Moments are compared by the database's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from ledger.copies.instance import Instance
from ledger.values import LIVE, Cause, Delivery, Key, Scope

BEFORE_GAP = 60_000
"""Milliseconds before a gap was opened from which on it may have begun."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Which keeper works. until: when it runs out, in milliseconds since 1970; it is renewed long before."""

    holder: str
    epoch: int
    until: int


@dataclass(frozen=True, slots=True)
class Unsent:
    """An unrouted notificatie, and its deliveries without an outcome. catalogue: as of its Entry."""

    notificatie: UUID
    deliveries: tuple[Delivery, ...]
    catalogue: int


@dataclass(frozen=True, slots=True)
class Hands:
    """What the deliverers that live have in hand, and until when all that they did is written.

    now: when this was read. heard: the least `flushed_until` of those that live; `now` while none does.
    """

    now: int
    heard: int
    keys: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Process:
    """A deliverer that wrote a heartbeat at this moment. hands: how many deliveries it named."""

    name: str
    at: int
    flushed_until: int
    hands: int
    stopped: bool

    def lives(self, now: int) -> bool:
        """Whether it counts as living at this moment, by the database's clock."""
        return not self.stopped and now - self.at <= LIVE * 1000


@dataclass(frozen=True, slots=True)
class Facts:
    """What the ledger as a whole has. now: by the database's clock. returning, stuck, unsure: deliveries.

    open: deliveries that are to come, and bytes of them. unrouted: notificaties. size: bytes in use.
    """

    now: int
    open: tuple[int, int]
    unrouted: int
    returning: int
    stuck: int
    unsure: int
    size: int
    lease: Lease | None
    processes: tuple[Process, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which RabbitMQ may have lost what it had of this. done: what it covers was given back."""

    nr: int
    scope: Scope
    of: str
    opened: int
    closed: int | None
    why: str
    done: bool


class KeeperLedger(Protocol):
    """The part of a ledger that one keeper works with."""

    async def take_lease(self, holder: str, *, seconds: float) -> int | None:
        """Take or renew the lease for so long: its epoch, or None while another holder has it.

        The epoch is greater with each change of holder.
        """

    async def release_lease(self, holder: str) -> None:
        """Give the lease up, so that another need not wait for it to run out. No-op for who has it not."""

    async def lease(self) -> Lease | None:
        """The lease as it was last taken; None when it never was."""

    async def mark(self, epoch: int, *, above: int = 0) -> Instance:
        """Mark the ledger once more, with a number greater than `above`, for the registry to note."""

    async def doubt(self, epoch: int, *, until: int) -> int:
        """Make UNSURE what is PENDING, RETURNING or RETRYING, and nothing was told of after `until`.

        until: milliseconds since 1970. What is received until then stays doubtful (`Instance.unsure_until`).
        Returns how many.
        """

    async def unrouted(
        self, *, settled: float, live: float, limit: int, after: UUID | None = None
    ) -> Sequence[Unsent]:
        """Unrouted notificaties that were marked over `settled` seconds ago, the oldest first.

        With their deliveries that nothing is known of: no attempt, no probe, not given back. Without one that
        a deliverer has in hand, by a heartbeat of the last `live` seconds.
        """

    async def unrouted_count(self) -> int:
        """How many notificaties are unrouted."""

    async def stuck_count(self) -> int:
        """How many deliveries are STUCK; cheap enough for every pass."""

    async def hands(self, *, live: float) -> Hands:
        """What deliverers have in hand that wrote a heartbeat in the last `live` seconds."""

    async def with_open(self) -> Sequence[UUID]:
        """The abonnementen that have anything open."""

    async def first_attempts(self, *, ended: float) -> Mapping[UUID, int]:
        """Of each abonnement the greatest `since` of what had its first attempt over `ended` seconds ago.

        To the minute, and later rather than earlier. What is of no use any more is removed.
        """

    async def suspects(
        self, abonnement: UUID, *, before: int, limit: int, after: Key | None = None
    ) -> Sequence[Delivery]:
        """Of one abonnement what is PENDING or RETRYING with a `since` before this moment, the oldest first.

        Without what is unrouted. before: milliseconds since 1970.
        """

    async def waiting(
        self, abonnement: UUID, *, limit: int, before: int | None = None, after: Key | None = None
    ) -> Sequence[Delivery]:
        """What waits in the queue of one abonnement, the oldest first: PENDING, or RETRYING and due.

        Without what is unrouted. before: only what was accepted, or sent again as a new one, before this
        moment, in milliseconds since 1970.
        """

    async def gaps(self, *, done: bool) -> Sequence[Gap]:
        """The gaps that are not done, the oldest first; done: all of them."""

    async def in_gap(
        self, gap: Gap, abonnement: UUID, *, limit: int, after: Key | None = None
    ) -> Sequence[Delivery]:
        """Of one abonnement what a closed gap covers, the oldest first.

        What is PENDING or RETRYING, and went where it is before the gap was closed: what was given back since
        is not covered again, however many gaps there are. Of a kanaal what was accepted in the gap, from a
        minute before it, and of which nothing is known since. Without what is unrouted.
        """

    async def end_gap(self, epoch: int, nr: int) -> None:
        """All that it covers was given back."""

    async def add_rows(self, epoch: int, abonnement: UUID, notificaties: Sequence[UUID]) -> int:
        """A PENDING delivery to this abonnement of each of these that has none; returns how many.

        In its queue since it was received. UNSURE where what was received then is (`Instance.unsure_until`).
        """

    async def facts(self) -> Facts:
        """What there is, for people."""

    async def give_back(
        self,
        epoch: int,
        rows: Sequence[Delivery],
        *,
        cause: Cause,
        caused: int | None = None,
        judged: bool = False,
        ahead: float = 0.0,
    ) -> Sequence[Delivery]:
        """Make these RETURNING in their next round; returns those that were still as given, as they are now.

        `since` is the moment of this, or so many seconds `ahead` of it, for `give_back_again`. cause, and
        when that was (None: now): kept among the attempts. judged: it counts in `given`. Counted per minute.
        """

    async def give_back_again(
        self, epoch: int, *, after: float, limit: int, but: frozenset[UUID] = frozenset()
    ) -> Sequence[Delivery]:
        """Those that are RETURNING for over `after` seconds, with a new `since` and in the same round.

        but: abonnementen whose deliveries are left as they are.
        """

    async def given_back(self, epoch: int, rows: Sequence[Delivery]) -> None:
        """RabbitMQ has these: those that are still RETURNING in that round are PENDING, since now."""

    async def end(self, epoch: int, rows: Sequence[Delivery]) -> Sequence[Key]:
        """Those of these that are still as given are STUCK. Returns which."""

    async def routed(self, epoch: int, notificaties: Sequence[UUID]) -> int:
        """These are unrouted no more, but for those of which a delivery still waits for its give-back.

        Returns how many.
        """
