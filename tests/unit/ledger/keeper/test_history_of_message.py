"""What a keeper makes of the failures on an undeliverable message (entry_of_message.py)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from ledger.keeper.undeliverable.entry_of_message import DeadLetter, ended, history_of
from ledger.values import Key, Outcome, State, WhyEnded, ms_of
from router.history import FailedAttempt, History

BEGIN = datetime(2026, 1, 31, 9, tzinfo=UTC)


def a_letter(*kinds: str) -> DeadLetter:
    failures = tuple(
        FailedAttempt(at=BEGIN + timedelta(seconds=place), kind=kind, detail="", status=422)
        for place, kind in enumerate(kinds)
    )
    attempts = sum(kind == "http_status" for kind in kinds)
    history = History(attempts=attempts, failures=failures)
    return DeadLetter(Key(uuid4(), uuid4()), history, b"{}", 0, 1, ms_of(BEGIN))


def states(letter: DeadLetter) -> list[tuple[State, int]]:
    events = [*history_of(letter, without_last=True), ended(letter, at=letter.verdict or 0)]
    return [(each.state, each.attempts) for each in events if isinstance(each, Outcome)]


def test_after_the_last_attempt_comes_no_other_so_it_is_no_retry() -> None:
    assert states(a_letter("http_status", "http_status", "http_status")) == [
        (State.RETRYING, 1),
        (State.RETRYING, 2),
        (State.UNDELIVERABLE, 3),
    ]
    assert states(a_letter()) == [(State.UNDELIVERABLE, 0)]


def test_what_ended_without_an_attempt_keeps_all_that_were_made() -> None:
    assert states(a_letter("http_status", WhyEnded.RETENTION)) == [
        (State.RETRYING, 1),
        (State.UNDELIVERABLE, 1),
    ]
