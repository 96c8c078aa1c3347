"""Counts per minute as bars, words and rows: all three say the same."""

from __future__ import annotations

import pytest

from console.showing.charts import HEIGHT, IN_A_ROW, MINUTE, MINUTES, WIDTH, Chart, charts, round_up
from ledger.durations import bucket_of
from ledger.values import Minute, State

NOW = 1_700_000_000_000  # in the middle of a minute
THIS = NOW - NOW % MINUTE


def chart_of(key: str, minutes: list[Minute]) -> Chart:
    return next(each for each in charts(minutes, now=NOW) if each.key == key)


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
        held=6,
        took={bucket_of(7): 1},
        asked_for=8,
    )
    made = charts([minute], now=NOW)
    newest = [(each.key, each.bad, each.rows[0][1]) for each in made]
    assert newest == [
        ("aangenomen", False, ("1",)),
        ("afgeleverd", False, ("2",)),
        ("duur", False, ("7 ms", "8 ms", "8 ms")),
        ("mislukt", True, ("3",)),
        ("vastgehouden", True, ("6",)),
        ("onbestelbaar", True, ("4",)),
        ("teruggegeven", True, ("5",)),
        ("opnieuw", False, ("8",)),
    ]
    assert all(len(each.columns) == len(row) for each in made for _, row in each.rows)


def test_bars_stand_where_their_minute_is_and_are_as_high_as_their_count() -> None:
    minutes = [
        Minute(THIS, accepted=10),
        Minute(THIS - MINUTE, accepted=5),
        Minute(THIS - 59 * MINUTE, accepted=1),
    ]
    (chart, *_) = charts(minutes, now=NOW)
    assert chart.top == "10"
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
    assert sum(int(text) for _, (text,) in chart.rows) == sum(range(1, 61))
    assert chart.rows[0] == ((THIS - 4 * MINUTE) / 1000, (str(1 + 2 + 3 + 4 + 5),))
    assert [at for at, _ in chart.rows] == sorted((at for at, _ in chart.rows), reverse=True)


def test_what_is_over_an_hour_ago_is_left_out_and_nothing_is_no_fault() -> None:
    long_ago = Minute(THIS - 60 * MINUTE, accepted=7, held=7, took={bucket_of(7): 7})
    made = charts([long_ago], now=NOW)
    assert not any(each.bars for each in made)
    assert {each.key: each.told for each in made} == {
        **dict.fromkeys(("aangenomen", "afgeleverd", "opnieuw"), "Het laatste uur geen."),
        **dict.fromkeys(("mislukt", "onbestelbaar", "teruggegeven"), "Het laatste uur geen."),
        "vastgehouden": "Het laatste uur niet bekend: er werkte geen bewaarder.",
        "duur": "Het laatste uur niets.",
    }


def test_what_is_held_is_told_as_it_was_counted_and_never_added_up() -> None:
    held = chart_of(
        "vastgehouden",
        [Minute(THIS - 2 * MINUTE, held=5000), Minute(THIS - MINUTE, held=3000), Minute(THIS, accepted=1)],
    )
    assert held.told == "Bij de laatste telling 3.000, het laatste uur hoogstens 5.000."
    assert held.rows[0][1] == ("5.000",)
    none = chart_of("vastgehouden", [Minute(THIS, held=0)])
    assert none.told == "Bij de laatste telling 0, het laatste uur hoogstens 0."


def test_how_long_it_took_is_told_of_the_hour_and_of_each_minute() -> None:
    fast, slow = {bucket_of(8): 98}, {bucket_of(30_000): 2}
    chart = chart_of("duur", [Minute(THIS - MINUTE, took=fast), Minute(THIS, took=slow)])
    assert chart.told == (
        "Het laatste uur de helft binnen 7 ms (p50), 95% binnen 8 ms (p95), 99% binnen 30 s (p99)."
    )
    (now, texts), (before, others) = chart.rows
    assert (now - before, texts[0], others[0]) == (60, "30 s", "7 ms")
    assert (chart.top, chart.bottom) == ("50 s", "1 ms")
    quick, long = chart.bars
    assert quick.height == pytest.approx(HEIGHT * 0.17, abs=2), "by powers of ten"
    assert long.height == pytest.approx(HEIGHT * 0.95, abs=2)
    assert [name for name, _ in chart.lines] == ["p95", "p99"]
    assert all(path.count("M") == 2 for _, path in chart.lines)


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (50, 50), (51, 100), (12345, 20000)]
)
def test_the_height_is_a_number_that_can_be_read(value: int, top: int) -> None:
    assert round_up(value) == top
