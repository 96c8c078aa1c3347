"""How long deliveries took, counted in buckets, and the percentiles of such counts. Pure.

Each bound is the fourth root of two times the one before it, so a percentile is at most 19% off. Counts of
several minutes can be added up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

BOUNDS = tuple(2 ** (number / 4) for number in range(4 * 32 + 1))
"""Milliseconds: the upper bound of each bucket, itself included; from 1 ms to 50 days."""

Counts = Mapping[int, int]
"""How many deliveries are in each bucket, by its index in BOUNDS; those without any are left out."""


def bucket_of(ms: float) -> int:
    """The bucket of a duration; the last one is also of all that is longer."""
    return min(bisect_left(BOUNDS, ms), len(BOUNDS) - 1)


def added(counts: Iterable[Counts]) -> Counts:
    """All of these together."""
    total: Counter[int] = Counter()
    for each in counts:
        total.update(each)
    return total


def percentile(counts: Counts, share: float) -> float | None:
    """How many milliseconds this share of the deliveries took at most; None when there are none.

    share: above 0, up to 1. Within a bucket they are taken as spread evenly.
    """
    total = sum(counts.values())
    if not total:
        return None
    rank, before = share * total, 0
    for bucket in sorted(counts):
        count = counts[bucket]
        if before + count >= rank:
            low = BOUNDS[bucket - 1] if bucket else 0.0
            return low + (BOUNDS[bucket] - low) * (rank - before) / count
        before += count
    return BOUNDS[max(counts)]
