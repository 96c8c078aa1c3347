"""The account of a consumer without a callback: what comes again, and what must not."""

from __future__ import annotations

from typing import Any

import orjson

from tests.chaos.accounting.account import Repeats
from tests.chaos.clients import reader_process
from tests.chaos.clients.fetcher_process import FORGOTTEN, KILLED, NO_ANSWER, Fetched
from tests.chaos.clients.reader import PREFETCH
from tests.chaos.clients.reader_process import CUT, Read


def heard(*lines: dict[str, Any]) -> Fetched:
    fetched = Fetched("a")
    for line in lines:
        fetched.heard(orjson.dumps(line))
    return fetched


def got(*numbers: int, began: float) -> dict[str, Any]:
    page = [(f"id-{number}", f"https://bron.example.nl/object/{number}") for number in numbers]
    return {"got": page, "began": began, "at": began + 0.1}


def acknowledged(at: float) -> dict[str, Any]:
    return {"acknowledged": True, "at": at}


def test_what_is_acknowledged_may_not_come_again() -> None:
    fetched = heard(got(1, 2, began=1.0), acknowledged(2.0), got(3, began=3.0), acknowledged(4.0))
    fetched.ended(KILLED)
    assert ([each.number for each in fetched.arrivals], fetched.repeats, fetched.problems) == (
        [1, 2, 3],
        [],
        [],
    )
    fetched.heard(orjson.dumps(got(2, began=5.0)))
    assert fetched.problems == ["notificatie 2 was handed out after it was acknowledged"]
    assert not fetched.again, "that bound is not for this"


def test_a_page_that_was_asked_for_before_the_acknowledgement_may_have_it_still() -> None:
    assert not heard(got(1, began=1.0), acknowledged(3.0), got(1, began=2.0)).problems


def test_what_is_not_acknowledged_may_come_again_and_is_counted_so() -> None:
    fetched = heard(got(1, 2, began=1.0), got(1, 2, 3, began=2.0))
    fetched.ended(KILLED)
    assert fetched.repeats == [Repeats(NO_ANSWER, 2), Repeats(KILLED, 3)]
    assert fetched.again == {("id-1", "a"), ("id-2", "a")}
    assert not fetched.problems


def test_what_was_acknowledged_to_a_deleted_ledger_may_come_once_more() -> None:
    fetched = heard(got(1, began=1.0), acknowledged(2.0), got(2, began=3.0), acknowledged(4.0))
    fetched.forgotten(since=3.5)
    fetched.heard(orjson.dumps(got(2, began=5.0)))
    assert (fetched.repeats, fetched.again, fetched.problems) == (
        [Repeats(FORGOTTEN, 1)],
        {("id-2", "a")},
        [],
    )
    fetched.heard(orjson.dumps(got(1, began=6.0)))
    assert fetched.problems == ["notificatie 1 was handed out after it was acknowledged"]


def test_after_an_older_ledger_what_was_acknowledged_before_may_come_again() -> None:
    fetched = heard(got(1, began=1.0), acknowledged(2.0))
    fetched.forgotten()
    fetched.heard(orjson.dumps(got(1, began=3.0)))
    fetched.heard(orjson.dumps(acknowledged(4.0)))
    assert not fetched.problems
    fetched.heard(orjson.dumps(got(1, began=5.0)))
    assert fetched.problems


def test_an_answer_that_should_not_be_is_a_problem() -> None:
    assert "500" in heard({"unexpected": 500, "body": "x"}).problems[0]


def read(*lines: dict[str, Any]) -> Read:
    record = Read("a")
    for line in ({"connected": True}, *lines):
        record.heard(orjson.dumps(line))
    return record


def message(number: int, *, redelivered: bool = False, offset: int | None = None) -> dict[str, Any]:
    told = {"id": f"id-{number}", "number": number, "at": float(number), "accepted": 1000.0 + number}
    return {**told, "redelivered": redelivered, "offset": offset}


def test_what_a_queue_gives_again_is_counted_by_who_sent_it_again() -> None:
    record = read(message(1), message(2), message(1, redelivered=True), message(2))
    assert [each.number for each in record.arrivals] == [1, 2, 1, 2]
    assert record.again == {("id-1", "a")}, "the other was published twice"
    assert record.repeats == []


def test_the_prefetch_of_who_is_killed_or_cut_off_may_come_again() -> None:
    record = read(message(1), {"connected": True})
    assert record.repeats == [Repeats(CUT, PREFETCH)]
    record.ended()
    record.ended()
    assert record.repeats[1:] == [Repeats(reader_process.KILLED, PREFETCH)]


def test_from_a_stream_the_same_place_is_no_second_delivery() -> None:
    record = read(message(1, offset=0), message(2, offset=1), message(2, offset=1), message(1, offset=2))
    assert [each.number for each in record.arrivals] == [1, 2, 1]
    assert record.since == "1001.0"
    assert not record.again


def test_a_message_that_is_not_as_it_should_be_is_a_problem() -> None:
    assert "text/plain" in read({"unexpected": "text/plain"}).problems[0]
