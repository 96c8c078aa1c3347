"""One message of an abonnement with order: in hand, waiting in the ledger, while the ledger is away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import orjson
import pytest
from structlog.testing import capture_logs

from deliverer.attempting.decide import next_rung
from deliverer.attempting.settle import Delivery as Message
from deliverer.ordering import in_turn, turns
from deliverer.ordering.asking import Asking
from deliverer.ordering.in_turn import InTurn, lane_of
from deliverer.ordering.turns import NEXT
from ledger.ids import new_id
from ledger.tables.turns import Ahead, Asked, Turn
from ledger.values import Delivery, Key, Outcome, State
from router.history import History
from schemas.abonnement import Abonnement
from schemas.delivery_options import DeliveryOptions
from schemas.delivery_options.order import Order
from schemas.errors import LedgerError
from tests.eventually import eventually
from tests.make import an_abonnement

PLAIN = an_abonnement(("zaken", {}))
ORDERED = replace(an_abonnement(("zaken", {})), options=DeliveryOptions(order=Order(setAsideAfter=60)))
NOW = 1_700_000_000_000


def message(abonnement: Abonnement, *, id_: UUID | None = None, zaak: str = "1", round_: int = 0) -> Message:
    id_ = id_ or new_id()
    body = {"kanaal": "zaken", "hoofdObject": f"https://zaken.example.nl/{zaak}", "kenmerken": {}}
    return Message(
        notificatie=str(id_),
        abonnement=abonnement.uuid,
        key=Key(id_, abonnement.uuid),
        body=orjson.dumps(body),
        kept={},
        timestamp=None,
        history=History(round=round_),
        origin=cast(Any, None),
        tag=1,
        consumer_stopped=asyncio.Event(),
    )


class World:
    """What an InTurn uses, in memory. ahead: of each notificatie, what the ledger says is before it."""

    def __init__(self) -> None:
        self.ahead: dict[UUID, list[Ahead]] = {}
        self.rows: dict[UUID, Delivery] = {}
        self.away = False
        self.asked = 0
        self.places: int | None = None
        self.attempted: list[UUID] = []
        self.dropped: list[UUID] = []
        self.held: list[UUID] = []
        self.written: list[Outcome] = []
        self.brought: list[UUID] = []
        self.counts: Counter[str] = Counter()
        self.answer = asyncio.Event()
        self.answer.set()
        known = {each.uuid: each for each in (PLAIN, ORDERED)}
        this = cast(Any, self)
        self.in_turn = InTurn(
            this,
            abonnementen=known,
            asking=Asking(self.turns),
            releasing=this,
            settle=this,
            account=this,
            writer=this,
            enabled=True,
            places=lambda _: self.places,
        )

    async def turns(self, asked: Sequence[Asked]) -> Sequence[Turn]:
        self.asked += len(asked)
        if self.away:
            raise LedgerError("away")
        return [
            Turn(
                NOW,
                True,
                self.rows.get(each.key.notificatie) or row(each.key),
                tuple(self.ahead.get(each.key.notificatie, ())),
            )
            for each in asked
        ]

    def waits(self, delivery: Message) -> bool:
        return next_rung(delivery.history, now=datetime.now(UTC)) is not None

    async def deliver(self, delivery: Message) -> bool:
        self.attempted.append(delivery.key.notificatie)
        await self.answer.wait()
        return True

    async def drop(self, delivery: Message) -> None:
        self.dropped.append(delivery.key.notificatie)

    async def hold(self, delivery: Message) -> None:
        self.held.append(delivery.key.notificatie)

    async def add(self, *events: Outcome, within: float) -> None:
        self.written += events

    async def after(self, key: Key, *, most: int) -> int:
        self.brought.append(key.notificatie)
        return 0

    async def bring(self, waiting: Sequence[Delivery]) -> int:
        self.brought += [each.key.notificatie for each in waiting]
        return len(waiting)

    def was_held_too_long(self, delivery: Message) -> bool:
        return False

    def in_hand(self, key: Key) -> nullcontext[None]:
        return nullcontext()


def row(key: Key, state: State = State.PENDING, *, next_at: int | None = None, round_: int = 0) -> Delivery:
    return Delivery(key, state, round=round_, attempts=0, since=0, last_at=0, next_at=next_at)


def key(id_: UUID) -> Key:
    return Key(id_, ORDERED.uuid)


async def test_a_plain_abonnement_is_delivered_to_without_a_question() -> None:
    world = World()
    sent = message(PLAIN)
    await world.in_turn.deliver(sent)
    assert (world.attempted, world.asked) == ([sent.key.notificatie], 0)


async def test_what_has_no_hoofdobject_or_id_of_a_gateway_has_no_order() -> None:
    sent = message(ORDERED)
    assert lane_of(sent) is not None
    assert lane_of(sent) == lane_of(message(ORDERED))
    assert lane_of(sent) != lane_of(message(ORDERED, zaak="2"))
    assert lane_of(replace(sent, key=Key(UUID(int=7), ORDERED.uuid))) is None
    for body in (b"", b"[]", b"{}", b'{"hoofdObject": 3}', b'{"hoofdObject": ""}'):
        assert lane_of(replace(sent, body=body)) is None
    world = World()
    await world.in_turn.deliver(replace(sent, body=b"{}"))
    assert (len(world.attempted), world.asked) == (1, 0)


async def test_the_second_in_hand_goes_when_the_first_is_delivered_without_another_question() -> None:
    world = World()
    world.answer.clear()
    first, second = (message(ORDERED, id_=new_id(at=1_700_000_000 + n)) for n in range(2))
    world.ahead[second.key.notificatie] = [Ahead(row(first.key))]
    one = asyncio.ensure_future(world.in_turn.deliver(first))
    await eventually(lambda: len(world.attempted) == 1)
    two = asyncio.ensure_future(world.in_turn.deliver(second))
    await eventually(lambda: world.asked == 2)
    world.answer.set()
    await asyncio.gather(one, two)
    assert world.attempted == [first.key.notificatie, second.key.notificatie]
    assert world.asked == 2
    assert not world.brought  # nothing can have waited in the ledger


async def test_behind_a_head_that_waits_for_long_it_waits_in_the_ledger_and_is_acknowledged() -> None:
    world = World()
    head, sent = new_id(at=1_600_000_000), message(ORDERED)
    world.ahead[sent.key.notificatie] = [Ahead(row(key(head), State.RETRYING, next_at=NOW + 100_000))]
    await world.in_turn.deliver(sent)
    assert (world.attempted, world.dropped) == ([], [sent.key.notificatie])
    (outcome,) = world.written
    assert (outcome.state, outcome.round, outcome.attempts) == (State.RETURNING, 1, 0)
    assert outcome.failed is not None
    assert (outcome.failed.detail, outcome.failed.number) == (str(head), 0)
    # 100 s until the next attempt, 30 more, less the 60 of the keeper.
    assert outcome.wait == pytest.approx(70)
    assert not world.brought


async def test_one_that_began_to_wait_too_late_to_be_seen_brings_itself_back() -> None:
    world = World()
    head, sent = new_id(at=1_600_000_000), message(ORDERED)
    world.ahead[sent.key.notificatie] = [Ahead(row(key(head), State.RETRYING, next_at=NOW + 100_000))]

    async def add(*events: Outcome, within: float) -> None:
        world.written += events
        world.ahead.clear()  # the head ended while this was written
        world.rows[sent.key.notificatie] = row(sent.key, State.RETURNING, round_=1)

    world.add = add  # type: ignore[method-assign]
    await world.in_turn.deliver(sent)
    assert world.brought == [sent.key.notificatie]


async def test_one_that_comes_back_brings_those_behind_it_back() -> None:
    world = World()
    sent = replace(message(ORDERED, round_=1), again=True)
    await world.in_turn.deliver(sent)
    assert world.brought == [sent.key.notificatie]


async def test_one_that_waited_without_an_attempt_brings_those_behind_it_back_too() -> None:
    """By `consolidate`, which shows in the message, or as it was put off, which does not."""
    world = World()
    sent = message(ORDERED)
    await world.in_turn.deliver(replace(sent, history=History(due=NOW)))
    assert world.brought == [sent.key.notificatie]
    world = World()
    later = message(ORDERED, id_=new_id(at=1_900_000_000))
    world.ahead[later.key.notificatie] = [Ahead(replace(row(sent.key), since=NOW + 100_000))]
    await world.in_turn.deliver(later)
    assert (world.attempted, world.brought) == ([], [])
    await world.in_turn.deliver(sent)
    assert world.brought == [sent.key.notificatie]


async def test_while_the_ledger_is_away_it_stays_in_hand_and_plain_ones_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(in_turn, "AWAY_PAUSE", 0.01)
    world = World()
    world.away = True
    waits = asyncio.ensure_future(world.in_turn.deliver(message(ORDERED)))
    await world.in_turn.deliver(message(PLAIN))
    await eventually(lambda: world.asked > 3)
    assert len(world.attempted) == 1
    world.away = False
    await waits
    assert len(world.attempted) == 2


async def test_when_its_queue_is_not_consumed_any_more_it_goes_back_into_it() -> None:
    world = World()
    sent = message(ORDERED)
    world.ahead[sent.key.notificatie] = [Ahead(row(key(new_id(at=1_600_000_000))))]
    waits = asyncio.ensure_future(world.in_turn.deliver(sent))
    await eventually(lambda: world.asked > 0)
    sent.consumer_stopped.set()
    await waits
    assert (world.held, world.attempted) == ([sent.key.notificatie], [])


async def test_one_that_is_set_aside_is_told_once() -> None:
    world = World()
    head = new_id(at=1_600_000_000)
    with capture_logs() as lines:
        for _ in range(2):
            sent = message(ORDERED)
            failing = row(key(head), State.RETRYING, next_at=NOW + 100_000)
            world.ahead[sent.key.notificatie] = [Ahead(failing, NOW - 60_000)]
            await world.in_turn.deliver(sent)
    assert len(world.attempted) == 2
    (line,) = [line for line in lines if line["event"].startswith("set aside")]
    assert (line["notificatie"], line["log_level"]) == (str(head), "warning")


async def test_a_probe_takes_one_whose_turn_it_is() -> None:
    world = World()
    head, sent = new_id(at=1_600_000_000), message(ORDERED)
    assert await world.in_turn.has_turn(sent, ORDERED) is True
    assert await world.in_turn.has_turn(message(PLAIN), PLAIN) is True
    world.ahead[sent.key.notificatie] = [Ahead(row(key(head)))]
    assert await world.in_turn.has_turn(sent, ORDERED) is False
    assert world.written[0].state is State.RETURNING
    world.away = True
    assert await world.in_turn.has_turn(sent, ORDERED) is None


async def test_a_second_message_of_the_same_is_dropped_once_the_first_is_delivered() -> None:
    world = World()
    world.answer.clear()
    sent = message(ORDERED)
    one = asyncio.ensure_future(world.in_turn.deliver(sent))
    await eventually(lambda: len(world.attempted) == 1)
    two = asyncio.ensure_future(world.in_turn.deliver(replace(sent, tag=2)))
    await eventually(lambda: world.asked == 2)
    world.answer.set()
    await asyncio.gather(one, two)
    assert (len(world.attempted), world.dropped) == (1, [sent.key.notificatie])


async def test_one_that_is_given_back_after_it_was_delivered_here_is_delivered_again() -> None:
    """The ledger lost what it was told (a failover, an older copy), or somebody asked for it."""
    world = World()
    sent = message(ORDERED)
    await world.in_turn.deliver(sent)
    world.rows[sent.key.notificatie] = row(sent.key, round_=1)
    await world.in_turn.deliver(replace(sent, tag=2))
    assert (len(world.attempted), len(world.dropped)) == (1, 1)
    await world.in_turn.deliver(replace(sent, tag=3, history=History(round=1), again=True))
    assert (len(world.attempted), len(world.dropped)) == (2, 1)


async def test_many_behind_one_that_is_elsewhere_keep_no_place_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.5)
    world = World()
    head = Ahead(row(key(new_id(at=1_600_000_000))))
    sent = [message(ORDERED, id_=new_id(at=1_700_000_000 + n)) for n in range(20)]
    for each in sent:
        world.ahead[each.key.notificatie] = [head]
        await world.in_turn.deliver(each)
    assert [each.key.notificatie for each in world.written] == [each.key.notificatie for each in sent]
    assert world.asked < 20 * 5  # the first asks again and again, for half a second


async def test_with_few_places_one_in_hand_waits_for_those_in_hand_only() -> None:
    """Each that waits for one that is elsewhere would keep a place for a moment, after every delivery."""
    world = World()
    world.places = 2
    first, second, third = (message(ORDERED, id_=new_id(at=1_700_000_000 + n)) for n in range(3))
    world.ahead[third.key.notificatie] = [Ahead(row(each.key)) for each in (first, second)]
    await world.in_turn.deliver(third)
    assert [each.key.notificatie for each in world.written] == [third.key.notificatie]
    assert world.asked == 2  # once more after it waits in the ledger
    world.answer.clear()
    world.ahead[second.key.notificatie] = [Ahead(row(first.key))]
    waits = [asyncio.ensure_future(world.in_turn.deliver(each)) for each in (first, second)]
    await eventually(lambda: world.asked == 4)
    world.answer.set()
    await asyncio.gather(*waits)
    assert world.attempted == [first.key.notificatie, second.key.notificatie]
    # Another process may have one that waits for it in the ledger, since just now.
    assert world.brought == [first.key.notificatie, second.key.notificatie]


async def test_the_next_in_hand_stay_there_as_long_as_their_lane_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each takes nearly as long as a message is kept in hand, and none waits in the ledger."""
    monkeypatch.setattr(turns, "PATIENCE", 1.0)
    world = World()
    sent = [message(ORDERED, id_=new_id(at=1_700_000_000 + n)) for n in range(NEXT)]

    async def deliver(delivery: Message) -> bool:
        world.attempted.append(delivery.key.notificatie)
        await asyncio.sleep(0.3)
        return True

    world.deliver = deliver  # type: ignore[method-assign]
    for number, each in enumerate(sent):
        world.ahead[each.key.notificatie] = [Ahead(row(earlier.key)) for earlier in sent[:number]]
    await asyncio.gather(*map(world.in_turn.deliver, sent))
    assert world.attempted == [each.key.notificatie for each in sent]
    assert not world.written
