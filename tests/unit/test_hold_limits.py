"""When a queue is looked through, and what of it has to go."""

from __future__ import annotations

from array import array
from datetime import UTC, datetime

import pytest
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from router.history import resent_headers
from router.hold_limits import Known, Limits, Survey, excess, how_far, is_due, since_when, size_of

DAY = 24 * 3600.0
LIMITS = Limits(retention=14 * DAY, budget=1024**3, max_body=1024**2)
UNLIMITED = Limits(retention=14 * DAY, budget=0, max_body=1024**2)


def a_survey(*messages: tuple[int, float]) -> Survey:
    """Of messages with so many bytes, held since then."""
    return Survey(array("Q", [size for size, _ in messages]), array("d", [since for _, since in messages]))


@pytest.mark.parametrize(
    ("known", "messages", "after", "due"),
    [
        (None, 0, 0, False),
        (None, 1, 0, True),
        # Its age, once in a fiftieth of the retention.
        (Known(5, 1000.0, 0, 0.01), 5, 6 * 3600, False),
        (Known(5, 1000.0, 0, 0.01), 5, 7 * 3600, True),
        (Known(5, 1000.0, 0, 0.01), 0, 7 * 3600, False),
        # Its bytes: not when so few can't be over the budget, however much they grew.
        (Known(5, 1000.0, 0, 0.01), 900, 60, False),
        (Known(5, 1000.0, 0, 0.01), 1000, 60, True),
        (Known(10_000, 1000.0, 0, 0.01), 10_500, 60, False),
        (Known(10_000, 1000.0, 0, 0.01), 11_000, 60, True),
        # They grew by less, but at the size that they had they are over it.
        (Known(10_000, 105_000.0, 0, 0.01), 10_200, 60, False),
        (Known(10_000, 105_000.0, 0, 0.01), 10_300, 60, True),
        # A walk of ten seconds is not followed by another for 200.
        (Known(100_000, 1000.0, 0, 10.0), 200_000, 199, False),
        (Known(100_000, 1000.0, 0, 10.0), 200_000, 201, True),
    ],
)
def test_when_a_queue_is_looked_through(known: Known | None, messages: int, after: float, due: bool) -> None:
    assert is_due(known, messages, now=after, limits=LIMITS) is due


def test_without_a_budget_only_age_counts() -> None:
    assert not is_due(Known(5, 1e6, 0, 0.01), 10**6, now=60, limits=UNLIMITED)
    assert is_due(Known(5, 1e6, 0, 0.01), 10**6, now=7 * 3600, limits=UNLIMITED)
    assert excess(a_survey((10**12, 0)), behind=0, limits=UNLIMITED) == 0


def test_a_queue_that_was_emptied_between_is_measured_when_it_grows_again() -> None:
    known = Known(10_000, 1000.0, 0, 0.01).seen(3000).seen(9000)
    assert known.messages == 3000
    assert is_due(known, 9000, now=60, limits=LIMITS)


def test_the_oldest_go_until_nine_tenths_of_the_budget_are_left() -> None:
    limits = Limits(retention=DAY, budget=1000, max_body=1024)
    survey = a_survey((400, 50), (10, 50), (300, 50), (300, 50))
    assert excess(survey, behind=0, limits=limits) == pytest.approx(110)
    assert how_far(survey, before=0, over=110) == 1
    assert how_far(survey, before=0, over=400) == 1
    assert how_far(survey, before=0, over=401) == 2
    assert excess(a_survey((400, 50), (600, 50)), behind=0, limits=limits) == 0


def test_those_behind_the_last_message_seen_are_taken_to_be_alike() -> None:
    limits = Limits(retention=DAY, budget=1000, max_body=1024)
    assert excess(a_survey((100, 50), (100, 50)), behind=7, limits=limits) == 0
    assert excess(a_survey((100, 50), (100, 50)), behind=9, limits=limits) == pytest.approx(200)
    assert excess(a_survey(), behind=5, limits=limits) == 0


def test_what_is_too_old_goes_wherever_it_stands() -> None:
    survey = a_survey((1, 100), (1, 10), (1, 100), (1, float("inf")))
    assert how_far(survey, before=10, over=0) == 0
    assert how_far(survey, before=200, over=0) == 3
    assert how_far(survey, before=50, over=0) == 4, "the first stays, so all are taken"


@pytest.mark.parametrize(
    ("retention", "interval"), [(14 * DAY, 60.0), (600, 60.0), (300, 30.0), (10, 1.0), (1, 1.0)]
)
def test_a_short_retention_is_looked_after_more_often(retention: float, interval: float) -> None:
    assert Limits(retention, 0, 1024).interval == interval


def a_message(body: bytes, *, timestamp: datetime | None = None, **headers: object) -> DeliveredMessage:
    header = ContentHeader(properties=Basic.Properties(headers=headers, timestamp=timestamp))  # type: ignore[arg-type]
    return DeliveredMessage(Basic.Deliver("c", 1), header, body, channel=None)  # type: ignore[arg-type]


def test_the_size_of_a_message_is_its_body_and_our_headers() -> None:
    found = {"k.a": "123", "nrc-attempts": 2, "x-delivery-count": 7, "x-death": [{}]}
    assert size_of(a_message(b"12345", **found)) == 5 + len("k.a123") + len("nrc-attempts2")
    assert size_of(a_message(b"")) == 0


def test_held_since_it_was_accepted_or_sent_again() -> None:
    accepted = datetime(2026, 1, 1, 12, tzinfo=UTC)
    again = datetime(2026, 2, 1, 12, tzinfo=UTC)
    resent = resent_headers({}, at=again)
    assert since_when(a_message(b"", timestamp=accepted)) == accepted.timestamp()
    assert since_when(a_message(b"", timestamp=accepted.replace(tzinfo=None))) == accepted.timestamp()
    assert since_when(a_message(b"", timestamp=accepted, **resent)) == again.timestamp()
    assert since_when(a_message(b"", **resent)) == again.timestamp()
    assert since_when(a_message(b"")) == float("inf")
    assert since_when(a_message(b"", timestamp=accepted, **{"nrc-resent-at": "soon"})) == accepted.timestamp()
