"""The protocol of a store for the keeper, beside that for every process (ledger/ledger.py).

Of several keepers the one with the lease works. Every method that changes something takes the epoch of the
lease; it changes nothing and raises LeaseLost when another keeper has had the lease since.
Moments are compared by the database's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from ledger.copies.instance import Instance
from ledger.values import LIVE, Cause, Delivery, Key, Scope

BEFORE_GAP = 60_000
"""Milliseconds by which a gap may have begun before it was opened."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Which keeper works. until: when the lease runs out, in milliseconds since 1970."""

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
class InLane:
    """What waits in the lane for bulk for one abonnement: its oldest notificatie, and how many."""

    oldest: UUID
    count: int


@dataclass(frozen=True, slots=True)
class Hands:
    """What the live deliverers have in hand, and until when all their outcomes are written.

    now: when this was read. heard: the least `flushed_until` of the live ones; `now` while there are none.
    """

    now: int
    heard: int
    keys: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Process:
    """A deliverer and its last heartbeat. at: when that was. hands: how many deliveries it named."""

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
    """Totals of the ledger. now: by the database's clock. returning, stuck, unsure: deliveries.

    open: deliveries that are still to be made, and their bytes. unrouted: notificaties, without those that
    wait in the lane for bulk (lane). size: bytes in use.
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
    lane: int = 0

    @property
    def keeper(self) -> str | None:
        """The holder of the lease; None while no keeper works."""
        return self.lease.holder if self.lease is not None and self.lease.until > self.now else None

    @property
    def living(self) -> Sequence[Process]:
        """The deliverers that live."""
        return [each for each in self.processes if each.lives(self.now)]


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which RabbitMQ may have lost messages of this scope. done: they were given back."""

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
        """Give the lease up, so that another need not wait for it to run out. No-op for any other holder."""

    async def lease(self) -> Lease | None:
        """The lease as it was last taken; None when it never was."""

    async def mark(self, epoch: int, *, above: int = 0) -> Instance:
        """Increment the ledger's mark to a number greater than `above`, for the registry to note."""

    async def mark_unsure(self, epoch: int, *, until: int) -> int:
        """Make UNSURE what is PENDING, RETURNING or RETRYING without an outcome after `until`.

        until: milliseconds since 1970; also kept as `Instance.unsure_until`. Returns how many.
        """

    async def unrouted(
        self, *, settled: float, live: float, limit: int, after: UUID | None = None
    ) -> Sequence[Unsent]:
        """Unrouted notificaties that were marked over `settled` seconds ago, the oldest first.

        With those of their deliveries that have no attempt, no probe and no give-back, and that no deliverer
        has in hand by a heartbeat of the last `live` seconds. Without those in the lane for bulk.
        """

    async def in_lane(self) -> Mapping[UUID, InLane]:
        """The abonnementen for which anything waits in the lane, and what that is."""

    async def of_lane(self, abonnement: UUID, *, begin: UUID, limit: int) -> Sequence[Delivery]:
        """Its deliveries that wait in the lane, the oldest first, from this notificatie on."""

    async def under_way(self, abonnement: UUID, notificaties: Sequence[UUID]) -> set[UUID]:
        """Of which of these its delivery is in its queue, on its way there, or in a deliverer's hands.

        Only what was given counts: not what waits in the lane, or for its turn (order per hoofdObject).
        """

    async def leave_lane(self, epoch: int) -> int:
        """Clear the mark of all in the lane of which no delivery waits any more; returns how many."""

    async def unrouted_count(self) -> int:
        """How many notificaties are unrouted."""

    async def stuck_count(self) -> int:
        """How many deliveries are STUCK; cheap enough for every pass."""

    async def hands(self, *, live: float) -> Hands:
        """What deliverers have in hand that wrote a heartbeat in the last `live` seconds."""

    async def with_open(self) -> Sequence[UUID]:
        """The abonnementen that have anything open."""

    async def first_attempts(self, *, ended: float) -> Mapping[UUID, int]:
        """By abonnement, the greatest `since` of deliveries whose first attempt was over `ended` seconds ago.

        Attempts are grouped by minute, so one may count up to a minute late. Removes what is not needed.
        """

    async def suspects(
        self, abonnement: UUID, *, before: int, limit: int, after: Key | None = None
    ) -> Sequence[Delivery]:
        """Its deliveries that are PENDING or RETRYING with a `since` before this moment, the oldest first.

        Without unrouted ones. before: milliseconds since 1970.
        """

    async def waiting(
        self, abonnement: UUID, *, limit: int, before: int | None = None, after: Key | None = None
    ) -> Sequence[Delivery]:
        """Its deliveries that wait in its queue, the oldest first: PENDING, or RETRYING and due.

        Without unrouted ones. before: only those that were accepted, or sent again as new, before this
        moment, in milliseconds since 1970.
        """

    async def gaps(self, *, done: bool) -> Sequence[Gap]:
        """The gaps that are not done, the oldest first; done: all of them."""

    async def in_gap(
        self, gap: Gap, abonnement: UUID, *, limit: int, after: Key | None = None
    ) -> Sequence[Delivery]:
        """Its deliveries that a closed gap covers, the oldest first.

        Those that are PENDING or RETRYING and went into their queue before the gap was closed: what was given
        back since is not covered again, however many gaps there are. In a gap of a kanaal: those accepted
        from a minute before the gap to its end, of which nothing more is known. Without unrouted ones.
        """

    async def end_gap(self, epoch: int, nr: int) -> None:
        """Mark it done: all that it covers was given back."""

    async def add_rows(self, epoch: int, abonnement: UUID, notificaties: Sequence[UUID]) -> int:
        """Add a PENDING delivery to this abonnement of each of these that has none; returns how many.

        `since` is when it was received. UNSURE where that is before `Instance.unsure_until`.
        """

    async def deliverers(self) -> Sequence[str]:
        """The names of the deliverers that live, by a heartbeat of the last `LIVE` seconds.

        Without those that are CUT_OFF, and those whose last was written before the clock was put back.
        """

    async def facts(self) -> Facts:
        """Totals, for people."""

    async def count_held(self, epoch: int, abonnementen: Collection[UUID]) -> int:
        """Keep as `Minute.held` of this minute how much is open of these; returns that."""

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
        """Make those that are unchanged RETURNING in their next round; returns these as they are now.

        `since` is now, or `ahead` seconds later, to delay `give_back_again`. cause, and when it was (caused;
        None: now): kept among the attempts. judged: it counts in `given`. Counted per minute.
        """

    async def give_back_again(
        self, epoch: int, *, after: float, limit: int, but: frozenset[UUID] = frozenset()
    ) -> Sequence[Delivery]:
        """Give those that are RETURNING for over `after` seconds a new `since`, in the same round.

        but: abonnementen whose deliveries are left as they are.
        """

    async def given_back(self, epoch: int, rows: Sequence[Delivery]) -> None:
        """RabbitMQ has these: make those that are still RETURNING in that round PENDING, since now."""

    async def end(self, epoch: int, rows: Sequence[Delivery]) -> Sequence[Key]:
        """Make those of these that are unchanged STUCK. Returns which."""

    async def routed(self, epoch: int, notificaties: Sequence[UUID]) -> int:
        """Clear the unrouted mark of these, except where a delivery still waits for its give-back.

        Returns how many.
        """
