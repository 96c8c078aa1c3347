"""What a ledger store does for the keeper (ledger/keeper_ledger.py), with a database's clock of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from ledger.copies.instance import Instance, older_than_noted
from ledger.keeper_ledger import Gap, Hands, InLane, Process, Unsent
from ledger.ledger import Ledger
from ledger.tables.turns import behind
from ledger.values import (
    CUT_OFF,
    EVERYTHING,
    OPERATOR,
    RETURNED,
    Attempt,
    Cause,
    Delivery,
    Entry,
    GapClosed,
    GapOpened,
    Heartbeat,
    Incomplete,
    Key,
    Outcome,
    PassedOn,
    Probe,
    Scope,
    State,
    Unrouted,
)
from schemas.errors import LeaseLost
from store.registry import NotedLedger
from tests.contract.stores.opened import ledger_in
from tests.contract.stores.test_ledger import AT, an_entry

LIVE = 15.0


class Clock:
    """The database's clock, in Unix seconds."""

    def __init__(self) -> None:
        self.now = AT / 1000

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ledger(address: str, clock: Clock) -> AsyncIterator[Ledger]:
    async with ledger_in(address, clock=clock) as opened:
        yield opened


async def row(ledger: Ledger, entry: Entry, abonnement: UUID) -> Delivery:
    found = await ledger.delivery(Key(entry.id, abonnement))
    assert found is not None
    return found


async def waiting(ledger: Ledger) -> list[Unsent]:
    return list(await ledger.keeping.unrouted(settled=10, live=LIVE, limit=100))


async def an_epoch(ledger: Ledger) -> int:
    epoch = await ledger.keeping.take_lease("test", seconds=1e6)
    assert epoch is not None
    return epoch


# The lease


async def test_one_holder_has_the_lease_until_it_runs_out(ledger: Ledger, clock: Clock) -> None:
    keeping = ledger.keeping
    assert await keeping.lease() is None
    assert await keeping.take_lease("a", seconds=15) == 1
    assert await keeping.take_lease("b", seconds=15) is None
    clock.now += 14
    assert await keeping.take_lease("a", seconds=15) == 1
    clock.now += 14.9
    assert await keeping.take_lease("b", seconds=15) is None
    clock.now += 0.2
    assert await keeping.take_lease("b", seconds=15) == 2
    assert await keeping.take_lease("a", seconds=15) is None
    found = await keeping.lease()
    assert found is not None
    assert (found.holder, found.epoch) == ("b", 2)


async def test_a_lease_that_is_given_up_is_free_at_once(ledger: Ledger) -> None:
    keeping = ledger.keeping
    await keeping.take_lease("a", seconds=15)
    await keeping.release_lease("b")
    assert await keeping.take_lease("b", seconds=15) is None
    await keeping.release_lease("a")
    assert await keeping.take_lease("b", seconds=15) == 2


async def test_a_lease_of_a_clock_that_was_far_ahead_holds_nobody_up(ledger: Ledger, clock: Clock) -> None:
    clock.now += 1e6
    await ledger.keeping.take_lease("a", seconds=15)
    clock.now -= 1e6
    assert await ledger.keeping.take_lease("b", seconds=15) == 2


async def test_without_the_lease_nothing_changes(ledger: Ledger) -> None:
    entry, abonnement = an_entry(one := uuid4()), one
    await ledger.write([entry, Unrouted(entry.id)])
    before = await row(ledger, entry, abonnement)
    keeping = ledger.keeping
    with pytest.raises(LeaseLost, match="nobody"):
        await keeping.give_back(1, [before], cause=Cause.QUEUE)
    old = await an_epoch(ledger)
    await keeping.release_lease("test")
    new = await keeping.take_lease("other", seconds=15)
    for change in (
        keeping.give_back(old, [before], cause=Cause.QUEUE),
        keeping.give_back_again(old, after=0, limit=9),
        keeping.given_back(old, [before]),
        keeping.end(old, [before]),
        keeping.routed(old, [entry.id]),
    ):
        with pytest.raises(LeaseLost, match="other"):
            await change
    assert await row(ledger, entry, abonnement) == before
    assert new is not None
    assert len(await keeping.give_back(new, [before], cause=Cause.QUEUE)) == 1


# Unrouted


async def test_unrouted_are_told_once_no_confirm_can_come_any_more(ledger: Ledger, clock: Clock) -> None:
    first, second, other = an_entry(uuid4()), an_entry(uuid4(), uuid4(), at=AT + 1), an_entry(uuid4())
    await ledger.write([second, Unrouted(second.id), other])
    await ledger.write([first, Unrouted(first.id)])
    clock.now += 9.9
    assert await waiting(ledger) == []
    clock.now += 0.1
    found = await waiting(ledger)
    assert [each.notificatie for each in found] == [first.id, second.id]
    assert [{row.key.abonnement for row in each.deliveries} for each in found] == [
        set(first.matched),
        set(second.matched),
    ]
    assert await ledger.keeping.unrouted_count() == 2
    after = await ledger.keeping.unrouted(settled=10, live=LIVE, limit=1, after=first.id)
    assert [each.notificatie for each in after] == [second.id]


