"""The account of a load: what is counted as delivered, missing and twice, in whatever order."""

from __future__ import annotations

import asyncio
import random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrc.cli.benching.account import Account, quantile
from nrc.cli.benching.load import KENMERKEN, mark_of, message, send_each


def test_all_that_was_accepted_and_came_once_is_delivered() -> None:
    account = Account(2)
    for at in (10.0, 10.5):
        number = account.posted(at)
        account.answered(number, "201", at + 0.1)
        assert account.arrived(number, 0, at + 0.2)
        assert account.arrived(number, 1, at + 0.4)
    figures = account.figures()
    assert (figures.published, figures.accepted, figures.expected, figures.delivered) == (2, 2, 4, 4)
    assert (figures.missing, figures.twice, figures.unasked) == (0, 0, 0)
    assert figures.latencies == pytest.approx([200, 200, 400, 400])
    assert figures.answer_times == pytest.approx([100, 100])
    assert figures.seconds == pytest.approx(0.6)
    assert figures.accepted_per_second == pytest.approx(2 / 0.6)
    assert figures.delivered_per_second == pytest.approx(4 / 0.9)


def test_what_did_not_come_is_missing_and_what_came_again_is_twice() -> None:
    account = Account(2)
    for _ in range(3):
        account.answered(account.posted(0.0), "201", 0.1)
    account.arrived(0, 0, 0.2)
    account.arrived(0, 0, 0.9)
    account.arrived(2, 1, 0.2)
    assert account.missing == account.figures().missing == 4
    assert account.figures().twice == 1
    assert account.figures().latencies == pytest.approx([200, 200]), "the first of each counts"


def test_an_arrival_before_the_201_counts_as_any_other() -> None:
    account = Account(1)
    number = account.posted(0.0)
    account.arrived(number, 0, 0.1)
    assert account.delivered == 0
    account.answered(number, "201", 0.2)
    assert (account.delivered, account.missing) == (1, 0)


def test_what_was_not_answered_with_201_is_no_loss() -> None:
    account = Account(1)
    for answer in ("503", "no answer (ServerDisconnectedError)", "503"):
        account.answered(account.posted(0.0), answer, 0.1)
    account.arrived(1, 0, 0.2)
    figures = account.figures()
    assert figures.answers == {"503": 2, "no answer (ServerDisconnectedError)": 1}
    assert (figures.expected, figures.missing, figures.unasked) == (0, 0, 1)
    assert figures.accepted_per_second == 0


@pytest.mark.parametrize(("number", "abonnement"), [(1, 0), (-1, 0), (0, 1)])
def test_what_is_not_of_this_load_is_not_counted(number: int, abonnement: int) -> None:
    account = Account(1)
    account.posted(0.0)
    assert not account.arrived(number, abonnement, 0.1)
    assert (account.arrivals, account.figures().latencies) == (0, [])


def test_nothing_at_all_has_figures_too() -> None:
    figures = Account(1).figures()
    assert (figures.published, figures.seconds, figures.delivered_per_second) == (0, 0, 0)
    assert quantile(figures.latencies, 0.5) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=20), st.randoms())
def test_the_order_changes_nothing(notificaties: list[tuple[bool, int]], dice: random.Random) -> None:
    """Each is accepted or not, and comes so many times: the counts are those, in any order."""
    account = Account(1)
    steps = []
    for accepted, times in notificaties:
        number = account.posted(0.0)
        steps += [("answer", number, accepted)] + [("arrival", number, accepted)] * times
    dice.shuffle(steps)
    for step, number, accepted in steps:
        if step == "answer":
            account.answered(number, "201" if accepted else "500", 1.0)
        else:
            account.arrived(number, 0, 1.0)
    figures = account.figures()
    assert figures.delivered == sum(accepted and times > 0 for accepted, times in notificaties)
    assert figures.missing == sum(accepted and times == 0 for accepted, times in notificaties)
    assert figures.twice == sum(max(0, times - 1) for _, times in notificaties)
    assert figures.unasked == sum(not accepted and times > 0 for accepted, times in notificaties)


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_quantiles_are_by_nearest_rank(share: float, value: float) -> None:
    assert quantile(list(range(1, 101)), share) == value


@pytest.mark.parametrize("run", ["", "0123456789abfirst"])
def test_a_message_is_known_again_by_its_mark(run: str) -> None:
    body = message("zaken", 42, run=run)
    assert mark_of(body) == (run, 42)
    assert orjson.loads(body)["kenmerken"] == KENMERKEN


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{}", b'{"resourceUrl": null}', b'{"resourceUrl": "https://a.nl/x"}']
)
def test_a_test_message_has_no_mark(body: bytes) -> None:
    assert mark_of(body) is None


async def test_each_number_is_sent_once_and_no_more_at_once_than_asked() -> None:
    sent, under_way, most = [], 0, 0

    async def send(number: int) -> float:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        sent.append(number)
        return 0.0

    await send_each(send, at_once=3, count=50)
    assert sorted(sent) == list(range(50))
    assert most == 3


async def test_at_a_rate_none_begins_before_its_time() -> None:
    loop = asyncio.get_running_loop()
    began, at = loop.time(), []

    async def send(number: int) -> float:
        at.append((number, loop.time() - began))
        return 0.0

    await send_each(send, at_once=4, count=10, rate=200)
    assert all(after >= number / 200 - 0.001 for number, after in at)
    assert sorted(number for number, _ in at) == list(range(10))


async def test_it_ends_when_its_time_is_over_and_raises_what_sending_raises() -> None:

    async def send(_: int) -> float:
        return 0.01

    async with asyncio.timeout(60):
        await send_each(send, at_once=2, seconds=0.05)

    async def fail(number: int) -> float:
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        await send_each(fail, at_once=1, count=1)
