"""Rows of the ledger: values of `n`, hashes, and how an outcome changes a row."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from uuid import UUID, uuid4

import pytest

from ledger.ids import new_id
from ledger.tables.rows import (
    PLACES,
    STATE_OF,
    STATES,
    Hashes,
    Row,
    count_open,
    first_n,
    key_of_row,
    last_segment,
    least_id,
    outcome_row,
    pack_keys,
    pack_terms,
    pending_row,
    unpack_keys,
    unpack_terms,
)
from ledger.values import OPEN, Key, Outcome, State, merge_key

NOW = 1_760_000_000_000
ID, ABONNEMENT = uuid4(), uuid4()


def an_outcome(state: State, **changes: object) -> Outcome:
    options = {"round": 0, "attempts": 1, "at": NOW} | changes
    return Outcome(Key(ID, ABONNEMENT), state, **options)  # type: ignore[arg-type]


def pending() -> Row:
    return pending_row(ID.bytes, 3, received=NOW, size=100, now=NOW)


def test_every_state_has_a_number_that_never_changes() -> None:
    assert set(STATES) == set(State)
    assert sorted(STATES.values()) == list(range(len(State)))
    assert all(STATE_OF[number] is state for state, number in STATES.items())
    assert (STATES[State.PENDING], STATES[State.DELIVERED]) == (0, 7), "written so in the partial index"


def test_a_place_is_in_the_order_of_time_and_small() -> None:
    places = [first_n(NOW + 10 * number) for number in range(1000)]
    assert all(after - before == PLACES for before, after in pairwise(places))
    assert first_n(NOW) == first_n(NOW + 9)
    assert first_n(2_900_000_000_000) < 2**47, "six bytes, until 2061"


def test_an_id_is_not_less_than_the_least_of_its_moment() -> None:
    assert least_id(NOW) <= new_id(at=NOW / 1000).bytes < least_id(NOW + 1)


@pytest.mark.parametrize(
    "url, segment",
    [
        ("https://x.nl/zaken/1234", "1234"),
        ("https://x.nl/zaken/ABC/", "abc"),
        ("https://x.nl/zaken/1?a=/b/c", "1"),
        ("https://x.nl/zaken/1#/d", "1"),
        ("1234", "1234"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_the_last_segment(url: str, segment: str) -> None:
    assert last_segment(url) == segment


def test_hashes_depend_on_the_key_and_on_what_they_are_of() -> None:
    one, other = Hashes(b"1" * 32), Hashes(b"2" * 32)
    assert one.segment("https://x.nl/zaken/1") == Hashes(b"1" * 32).segment("1")
    assert one.segment("1") != other.segment("1")
    assert one.term("zaak_type", "a") == one.term("zaakType", "a") != one.term("zaaktype", "A")
    assert one.term("a", "bc") != one.term("ab", "c")
    assert one.term("", "x" * 10_000) == one.term("", "x" * 10_000)
    assert -(2**63) <= one.segment("x") < 2**63


def test_what_is_packed_is_unpacked() -> None:
    dice = Random(1)
    keys = {Key(uuid4(), uuid4(), dice.randrange(2**31)) for _ in range(5)}
    assert set(unpack_keys(pack_keys(keys))) == keys
    terms = [dice.randrange(-(2**63), 2**63) for _ in range(5)]
    assert list(unpack_terms(pack_terms(terms))) == terms
    assert pack_keys([]) == pack_terms([]) == b""


@pytest.mark.parametrize("state", State)
def test_the_order_of_rows_is_that_of_their_accounts(state: State) -> None:
    row = outcome_row(an_outcome(state, round=2, attempts=3), 3, old=None, now=NOW)
    key = key_of_row(row)
    assert key == merge_key(state, round_=2, attempts=3, at=NOW)
    assert row.open == (state in OPEN)


def test_an_outcome_keeps_what_it_does_not_tell() -> None:
    old = pending()._replace(given=2, doubt=1)
    delivered = outcome_row(an_outcome(State.DELIVERED, status=204, ms=1.25), 3, old=old, now=NOW + 5)
    assert (delivered.since, delivered.size, delivered.given, delivered.doubt) == (NOW, 100, 2, 1)
    assert (delivered.status, delivered.us, delivered.next_at) == (204, 1250, None)


def test_a_retry_goes_into_its_queue_when_it_is_due() -> None:
    row = outcome_row(an_outcome(State.RETRYING, wait=1.5, status=500), 3, old=pending(), now=NOW + 5)
    assert row.since == row.next_at == NOW + 1505
    assert row.status is None, "of an answer that was no delivery: that is the attempt's"
    again = outcome_row(an_outcome(State.PENDING, round=1), 3, old=row, now=NOW + 9)
    assert (again.since, again.next_at) == (NOW + 9, None)


def test_what_is_open_is_counted() -> None:
    backlog = [0, 0, 0]
    count_open(pending(), backlog, 1)
    assert backlog == [1, 100, 0]
    for state, counted in (
        (State.RETRYING, [2, 200, 0]), (State.STUCK, [2, 200, 1]), (State.DELIVERED, [1, 100, 0])
    ):  # fmt: skip
        row = outcome_row(an_outcome(state), 3, old=pending(), now=NOW)
        count_open(row, backlog, 1)
        assert backlog == counted
        count_open(row, backlog, -1)
        assert backlog == [1, 100, 0]
    row = outcome_row(an_outcome(State.RETURNING, anew=True), 3, old=pending(), now=NOW + 5)
    assert (pending().again_at, row.again_at) == (None, NOW + 5)
    assert outcome_row(an_outcome(State.PENDING), 3, old=row, now=NOW + 9).again_at == NOW + 5
    assert isinstance(UUID(bytes=pending().id), UUID)