async def test_of_what_something_is_known_nothing_is_given_back(ledger: Ledger, clock: Clock) -> None:
    abonnementen = [uuid4() for _ in range(5)]
    entry = an_entry(*abonnementen)
    delivered, failed, probed, in_hand, unknown = abonnementen
    fault = Attempt(AT, 1, "status", "status 500")
    await ledger.write(
        [
            entry,
            Unrouted(entry.id),
            Outcome(Key(entry.id, delivered), State.DELIVERED, round=0, attempts=1, at=AT),
            Outcome(Key(entry.id, failed), State.RETRYING, round=0, attempts=1, at=AT, wait=60, failed=fault),
            Probe(Key(entry.id, probed), Attempt(AT, 0, "timeout", "no answer")),
        ]
    )
    clock.now += 20
    await ledger.write([Heartbeat("d", all_flushed=True, hands=frozenset({Key(entry.id, in_hand)}))])
    (found,) = await waiting(ledger)
    assert [each.key.abonnement for each in found.deliveries] == [unknown]
    everything = frozenset({Key(EVERYTHING, unknown), Key(EVERYTHING, in_hand)})
    await ledger.write([Heartbeat("d", all_flushed=True, hands=everything)])
    assert (await waiting(ledger))[0].deliveries == ()
    await ledger.write([Heartbeat("d", all_flushed=True, hands=frozenset({Key(entry.id, in_hand)}))])

    epoch = await an_epoch(ledger)
    (given,) = await ledger.keeping.give_back(epoch, found.deliveries, cause=Cause.QUEUE)
    assert (given.state, given.round, given.attempts, given.since) == (
        State.RETURNING,
        1,
        0,
        round(clock.now * 1000),
    )
    # A deliverer has one in hand: what becomes of it is not known yet.
    assert await ledger.keeping.routed(epoch, [entry.id]) == 0
    clock.now += LIVE + 1
    (found,) = await waiting(ledger)
    assert [each.key.abonnement for each in found.deliveries] == [in_hand]
    await ledger.write([Outcome(Key(entry.id, in_hand), State.DELIVERED, round=0, attempts=1, at=AT)])
    assert await ledger.keeping.routed(epoch, [entry.id]) == 1
    assert await waiting(ledger) == []
    # Told again, as a gateway may: that does not undo it.
    await ledger.write([entry, Unrouted(entry.id)])
    clock.now += 20
    assert await waiting(ledger) == []


async def test_what_waits_in_the_lane_is_no_unrouted_and_not_judged(ledger: Ledger, clock: Clock) -> None:
    one, other = uuid4(), uuid4()
    first, second, third, _ = bulk = [
        an_entry(*matched, at=AT + number, passed_on=PassedOn("b", "c", lane=True))
        for number, matched in enumerate([(one, other), (one,), (other,), ()])
    ]
    for entry in reversed(bulk):
        await ledger.write([entry, Unrouted(entry.id, lane=True)])
    clock.now += 20
    keeping, epoch = ledger.keeping, await an_epoch(ledger)
    assert await waiting(ledger) == []
    assert await keeping.unrouted_count() == 0
    facts = await keeping.facts()
    assert (facts.unrouted, facts.lane) == (0, 4)
    assert await keeping.in_lane() == {one: InLane(first.id, 2), other: InLane(first.id, 2)}
    for each in (one, other):
        assert await keeping.suspects(each, before=round(clock.now * 1000), limit=9) == []

    rows = await keeping.of_lane(one, begin=first.id, limit=9)
    assert [row.key for row in rows] == [Key(first.id, one), Key(second.id, one)]
    assert await keeping.of_lane(one, begin=first.id, limit=1) == rows[:1]
    assert await keeping.of_lane(one, begin=second.id, limit=9) == rows[1:]
    assert await keeping.under_way(one, [first.id, second.id]) == set()  # not given yet
    given = await keeping.give_back(epoch, rows, cause=Cause.UNROUTED)
    await keeping.given_back(epoch, given)
    await ledger.write([Outcome(Key(first.id, one), State.DELIVERED, round=1, attempts=1, at=AT + 50)])
    assert await keeping.under_way(one, [first.id, second.id, third.id]) == {second.id}
    assert await keeping.in_lane() == {other: InLane(first.id, 2)}
    lost = await keeping.suspects(one, before=round(clock.now * 1000) + 1, limit=9)
    assert [each.key.notificatie for each in lost] == [second.id]
    lost = await keeping.suspects(other, before=round(clock.now * 1000) + 1, limit=9)
    assert lost == []
    assert await keeping.leave_lane(epoch) == 2  # the second, and nobody's
    assert (await keeping.facts()).lane == 2
    # Told again, as a gateway may: that does not undo it.
    await ledger.write([second, Unrouted(second.id, lane=True)])
    assert (await keeping.facts()).lane == 2
    rest = await keeping.of_lane(other, begin=first.id, limit=9)
    assert [row.key for row in rest] == [Key(first.id, other), Key(third.id, other)]
    await keeping.given_back(epoch, await keeping.give_back(epoch, rest, cause=Cause.UNROUTED))
    assert await keeping.leave_lane(epoch) == 2
    assert await keeping.in_lane() == {}
    found = await ledger.notificatie(first.id)
    assert found is not None
    assert (found.batch, found.correlation, found.unrouted) == ("b", "c", False)


