"""What was counted in each minute, from the rows of `minute` and `took`. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from ledger.tables.merging import MINUTE
from ledger.tables.rows import STATES, Counter
from ledger.values import Minute


def minutes_of(counted: Iterable[tuple[int, int, int]], took: Iterable[tuple[int, int, int]]) -> list[Minute]:
    """The minutes, in the order of `counted`.

    counted: minute, what and n, those of a minute together. took: minute, bucket and n, in any order.
    """
    buckets: dict[int, dict[int, int]] = {}
    for minute, bucket, n in took:
        buckets.setdefault(minute, {})[bucket] = n
    found = []
    for minute, rows in groupby(counted, key=lambda row: row[0]):
        by_what = {what: n for _, what, n in rows}
        came_to = {
            state: by_what[Counter.STATE + number]
            for state, number in STATES.items()
            if Counter.STATE + number in by_what
        }
        found.append(
            Minute(
                minute * MINUTE,
                by_what.get(Counter.ACCEPTED, 0),
                came_to,
                by_what.get(Counter.HELD),
                buckets.get(minute, {}),
                by_what.get(Counter.ASKED_FOR, 0),
            )
        )
    return found
