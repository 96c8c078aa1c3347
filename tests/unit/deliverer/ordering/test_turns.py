"""Whether it is a delivery's turn; also that, by any schedule, one object is delivered in order."""

from __future__ import annotations

import random
from collections.abc import Set
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from deliverer.ordering.turns import (
    LONGEST,
    PATIENCE,
    ROW_WITHIN,
    WAIT_FAR,
    WAIT_ON,
    Go,
    InHand,
    Mine,
    Park,
    Settled,
    decide,
)
from ledger.ids import new_id
from ledger.tables.turns import MOST_AHEAD, Ahead, Turn
from ledger.values import OPEN, Delivery, Key, State

NOW = 1_700_000_000_000
ABONNEMENT = uuid4()
FIRST, SECOND, THIRD = (new_id(at=1_600_000_000 + n) for n in range(3))
HOUR = 3600


def row(
    id_: UUID, state: State = State.PENDING, *, next_in: float | None = None, round_: int = 0
) -> Delivery:
    next_at = None if next_in is None else NOW + round(next_in * 1000)
    return Delivery(
        Key(id_, ABONNEMENT), state, round=round_, attempts=0, since=0, last_at=0, next_at=next_at
    )


def ahead(
    id_: UUID, state: State = State.PENDING, *, next_in: float | None = None, failed: float | None = None
) -> Ahead:
    """failed: seconds since its first failed attempt."""
    return Ahead(row(id_, state, next_in=next_in), None if failed is None else NOW - round(failed * 1000))


def turn(*before: Ahead, own: Delivery | None = None, known: bool = True) -> Turn:
    return Turn(NOW, known, own or row(THIRD), before)


def mine(
    *, before: Set[UUID] = frozenset(), delivered: Set[UUID] = frozenset(), waited: float = 0, age: float = 1
) -> Mine:
    return Mine(Key(THIRD, ABONNEMENT), 0, before, lambda key: key.notificatie in delivered, waited, age)


def test_with_nothing_before_it_goes() -> None:
    assert decide(turn(), mine(), set_aside_after=HOUR) == Go()


@pytest.mark.parametrize("state", sorted(OPEN - {State.STUCK, State.UNSURE}))
def test_one_before_it_that_is_open_is_waited_for(state: State) -> None:
    assert decide(turn(ahead(FIRST, state)), mine(), set_aside_after=HOUR) == InHand(here=False)


@pytest.mark.parametrize("state", [State.STUCK, State.UNSURE])
def test_one_that_an_operator_has_to_look_at_is_set_aside(state: State) -> None:
    first = ahead(FIRST, state)
    assert decide(turn(first), mine(), set_aside_after=HOUR) == Go((first,))


def test_what_this_process_delivered_itself_has_ended_whatever_the_ledger_says() -> None:
    assert decide(turn(ahead(FIRST)), mine(delivered={FIRST}), set_aside_after=HOUR) == Go()


def test_one_in_hand_here_is_waited_for_without_asking_again() -> None:
    found = turn(ahead(FIRST), ahead(SECOND))
    assert decide(found, mine(before={SECOND}), set_aside_after=HOUR) == InHand(here=True)


def test_one_in_hand_here_that_the_ledger_lacks_still_is_waited_for() -> None:
    assert decide(turn(), mine(before={FIRST}), set_aside_after=HOUR) == InHand(here=True)
    late = mine(before={FIRST}, waited=PATIENCE)
    assert decide(turn(), late, set_aside_after=HOUR) == Park(FIRST, WAIT_ON)


def test_after_a_moment_in_hand_it_waits_in_the_ledger() -> None:
    assert decide(turn(ahead(FIRST)), mine(waited=PATIENCE), set_aside_after=HOUR) == Park(FIRST, WAIT_ON)


def test_once_a_lane_has_waited_for_one_each_of_many_behind_it_waits_in_the_ledger_at_once() -> None:
    """Else each keeps one of few places for a moment, and others wait for all of them."""
    behind = replace(mine(), waited_for=lambda head: PATIENCE * (head == row(FIRST)))
    assert decide(turn(ahead(FIRST)), behind, set_aside_after=HOUR) == Park(FIRST, WAIT_ON)
    assert decide(turn(ahead(SECOND)), behind, set_aside_after=HOUR) == InHand(here=False)


def test_behind_one_that_was_put_off_without_an_attempt_it_waits_in_the_ledger() -> None:
    """By `consolidate`: it is PENDING, in a wait queue until `since`."""
    put_off = replace(row(FIRST), since=NOW + 60_000)
    assert decide(turn(Ahead(put_off)), mine(), set_aside_after=HOUR) == Park(FIRST, 60 + WAIT_ON)


def test_the_longer_until_the_next_attempt_of_the_head_the_longer_it_waits() -> None:
    near = decide(turn(ahead(FIRST, State.RETRYING, next_in=60)), mine(), set_aside_after=HOUR)
    assert near == Park(FIRST, 60 + WAIT_ON)
    far = decide(turn(ahead(FIRST, State.RETRYING, next_in=7200)), mine(), set_aside_after=HOUR)
    assert far == Park(FIRST, WAIT_FAR)
    many = [ahead(new_id(at=1_500_000_000 + n), State.RETRYING, next_in=7200) for n in range(MOST_AHEAD)]
    behind_many = decide(turn(*many), mine(), set_aside_after=100 * HOUR)
    assert isinstance(behind_many, Park)
    assert behind_many.seconds == LONGEST