async def test_what_waits_for_an_earlier_one_holds_up_no_bulk(ledger: Ledger) -> None:
    """The earlier one may be in the lane itself, written later by another gateway."""
    entry = an_entry(one := uuid4(), passed_on=PassedOn("b", lane=True))
    await ledger.write([entry, Unrouted(entry.id, lane=True)])
    keeping, epoch = ledger.keeping, await an_epoch(ledger)
    rows = await keeping.of_lane(one, begin=entry.id, limit=1)
    await keeping.given_back(epoch, await keeping.give_back(epoch, rows, cause=Cause.UNROUTED))
    assert await keeping.under_way(one, [entry.id]) == {entry.id}
    note = behind(AT + 50, uuid4())
    key = Key(entry.id, one)
    parked = Outcome(key, State.RETURNING, round=2, attempts=0, at=AT + 50, failed=note, waits=True)
    await ledger.write([parked])
    assert await keeping.under_way(one, [entry.id]) == set()
    await ledger.write([Outcome(key, State.PENDING, round=3, attempts=0, at=AT + 60)])
    assert await keeping.under_way(one, [entry.id]) == {entry.id}


async def test_an_unrouted_one_for_nobody_is_cleared_at_once(ledger: Ledger, clock: Clock) -> None:
    entry = an_entry()
    await ledger.write([entry, Unrouted(entry.id)])
    clock.now += 10
    (found,) = await waiting(ledger)
    assert found == Unsent(entry.id, (), entry.catalogue)
    assert await ledger.keeping.routed(await an_epoch(ledger), [entry.id]) == 1
    assert await ledger.keeping.unrouted_count() == 0


async def test_what_changed_since_it_was_read_is_left_alone(ledger: Ledger) -> None:
    entry, abonnement = an_entry(one := uuid4()), one
    await ledger.write([entry])
    before = await row(ledger, entry, abonnement)
    delivered = Outcome(Key(entry.id, abonnement), State.DELIVERED, round=0, attempts=1, at=AT)
    await ledger.write([delivered])
    epoch = await an_epoch(ledger)
    assert await ledger.keeping.give_back(epoch, [before], cause=Cause.QUEUE) == []
    assert await ledger.keeping.end(epoch, [before]) == []
    assert (await row(ledger, entry, abonnement)).state is State.DELIVERED


# Returning


async def test_what_is_confirmed_is_pending_and_what_is_not_is_told_again(
    ledger: Ledger, clock: Clock
) -> None:
    abonnementen = [uuid4() for _ in range(3)]
    entry = an_entry(*abonnementen)
    await ledger.write([entry])
    epoch = await an_epoch(ledger)
    rows = [await row(ledger, entry, each) for each in abonnementen]
    confirmed, not_, late = await ledger.keeping.give_back(epoch, rows, cause=Cause.QUEUE)
    await ledger.write([Outcome(late.key, State.DELIVERED, round=1, attempts=1, at=AT)])
    clock.now += 2
    await ledger.keeping.given_back(epoch, [confirmed, late])
    now = await row(ledger, entry, confirmed.key.abonnement)
    assert (now.state, now.round, now.since) == (State.PENDING, 1, round(clock.now * 1000))
    assert (await row(ledger, entry, late.key.abonnement)).state is State.DELIVERED

    async def again(*but: UUID) -> list[Key]:
        found = await ledger.keeping.give_back_again(epoch, after=60, limit=9, but=frozenset(but))
        assert all((each.state, each.round) == (State.RETURNING, 1) for each in found)
        return [each.key for each in found]

    clock.now += 57.9
    assert await again() == []
    clock.now += 0.1
    assert await again(not_.key.abonnement) == []
    assert await again() == [not_.key]
    assert await again() == []
    clock.now += 60
    assert await again() == [not_.key]


