"""What a ledger store tells of the deliveries before one and behind it, of the same hoofdObject."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.tables.turns import MOST_AHEAD, Asked, Turn, behind, waits_for
from ledger.values import Attempt, Entry, Key, Outcome, State
from tests.contract.stores.opened import ledger_in
from tests.contract.stores.test_ledger import AT, an_entry

AB, OTHER = uuid4(), uuid4()
ZAAK, ANDERE = "https://zaken.example.nl/zaken/1", "https://zaken.example.nl/zaken/2"


@pytest.fixture
async def ledger(address: str) -> AsyncIterator[Ledger]:
    async with ledger_in(address, clock=lambda: AT / 1000) as opened:
        yield opened


def entry(second: float, *, zaak: str = ZAAK, to: tuple[UUID, ...] = (AB,)) -> Entry:
    at = AT + round(second * 1000)
    return replace(an_entry(*to), id=new_id(at=at / 1000), received=at, hoofd_object=zaak)


def ended(of: Entry, state: State = State.DELIVERED) -> Outcome:
    return Outcome(Key(of.id, AB), state, round=0, attempts=1, at=AT + 1)


async def turn_of(ledger: Ledger, of: Entry, *, after: UUID | None = None) -> Turn:
    (turn,) = await ledger.turns([Asked(Key(of.id, AB), after)])
    return turn


async def ahead(ledger: Ledger, of: Entry, *, after: UUID | None = None) -> list[UUID]:
    turn = await turn_of(ledger, of, after=after)
    assert turn.known
    assert turn.own == await ledger.delivery(Key(of.id, AB))
    return [each.delivery.key.notificatie for each in turn.ahead]


async def test_what_is_open_of_the_same_object_and_earlier_is_ahead(ledger: Ledger) -> None:
    one, two, three = entry(1), entry(2), entry(3)
    not_ours = [entry(1.5, zaak=ANDERE), entry(1.6, to=(OTHER,)), entry(4)]
    await ledger.write([three, two, one, *not_ours])
    assert await ahead(ledger, three) == [one.id, two.id]
    assert await ahead(ledger, one) == []
    assert await ahead(ledger, three, after=one.id) == [two.id]
    await ledger.write([ended(one)])
    assert await ahead(ledger, three) == [two.id]
    await ledger.write([ended(two, State.UNDELIVERABLE)])
    assert await ahead(ledger, three) == []


async def test_it_is_asked_for_several_at_once_in_the_order_of_the_questions(ledger: Ledger) -> None:
    entries = [entry(n) for n in range(5)]
    await ledger.write(entries)
    turns = await ledger.turns([Asked(Key(each.id, AB)) for each in reversed(entries)])
    assert [len(each.ahead) for each in turns] == [4, 3, 2, 1, 0]


async def test_no_more_are_told_than_are_needed(ledger: Ledger) -> None:
    entries = [entry(n) for n in range(MOST_AHEAD + 5)]
    await ledger.write(entries)
    turn = await turn_of(ledger, entries[-1])
    assert turn.more
    assert [each.delivery.key.notificatie for each in turn.ahead] == [e.id for e in entries[:MOST_AHEAD]]
    assert not (await turn_of(ledger, entries[3])).more


async def test_when_it_failed_first_is_that_of_its_present_attempts(ledger: Ledger) -> None:
    one, two = entry(1), entry(2)
    failed = [Attempt(AT + 10_000 * n, n, "http_status", "answered 500", 500) for n in (1, 2)]
    await ledger.write([one, two])
    for each in failed:
        outcome = Outcome(
            Key(one.id, AB), State.RETRYING, round=0, attempts=each.number, at=each.at, wait=60, failed=each
        )
        await ledger.write([outcome])
    (found,) = (await turn_of(ledger, two)).ahead
    assert found.first_failed == failed[0].at
    assert found.delivery.next_at == AT + 60_000
    # Sent again with all its attempts, and failed once more.
    again = Attempt(AT + 90_000, 1, "http_status", "answered 500", 500)
    await ledger.write(
        [Outcome(Key(one.id, AB), State.RETURNING, round=1, attempts=0, at=AT + 80_000, anew=True)]
    )
    (found,) = (await turn_of(ledger, two)).ahead
    assert found.first_failed is None
    await ledger.write(
        [Outcome(Key(one.id, AB), State.RETRYING, round=1, attempts=1, at=again.at, wait=9, failed=again)]
    )
    (found,) = (await turn_of(ledger, two)).ahead
    assert found.first_failed == again.at


async def test_a_replay_has_an_order_of_its_own(ledger: Ledger) -> None:
    one, two = entry(1), entry(2)
    await ledger.write([one, two, ended(one), ended(two)])
    await ledger.write(
        [Outcome(Key(each.id, AB, 7), State.RETURNING, round=1, attempts=0, at=AT) for each in (one, two)]
    )
    (turn,) = await ledger.turns([Asked(Key(two.id, AB, 7))])
    assert [each.delivery.key for each in turn.ahead] == [Key(one.id, AB, 7)]
    assert await ahead(ledger, two) == []


async def test_a_notificatie_that_the_ledger_lacks_is_not_known(ledger: Ledger) -> None:
    await ledger.write([entry(1)])
    lacking = entry(2)
    turn = await turn_of(ledger, lacking)
    assert (turn.known, turn.own, turn.ahead) == (False, None, ())
    assert await ledger.behind(Key(lacking.id, AB), limit=10) == []


async def test_what_waits_behind_one_is_told_apart_from_what_is_on_its_way(ledger: Ledger) -> None:
    one, two, three, four = (entry(n) for n in range(1, 5))
    await ledger.write([one, two, three, four, entry(2.5, zaak=ANDERE)])
    note = behind(AT + 5, one.id)
    waiting = Outcome(
        Key(two.id, AB),
        State.RETURNING,
        round=1,
        attempts=0,
        at=AT + 5,
        wait=-30,
        failed=note,
        waits=True,
    )
    given_back = Outcome(Key(three.id, AB), State.RETURNING, round=1, attempts=0, at=AT + 5)
    await ledger.write([waiting, given_back])
    found = await ledger.behind(Key(one.id, AB), limit=10)
    assert [(each.delivery.key.notificatie, each.waits) for each in found] == [
        (two.id, True),
        (three.id, False),
        (four.id, False),
    ]
    assert len(await ledger.behind(Key(one.id, AB), limit=2)) == 2
    assert found[0].delivery.since == AT - 30_000
    assert waits_for(found[0].delivery, [*await ledger.attempts(found[0].delivery.key)]) == one.id
    assert waits_for(found[1].delivery, [*await ledger.attempts(found[1].delivery.key)]) is None
    # One that is being brought back waits no longer.
    brought = Outcome(Key(two.id, AB), State.RETURNING, round=1, attempts=0, at=AT + 6, waits=True)
    await ledger.write([brought])
    found = await ledger.behind(Key(one.id, AB), limit=1)
    assert not found[0].waits
    # Nobody asked to send it again, and RabbitMQ did not lose it.
    (minute,) = await ledger.per_minute(since=AT)
    assert minute.asked_for == 1
    assert State.RETURNING not in minute.came_to
