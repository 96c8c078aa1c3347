"""What is sent, what waits and what ends, with a ledger that is away, that lacks a body, or that is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import orjson
import pytest

from deliverer.attempting.deliver import Deliverer
from deliverer.attempting.settle import Delivery as Message
from deliverer.consolidating.consolidating import Consolidating
from deliverer.pacing.gates import Gate
from ledger.ids import new_id, received_of
from ledger.values import Delivery, Key, Notificatie, State
from router.history import History
from schemas.delivery_options import DeliveryOptions
from schemas.errors import LedgerError
from tests.eventually import eventually
from tests.make import an_abonnement

OPTIONS = DeliveryOptions.model_validate({"consolidate": 60})
ABONNEMENT = replace(an_abonnement(("zaken", {})), options=OPTIONS)
URL = "https://zaken.example.nl/zaken/1"


def ids(count: int) -> list[UUID]:
    """In the order in which their notificaties were accepted."""
    return sorted(new_id() for _ in range(count))


def a_body(url: str = URL) -> bytes:
    return orjson.dumps({"kanaal": "zaken", "resource": "zaak", "actie": "update", "resourceUrl": url})


def a_message(id_: UUID, *, replay: int = 0, body: bytes | None = None, round_: int = 0) -> Message:
    return Message(
        notificatie=str(id_),
        abonnement=ABONNEMENT.uuid,
        key=Key(id_, ABONNEMENT.uuid, replay),
        body=a_body() if body is None else body,
        kept={},
        timestamp=None,
        history=History(round=round_),
        origin=cast("Any", None),
        tag=1,
        consumer_stopped=asyncio.Event(),
    )


def again(message: Message) -> Message:
    """The same, as it comes in for the second time."""
    return replace(message, again=True)


class Ledger:
    """What the ledger has of the resource; `away`: it does not answer."""

    def __init__(self) -> None:
        self.rows: dict[UUID, tuple[State, bytes | None]] = {}
        self.away = False
        self.again_at: int | None = None
        self.at: dict[UUID, int] = {}

    async def search(self, _: object, *, limit: int) -> Sequence[Notificatie]:
        if self.away:
            raise LedgerError("away")
        return [await self.notificatie(id_) for id_ in sorted(self.rows, reverse=True)][:limit]

    async def notificatie(self, id_: UUID) -> Notificatie:
        return Notificatie(id_, 0, "bron", "zaken", "zaak", "update", 1, 0, False, self.rows[id_][1])

    async def delivery(self, key: Key) -> Delivery:
        (row,) = (await self.deliveries([key.notificatie]))[key.notificatie]
        return replace(row, again_at=self.again_at)

    async def deliveries(self, ids: Sequence[UUID]) -> dict[UUID, list[Delivery]]:
        return {
            id_: [Delivery(Key(id_, ABONNEMENT.uuid), self.rows[id_][0], 0, 0, 0, self._at(id_))]
            for id_ in ids
        }

    def _at(self, id_: UUID) -> int:
        """When it was delivered: as soon as it was accepted, unless the test says when."""
        return self.at.get(id_, received_of(id_) or 0)


class Said:
    """In place of Settle and Account: what was asked of them."""

    def __init__(self) -> None:
        self.ended: list[tuple[UUID, UUID]] = []
        self.waits: list[UUID] = []
        self.until: list[int] = []

    async def drop(self, _: Message) -> None:
        pass

    async def hold(self, _: Message) -> None:
        pass

    async def postpone(self, message: Message, *, until: int) -> None:
        self.waits.append(message.key.notificatie)
        self.until.append(until)

    def consolidated(self, key: Key, _: History, *, into: UUID) -> None:
        self.ended.append((key.notificatie, into))


class Stage:
    def __init__(self) -> None:
        self.ledger, self.said = Ledger(), Said()
        self.abonnementen = {ABONNEMENT.uuid: ABONNEMENT}
        self.consolidating = Consolidating(
            self.abonnementen,
            ledger=lambda: cast("Any", self.ledger),
            settle=cast("Any", self.said),
            account=cast("Any", self.said),
        )

    def deliverer(self) -> Deliverer:
        """With what a message of a paced abonnement needs until it has its turn."""
        made = object.__new__(Deliverer)
        made._abonnementen = self.abonnementen
        made._consolidating, made._settle = self.consolidating, cast("Any", self.said)
        return made


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_one_ends_in_the_newest_that_is_certain(stage: Stage) -> None:
    own, newer, newest = ids(3)
    stage.ledger.rows = {own: (State.PENDING, a_body()), newer: (State.PENDING, a_body())}
    stage.ledger.rows[newest] = (State.RETRYING, None)  # its body is gone
    assert await stage.consolidating.settles(a_message(own))
    assert stage.said.ended == [(own, newer)]
    # Another whose URL ends alike stands for nothing, nor does one that an operator has to look at.
    stage.ledger.rows[newer] = (State.PENDING, a_body("https://elders.example.nl/zaken/1"))
    stage.ledger.rows[newest] = (State.STUCK, a_body())
    assert not await stage.consolidating.settles(a_message(own))
    assert len(stage.said.ended) == 1


async def test_what_was_sent_from_here_is_known_before_the_ledger_has_it(stage: Stage) -> None:
    first, second = ids(2)
    stage.ledger.rows = {first: (State.PENDING, a_body())}
    assert not await stage.consolidating.settles(a_message(first))
    stage.ledger.rows = {first: (State.PENDING, a_body()), second: (State.PENDING, a_body())}
    assert await stage.consolidating.settles(a_message(second))
    assert stage.said.waits == [second]
    # It was not delivered: the next need not wait for it.
    stage.consolidating.failed(a_message(first))
    assert not await stage.consolidating.settles(a_message(second))


async def test_what_did_not_get_its_turn_is_not_taken_for_sent(stage: Stage) -> None:
    """It comes in again once its queue is consumed again, and is sent then, not a window later."""
    (own,) = ids(1)
    stage.ledger.rows = {own: (State.PENDING, a_body())}
    deliverer = stage.deliverer()
    closed = Gate()
    closed.limit(rate=None, room=0)
    turn = asyncio.timeout(None)
    stopped = a_message(own)
    stopped.consumer_stopped.set()
    assert not await deliverer._attempt_in_turn(stopped, turn, closed)
    assert not await stage.consolidating.settles(a_message(own))
    stage.consolidating.failed(a_message(own))

    lost = asyncio.create_task(deliverer._attempt_in_turn(a_message(own), turn, closed))
    await eventually(lambda: closed.waiting == 1)
    lost.cancel()  # as when its channel is closed
    await asyncio.wait({lost})
    assert not await stage.consolidating.settles(a_message(own))
    assert stage.said.waits == []


async def test_what_is_not_wanted_waits_for_no_turn(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bindings let more events through than filters do: one that waits has a row in the ledger."""
    ended = []

    async def attempt(_: Deliverer, message: Message, turn: object) -> bool:
        ended.append(message.key.notificatie)
        return False

    (own,) = ids(1)
    stage.ledger.rows = {own: (State.PENDING, a_body())}
    deliverer = stage.deliverer()
    monkeypatch.setattr(Deliverer, "_attempt", attempt)
    closed = Gate()
    closed.limit(rate=None, room=0)
    elsewhere = a_message(own, body=orjson.dumps({**orjson.loads(a_body()), "kanaal": "elders"}))
    async with asyncio.timeout(30):
        assert not await deliverer._attempt_in_turn(elsewhere, asyncio.timeout(None), closed)
    assert (ended, stage.said.waits, stage.said.ended) == ([own], [], [])


