"""Judges what delivery options promise: order per hoofdObject, and that nothing ends but in a newer one.

Pure, and independent of the product's code: by what publisher and consumer recorded. Of the ledger it takes
only which notificatie one ended in; whether that may stand for it is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from gateway.accepting import SECOND_HOME_WITHIN
from tests.chaos.accounting.account import Accepted, Arrival, Pair

ALONE = SECOND_HOME_WITHIN
"""Seconds after which a 201 may come without the ledger, and no order is promised (decision 63)."""
EARLY = 0.05
"""Seconds by which a clock of one process may seem ahead of another's, of two that read the same one."""


def stood_for(
    newer: Mapping[Pair, str],
    *,
    numbers: Mapping[str, int],
    delivered: Collection[Pair],
    resource: Callable[[int], str],
) -> set[Pair]:
    """Those that ended in a newer notificatie about the same resource that was delivered.

    newer: the id of the one in which each ended. numbers: of each id. That one may have ended in another
    again; the last of them must have been delivered.
    """
    return {pair for pair in newer if _ends_well(pair, newer, numbers, delivered, resource)}


def _ends_well(
    pair: Pair,
    newer: Mapping[Pair, str],
    numbers: Mapping[str, int],
    delivered: Collection[Pair],
    resource: Callable[[int], str],
) -> bool:
    id_, abonnement = pair
    while (id_, abonnement) not in delivered:
        into = newer.get((id_, abonnement), "")
        # Ids are in the order of acceptance, so this ends.
        if into <= id_ or id_ not in numbers or into not in numbers:
            return False
        if resource(numbers[id_]) != resource(numbers[into]):
            return False
        id_ = into
    return id_ != pair[0]


def out_of_order(
    posts: Iterable[Accepted],
    arrivals: Iterable[Arrival],
    *,
    hoofd_object: Callable[[int], str],
    set_aside_after: float,
) -> list[str]:
    """What came to one abonnement before an earlier one about the same hoofdObject had been delivered.

    posts, arrivals: of this abonnement. Earlier is what was answered with 201 before the other was posted.
    One that had failed for `set_aside_after` seconds by then may be overtaken, and one whose 201 came late.
    """
    came: dict[str, float] = {}
    delivered: dict[str, float] = {}
    failed: dict[str, float] = {}
    for each in arrivals:
        came[each.id] = min(each.at, came.get(each.id, math.inf))
        of_its_kind = delivered if each.answered else failed
        of_its_kind[each.id] = min(each.at, of_its_kind.get(each.id, math.inf))
    lanes: dict[str, list[Accepted]] = {}
    for post in posts:
        lanes.setdefault(hoofd_object(post.number), []).append(post)
    found = []
    for name, lane in lanes.items():
        for later in lane:
            at = came.get(later.id, math.inf)
            for earlier in _not_yet(lane, later, at, delivered):
                if failed.get(earlier.id, math.inf) + set_aside_after - EARLY > at:
                    found.append(f"notificatie {later.number} before {earlier.number}, both about {name}")
    return found


def _not_yet(
    lane: Sequence[Accepted], later: Accepted, at: float, delivered: Mapping[str, float]
) -> Iterable[Accepted]:
    """Those before it in its lane that had not been delivered at this moment, at which it came."""
    for each in lane:
        is_earlier = each.accepted < later.posted and not is_late(each)
        if is_earlier and delivered.get(each.id, math.inf) >= at and at < math.inf:
            yield each


def is_late(post: Accepted) -> bool:
    """Whether RabbitMQ alone may have had it when it was answered."""
    return post.accepted - post.posted >= ALONE
