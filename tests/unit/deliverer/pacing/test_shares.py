"""Which part of a rate and a concurrency each deliverer has."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from deliverer.pacing.shares import NOTHING, is_paced, share_of
from schemas.delivery_options import DeliveryOptions

ONE = UUID(int=1)
NAMES = [f"deliverer {number}" for number in range(5)]


@pytest.mark.parametrize("living", range(1, 6))
@pytest.mark.parametrize(
    ("asked", "consume"),
    [
        ({"concurrency": 1}, 1),
        ({"concurrency": 3}, 3),
        ({"concurrency": 1000}, 5),
        ({"rate": 0.01}, 1),
        ({"rate": 2.5}, 2),
        ({"rate": 100}, 5),
        ({"rate": 100, "concurrency": 2}, 2),
        ({"cloudevents": {"allowedRate": 150}}, 2),  # a minute, as its callback allows
        ({"rate": 100, "cloudevents": {"allowedRate": 60}}, 1),
    ],
)
def test_together_they_have_what_was_asked(asked: dict[str, float], consume: int, living: int) -> None:
    options, names = DeliveryOptions.model_validate(asked), NAMES[:living]
    every = [share_of(options, ONE, own=name, living=names) for name in names]
    shares = [each for each in every if each != NOTHING]
    assert len(shares) == min(consume, living)
    if (most := options.most_a_second) is not None:
        assert sum(each.rate or 0 for each in shares) == pytest.approx(most)
    if options.concurrency is not None:
        assert sum(each.room or 0 for each in shares) == options.concurrency
    assert all(each.prefetch > 0 for each in shares)


def test_each_abonnement_is_with_another_one() -> None:
    options = DeliveryOptions(concurrency=1)
    of = {
        name
        for abonnement in (uuid4() for _ in range(200))
        for name in NAMES
        if share_of(options, abonnement, own=name, living=NAMES) != NOTHING
    }
    assert of == {*NAMES}


def test_one_that_the_ledger_does_not_know_yet_counts_itself() -> None:
    options = DeliveryOptions(concurrency=4)
    assert share_of(options, ONE, own="new", living=()).room == 4
    assert share_of(options, ONE, own="new", living=["other"]).room == 2


def test_what_is_in_hand_is_sent_within_seconds() -> None:
    assert share_of(DeliveryOptions(rate=5), ONE, own="a", living=()).prefetch == 50
    assert share_of(DeliveryOptions(rate=0.01), ONE, own="a", living=()).prefetch == 1
    assert share_of(DeliveryOptions(rate=5, concurrency=2), ONE, own="a", living=()).prefetch == 4


def test_who_is_paced() -> None:
    assert not is_paced(None)
    assert not is_paced(DeliveryOptions())
    assert is_paced(DeliveryOptions(rate=1))
    assert is_paced(DeliveryOptions(concurrency=1))
