"""What the keeper asks of a store of the ledger, beside what everyone does (ledger/ledger.py).

One keeper of several works: the one that has the lease. Every method that changes something takes the epoch
of its lease, and changes nothing and raises LeaseLost when another keeper has had the lease since.
Moments are compared by the database's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from ledger.copies.instance import Instance
from ledger.values import Delivery, Key


@dataclass(frozen=True, slots=True)
class Lease:
    """Which keeper works. until: when it runs out, in milliseconds since 1970; it is renewed long before."""

    holder: str
    epoch: int
    until: int


@dataclass(frozen=True, slots=True)
class Unsent:
    """An unrouted notificatie, and its deliveries without an outcome."""

    notificatie: UUID
    deliveries: tuple[Delivery, ...]


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

    async def give_back(self, epoch: int, rows: Sequence[Delivery]) -> Sequence[Delivery]:
        """Make these RETURNING in their next round; returns those that were still as given, as they are now.

        `since` is the moment of this. Counted per minute.
        """

    async def give_back_again(
        self, epoch: int, *, after: float, limit: int, but: frozenset[UUID] = frozenset()
    ) -> Sequence[Delivery]:
        """Those that are RETURNING for over `after` seconds, with a new `since` and in the same round.

        but: abonnementen whose deliveries are left as they are.
        """

    async def given_back(self, epoch: int, rows: Sequence[Delivery]) -> None:
        """RabbitMQ has these: those that are still RETURNING in that round are PENDING, since now."""

    async def end(self, epoch: int, rows: Sequence[Delivery], *, stuck: bool) -> Sequence[Key]:
        """Those of these that are still as given are STUCK, or else UNDELIVERABLE. Returns which."""

    async def routed(self, epoch: int, notificaties: Sequence[UUID]) -> int:
        """These are unrouted no more, but for those of which a delivery still waits for its give-back.

        Returns how many.
        """