async def test_what_waits_in_a_queue_the_oldest_first(ledger: Ledger, clock: Clock) -> None:
    one = uuid4()
    pending, unrouted, retrying, due, stuck, ended = entries = [
        an_entry(one, at=AT + number) for number in range(6)
    ]
    other_id = replace(an_entry(one, at=AT + 6), id=uuid4())
    await ledger.write([*entries, other_id, an_entry(uuid4()), Unrouted(unrouted.id)])
    await ledger.write(
        [
            Outcome(Key(retrying.id, one), State.RETRYING, round=0, attempts=1, at=AT, wait=60.0),
            Outcome(Key(due.id, one), State.RETRYING, round=0, attempts=1, at=AT, wait=5.0),
            Outcome(Key(stuck.id, one), State.STUCK, round=0, attempts=0, at=AT),
            Outcome(Key(ended.id, one), State.UNDELIVERABLE, round=0, attempts=0, at=AT),
        ]
    )
    clock.now += 10
    keeping = ledger.keeping
    expected = [pending.id, due.id, other_id.id]
    for limit in (1, 2, 9):
        found: list[Delivery] = []
        while page := await keeping.waiting(one, limit=limit, after=found[-1].key if found else None):
            assert len(page) <= limit
            found += page
        assert [each.key.notificatie for each in found] == expected
    assert await keeping.waiting(uuid4(), limit=9) == []


async def test_what_waits_since_before_a_moment(ledger: Ledger, clock: Clock) -> None:
    one = uuid4()
    old, other_id, again, young = entries = [an_entry(one, at=AT + number) for number in range(4)]
    other_id = replace(other_id, id=uuid4())
    entries[1] = other_id
    await ledger.write(entries)
    clock.now += 3600
    sent = Outcome(Key(again.id, one), State.RETURNING, round=1, attempts=0, at=AT + 9, anew=True)
    await ledger.write([sent, replace(sent, state=State.PENDING, anew=False)])
    for before, expected in (
        (AT, set()),
        (AT + 3, {old.id, other_id.id}),
        (AT + 4, {old.id, other_id.id, young.id}),
        (AT + 3_600_001, {old.id, other_id.id, young.id, again.id}),
    ):
        found = await ledger.keeping.waiting(one, limit=9, before=before)
        assert {each.key.notificatie for each in found} == expected, before
    row_ = await row(ledger, again, one)
    assert row_.again_at == AT + 3_600_000
    assert (await row(ledger, old, one)).again_at is None


async def test_a_give_back_may_be_published_later(ledger: Ledger, clock: Clock) -> None:
    entry, abonnement = an_entry(one := uuid4()), one
    await ledger.write([entry])
    epoch = await an_epoch(ledger)
    before = await row(ledger, entry, abonnement)
    (given,) = await ledger.keeping.give_back(epoch, [before], cause=Cause.DROPPED, judged=True, ahead=100.0)
    assert (given.state, given.given, given.last_at) == (State.RETURNING, 1, round(clock.now * 1000))
    for seconds, count in ((159.0, 0), (2.0, 1)):
        clock.now += seconds
        assert len(await ledger.keeping.give_back_again(epoch, after=60, limit=9)) == count


async def test_a_give_back_is_open_still_and_stuck_is_counted(ledger: Ledger) -> None:
    entry, abonnement = an_entry(one := uuid4()), one
    await ledger.write([entry])
    epoch = await an_epoch(ledger)
    given = await ledger.keeping.give_back(epoch, [await row(ledger, entry, abonnement)], cause=Cause.QUEUE)
    backlog = (await ledger.backlogs())[abonnement]
    assert (backlog.count, backlog.size, backlog.stuck) == (1, len(entry.body), 0)
    assert await ledger.keeping.end(epoch, given) == [given[0].key]
    backlog = (await ledger.backlogs())[abonnement]
    assert (backlog.count, backlog.stuck) == (1, 1)


async def test_why_it_was_given_back_stands_among_its_attempts(ledger: Ledger, clock: Clock) -> None:
    entry, abonnement = an_entry(one := uuid4()), one
    await ledger.write([entry])
    epoch = await an_epoch(ledger)
    now = round(clock.now * 1000)
    before = await row(ledger, entry, abonnement)
    (given,) = await ledger.keeping.give_back(epoch, [before], cause=Cause.QUEUE, caused=now - 9000)
    assert await ledger.keeping.give_back(epoch, [before], cause=Cause.EMPTY) == [], "it changed meanwhile"
    assert len(await ledger.keeping.give_back(epoch, [given], cause=Cause.OVERTAKEN)) == 1
    assert await ledger.attempts(Key(entry.id, abonnement)) == (
        Attempt(now - 9000, 0, RETURNED, "queue"),
        Attempt(now, 0, RETURNED, "overtaken"),
    )


# Which ledger it is


