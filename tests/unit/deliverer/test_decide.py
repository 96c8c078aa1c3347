"""The decision on each answer, as a table; and the ladder of wait queues, as properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliverer.attempting.decide import (
    MAX_RETRY_AFTER,
    Decision,
    Delivered,
    PutOff,
    Retry,
    Suspend,
    Undeliverable,
    asked_wait,
    classify,
    decide,
    next_rung,
    until,
    ways_to_wait,
)
from deliverer.http.client import Failure, FailureClass, Response
from router.history import History
from router.topology import RUNGS

NOW = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
SCHEDULE = (5, 25, 100)


def after_attempts(count: int) -> History:
    history = History()
    for _ in range(count):
        history = history.after(Failure(FailureClass.TIMEOUT, "no status"), at=NOW)
    return history


def decided(
    answer: Response | Failure, *, attempts: int = 0, schedule: tuple[int, ...] = SCHEDULE
) -> Decision:
    return decide(answer, history=after_attempts(attempts), schedule=schedule, now=NOW)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
def test_any_2xx_is_delivered(status: int) -> None:
    assert classify(Response(status)) is None
    assert decided(Response(status)) == Delivered()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (101, FailureClass.HTTP_STATUS),
        (300, FailureClass.REDIRECT),
        (301, FailureClass.REDIRECT),
        (302, FailureClass.REDIRECT),
        (304, FailureClass.REDIRECT),
        (308, FailureClass.REDIRECT),
        (400, FailureClass.HTTP_STATUS),
        (401, FailureClass.HTTP_STATUS),
        (403, FailureClass.HTTP_STATUS),
        (404, FailureClass.HTTP_STATUS),
        (429, FailureClass.HTTP_STATUS),
        (500, FailureClass.HTTP_STATUS),
        (503, FailureClass.HTTP_STATUS),
        (599, FailureClass.HTTP_STATUS),
        (999, FailureClass.HTTP_STATUS),
    ],
)
def test_all_else_fails_and_is_tried_again(status: int, kind: FailureClass) -> None:
    failure = classify(Response(status))
    assert failure is not None
    assert (failure.kind, failure.status) == (kind, status)
    assert str(status) in failure.detail
    assert isinstance(decided(Response(status)), Retry)


def test_what_an_nrc_refuses_since_it_goes_round_is_undeliverable_at_once() -> None:
    decision = decided(Response(508, loop=True))
    assert isinstance(decision, Undeliverable)
    assert [(each.kind, each.status) for each in decision.history.failures] == [("loop", 508)]
    assert isinstance(decided(Response(508)), Retry)


def test_what_we_lack_ourselves_costs_no_attempt() -> None:
    for attempts in (0, 3, 40):
        assert decided(Failure(FailureClass.SHORTAGE, "why"), attempts=attempts) == PutOff()


@pytest.mark.parametrize(
    "kind", [kind for kind in FailureClass if kind not in (FailureClass.SHORTAGE, FailureClass.LOOP)]
)
def test_a_failure_without_a_status_is_tried_again(kind: FailureClass) -> None:
    decision = decided(Failure(kind, "why"))
    assert isinstance(decision, Retry)
    assert decision.history.failures[-1].kind == kind
    assert decision.history.failures[-1].detail == "why"


def test_the_schedule_is_followed_to_its_end() -> None:
    steps = []
    for attempts in range(3):
        decision = decided(Response(500), attempts=attempts)
        assert isinstance(decision, Retry)
        assert decision.history.attempts == attempts + 1
        assert decision.history.due is None
        steps.append(decision.step)
    assert tuple(steps) == SCHEDULE
    last = decided(Response(500), attempts=3)
    assert isinstance(last, Undeliverable)
    assert last.history.attempts == 4
    assert [failed.status for failed in last.history.failures] == [None, None, None, 500]


def test_without_a_schedule_there_is_one_attempt() -> None:
    assert isinstance(decided(Response(500), schedule=()), Undeliverable)


def test_a_message_from_a_longer_schedule_ends() -> None:
    assert isinstance(decided(Response(500), attempts=40), Undeliverable)


def test_410_suspends_and_has_a_way_out_when_that_fails() -> None:
    decision = decided(Response(410))
    assert isinstance(decision, Suspend)
    assert "410" in decision.reason
    assert decision.otherwise == decided_as_500(0)
    last = decided(Response(410), attempts=3)
    assert isinstance(last, Suspend)
    assert isinstance(last.otherwise, Undeliverable)


def decided_as_500(attempts: int) -> Retry:
    history = after_attempts(attempts).after(Failure(FailureClass.HTTP_STATUS, "answered 410", 410), at=NOW)
    return Retry(history, SCHEDULE[attempts])


@pytest.mark.parametrize(
    ("status", "text", "seconds"),
    [
        (429, "7", 7.0),
        (503, "7", 7.0),
        (503, " 7 ", 7.0),
        (503, "3600", 3600.0),
        (503, "86400", 3600.0),
        (503, "9" * 5000, 3600.0),
        (503, "0", None),
        (503, "-5", None),
        (503, "7.5", None),
        (503, "٧", None),
        (503, "soon", None),
        (503, "", None),
        (503, None, None),
        (503, format_datetime(NOW + timedelta(seconds=90), usegmt=True), 89.75),
        (503, format_datetime(NOW + timedelta(days=3), usegmt=True), 3600.0),
        (503, format_datetime(NOW - timedelta(seconds=90), usegmt=True), None),
        (503, "Mon, 23 Nov 2026 12:01:30 -0000", 89.75),
        (503, "Mon, 23 Nov 2026 25:61:30 GMT", None),
        (503, "1 Jan 1 1:1:99999999999999 +0000", None),
        (503, "1 Jan 1 1:1:1 +99999999999999999999", None),
        (500, "7", None),
        (200, "7", None),
        (410, "7", None),
    ],
)
def test_retry_after(status: int, text: str | None, seconds: float | None) -> None:
    assert asked_wait(Response(status, text), now=NOW) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_breaks_anything(text: str) -> None:
    seconds = asked_wait(Response(503, text), now=NOW)
    assert seconds is None or 0 < seconds <= MAX_RETRY_AFTER


@given(
    st.from_regex(
        r"(Mon, )?[0-9]{1,3} (Jan|Dec) [0-9]{1,6} [0-9]{1,3}:[0-9:]{1,14} ?([+-][0-9]{1,20}|GMT|[A-Z]?)?"
    )
)
def test_no_date_in_retry_after_breaks_anything(text: str) -> None:
    seconds = asked_wait(Response(503, text), now=NOW)
    assert seconds is None or 0 < seconds <= MAX_RETRY_AFTER


def test_a_longer_retry_after_takes_the_steps_place_and_costs_an_attempt() -> None:
    decision = decided(Response(429, "40"), attempts=1)
    assert isinstance(decision, Retry)
    assert decision.history.attempts == 2
    assert decision.history.due == round((NOW + timedelta(seconds=40)).timestamp() * 1000)
    assert isinstance(decided(Response(429, "40"), attempts=3), Undeliverable)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("text", ["0", "1", "25", format_datetime(NOW + timedelta(seconds=20), usegmt=True)])
def test_a_retry_after_never_makes_an_attempt_sooner(status: int, text: str) -> None:
    decision = decided(Response(status, text), attempts=1)
    assert isinstance(decision, Retry)
    assert (decision.step, decision.history.due) == (25, None)


def test_a_step_longer_than_an_hour_stands_whatever_is_asked() -> None:
    decision = decided(Response(503, "86400"), schedule=(52_000,))
    assert isinstance(decision, Retry)
    assert (decision.step, decision.history.due) == (52_000, None)


def test_an_earlier_wait_is_over_after_the_next_failure() -> None:
    waited = until(after_attempts(1), seconds=30, now=NOW)
    decision = decide(Response(500), history=waited, schedule=SCHEDULE, now=NOW + timedelta(seconds=31))
    assert isinstance(decision, Retry)
    assert decision.history.due is None


def test_a_message_that_is_due_needs_no_rung() -> None:
    assert next_rung(History(), now=NOW) is None
    assert next_rung(until(after_attempts(1), seconds=10, now=NOW), now=NOW + timedelta(seconds=10)) is None


@given(seconds=st.floats(0.001, MAX_RETRY_AFTER), slow=st.floats(0, 0.05))
def test_the_ladder_is_never_early_and_at_most_two_seconds_late(seconds: float, slow: float) -> None:
    history = until(after_attempts(1), seconds=seconds, now=NOW)
    now = NOW
    rungs = 0
    while (rung := next_rung(history, now=now)) is not None:
        assert rung in RUNGS
        now += timedelta(seconds=rung + slow)
        rungs += 1
    late = (now - NOW).total_seconds() - seconds
    assert -0.001 <= late <= 2
    assert rungs <= 12


def test_a_step_longer_than_the_ladder_takes_several_of_its_last_rung() -> None:
    history = until(after_attempts(1), seconds=52_000, now=NOW)
    assert next_rung(history, now=NOW) == 2048


def test_a_step_waits_in_its_own_queue_or_else_on_the_ladder() -> None:
    retry = Retry(after_attempts(1), step=100)
    ways = list(ways_to_wait(retry, now=NOW))
    assert ways[0] == (100, retry.history)
    assert [seconds for seconds, _ in ways[1:]] == [64, 32, 16, 8, 4, 2, 1]
    due = round((NOW + timedelta(seconds=100)).timestamp() * 1000)
    assert {history.due for _, history in ways[1:]} == {due}


def test_a_retry_after_waits_on_the_ladder_only() -> None:
    history = until(after_attempts(1), seconds=3, now=NOW)
    assert list(ways_to_wait(Retry(history, step=5), now=NOW)) == [(4, history), (2, history), (1, history)]


def test_a_wait_that_passed_while_rabbitmq_was_away_takes_the_shortest() -> None:
    history = until(after_attempts(1), seconds=3, now=NOW)
    ways = list(ways_to_wait(Retry(history, step=5), now=NOW + timedelta(minutes=1)))
    assert ways == [(1, history)]


def test_a_clock_that_was_put_back_does_not_make_a_message_wait_for_it() -> None:
    history = until(after_attempts(1), seconds=10, now=NOW)
    assert next_rung(history, now=NOW - timedelta(days=1)) is None