async def test_while_the_ledger_is_away_everything_is_sent(stage: Stage) -> None:
    first, second = ids(2)
    stage.ledger.away = True
    assert not await stage.consolidating.settles(a_message(first))
    assert not await stage.consolidating.settles(a_message(second))
    assert (stage.said.ended, stage.said.waits) == ([], [])


async def test_what_an_operator_sends_once_more_is_sent_and_what_the_keeper_gives_back_ends(
    stage: Stage,
) -> None:
    own, newer = ids(2)
    stage.ledger.rows = {own: (State.PENDING, a_body()), newer: (State.DELIVERED, a_body())}
    assert await stage.consolidating.settles(again(a_message(own, round_=1)))
    stage.ledger.again_at = 1
    assert not await stage.consolidating.settles(again(a_message(own, round_=1)))
    assert stage.said.ended == [(own, newer)]


async def test_what_is_never_consolidated(stage: Stage) -> None:
    own, newer = ids(2)
    stage.ledger.rows = {own: (State.PENDING, a_body()), newer: (State.PENDING, a_body())}
    for message in (
        a_message(own, replay=2),
        a_message(own, body=b"no JSON"),
        a_message(own, body=orjson.dumps({"kanaal": "zaken"})),
        a_message(UUID("7d6c2b3a-1111-4222-8333-444455556666")),  # no gateway's
    ):
        assert not await stage.consolidating.settles(message)
    assert stage.said.ended == []


