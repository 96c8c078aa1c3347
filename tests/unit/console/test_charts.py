"""Counts per minute as bars, words and rows: all three say the same."""

from __future__ import annotations

import pytest

from console.showing.charts import HEIGHT, IN_A_ROW, MEASURES, MINUTE, MINUTES, WIDTH, charts, round_up
from ledger.values import Minute, State

NOW = 1_700_000_000_000  # in the middle of a minute
THIS = NOW - NOW % MINUTE


def test_each_measure_has_its_own_chart() -> None:
    minute = Minute(
        THIS,
        accepted=1,
        came_to={
            State.DELIVERED: 2,
            State.RETRYING: 3,
            State.UNDELIVERABLE: 4,
            State.RETURNING: 5,
            State.PENDING: 99,
        },
    )
    made = charts([minute], now=NOW)
    assert [(each.key, each.total) for each in made] == [
        ("aangenomen", 1),
        ("bezorgd", 2),
        ("mislukt", 3),
        ("onbestelbaar", 4),
        ("teruggegeven", 5),
    ]
    assert len(made) == len(MEASURES)


def test_bars_stand_where_their_minute_is_and_are_as_high_as_their_count() -> None:
    minutes = [
        Minute(THIS, accepted=10),
        Minute(THIS - MINUTE, accepted=5),
        Minute(THIS - 59 * MINUTE, accepted=1),
    ]
    (chart, *_) = charts(minutes, now=NOW)
    assert (chart.top, chart.total, chart.most) == (10, 16, 10)
    first, before, last = chart.bars
    assert (last.y, last.height) == (0.0, HEIGHT)
    assert (before.y, before.height) == (HEIGHT / 2, HEIGHT / 2)
    assert first.x < before.x < last.x
    assert before.x - first.x == pytest.approx(58 * WIDTH / MINUTES)
    assert last.x + last.width <= WIDTH
    assert chart.told == "Het laatste uur 16, in een minuut hoogstens 10."


def test_a_little_beside_much_can_be_seen() -> None:
    minutes = [Minute(THIS, accepted=1_000_000), Minute(THIS - MINUTE, accepted=1)]
    (chart, *_) = charts(minutes, now=NOW)
    assert chart.bars[0].height >= 2
    assert chart.told == "Het laatste uur 1.000.001, in een minuut hoogstens 1.000.000."


def test_rows_have_all_minutes_of_the_hour_the_newest_first() -> None:
    minutes = [Minute(THIS - at * MINUTE, accepted=1 + at) for at in range(MINUTES)]
    (chart, *_) = charts(minutes, now=NOW)
    assert len(chart.rows) == MINUTES / IN_A_ROW
    assert sum(count for _, count in chart.rows) == chart.total
    assert chart.rows[0] == ((THIS - 4 * MINUTE) / 1000, 1 + 2 + 3 + 4 + 5)
    assert [at for at, _ in chart.rows] == sorted((at for at, _ in chart.rows), reverse=True)


def test_what_is_over_an_hour_ago_is_left_out_and_nothing_is_no_fault() -> None:
    made = charts([Minute(THIS - 60 * MINUTE, accepted=7)], now=NOW)
    assert [(each.total, each.bars, each.told) for each in made] == [(0, [], "Het laatste uur geen.")] * 5


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (50, 50), (51, 100), (12345, 20000)]
)
def test_the_height_is_a_number_that_can_be_read(value: int, top: int) -> None:
    assert round_up(value) == top
