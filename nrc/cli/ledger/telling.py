"""What the ledger as a whole has, in words and as JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nrc.cli.terminal import ids
from nrc.cli.terminal.output import age, moment
from operating.status.lane import bulk_of

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.keeper_ledger import Facts, Gap, InLane


def keeper_of(facts: Facts) -> str:
    """Which keeper works, or that none does."""
    lease = facts.lease
    if lease is None:
        return "none has worked yet"
    left = (lease.until - facts.now) / 1000
    if left > 0:
        return f"{lease.holder} works (epoch {lease.epoch})"
    return f"none works; the last was {lease.holder}, until {moment(min(lease.until, facts.now) / 1000)}"


def lane_of(facts: Facts, lane: Mapping[UUID, InLane]) -> str:
    """What waits in the lane for bulk; "" when nothing does."""
    if (bulk := bulk_of(facts, lane)) is None:
        return ""
    what = "1 notificatie waits" if bulk.count == 1 else f"{bulk.count} notificaties wait"
    most = f"most for {ids.short(bulk.most)}, {bulk.of_most}"
    return f"{what}; the oldest for {age((facts.now - bulk.since) / 1000)}; {most}"


def facts_of_ledger(
    facts: Facts, gaps: Sequence[Gap], file: str, lane: Mapping[UUID, InLane]
) -> dict[str, object]:
    """What it has, for scripts. gaps: those that are not done. file: where it is."""
    bulk = bulk_of(facts, lane)
    return {
        "keeper": facts.keeper,
        "open": facts.open[0],
        "openBytes": facts.open[1],
        "unrouted": facts.unrouted,
        "lane": facts.lane,
        "laneSince": None if bulk is None else moment(bulk.since / 1000),
        "laneOf": {str(uuid): each.count for uuid, each in lane.items()},
        "returning": facts.returning,
        "stuck": facts.stuck,
        "unsure": facts.unsure,
        "gaps": [facts_of_gap(gap) for gap in gaps],
        "file": file,
        "bytes": facts.size,
        "deliverers": [
            {
                "name": each.name,
                "heard": moment(each.at / 1000),
                "flushedUntil": moment(each.flushed_until / 1000),
                "inHand": each.hands,
                "lives": each.lives(facts.now),
            }
            for each in facts.processes
        ],
        "at": moment(time.time()),
    }


def facts_of_gap(gap: Gap) -> dict[str, object]:
    """One gap, for scripts."""
    return {
        "gap": gap.nr,
        "scope": gap.scope,
        "of": gap.of or None,
        "opened": moment(gap.opened / 1000),
        "closed": None if gap.closed is None else moment(gap.closed / 1000),
        "done": gap.done,
        "why": gap.why,
    }


def megabytes(size: int) -> str:
    """So many bytes in megabytes."""
    return f"{size / 1_000_000:.1f} MB"