async def test_one_does_not_end_in_a_newer_one_that_is_not_wanted_any_more(stage: Stage) -> None:
    """Its kenmerken changed between the two, and then the filters of the abonnement: that one is dropped."""
    own, newer = ids(2)
    only_a = replace(an_abonnement(("zaken", {"zaaktype": "A"})), uuid=ABONNEMENT.uuid, options=OPTIONS)
    stage.abonnementen[ABONNEMENT.uuid] = only_a
    mine, other = (orjson.dumps({**orjson.loads(a_body()), "kenmerken": {"zaaktype": each}}) for each in "AB")
    stage.ledger.rows = {own: (State.PENDING, mine), newer: (State.PENDING, other)}
    assert not await stage.consolidating.settles(a_message(own, body=mine))
    # It came to the consumer before they changed.
    stage.ledger.rows[newer] = (State.DELIVERED, other)
    stage.ledger.at[newer] = time.time_ns() // 1_000_000
    assert await stage.consolidating.settles(again(a_message(own, body=mine)))
    assert stage.said.ended == [(own, newer)]


HOUR = 3_600_000


def ms_now() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize("knows", [False, True])
@pytest.mark.parametrize("delivered_ahead", [False, True])
async def test_what_came_after_a_delivery_does_not_end_in_it_whatever_clock_made_its_id(
    stage: Stage, delivered_ahead: bool, knows: bool
) -> None:
    """A gateway was an hour ahead, and the deliverer's clock too, or not; then they were put right.

    knows: whether this process had it when it came in first.
    """
    ahead, own = new_id(at=time.time() + 3600), new_id()
    stage.ledger.rows = {ahead: (State.DELIVERED, a_body()), own: (State.PENDING, a_body())}
    stage.ledger.at[ahead] = ms_now() - 1000 + delivered_ahead * HOUR
    if knows:
        await stage.consolidating.settles(a_message(own))
    await stage.consolidating.settles(again(a_message(own)))
    assert stage.said.ended == []


async def test_a_clock_that_was_put_back_makes_nothing_wait_for_longer_than_two_windows(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ids(2)
    stage.ledger.rows = {first: (State.DELIVERED, a_body())}
    stage.ledger.at[first] = ms_now() + HOUR
    clock = time.monotonic()
    assert not await stage.consolidating.settles(a_message(second))
    stage.consolidating.failed(a_message(second))
    # What it sent itself it measures by a clock that is never put back.
    assert not await stage.consolidating.settles(a_message(first))
    assert await stage.consolidating.settles(a_message(second))
    monkeypatch.setattr(time, "monotonic", lambda: clock + 61 + 30)
    assert not await stage.consolidating.settles(again(a_message(second)))
    # What waits for its window since before that waits no hour more.
    waits = replace(a_message(second), history=History(due=ms_now() + HOUR))
    assert stage.consolidating.was_put_off_too_long(waits)
    assert not stage.consolidating.was_put_off_too_long(
        replace(waits, history=History(due=ms_now() + 50_000))
    )


async def test_what_waits_for_its_window_goes_on_when_the_option_is_taken_away(stage: Stage) -> None:
    (own,) = ids(1)
    waits = replace(a_message(own), history=History(due=ms_now() + 50_000))
    assert not stage.consolidating.was_put_off_too_long(waits)
    off = Consolidating(
        stage.abonnementen,
        ledger=lambda: cast("Any", stage.ledger),
        settle=cast("Any", stage.said),
        account=cast("Any", stage.said),
        enabled=False,
    )
    assert off.was_put_off_too_long(waits)
    stage.abonnementen[ABONNEMENT.uuid] = replace(ABONNEMENT, options=None)
    assert stage.consolidating.was_put_off_too_long(waits)
    # What waits for its next attempt, also when it was given back without its failures.
    failed = replace(waits, history=History(attempts=1, due=ms_now() + HOUR))
    assert not stage.consolidating.was_put_off_too_long(failed)


async def test_what_failed_waits_for_its_window_in_pieces(stage: Stage) -> None:
    """Its wait looks like that for its next attempt: whether it is wanted still is looked at again."""
    stage.abonnementen[ABONNEMENT.uuid] = replace(
        ABONNEMENT, options=DeliveryOptions.model_validate({"consolidate": 86_400})
    )
    first, second = ids(2)
    stage.ledger.rows = {first: (State.PENDING, a_body())}
    assert not await stage.consolidating.settles(a_message(first))
    stage.ledger.rows[second] = (State.PENDING, a_body())
    assert await stage.consolidating.settles(replace(a_message(second), history=History(attempts=1)))
    assert await stage.consolidating.settles(a_message(second))
    in_pieces, whole = stage.said.until
    assert in_pieces < ms_now() + HOUR < whole