async def test_a_mark_grows_and_the_ledger_stays_the_same(ledger: Ledger, clock: Clock) -> None:
    made = await ledger.instance()
    assert (made.mark, made.unsure_until) == (0, 0)
    epoch = await an_epoch(ledger)
    marked = await ledger.keeping.mark(epoch)
    assert marked == replace(made, mark=1, marked=round(clock.now * 1000))
    assert (await ledger.keeping.mark(epoch, above=7)).mark == 8
    assert (await ledger.keeping.mark(epoch, above=7)).mark == 9
    assert (await ledger.instance()).id == made.id
    await ledger.keeping.release_lease("test")
    await ledger.keeping.take_lease("other", seconds=9)
    with pytest.raises(LeaseLost):
        await ledger.keeping.mark(epoch)


async def test_what_is_open_in_an_older_copy_is_unsure(ledger: Ledger, clock: Clock) -> None:
    pending, retrying, stuck, delivered, alive, new = (uuid4() for _ in range(6))
    entry = an_entry(pending, retrying, stuck, delivered, alive)
    await ledger.write([entry])

    async def told(abonnement: UUID, state: State, at: int) -> None:
        wait = 3600.0 if state is State.RETRYING else None
        key = Key(entry.id, abonnement)
        await ledger.write([Outcome(key, state, round=0, attempts=1, at=at, wait=wait)])

    await told(retrying, State.RETRYING, AT + 50)
    await told(stuck, State.STUCK, AT + 50)
    await told(delivered, State.DELIVERED, AT + 50)
    # From here on the ledger is the older copy that was put back.
    noted = AT + 60_000
    await told(alive, State.RETRYING, noted + 1)
    later = an_entry(new, at=noted + 1)
    await ledger.write([later, Unrouted(later.id), Unrouted(entry.id)])
    clock.now = noted / 1000 + 30
    epoch = await an_epoch(ledger)

    assert await ledger.keeping.mark_unsure(epoch, until=noted) == 2

    states = {each: (await row(ledger, entry, each)).state for each in entry.matched}
    assert states == {
        pending: State.UNSURE,
        retrying: State.UNSURE,
        stuck: State.STUCK,
        delivered: State.DELIVERED,
        alive: State.RETRYING,
    }
    assert (await row(ledger, entry, retrying)).next_at is None
    backlogs = await ledger.backlogs()
    assert (backlogs[retrying].count, backlogs[retrying].retrying) == (1, 0)
    assert (backlogs[alive].count, backlogs[alive].retrying) == (1, 1)
    assert (await ledger.instance()).unsure_until == noted
    assert await ledger.keeping.mark_unsure(epoch, until=noted) == 0
    found = {each.notificatie: each.deliveries for each in await waiting(ledger)}
    assert not found.get(entry.id)
    assert [each.key.abonnement for each in found[later.id]] == [new], "what came since is brought on"
    # What RabbitMQ had all the same ends it.
    await told(pending, State.DELIVERED, noted + 2)
    assert (await row(ledger, entry, pending)).state is State.DELIVERED


ONE, OTHER = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("instance", "noted", "older"),
    [
        (Instance(ONE, 10, 0, 10), None, False),
        (Instance(ONE, 10, 5, 50), NotedLedger(ONE, 5, 50), False),
        (Instance(ONE, 10, 5, 50), NotedLedger(ONE, 6, 60), True),
        (Instance(ONE, 10, 7, 70), NotedLedger(ONE, 6, 60), False),  # the registry is the older one
        (Instance(ONE, 61, 0, 61), NotedLedger(OTHER, 6, 60), False),  # made anew, after one was lost
        (Instance(ONE, 10, 9, 90), NotedLedger(OTHER, 6, 60), True),  # from before the one in use was made
    ],
)
def test_whether_a_ledger_is_older_than_was_noted(
    instance: Instance, noted: NotedLedger | None, older: bool
) -> None:
    assert older_than_noted(instance, noted) is older


async def test_a_restored_ledger_says_since_when_it_may_lack_something(ledger: Ledger, clock: Clock) -> None:
    copy = await ledger.instance()
    clock.now += 100
    restored = await ledger.make_restored(detail="restored from a backup")
    assert restored.id != copy.id
    assert await ledger.incomplete() == [Incomplete(copy.marked, round(clock.now * 1000))]
    [gap] = await ledger.keeping.gaps(done=False)
    assert (gap.scope, gap.closed) == (Scope.EVERYTHING, None)


# What is judged