def test_it_comes_back_when_the_head_will_be_set_aside() -> None:
    failing = ahead(FIRST, State.RETRYING, next_in=600, failed=HOUR - 50)
    assert decide(turn(failing), mine(), set_aside_after=HOUR) == Park(FIRST, 50)


def test_a_head_that_fails_for_too_long_is_set_aside_also_in_hand_of_this_process() -> None:
    failing = ahead(FIRST, State.RETRYING, next_in=600, failed=HOUR)
    assert decide(turn(failing), mine(), set_aside_after=HOUR) == Go((failing,))
    assert decide(turn(failing), mine(before={FIRST}), set_aside_after=HOUR) == Go((failing,))
    waits = decide(turn(failing, ahead(SECOND)), mine(), set_aside_after=HOUR)
    assert waits == InHand(here=False)


def test_with_as_many_before_it_as_are_told_there_may_be_others() -> None:
    many = [ahead(new_id(at=1_500_000_000 + n)) for n in range(MOST_AHEAD)]
    ended = {each.delivery.key.notificatie for each in many}
    assert decide(turn(*many), mine(delivered=ended), set_aside_after=HOUR) == InHand(here=False)


def test_one_that_ended_or_has_a_newer_round_is_dropped() -> None:
    for own in (row(THIRD, State.DELIVERED), row(THIRD, State.RETURNING, round_=1)):
        assert decide(turn(ahead(FIRST), own=own), mine(), set_aside_after=HOUR) == Settled()


def test_another_message_of_the_same_is_waited_for_and_ends_with_it() -> None:
    assert decide(turn(), mine(before={THIRD}, waited=PATIENCE), set_aside_after=HOUR) == InHand(here=True)
    assert decide(turn(), replace(mine(), has_ended=True), set_aside_after=HOUR) == Settled()


def test_one_that_the_ledger_does_not_have_yet_stays_in_hand_for_a_minute() -> None:
    lacking = Turn(NOW, known=False)
    assert decide(lacking, mine(waited=PATIENCE), set_aside_after=HOUR) == InHand(here=False)
    assert decide(lacking, mine(age=ROW_WITHIN), set_aside_after=HOUR) == Go()
    assert decide(lacking, mine(age=ROW_WITHIN, before={FIRST}), set_aside_after=HOUR) == InHand(here=True)


@pytest.mark.parametrize("seed", range(30))
def test_by_any_schedule_one_object_is_attempted_in_order(seed: int) -> None:
    """Processes that each know what they delivered, and a ledger that lags behind all of them."""
    rng = random.Random(seed)
    ids = [new_id(at=1_600_000_000 + n) for n in range(12)]
    rows = dict.fromkeys(ids, State.PENDING)  # as the ledger has them
    late: list[UUID] = []  # delivered, and not in the ledger yet
    delivered: list[set[UUID]] = [set() for _ in range(3)]  # by process
    hands: list[set[UUID]] = [set() for _ in range(3)]
    queue, parked, attempted, ended = list(ids), set[UUID](), list[UUID](), set[UUID]()
    for _ in range(5000):
        if len(ended) == len(ids):
            break
        step, process = rng.random(), rng.randrange(3)
        if step < 0.2 and late:
            rows[late.pop(0)] = State.DELIVERED
        elif step < 0.3 and parked:
            queue.append(id_ := rng.choice(sorted(parked)))
            parked.discard(id_)
        elif step < 0.35:  # killed: RabbitMQ delivers again what it had in hand
            queue += sorted(hands[process])
            hands[process], delivered[process] = set(), set()
        elif step < 0.6 and queue:
            hands[process].add(queue.pop(rng.randrange(len(queue))))
        elif hands[process]:
            id_ = rng.choice(sorted(hands[process]))
            before = tuple(Ahead(row(each, rows[each])) for each in ids if each < id_ and rows[each] in OPEN)
            waited = rng.choice([0.0, PATIENCE])
            knows = Mine(
                Key(id_, ABONNEMENT),
                0,
                {each for each in hands[process] if each < id_},
                lambda key, known=frozenset(delivered[process]): key.notificatie in known,  # type: ignore[misc]
                rng.choice([0.0, PATIENCE]),
                1,
                id_ in delivered[process],
                lambda _, waited=waited: waited,  # type: ignore[misc]
            )
            match decide(Turn(NOW, True, row(id_, rows[id_]), before), knows, set_aside_after=HOUR):
                case Go():
                    assert all(each in ended for each in ids if each < id_), (id_, attempted)
                    attempted.append(id_)
                    hands[process].discard(id_)
                    if rng.random() < 0.3:
                        queue.append(id_)  # it failed
                    else:
                        ended.add(id_)
                        delivered[process].add(id_)
                        late.append(id_)
                case Park():
                    hands[process].discard(id_)
                    parked.add(id_)
                case Settled():
                    hands[process].discard(id_)
                case InHand():
                    pass
    assert len(ended) == len(ids)
