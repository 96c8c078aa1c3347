"""Ids in the order of acceptance or of a message, and which of two outcomes of a delivery wins."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from random import Random
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.ids import id_of_message, new_id, received_of
from ledger.values import OPEN, Delivery, Key, State, merge_key, ms_of, verdict

A = UUID(int=1)


def test_an_id_has_the_moment_of_acceptance() -> None:
    id_ = new_id(at=1_700_000_000.1234)
    assert (id_.version, id_.variant) == (7, "specified in RFC 4122")
    assert received_of(id_) == 1_700_000_000_123


def test_ids_are_in_the_order_of_milliseconds_and_differ() -> None:
    ids = [new_id(at=1_700_000_000 + n / 1000) for n in range(1000)]
    assert all(before < after for before, after in pairwise(ids))
    assert len({new_id(at=1.0) for _ in range(10_000)}) == 10_000


def test_a_gateways_id_is_its_own() -> None:
    id_ = new_id(at=1_800_000_000.5)
    assert id_of_message(str(id_)) == id_
    assert received_of(id_) == 1_800_000_000_500


def test_any_other_text_always_gets_the_same_id() -> None:
    for text in ("", "put in by hand", "12345", "\x00é"):
        assert id_of_message(text) == id_of_message(text) == uuid5(NAMESPACE_OID, text)
    assert isinstance(id_of_message("x"), UUID)
    assert id_of_message("x") != id_of_message("y")


ACCOUNTS = st.tuples(st.sampled_from(State), st.integers(0, 3), st.integers(0, 9), st.integers(0, 5))


def _merged(accounts: list[tuple[State, int, int, int]]) -> tuple[State, int, int, int]:
    kept = accounts[0]
    for each in accounts[1:]:
        if _key(each) > _key(kept):
            kept = each
    return kept


def _key(account: tuple[State, int, int, int]) -> tuple[int, ...]:
    state, round_, attempts, at = account
    return merge_key(state, round_=round_, attempts=attempts, at=at)


@given(st.lists(ACCOUNTS, min_size=1, max_size=8), st.randoms())
def test_the_order_of_writing_does_not_matter(
    accounts: list[tuple[State, int, int, int]], random: Random
) -> None:
    shuffled = accounts + random.sample(accounts, len(accounts) // 2)
    random.shuffle(shuffled)
    assert _merged(shuffled) == _merged(accounts)


@pytest.mark.parametrize("other", [state for state in State if state not in (State.DELIVERED, State.REMOVED)])
def test_nothing_undoes_delivered_and_removed(other: State) -> None:
    later = merge_key(other, round_=9, attempts=9, at=9)
    delivered = merge_key(State.DELIVERED, round_=0, attempts=0, at=0)
    assert later < delivered < merge_key(State.REMOVED, round_=0, attempts=0, at=0)


def test_a_next_attempt_or_round_goes_over_the_one_before() -> None:
    retrying = merge_key(State.RETRYING, round_=0, attempts=1, at=5)
    assert merge_key(State.PENDING, round_=0, attempts=0, at=9) < retrying
    assert retrying < merge_key(State.UNDELIVERABLE, round_=0, attempts=1, at=5)
    assert merge_key(State.UNDELIVERABLE, round_=0, attempts=9, at=5) < merge_key(
        State.RETURNING, round_=1, attempts=0, at=0
    )
    assert OPEN.isdisjoint({State.DELIVERED, State.REMOVED, State.UNDELIVERABLE, State.NOT_WANTED})


@pytest.mark.parametrize(
    ("state", "round_", "overtakes"),
    [
        (State.PENDING, 1, False),
        (State.RETRYING, 2, False),
        (State.RETRYING, 0, True),
        (State.DELIVERED, 3, True),
        (State.REMOVED, 3, True),
        (State.NOT_WANTED, 3, True),
        (State.UNDELIVERABLE, 0, True),
        (State.UNDELIVERABLE, 1, True),
        (State.UNDELIVERABLE, 2, False),
    ],
)
def test_which_message_a_row_of_round_1_overtakes(state: State, round_: int, overtakes: bool) -> None:
    row = Delivery(Key(new_id(), uuid4()), state, round=1, attempts=0, since=0, last_at=0)
    assert row.overtakes(round_) is overtakes


def test_a_moment_and_what_is_written_of_it_are_the_same_millisecond() -> None:
    for microsecond in range(0, 1_000_000, 997):
        moment = datetime(2026, 3, 1, 10, 0, 0, microsecond, tzinfo=UTC)
        written = datetime.fromisoformat(moment.isoformat(timespec="milliseconds"))
        assert ms_of(written) == ms_of(moment)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("undeliverable delivered undeliverable", (State.DELIVERED, 1)),
        ("undeliverable pending", (State.PENDING, 1)),
        ("undeliverable removed", (State.UNDELIVERABLE, 0)),
        ("removed undeliverable undeliverable", (State.UNDELIVERABLE, 2)),
        ("removed not_wanted", (State.NOT_WANTED, 1)),
    ],
)
def test_what_became_of_it_after_all(states: str, expected: tuple[State, int]) -> None:
    rows = [
        Delivery(Key(A, A, replay), State(state), 0, 1, since=1, last_at=1)
        for replay, state in enumerate(states.split())
    ]
    found = verdict(rows)
    assert (found.state, found.key.replay) == expected
