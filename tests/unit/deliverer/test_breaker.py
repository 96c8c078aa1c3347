"""The circuit breaker: when it holds an abonnement, and when the next probe is due."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from deliverer.attempting.decide import MAX_RETRY_AFTER
from deliverer.holding.breaker import (
    DIFFERENT,
    IN_A_ROW,
    IN_A_ROW_AFTER_HOLD,
    LONGEST_PAUSE,
    NO_ANSWER_FOR,
    Breaker,
    is_due,
    pause_before,
)
from deliverer.http.client import Failure, FailureClass

ANSWERED = Failure(FailureClass.HTTP_STATUS, "answered 500", 500)
TOO_MANY = Failure(FailureClass.HTTP_STATUS, "answered 429", 429)
ROUND = Failure(FailureClass.LOOP, "answered 508", 508)
REFUSED = Failure(FailureClass.CONNECTION_REFUSED, "refused")
ONE = uuid4()


def opened_after(breaker: Breaker, failures: list[tuple[str, Failure, float]], *, of: UUID = ONE) -> int:
    """With which of these (notificatie, failure, moment) it is to be held, counted from 1; 0 for none."""
    for number, (notificatie, failure, now) in enumerate(failures, 1):
        if breaker.failed(of, notificatie, failure, now=now):
            return number
    return 0


def test_ten_failures_in_a_row_of_several_notificaties() -> None:
    assert opened_after(Breaker(), [(str(n % DIFFERENT), ANSWERED, 0.0) for n in range(20)]) == IN_A_ROW


@pytest.mark.parametrize("different", range(1, DIFFERENT))
def test_messages_that_fail_alone_hold_nothing(different: int) -> None:
    assert opened_after(Breaker(), [(str(n % different), ANSWERED, n * 60.0) for n in range(100)]) == 0


def test_a_success_in_between_starts_anew() -> None:
    breaker = Breaker()
    assert opened_after(breaker, [(str(n), ANSWERED, 0.0) for n in range(IN_A_ROW - 1)]) == 0
    breaker.succeeded(ONE)
    assert opened_after(breaker, [(str(n), ANSWERED, 0.0) for n in range(IN_A_ROW)]) == IN_A_ROW


def test_one_message_in_a_hundred_that_fails_holds_nothing() -> None:
    breaker = Breaker()
    for number in range(5000):
        if number % 100:
            breaker.succeeded(ONE)
        else:
            assert not breaker.failed(ONE, str(number), ANSWERED, now=float(number))


def test_no_answer_for_so_long_is_enough_of_one_message() -> None:
    moments = [0.0, NO_ANSWER_FOR - 0.1, NO_ANSWER_FOR]
    assert opened_after(Breaker(), [("1", REFUSED, moment) for moment in moments]) == 3


def test_an_answer_in_between_starts_the_time_anew() -> None:
    failures = [("1", REFUSED, 0.0), ("1", ANSWERED, 20.0), ("1", REFUSED, 40.0), ("1", REFUSED, 69.0)]
    assert opened_after(Breaker(), [*failures, ("1", REFUSED, 70.0)]) == 5


def test_a_callback_that_is_up_and_asks_for_less_is_not_held() -> None:
    breaker = Breaker()
    breaker.released(ONE)
    assert opened_after(breaker, [(str(n), TOO_MANY, n * 60.0) for n in range(100)]) == 0
    assert opened_after(breaker, [(str(n), ROUND, n * 60.0) for n in range(100)]) == 0


def test_429_neither_counts_nor_starts_the_count_anew() -> None:
    nearly = [(str(n), ANSWERED, 0.0) for n in range(IN_A_ROW - 1)]
    failures = [*nearly, ("x", TOO_MANY, 0.0), ("y", ANSWERED, 0.0)]
    assert opened_after(Breaker(), failures) == len(failures)


def test_429_is_an_answer() -> None:
    failures = [("1", REFUSED, 0.0), ("1", TOO_MANY, 20.0), ("1", REFUSED, 40.0), ("1", REFUSED, 69.0)]
    assert opened_after(Breaker(), [*failures, ("1", REFUSED, 70.0)]) == 5


def test_each_abonnement_counts_for_itself() -> None:
    breaker, other = Breaker(), uuid4()
    assert opened_after(breaker, [(str(n), ANSWERED, 0.0) for n in range(IN_A_ROW - 1)]) == 0
    assert opened_after(breaker, [("x", ANSWERED, 0.0)], of=other) == 0
    assert opened_after(breaker, [("x", ANSWERED, 0.0)]) == 1


def test_after_a_hold_less_is_enough_until_the_first_success() -> None:
    breaker = Breaker()
    breaker.released(ONE)
    failures = [(str(n), ANSWERED, 0.0) for n in range(IN_A_ROW)]
    assert opened_after(breaker, failures) == IN_A_ROW_AFTER_HOLD
    breaker.released(ONE)
    breaker.succeeded(ONE)
    assert opened_after(breaker, failures) == IN_A_ROW


def test_what_is_forgotten_counts_no_more() -> None:
    breaker = Breaker()
    failures = [(str(n), ANSWERED, 0.0) for n in range(IN_A_ROW)]
    assert opened_after(breaker, failures[:-1]) == 0
    breaker.forget(ONE)
    assert opened_after(breaker, failures) == IN_A_ROW


def test_pauses_grow_to_five_minutes() -> None:
    pauses = [pause_before(probe, timeout=1.0) for probe in range(10)]
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]
    assert pause_before(10**9, timeout=1.0) == LONGEST_PAUSE


def test_a_pause_outlasts_the_probe_before_it() -> None:
    assert pause_before(0, timeout=60.0) == 5.0  # there is none before
    assert all(pause_before(probe, timeout=60.0) > 60.0 for probe in range(1, 10))


@pytest.mark.parametrize(
    ("ahead", "due"),
    [
        (-86400.0, True),
        (0.0, True),
        (1.0, False),
        (LONGEST_PAUSE, False),
        (float(MAX_RETRY_AFTER), False),
        (86400.0, True),
    ],
)
def test_a_clock_that_is_put_back_stops_no_probe(ahead: float, due: bool) -> None:
    assert is_due(1e9 + ahead, now=1e9) is due
