"""Bounds and expiry, with a clock by hand."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from inbox.behaviour import Answer, Behaviour
from inbox.inboxes import Inboxes, Limits
from inbox.received import OVERHEAD, Received
from schemas.errors import NotFound, ServiceUnavailable


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def a_request(body: bytes = b"", *, webhook_id: str = "") -> Received:
    headers = (("webhook-id", webhook_id),) if webhook_id else ()
    return Received(1.0, "POST", "", headers, body, len(body), False, Answer(204, ""))


def test_an_id_is_long_and_another_each_time() -> None:
    inboxes = Inboxes()
    ids = {inboxes.make(Behaviour()).id for _ in range(50)}
    assert len(ids) == 50
    assert {len(each) for each in ids} == {22}


def test_only_the_last_requests_are_kept() -> None:
    inboxes = Inboxes(Limits(requests=3))
    inbox = inboxes.make(Behaviour())
    for _ in range(5):
        inboxes.keep(inbox, a_request(webhook_id="same"))
    assert list(inbox.requests) == [3, 4, 5]
    assert inbox.unread == {3, 4, 5}
    assert inbox.requests[5].earlier == (2, 3, 4), "what it knew when it came"
    assert inbox.same_id(inbox.requests[4]) == [3, 5], "what it knows now"
    assert [each.number for each in inbox.since(3)] == [4, 5]


def test_bytes_are_bounded_per_inbox_and_in_all() -> None:
    big = a_request(b"x" * 10_000)
    inboxes = Inboxes(Limits(inbox_bytes=3 * big.held, all_bytes=5 * big.held))
    one, other = inboxes.make(Behaviour()), inboxes.make(Behaviour())
    for _ in range(4):
        inboxes.keep(one, big)
    assert list(one.requests) == [2, 3, 4]
    for _ in range(3):
        inboxes.keep(other, big)
    assert len(one.requests) + len(other.requests) == 5
    assert list(other.requests)[-1] == 3
    assert one.held == big.held * len(one.requests)


def test_one_request_larger_than_an_inbox_is_kept_alone() -> None:
    inboxes = Inboxes(Limits(inbox_bytes=OVERHEAD))
    inbox = inboxes.make(Behaviour())
    inboxes.keep(inbox, a_request())
    inboxes.keep(inbox, a_request(b"x" * 5000))
    assert list(inbox.requests) == [2]


def test_an_inbox_expires_when_nobody_uses_it() -> None:
    clock = Clock()
    inboxes = Inboxes(Limits(lifetime=10), clock=clock)
    used, unused = inboxes.make(Behaviour()), inboxes.make(Behaviour())
    clock.now += 9
    assert inboxes.find(used.id) is used
    clock.now += 2
    assert inboxes.find(used.id) is used
    with pytest.raises(NotFound, match="drie dagen"):
        inboxes.find(unused.id)


def test_when_there_are_many_only_one_that_nobody_uses_gives_way() -> None:
    clock = Clock()
    inboxes = Inboxes(Limits(inboxes=2, unused=60), clock=clock)
    first, second = inboxes.make(Behaviour()), inboxes.make(Behaviour())
    clock.now += 30
    inboxes.find(first.id)
    with pytest.raises(ServiceUnavailable) as raised:
        inboxes.make(Behaviour())
    assert raised.value.retry_after == 31
    clock.now += 31
    inboxes.make(Behaviour())
    assert inboxes.find(first.id) is first
    with pytest.raises(NotFound):
        inboxes.find(second.id)


def test_emptied_numbers_go_on() -> None:
    inboxes = Inboxes()
    inbox = inboxes.make(Behaviour())
    inboxes.keep(inbox, a_request(webhook_id="a"))
    inbox.empty()
    kept = inboxes.keep(inbox, a_request(webhook_id="a"))
    assert (kept.number, kept.earlier, inbox.held) == (2, (), kept.held)


def test_places_are_bounded_and_given_back() -> None:
    inboxes = Inboxes(replace(Limits(), waiting=1, answering=1))
    for place in (inboxes.waiting, inboxes.answering):
        with place(), pytest.raises(ServiceUnavailable), place():
            raise AssertionError("two at once")
        with place():
            pass


async def test_whoever_waits_is_told() -> None:
    inboxes = Inboxes()
    inbox = inboxes.make(Behaviour())
    inboxes.keep(inbox, a_request())
    for act in (lambda: inbox.read(1), inbox.read_all, inbox.empty, inboxes.stop):
        waiting = inbox.news(60)
        task = asyncio.create_task(waiting)
        await asyncio.sleep(0)
        act()
        await task
