"""The headers of a message's history: what is written is read back, and invalid headers are ignored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliverer.http.client import Failure, FailureClass
from router.history import (
    ATTEMPTS,
    DUE,
    FAILURES,
    HOPS,
    History,
    in_queue_since,
    kept_headers,
    read_history,
    read_hops,
    resent_header,
    write_headers,
)

AT = datetime(2026, 11, 23, 12, 0, 0, 123_000, tzinfo=UTC)
ABONNEMENT = UUID("12345678-1234-4234-8234-123456789012")


def a_history() -> History:
    history = History().after(Failure(FailureClass.TIMEOUT, "no status within 10 s"), at=AT)
    return history.after(Failure(FailureClass.HTTP_STATUS, "answered 503", 503), at=AT).waiting_until(
        1_800_000_000_123
    )


def test_the_documented_form() -> None:
    written = write_headers(ABONNEMENT, a_history(), undeliverable_at=AT)
    assert written == {
        "nrc-abonnement": "12345678-1234-4234-8234-123456789012",
        "nrc-attempts": 2,
        "nrc-failures": (
            '[{"at":"2026-11-23T12:00:00.123Z","class":"timeout","status":null,'
            '"detail":"no status within 10 s"},'
            '{"at":"2026-11-23T12:00:00.123Z","class":"http_status","status":503,"detail":"answered 503"}]'
        ),
        "nrc-due": 1_800_000_000_123,
        "nrc-undeliverable-at": "2026-11-23T12:00:00.123Z",
    }


def test_what_is_written_is_read_back() -> None:
    assert read_history(write_headers(ABONNEMENT, a_history())) == a_history()
    assert read_history({}) == History()


def test_round_and_replay_stay_through_attempts_waits_and_the_undeliverable() -> None:
    given_back = read_history({"nrc-round": 2, "nrc-replay": 5, "nrc-attempts": 1})
    assert (given_back.round, given_back.replay) == (2, 5)
    failed = given_back.after(Failure(FailureClass.TIMEOUT, "no status within 10 s"), at=AT)
    waiting = failed.waiting_until(1_800_000_000_123)
    for history in (failed, waiting):
        headers = write_headers(ABONNEMENT, history)
        assert (headers["nrc-round"], headers["nrc-replay"]) == (2, 5)
        assert read_history(headers) == history
    assert failed.due is None


@pytest.mark.parametrize(
    "garbage",
    [
        {"nrc-attempts": "3"},
        {"nrc-attempts": True},
        {"nrc-attempts": -1},
        {"nrc-attempts": None},
        {"nrc-attempts": 2**63},
        {"nrc-failures": "{"},
        {"nrc-failures": "{}"},
        {"nrc-failures": b"[]"},
        {"nrc-failures": "[1, null, [], {}]"},
        {"nrc-failures": '[{"at": "yesterday", "class": "timeout", "detail": ""}]'},
        {"nrc-failures": '[{"at": 5, "class": "timeout", "detail": ""}]'},
        {"nrc-failures": '[{"at": "0001-01-01T00:00:00+01:00", "class": "timeout", "detail": ""}]'},
        {"nrc-due": "tomorrow"},
        {"nrc-due": [1]},
        {"nrc-due": -1},
        {"nrc-round": -1},
        {"nrc-round": "1"},
        {"nrc-replay": 2**31},
    ],
)
def test_garbage_is_read_as_nothing(garbage: dict[str, object]) -> None:
    assert read_history(garbage) == History()


def test_good_failures_beside_garbage_are_kept() -> None:
    text = '[5, {"at": "2026-11-23T12:00:00", "class": "new_class", "status": "x", "detail": "d"}]'
    (failed,) = read_history({"nrc-failures": text}).failures
    assert (failed.at.tzinfo, failed.kind, failed.status, failed.detail) == (UTC, "new_class", None, "d")


KEYS = st.sampled_from(["at", "class", "status", "detail"])
JSON_TEXT = st.recursive(
    st.one_of(st.none(), st.integers(-(2**53), 2**53), st.text("abc")),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
).map(lambda value: orjson.dumps(value).decode())
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.lists(st.integers()), JSON_TEXT
)


@given(st.dictionaries(st.sampled_from([ATTEMPTS, FAILURES, DUE]), ANYTHING))
def test_nothing_in_a_header_raises(found: dict[str, object]) -> None:
    read_history(found)


def test_only_the_newest_failures_are_kept() -> None:
    history = History()
    for number in range(100):
        history = history.after(Failure(FailureClass.TIMEOUT, str(number)), at=AT)
    assert history.attempts == 100
    assert [failed.detail for failed in history.failures] == [str(number) for number in range(40, 100)]


def test_the_largest_headers_stay_far_below_what_a_frame_holds() -> None:
    history = History()
    for _ in range(100):
        history = history.after(Failure(FailureClass.CONNECTION_REFUSED, "\U0001f600" * 200, 503), at=AT)
    written = write_headers(ABONNEMENT, history, undeliverable_at=AT)
    assert sum(len(str(value).encode()) for value in written.values()) < 64 * 1024


def test_headers_of_kenmerken_stay_and_all_else_goes() -> None:
    found = {"k.bronorganisatie": "1", "k.odd": 5, "x-death": [{}], "x-delivery-count": 3, "nrc-attempts": 1}
    assert kept_headers(found) == {"k.bronorganisatie": "1"}


def test_that_it_was_sent_again_stays_on_a_message_through_its_retries() -> None:
    resent = {"k.a": "1", **resent_header(AT)}
    assert resent == {"k.a": "1", "nrc-resent-at": "2026-11-23T12:00:00.123Z"}
    assert kept_headers({**resent, **write_headers(ABONNEMENT, a_history())}) == resent
    again = resent | resent_header(AT + timedelta(days=1))
    assert in_queue_since(again, AT) == AT + timedelta(days=1)


def test_its_hops_stay_on_a_message_whatever_becomes_of_it() -> None:
    headers = {"k.a": "1", HOPS: "3"}
    assert read_hops(kept_headers({**headers, **write_headers(ABONNEMENT, a_history())})) == 3
    for strange in ({}, {HOPS: 3}, {HOPS: "-1"}, {HOPS: "x"}, {HOPS: "9" * 5000}, {HOPS: "\u0663"}):
        assert read_hops(strange) == 0
