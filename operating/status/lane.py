"""What waits in the lane for bulk, in short: how many, since when, and for whom most. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.ids import received_of

if TYPE_CHECKING:
    from ledger.keeper_ledger import Facts, InLane


@dataclass(frozen=True, slots=True)
class Bulk:
    """count: notificaties. since: when the oldest was accepted, in milliseconds since 1970.

    most: the abonnement for which most wait, and how many of them that are (of_most).
    """

    count: int
    since: int
    most: UUID
    of_most: int


def bulk_of(facts: Facts, lane: Mapping[UUID, InLane]) -> Bulk | None:
    """What waits; None when nothing does. lane: as of `KeeperLedger.in_lane`."""
    if not facts.lane or not lane:
        return None
    most = max(lane, key=lambda uuid: (lane[uuid].count, str(uuid)))
    since = min(received_of(each.oldest) or facts.now for each in lane.values())
    return Bulk(facts.lane, since, most, lane[most].count)
