"""Counts per minute as charts: bars of an SVG, the words that say the same, and rows for a table. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger.explaining.dutch import number
from ledger.values import Minute, State

MINUTES = 60
MINUTE = 60_000  # milliseconds
IN_A_ROW = 5  # minutes in a row of the table
WIDTH, HEIGHT = 600, 100
"""Of the SVG's own units; it is drawn as wide as there is room."""
_BAR = WIDTH / MINUTES


@dataclass(frozen=True, slots=True)
class Bar:
    """One minute, in units of the SVG."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """One measure over the last hour.

    bad: it is better when there is none. top: what the height stands for. total, most: of the hour, and of
    one minute. told: a sentence with what the chart shows. rows: (when it began in Unix seconds, count), of
    IN_A_ROW minutes each, the newest first.
    """

    key: str
    title: str
    bad: bool
    bars: Sequence[Bar]
    top: int
    total: int
    most: int
    told: str
    rows: Sequence[tuple[float, int]]


def _accepted(minute: Minute) -> int:
    return minute.accepted


def _came_to(state: State) -> Callable[[Minute], int]:
    return lambda minute: minute.came_to.get(state, 0)


MEASURES: Sequence[tuple[str, str, bool, Callable[[Minute], int]]] = (
    ("aangenomen", "Aangenomen notificaties", False, _accepted),
    ("bezorgd", "Bezorgd", False, _came_to(State.DELIVERED)),
    ("mislukt", "Mislukte pogingen, met nog een poging", True, _came_to(State.RETRYING)),
    ("onbestelbaar", "Onbestelbaar geworden", True, _came_to(State.UNDELIVERABLE)),
    ("teruggegeven", "Teruggegeven aan RabbitMQ", True, _came_to(State.RETURNING)),
)
"""(key, title, whether none is better, how many in a minute)."""


def charts(minutes: Sequence[Minute], *, now: int) -> list[Chart]:
    """A chart of each measure. minutes: those in which there was anything. now: milliseconds."""
    first = now - now % MINUTE - (MINUTES - 1) * MINUTE
    by_moment = {each.at: each for each in minutes}
    hour = [by_moment.get(at, Minute(at)) for at in range(first, first + MINUTES * MINUTE, MINUTE)]
    return [
        _chart(key, title, [count(each) for each in hour], bad=bad, first=first)
        for key, title, bad, count in MEASURES
    ]


def _chart(key: str, title: str, counts: Sequence[int], *, bad: bool, first: int) -> Chart:
    most, total = max(counts), sum(counts)
    top = round_up(most)
    bars = [
        Bar(round(at * _BAR + 1, 2), round(HEIGHT - height, 2), round(_BAR - 2, 2), round(height, 2))
        for at, count in enumerate(counts)
        # What there is can be seen, however much there was in another minute.
        if (height := max(count / top * HEIGHT, 2.0) if count else 0.0)
    ]
    rows = [
        ((first + at * MINUTE) / 1000, sum(counts[at : at + IN_A_ROW])) for at in range(0, MINUTES, IN_A_ROW)
    ]
    return Chart(key, title, bad, bars, top, total, most, _told(total, most), rows[::-1])


def _told(total: int, most: int) -> str:
    if not total:
        return "Het laatste uur geen."
    return f"Het laatste uur {number(total)}, in een minuut hoogstens {number(most)}."


def round_up(value: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50, …: a height that can be read."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if value <= step * size:
                return step * size
        size *= 10
