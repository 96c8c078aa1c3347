"""The judges of delivery options: each case in which something is lost or out of order is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest

from tests.chaos.accounting.account import Accepted, Arrival, Subscription, account
from tests.chaos.accounting.options import out_of_order, stood_for
from tests.chaos.clients import load, mixed


def post(number: int, *, posted: float | None = None, took: float = 0.1) -> Accepted:
    at = float(number) if posted is None else posted
    return Accepted(number, f"id-{number}", posted=at, accepted=at + took)


def got(number: int, at: float, *, answered: bool = True) -> Arrival:
    return Arrival(number, f"id-{number}", "a", at, answered)


def same(_: int) -> str:
    return "zaak"


POSTS = [post(1), post(2), post(3)]
IN_ORDER = [got(1, 1.5), got(2, 2.5), got(3, 3.5)]


def judged(
    arrivals: list[Arrival], *, about: Callable[[int], str] = same, posts: list[Accepted] = POSTS
) -> list[str]:
    return out_of_order(posts, arrivals, hoofd_object=about, set_aside_after=5.0)


FINE = {
    "each after the one before it": IN_ORDER,
    "again, later": [*IN_ORDER, got(1, 9.0)],
    "the first attempt failed": [got(1, 1.5, answered=False), got(1, 2.2), got(2, 2.5), got(3, 3.5)],
    "nothing came": [],
    "the last never came": IN_ORDER[:2],
    "overtaken when it was set aside": [
        got(1, 1.5, answered=False),
        got(2, 6.5),
        got(3, 6.6),
        got(1, 9.0),
    ],
}


@pytest.mark.parametrize("arrivals", FINE.values(), ids=FINE.keys())
def test_this_is_in_order(arrivals: list[Arrival]) -> None:
    assert judged(arrivals) == []


LATE = {
    "one that came before the one before it": [got(2, 2.1), got(1, 2.2), got(3, 3.5)],
    "one that came though the one before it never did": [got(1, 1.5), got(3, 3.5)],
    "an attempt that failed, while the one before it was not there yet": [
        got(2, 2.1, answered=False),
        got(1, 2.2),
        *IN_ORDER[1:],
    ],
    "the one before it was not answered": [got(1, 1.5, answered=False), got(2, 2.5), got(1, 3.0)],
    "overtaken before it was set aside": [got(1, 1.5, answered=False), got(2, 6.0), got(1, 9.0)],
}


@pytest.mark.parametrize("arrivals", LATE.values(), ids=LATE.keys())
def test_this_is_out_of_order(arrivals: list[Arrival]) -> None:
    assert judged(arrivals)


def test_of_two_hoofdobjecten_or_of_two_posts_at_once_there_is_no_order() -> None:
    backwards = [got(3, 4.1), got(2, 4.2), got(1, 4.3)]
    assert judged(backwards, about=str) == []
    at_once = [replace(each, posted=1.0) for each in POSTS]
    assert judged(backwards, posts=at_once) == []
    assert len(judged(backwards)) == 3


def test_what_was_answered_late_may_be_overtaken_and_nothing_else() -> None:
    late = [post(1, took=0.3), *POSTS[1:]]
    assert judged([got(2, 2.5), got(1, 2.6), got(3, 3.5)], posts=late) == []
    assert judged([got(1, 1.5), got(3, 3.1), got(2, 3.2)], posts=late)


NEWER = {("id-1", "a"): "id-2", ("id-2", "a"): "id-3"}
NUMBERS = {"id-1": 1, "id-2": 2, "id-3": 3}


def ended(
    newer: dict[tuple[str, str], str], delivered: set[str], *, resource: Callable[[int], str] = same
) -> set[str]:
    found = stood_for(
        newer, numbers=NUMBERS, delivered={(each, "a") for each in delivered}, resource=resource
    )
    return {id_ for id_, _ in found}


def test_one_may_end_in_a_newer_one_that_was_delivered() -> None:
    assert ended(NEWER, {"id-3"}) == {"id-1", "id-2"}
    assert ended(NEWER, {"id-2"}) == {"id-1"}


def test_but_not_in_one_that_was_not() -> None:
    assert ended(NEWER, set()) == set()
    assert ended(NEWER, {"id-1"}) == set()
    assert ended({("id-1", "a"): "id-9"}, {"id-9"}) == set()
    elsewhere = stood_for(NEWER, numbers=NUMBERS, delivered={("id-3", "b")}, resource=same)
    assert elsewhere == set()


def test_nor_in_an_older_one_or_one_about_another_resource() -> None:
    assert ended({("id-3", "a"): "id-1"}, {"id-1"}) == set()
    assert ended({("id-3", "a"): "id-3"}, set()) == set()
    assert ended(NEWER, {"id-3"}, resource=str) == set()
    assert ended(NEWER, {"id-3"}, resource=lambda number: str(number // 2)) == {"id-2"}


def test_a_delivery_that_is_dropped_is_lost_unless_another_stands_for_it() -> None:
    subscriptions = [Subscription("a", lambda _: True)]
    for stands, lost in (({("id-2", "a"): "id-3"}, 0), ({("id-2", "a"): "id-1"}, 1), ({}, 1)):
        delivered = {("id-1", "a"), ("id-3", "a")}
        made = account(
            POSTS,
            [IN_ORDER[0], IN_ORDER[2]],
            subscriptions=subscriptions,
            stood_for=stood_for(stands, numbers=NUMBERS, delivered=delivered, resource=same),
        )
        assert len(made.lost) == lost
        assert sum(made.apart.values()) == 1 - lost
        assert bool(made.problems) == bool(lost)


def test_the_mixed_load_says_by_itself_who_gets_what() -> None:
    """By filters as the standard has them, and those of CloudEvents as the page says."""
    numbers = range(64 * mixed.OBJECTS)
    for number in numbers[: 64 * 3]:
        posting = mixed.posting(number)
        assert load.number_of(posting.body) == number
        message = orjson.loads(posting.body)
        for wanted in mixed.ABONNEMENTEN.values():
            if mixed.is_event(number):
                groups = wanted.options.get("cloudevents", {}).get("filters", [])
                matches = any(
                    each.get("typeSubstring", "") in message["type"]
                    and each["filters"].items() <= message["data"].items()
                    for each in groups
                )
            else:
                (group,) = wanted.kanalen
                matches = group["filters"].items() <= message["kenmerken"].items()
            assert matches == wanted.matches(number)
    for wanted in mixed.ABONNEMENTEN.values():
        for kind in (mixed.is_bulk, mixed.is_event) if "cloudevents" in wanted.options else (mixed.is_bulk,):
            about = [mixed.hoofd_object(each) for each in numbers if wanted.matches(each) and kind(each)]
            assert len(set(about)) == mixed.OBJECTS