async def test_the_hands_of_those_that_live(ledger: Ledger, clock: Clock) -> None:
    keys = [Key(uuid4(), uuid4()) for _ in range(4)]
    now = round(clock.now * 1000)
    assert await ledger.keeping.hands(live=LIVE) == Hands(now, now, frozenset())
    await ledger.write([Heartbeat("dead", all_flushed=True, hands=frozenset({keys[0]}))])
    clock.now += 10
    await ledger.write([Heartbeat("one", all_flushed=True, hands=frozenset({keys[1]}))])
    clock.now += 4
    await ledger.write(
        [
            Heartbeat("other", all_flushed=True, hands=frozenset({keys[2]})),
            Heartbeat("gone", all_flushed=True, hands=frozenset({keys[3]}), stopped=True),
        ]
    )
    clock.now += 2
    found = await ledger.keeping.hands(live=LIVE)
    assert found == Hands(now + 16_000, now + 10_000, frozenset({keys[1], keys[2]}))
    assert sorted(await ledger.keeping.deliverers()) == ["one", "other"]
    # One without RabbitMQ has no part of what is paced, and nothing in hand; it lives.
    await ledger.write([Heartbeat("other", all_flushed=True, hands=frozenset({CUT_OFF}))])
    assert await ledger.keeping.deliverers() == ["one"]
    facts = await ledger.keeping.facts()
    assert {each.name: each.hands for each in facts.living} == {"one": 1, "other": 0}
    # One that lives, and has outcomes that are not written.
    await ledger.write([Heartbeat("one", all_flushed=False)])
    assert (await ledger.keeping.hands(live=LIVE)).heard == now + 10_000


async def test_who_died_does_not_come_back_to_life_when_the_clock_is_put_back(
    ledger: Ledger, clock: Clock
) -> None:
    await ledger.write([Heartbeat("dead", all_flushed=True)])
    clock.now += 1800
    await ledger.write([Heartbeat("one", all_flushed=True)])
    clock.now -= 3600
    await ledger.write([Heartbeat("one", all_flushed=True)])
    assert await ledger.keeping.deliverers() == ["one"]


async def test_the_since_of_what_had_its_first_attempt(ledger: Ledger, clock: Clock) -> None:
    abonnement, other = uuid4(), uuid4()
    fault = Attempt(AT, 1, "status", "status 500")
    entries = []
    for _ in range(3):
        entries.append(an_entry(abonnement, other))
        await ledger.write([entries[-1]])
        clock.now += 100
    begun = [round(clock.now * 1000) - 300_000 + 100_000 * number for number in range(3)]

    def outcome(number: int, state: State = State.DELIVERED, attempts: int = 1) -> Outcome:
        failed = state is State.RETRYING
        key = Key(entries[number].id, abonnement)
        return Outcome(
            key,
            state,
            round=0,
            attempts=attempts,
            at=AT,
            wait=50_000 if failed else None,
            failed=fault if failed else None,
        )

    async def firsts() -> dict[UUID, int]:
        return dict(await ledger.keeping.first_attempts(ended=300))

    await ledger.write([outcome(0)])
    assert await firsts() == {}
    clock.now += 420
    assert await firsts() == {abonnement: begun[0]}
    # Failed: it counts by when it went in, not by when its retry does.
    await ledger.write([outcome(1, State.RETRYING)])
    clock.now += 420
    assert await firsts() == {abonnement: begun[1]}
    # A second attempt says nothing of the order.
    await ledger.write([outcome(1, attempts=2)])
    clock.now += 420
    assert await firsts() == {abonnement: begun[1]}


async def test_suspects_are_open_and_went_in_before(ledger: Ledger, clock: Clock) -> None:
    abonnement = uuid4()
    entries = []
    for _ in range(6):
        entries.append(an_entry(abonnement, at=round(clock.now * 1000)))
        await ledger.write([entries[-1]])
        clock.now += 1
    before = round(clock.now * 1000)
    await ledger.write([an_entry(abonnement, at=before)])
    delivered, unrouted, stuck, retried, waits, pending = entries
    fault = Attempt(AT, 1, "status", "status 500")
    await ledger.write(
        [
            Outcome(Key(delivered.id, abonnement), State.DELIVERED, round=0, attempts=1, at=AT),
            Unrouted(unrouted.id),
            Outcome(Key(stuck.id, abonnement), State.STUCK, round=0, attempts=0, at=AT),
            Outcome(
                Key(waits.id, abonnement), State.RETRYING, round=0, attempts=1, at=AT, wait=9, failed=fault
            ),
        ]
    )
    clock.now -= 100
    await ledger.write(
        [
            Outcome(
                Key(retried.id, abonnement), State.RETRYING, round=0, attempts=1, at=AT, wait=9, failed=fault
            )
        ]
    )
    found = await ledger.keeping.suspects(abonnement, before=before, limit=9)
    assert [row.key.notificatie for row in found] == [retried.id, pending.id]
    (rest,) = await ledger.keeping.suspects(abonnement, before=before, limit=9, after=found[0].key)
    assert rest == found[1]
    assert await ledger.keeping.with_open() == [abonnement]


