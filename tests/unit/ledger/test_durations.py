"""Durations in buckets, and percentiles of them (ledger/durations.py)."""

from __future__ import annotations

import random

import pytest

from ledger.durations import BOUNDS, added, bucket_of, percentile


def test_a_bucket_has_what_is_up_to_its_bound() -> None:
    assert [bucket_of(ms) for ms in (-5, 0, 1)] == [0, 0, 0]
    assert bucket_of(2) == 4
    assert bucket_of(2.001) == 5
    assert bucket_of(BOUNDS[-1] * 9) == len(BOUNDS) - 1
    assert all(BOUNDS[bucket_of(ms) - 1] < ms <= BOUNDS[bucket_of(ms)] for ms in range(2, 5000))


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile({}, 0.5) is None


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95, 0.99, 1.0])
def test_a_percentile_is_within_a_fifth_of_that_of_all_durations(share: float) -> None:
    dice = random.Random(3)
    durations = sorted(dice.lognormvariate(4, 2) + 1 for _ in range(5000))
    counts: dict[int, int] = {}
    for each in durations:
        counts[bucket_of(each)] = counts.get(bucket_of(each), 0) + 1
    exact = durations[min(round(share * len(durations)), len(durations) - 1)]
    found = percentile(counts, share)
    assert found is not None
    assert exact / 1.19 <= found <= exact * 1.19


def test_counts_of_several_minutes_are_added_up() -> None:
    assert added([{3: 1, 4: 2}, {4: 5}, {}]) == {3: 1, 4: 7}
