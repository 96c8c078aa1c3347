"""Numbers per minute as charts: an SVG, the words that say the same, and rows for a table. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10

from ledger.durations import added, percentile
from ledger.explaining.dutch import duration, number
from ledger.values import Minute, State

MINUTES = 60
MINUTE = 60_000  # milliseconds
IN_A_ROW = 5  # minutes in a row of a table of counts
WIDTH, HEIGHT = 600, 100
"""Of the SVG's own units; it is drawn as wide as there is room."""
_BAR = WIDTH / MINUTES
SHARES = (("p50", 0.50, "de helft"), ("p95", 0.95, "95%"), ("p99", 0.99, "99%"))
"""Percentiles: (name, share, in words)."""


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

    bad: it is better when there is none. bars, lines: what is drawn; lines: the path of each, by its name.
    top, bottom: what the height stands for. told: a sentence with what the chart shows. columns: of the
    table, after the moment. rows: (when it began in Unix seconds, a text for each column), the newest first;
    each: what a row is of.
    """

    key: str
    title: str
    told: str
    top: str
    columns: Sequence[str]
    rows: Sequence[tuple[float, Sequence[str]]]
    each: str
    bad: bool = False
    bottom: str = ""
    bars: Sequence[Bar] = ()
    lines: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """What is counted. state: it is of a moment, not of all that happened in a minute: it has no sum."""

    key: str
    title: str
    count: Callable[[Minute], int]
    bad: bool = False
    state: bool = False


def _came_to(state: State) -> Callable[[Minute], int]:
    return lambda minute: minute.came_to.get(state, 0)


ACCEPTED = Measure("aangenomen", "Aangenomen notificaties", lambda minute: minute.accepted)
DELIVERED = Measure("afgeleverd", "Afgeleverd", _came_to(State.DELIVERED))
BAD = (
    Measure("mislukt", "Mislukte pogingen, met nog een poging", _came_to(State.RETRYING), bad=True),
    Measure(
        "vastgehouden",
        "Vastgehouden notificaties",
        lambda minute: minute.held or 0,
        bad=True,
        state=True,
    ),
    Measure("onbestelbaar", "Onbestelbaar geworden", _came_to(State.UNDELIVERABLE), bad=True),
    Measure("teruggegeven", "Teruggegeven: RabbitMQ was het kwijt", _came_to(State.RETURNING), bad=True),
    Measure("opnieuw", "Op verzoek opnieuw verzonden", lambda minute: minute.asked_for),
)


def charts(minutes: Sequence[Minute], *, now: int) -> list[Chart]:
    """A chart of each measure, and of how long it takes. minutes: those of which anything is known.

    now: milliseconds.
    """
    first = now - now % MINUTE - (MINUTES - 1) * MINUTE
    by_moment = {each.at: each for each in minutes}
    hour = [by_moment.get(at, Minute(at)) for at in range(first, first + MINUTES * MINUTE, MINUTE)]
    return [
        _of_counts(ACCEPTED, hour),
        _of_counts(DELIVERED, hour),
        _of_durations(hour),
        *(_of_counts(measure, hour) for measure in BAD),
    ]


def _of_counts(measure: Measure, hour: Sequence[Minute]) -> Chart:
    counts = [measure.count(each) for each in hour]
    most = max(counts)
    top = round_up(most)
    bars = [_bar(at, count / top * HEIGHT) for at, count in enumerate(counts) if count]
    of_row = max if measure.state else sum
    rows = [
        (hour[at].at / 1000, (number(of_row(counts[at : at + IN_A_ROW])),))
        for at in range(0, MINUTES, IN_A_ROW)
    ]
    return Chart(
        measure.key,
        measure.title,
        _told_state(hour, most) if measure.state else _told_sum(sum(counts), most),
        number(top),
        ("Hoogstens" if measure.state else "Aantal",),
        rows[::-1],
        "per vijf minuten",
        bad=measure.bad,
        bars=bars,
    )


def _bar(minute: int, height: float) -> Bar:
    # What there is can be seen, however much there was in another minute.
    height = max(height, 2.0)
    return Bar(round(minute * _BAR + 1, 2), round(HEIGHT - height, 2), round(_BAR - 2, 2), round(height, 2))


def _told_sum(total: int, most: int) -> str:
    if not total:
        return "Het laatste uur geen."
    return f"Het laatste uur {number(total)}, in een minuut hoogstens {number(most)}."


def _told_state(hour: Sequence[Minute], most: int) -> str:
    known = [each.held for each in hour if each.held is not None]
    if not known:
        return "Het laatste uur niet bekend: er werkte geen bewaarder."
    return f"Bij de laatste telling {number(known[-1])}, het laatste uur hoogstens {number(most)}."


def _of_durations(hour: Sequence[Minute]) -> Chart:
    """How long it took from accepted to delivered, on a scale by powers of ten that begins at 1 ms."""
    of_minutes = [
        (at, tuple(percentile(minute.took, share) or 0.0 for _, share, _ in SHARES))
        for at, minute in enumerate(hour)
        if minute.took
    ]
    top = round_up(max((longest for _, (*_, longest) in of_minutes), default=1000.0))

    def height(ms: float) -> float:
        return min(log10(max(ms, 1.0)) / log10(max(top, 10)), 1.0) * HEIGHT

    return Chart(
        "duur",
        "Van aangenomen tot afgeleverd",
        _told_durations(hour),
        duration(top),
        [name for name, *_ in SHARES],
        [(hour[at].at / 1000, tuple(map(duration, found))) for at, found in reversed(of_minutes)],
        "per minuut waarin iets afgeleverd is",
        bottom="1 ms",
        bars=[_bar(at, height(found[0])) for at, found in of_minutes],
        lines=[
            (name, "".join(_stroke(at, height(found[which])) for at, found in of_minutes))
            for which, (name, *_) in enumerate(SHARES)
            if which
        ],
    )


def _stroke(minute: int, height: float) -> str:
    """A line over the width of a minute."""
    return f"M{minute * _BAR:g} {HEIGHT - height:.2f}h{_BAR:g}"


def _told_durations(hour: Sequence[Minute]) -> str:
    took = added(each.took for each in hour)
    found = [(name, words, percentile(took, share)) for name, share, words in SHARES]
    told = [f"{words} binnen {duration(ms)} ({name})" for name, words, ms in found if ms is not None]
    return f"Het laatste uur {', '.join(told)}." if told else "Het laatste uur niets."


def round_up(value: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50, …: a height that can be read."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if value <= step * size:
                return step * size
        size *= 10