async def test_what_is_judged_counts_and_keeps_its_due(ledger: Ledger, clock: Clock) -> None:
    abonnement = uuid4()
    entry = an_entry(abonnement)
    fault = Attempt(AT, 1, "status", "status 500")
    failed = Outcome(
        Key(entry.id, abonnement), State.RETRYING, round=0, attempts=1, at=AT, wait=60, failed=fault
    )
    await ledger.write([entry, failed])
    epoch = await an_epoch(ledger)
    due = round(clock.now * 1000) + 60_000
    before = await row(ledger, entry, abonnement)
    (given,) = await ledger.keeping.give_back(epoch, [before], cause=Cause.EMPTY, judged=True)
    assert (given.given, given.attempts, given.next_at) == (1, 1, due)
    await ledger.keeping.given_back(epoch, [given])
    assert (await row(ledger, entry, abonnement)).since == due
    clock.now += 61
    (given,) = await ledger.keeping.give_back(
        epoch, [await row(ledger, entry, abonnement)], cause=Cause.QUEUE
    )
    assert (given.given, given.next_at) == (1, None)


async def test_what_there_is_for_people(ledger: Ledger, clock: Clock) -> None:
    entry = an_entry(uuid4(), uuid4())
    await ledger.write([entry, Unrouted(entry.id), Heartbeat("d", all_flushed=True)])
    epoch = await an_epoch(ledger)
    (one, _) = (await ledger.deliveries([entry.id]))[entry.id]
    await ledger.keeping.give_back(epoch, [one], cause=Cause.QUEUE)
    facts = await ledger.keeping.facts()
    assert facts.now == round(clock.now * 1000)
    assert facts.open == (2, 2 * len(entry.body))
    assert (facts.unrouted, facts.returning, facts.stuck, facts.unsure) == (1, 1, 0, 0)
    assert facts.size > 0
    assert facts.lease == await ledger.keeping.lease()
    assert facts.processes == (Process("d", facts.now, facts.now, 0, False),)


# Gaps


async def test_a_gap_is_opened_once_and_closed(ledger: Ledger, clock: Clock) -> None:
    uuid = str(uuid4())
    now = round(clock.now * 1000)
    mine = GapOpened(Scope.ABONNEMENT, uuid, "queue was missing")
    await ledger.write([mine, mine, GapOpened(Scope.EVERYTHING, "", OPERATOR)])
    clock.now += 1
    await ledger.write([mine])
    of_uuid = Gap(1, Scope.ABONNEMENT, uuid, now, None, "queue was missing", False)
    of_all = Gap(2, Scope.EVERYTHING, "", now, None, OPERATOR, False)
    assert await ledger.keeping.gaps(done=False) == [of_uuid, of_all]
    # The router closes its own; of an operator's it knows nothing.
    await ledger.write([GapClosed()])
    of_uuid = replace(of_uuid, closed=now + 1000)
    assert await ledger.keeping.gaps(done=False) == [of_uuid, of_all]
    await ledger.write([mine])
    await ledger.write([GapClosed(Scope.ABONNEMENT, uuid), GapClosed(Scope.EVERYTHING)])
    found = await ledger.keeping.gaps(done=False)
    assert [(gap.nr, gap.closed) for gap in found] == [(1, now + 1000), (2, now + 1000), (3, now + 1000)]
    await ledger.keeping.end_gap(await an_epoch(ledger), 1)
    assert [gap.nr for gap in await ledger.keeping.gaps(done=False)] == [2, 3]
    assert [gap.nr for gap in await ledger.keeping.gaps(done=True)] == [1, 2, 3]


async def test_a_gap_covers_what_went_in_before_it_was_closed_and_each_once(
    ledger: Ledger, clock: Clock
) -> None:
    abonnement = uuid4()
    fault = Attempt(AT, 1, "status", "status 500")
    waits, delivered, failed, unrouted = (an_entry(abonnement) for _ in range(4))
    other = an_entry(abonnement, kanaal="documenten")
    await ledger.write([waits, delivered, failed, unrouted, other, Unrouted(unrouted.id)])
    of_failed = Outcome(
        Key(failed.id, abonnement), State.RETRYING, round=0, attempts=1, at=AT, wait=9999, failed=fault
    )
    done = Outcome(Key(delivered.id, abonnement), State.DELIVERED, round=0, attempts=1, at=AT)
    await ledger.write([of_failed, done])
    clock.now += 1
    scopes = [(Scope.ABONNEMENT, str(abonnement)), (Scope.EVERYTHING, "")]
    await ledger.write([GapOpened(*scope, "test") for scope in scopes])
    await ledger.write([GapClosed()])
    clock.now += 1
    # Accepted before it was closed, and committed after.
    late = an_entry(abonnement, at=round(clock.now * 1000) - 1_001)
    await ledger.write([an_entry(abonnement, at=round(clock.now * 1000)), late])
    mine, everything = await ledger.keeping.gaps(done=False)

    async def covered(gap: Gap) -> set[UUID]:
        return {each.key.notificatie for each in await ledger.keeping.in_gap(gap, abonnement, limit=9)}

    assert await covered(mine) == await covered(everything) == {waits.id, failed.id, other.id, late.id}
    epoch = await an_epoch(ledger)
    rows = await ledger.keeping.in_gap(mine, abonnement, limit=9)
    given = await ledger.keeping.give_back(epoch, rows, cause=Cause.QUEUE)
    await ledger.keeping.given_back(epoch, given)
    assert len(given) == 4
    assert await covered(mine) == await covered(everything) == set()


