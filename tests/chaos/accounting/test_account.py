"""The accounting of the loss certificate: how deliveries are counted, and that one lost message is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.chaos.accounting.account import (
    Accepted,
    Account,
    Arrival,
    Excuse,
    Repeats,
    Subscription,
    account,
    total,
)
from tests.chaos.clients import load


def post(number: int) -> Accepted:
    return Accepted(number, f"id-{number}", posted=float(number), accepted=number + 0.1)


def got(
    number: int, *, id: str = "", abonnement: str = "a", at: float | None = None, answered: bool = True
) -> Arrival:
    return Arrival(number, id or f"id-{number}", abonnement, number + 0.5 if at is None else at, answered)


ALL = (Subscription("a", lambda _: True),)
POSTS = (post(1), post(2), post(3))


@dataclass(frozen=True)
class Case:
    arrivals: tuple[Arrival, ...]
    expected: dict[str, Any]
    problems: tuple[str, ...] = ()
    given: dict[str, Any] = field(default_factory=dict)


CASES = {
    "all delivered": Case(
        (got(1), got(2), got(3)),
        {"accepted": 3, "to_deliver": 3, "delivered": 3, "lost": 0, "duplicated": 0, "longest_delay": 0.5},
    ),
    "one missing is lost": Case((got(1), got(3)), {"delivered": 2, "lost": 1}, ("lost 1: notificatie 2",)),
    "read but not answered is lost": Case(
        (got(1), got(2, answered=False), got(3)), {"delivered": 2, "lost": 1}, ("lost 1",)
    ),
    "what is in a queue waits": Case(
        (got(1),),
        {"delivered": 1, "waiting": 1, "undeliverable": 1, "lost": 0},
        given={"waiting": {("id-2", "a"): 1}, "undeliverable": {("id-3", "a"): 1}},
    ),
    "in the queue of another abonnement is lost": Case(
        (got(1), got(3)), {"waiting": 0, "lost": 1}, ("lost 1",), given={"waiting": {("id-2", "b"): 1}}
    ),
    "twice, within the bound": Case(
        (got(1), got(1, at=9.0), got(2), got(3)),
        {"delivered": 3, "duplicated": 1, "duplicates_bound": 2, "longest_delay": 0.5},
        given={"repeats": [Repeats("killed", 2)]},
    ),
    "twice, beyond the bound": Case(
        (got(1), got(1), got(1), got(2), got(3)),
        {"duplicated": 2},
        ("2 delivered more than once; at most 1",),
        given={"repeats": [Repeats("killed", 1)]},
    ),
    "twice, by cause": Case(
        (got(1), got(1), got(2), got(2), got(2), got(3)),
        {
            "duplicated": 3,
            "duplicated_by": {"in flight": 1, "queue": 2},
            "duplicates_bound": 5,
            "bounds": {"killed": 2, "in hand": 3},
        },
        given={
            "repeats": [Repeats("killed", 1), Repeats("in hand", 3), Repeats("killed", 1)],
            "given_back": {("id-2", "a"): "queue", ("id-3", "a"): "queue"},
        },
    ),
    "a copy that still waits of what was delivered": Case(
        (got(1), got(2), got(3)),
        {"delivered": 3, "waiting": 0, "duplicated": 1},
        ("1 delivered more than once",),
        given={"waiting": {("id-1", "a"): 1}},
    ),
    "not answered and then answered is no duplicate": Case(
        (got(1, answered=False), got(1), got(2), got(3)), {"delivered": 3, "duplicated": 0}
    ),
    "the publisher's own retry": Case(
        (got(1), got(1, id="other"), got(2), got(3)), {"own_retries": 1, "duplicated": 0, "lost": 0}
    ),
    "delivered though never answered": Case(
        (got(1), got(2), got(3), got(4)), {"never_answered": 1, "own_retries": 0, "delivered": 3}
    ),
    "accepted before the load began": Case(
        (got(1), got(2), got(3)),
        {"never_answered": 1, "delivered": 2},
        ("1 arrived that were accepted before their abonnement was made",),
        given={"posts": POSTS[1:]},
    ),
    "excused": Case(
        (got(2), got(3)),
        {"apart": {"deleted": 1}, "lost": 0, "to_deliver": 3, "delivered": 2},
        given={"excuses": [Excuse("deleted", frozenset({"a"}), posted_before=1.5, at_most=1)]},
    ),
    "posted after what is excused": Case(
        (got(1), got(3)),
        {"apart": {}, "lost": 1},
        ("lost 1: notificatie 2",),
        given={"excuses": [Excuse("deleted", frozenset({"a"}), posted_before=1.5, at_most=1)]},
    ),
    "more than was counted": Case(
        (got(3),),
        {"apart": {"deleted": 1}, "lost": 1},
        ("lost 1: notificatie 2",),
        given={"excuses": [Excuse("deleted", frozenset({"a"}), posted_before=9, at_most=1)]},
    ),
    "excused for another abonnement": Case(
        (got(2), got(3)),
        {"lost": 1},
        ("lost 1",),
        given={"excuses": [Excuse("deleted", frozenset({"b"}), posted_before=9, at_most=9)]},
    ),
    "only of those that are excused by their ids": Case(
        (got(3),),
        {"apart": {"unread": 1}, "lost": 1},
        ("lost 1: notificatie 1",),
        given={"excuses": [Excuse("unread", frozenset({"a"}), posted_before=9, at_most=9, ids={"id-2"})]},
    ),
    "where nobody wanted it": Case(
        (got(1), got(2), got(3), got(2, abonnement="b")),
        {"astray": 1, "delivered": 3},
        ("1 arrived at an abonnement that does not match, such as notificatie 2 at b",),
        given={"subscriptions": [*ALL, Subscription("b", lambda _: False)]},
    ),
    "only those that match, and only while it was there": Case(
        (got(1), got(2), got(3), got(2, abonnement="b")),
        {"to_deliver": 4, "delivered": 4, "lost": 0},
        given={"subscriptions": [*ALL, Subscription("b", lambda _: True, since=1.5, until=2.5)]},
    ),
    "recovery is of the slowest abonnement": Case(
        (got(1), got(2), got(3), got(2, abonnement="b", at=2.6), got(3, abonnement="b", at=8.0)),
        {"time_to_recover": pytest.approx(5.5)},
        given={
            "recovered_from": [0.5, 2.5],
            "subscriptions": [*ALL, Subscription("b", lambda number: number > 1)],
        },
    ),
    "an abonnement that came later did not have to recover": Case(
        (got(1), got(2), got(3), got(3, abonnement="b", at=8.0)),
        {"time_to_recover": pytest.approx(0.5)},
        given={
            "recovered_from": [1.0],
            "subscriptions": [*ALL, Subscription("b", lambda _: True, since=2.5)],
        },
    ),
    "nothing after the fault": Case(
        (got(1), got(2), got(3)),
        {"time_to_recover": None},
        ("after a fault nothing that was accepted then arrived",),
        given={"recovered_from": [5.0]},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_accounts(case: Case) -> None:
    given = {"posts": POSTS, "subscriptions": ALL, **case.given}
    made = account(arrivals=case.arrivals, **given)

    found = {name: getattr(made, name) for name in case.expected}
    if "lost" in found:
        found["lost"] = len(found["lost"])
    assert found == case.expected
    assert len(made.problems) == len(case.problems)
    for problem, start in zip(made.problems, case.problems, strict=True):
        assert problem.startswith(start)
    assert made.to_deliver == (
        made.delivered + made.waiting + made.undeliverable + sum(made.apart.values()) + len(made.lost)
    )


def test_the_total_adds_up() -> None:
    one = Account(accepted=2, delivered=1, lost=["x"], apart={"deleted": 1}, longest_delay=3.0)
    other = Account(accepted=3, delivered=2, apart={"deleted": 2, "older": 1}, longest_delay=1.0)
    one.duplicated_by, other.duplicated_by = {"queue": 2}, {"in flight": 1}
    one.bounds, other.bounds = {"killed": 2}, {"killed": 1}

    both = total([one, other])

    assert (both.accepted, both.delivered, both.lost, both.longest_delay) == (5, 3, ["x"], 3.0)
    assert both.apart == {"deleted": 3, "older": 1}
    assert both.duplicated_by == {"queue": 2, "in flight": 1}
    assert both.bounds == {"killed": 3}


def test_the_load_says_by_itself_who_gets_what() -> None:
    """The predicates of the load against filters as the standard has them, not as the product has them."""
    for number in range(48):
        message = load.notificatie(number)
        assert load.number_of(load.body_of(number)) == number
        for wanted in load.ABONNEMENTEN.values():
            matches = any(
                group["naam"] == message["kanaal"]
                and all(
                    message["kenmerken"].get(name, value) == value for name, value in group["filters"].items()
                )
                for group in wanted.kanalen
            )
            assert matches == wanted.matches(number)
    assert load.number_of(b"{}") == -1
