"""When a delivery without an outcome is taken for lost (ledger/keeper/losses/judging.py)."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from ledger.keeper.losses.judging import PATIENCE, Look, Verdict, is_used_up, judge
from ledger.keeper_ledger import Hands
from ledger.values import EVERYTHING, Delivery, Key, State

S = 1_000_000  # when it went into its queue, in seconds
ROW = Delivery(Key(uuid4(), uuid4()), State.PENDING, round=0, attempts=0, since=S * 1000, last_at=0)


def hands(now: float, *keys: Key, heard: float | None = None) -> Hands:
    return Hands(round(now * 1000), round((now if heard is None else heard) * 1000), frozenset(keys))


def looks(*at: float) -> list[Look]:
    return [Look(round(each * 1000), round(each * 1000) + 100) for each in at]


@pytest.mark.parametrize(
    ("first", "now", "verdict"),
    [
        (None, 9999, Verdict.NOTHING),
        (60, 9999, Verdict.NOTHING),
        (60.001, 9999, Verdict.OVERTAKEN),
        (-100, 9999, Verdict.NOTHING),
        (61, 119.9, Verdict.NOTHING),
        (61, 120, Verdict.OVERTAKEN),
    ],
)
def test_overtaken(first: float | None, now: float, verdict: Verdict) -> None:
    greatest = None if first is None else round((S + first) * 1000)
    assert judge(ROW, first=greatest, looks=[], hands=hands(S + now)) is verdict


@pytest.mark.parametrize(
    ("at", "heard", "verdict"),
    [
        ([], None, Verdict.NOTHING),
        ([100], None, Verdict.NOTHING),
        ([100, 159.9], None, Verdict.NOTHING),
        ([100, 160], None, Verdict.EMPTY),
        ([100, 130, 160], None, Verdict.EMPTY),
        # One of them before it went in.
        ([0, 60], None, Verdict.NOTHING),
        ([-60, 0.001, 60], None, Verdict.NOTHING),
        # Not all have written since the second look.
        ([100, 160], 160.1, Verdict.NOTHING),
        ([100, 160], 160.2, Verdict.EMPTY),
    ],
)
def test_empty(at: list[float], heard: float | None, verdict: Verdict) -> None:
    until = None if heard is None else S + heard
    seen = looks(*(S + each for each in at))
    assert judge(ROW, first=None, looks=seen, hands=hands(S + 200, heard=until)) is verdict


@pytest.mark.parametrize("key", [ROW.key, Key(EVERYTHING, ROW.key.abonnement)])
def test_not_what_a_deliverer_has_in_hand(key: Key) -> None:
    seen = looks(S + 100, S + 160)
    assert judge(ROW, first=(S + 100) * 1000, looks=seen, hands=hands(S + 9999, key)) is Verdict.NOTHING


@pytest.mark.parametrize(("given", "seconds"), [(0, 120), (1, 480), (2, 1920), (3, 1920)])
def test_each_time_it_takes_longer(given: int, seconds: int) -> None:
    row = replace(ROW, given=given)
    for now, verdict in ((seconds - 0.1, Verdict.NOTHING), (seconds, Verdict.OVERTAKEN)):
        assert judge(row, first=(S + 100) * 1000, looks=[], hands=hands(S + now)) is verdict
    assert is_used_up(row) == (given == 3)
    assert len(PATIENCE.pauses) == 3