async def test_a_gap_of_a_kanaal_covers_what_came_in_it_and_nothing_is_known_of(
    ledger: Ledger, clock: Clock
) -> None:
    abonnement = uuid4()
    opened = round(clock.now * 1000)

    def at(moment: int, kanaal: str = "zaken") -> Entry:
        return an_entry(abonnement, at=moment, kanaal=kanaal)

    long_before, before, during, after = (at(opened + ms) for ms in (-60_001, -60_000, 500, 1_001))
    other = at(opened, "documenten")
    delivered, retrying, probed, sent_again, unrouted = known = [at(opened) for _ in range(5)]
    fault = Attempt(opened, 0, "http_status", "status 500", 500)
    of_retrying = Outcome(
        Key(retrying.id, abonnement), State.RETRYING, round=0, attempts=1, at=opened, wait=9, failed=fault
    )
    await ledger.write(
        [
            *(long_before, before, during, after, other, *known),
            Outcome(Key(delivered.id, abonnement), State.DELIVERED, round=0, attempts=1, at=opened),
            of_retrying,
            Probe(Key(probed.id, abonnement), fault),
            Outcome(Key(sent_again.id, abonnement), State.PENDING, round=1, attempts=0, at=opened),
            Unrouted(unrouted.id),
            GapOpened(Scope.KANAAL, "zaken", "test"),
        ]
    )
    clock.now += 1
    await ledger.write([GapClosed(Scope.KANAAL, "zaken")])
    clock.now += 9
    # An entry that had to wait for the ledger: RabbitMQ had it when it was accepted.
    late = at(opened + 700)
    await ledger.write([late])
    (gap,) = await ledger.keeping.gaps(done=False)
    rows = await ledger.keeping.in_gap(gap, abonnement, limit=9)
    assert [each.key.notificatie for each in rows] == [before.id, during.id, late.id]
    (last,) = await ledger.keeping.in_gap(gap, abonnement, limit=9, after=rows[1].key)
    assert last == rows[2]
    epoch = await an_epoch(ledger)
    await ledger.keeping.given_back(epoch, await ledger.keeping.give_back(epoch, rows, cause=Cause.QUEUE))
    assert await ledger.keeping.in_gap(gap, abonnement, limit=9) == []


async def test_a_row_is_added_where_there_is_none(ledger: Ledger) -> None:
    had, new = uuid4(), uuid4()
    entry, other = an_entry(had), an_entry()
    await ledger.write([entry, other])
    epoch = await an_epoch(ledger)
    assert await ledger.keeping.add_rows(epoch, had, [entry.id]) == 0
    assert await ledger.keeping.add_rows(epoch, new, [entry.id, other.id, uuid4()]) == 2
    assert await ledger.keeping.add_rows(epoch, new, [entry.id, other.id]) == 0
    added = await row(ledger, entry, new)
    assert (added.state, added.round, added.attempts, added.size) == (State.PENDING, 0, 0, len(entry.body))
    assert added.since == entry.received, "it was routed then: a gap that was closed after it covers it"
    assert (await ledger.backlogs())[new].count == 2


async def test_a_row_of_before_a_restore_is_unsure_as_the_others_are(ledger: Ledger) -> None:
    abonnement = uuid4()
    old, new = an_entry(at=AT), an_entry(at=AT + 1)
    await ledger.write([old, new])
    epoch = await an_epoch(ledger)
    await ledger.keeping.mark_unsure(epoch, until=AT)
    assert await ledger.keeping.add_rows(epoch, abonnement, [old.id, new.id]) == 2
    assert (await row(ledger, old, abonnement)).state is State.UNSURE
    assert (await row(ledger, new, abonnement)).state is State.PENDING


# What is held


async def test_what_is_held_is_kept_of_each_minute_as_it_was_last_counted(
    ledger: Ledger, clock: Clock
) -> None:
    held, suspended, active = uuid4(), uuid4(), uuid4()
    entries = [an_entry(held, suspended, active) for _ in range(3)]
    await ledger.write(entries)
    epoch = await an_epoch(ledger)
    begin = int(clock.now * 1000) // 60_000 * 60_000
    assert await ledger.keeping.count_held(epoch, {held, suspended, uuid4()}) == 6
    assert await ledger.keeping.count_held(epoch, {held}) == 3
    clock.now += 60
    assert await ledger.keeping.count_held(epoch, ()) == 0
    told = {each.at: each.held for each in await ledger.per_minute(since=begin)}
    assert told == {begin: 3, begin + 60_000: 0}
    assert (await ledger.counts(since=0)).came_to == {}
    with pytest.raises(LeaseLost):
        await ledger.keeping.count_held(epoch + 1, {held})
