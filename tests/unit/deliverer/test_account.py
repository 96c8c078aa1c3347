"""What a deliverer writes to the ledger, and how it uses a row before an attempt that is not the first."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from deliverer.http.client import Failure, FailureClass
from deliverer.outcomes import account as module
from deliverer.outcomes.account import Account, is_again
from ledger.ids import new_id
from ledger.values import (
    EVERYTHING,
    Attempt,
    Delivery,
    Event,
    Heartbeat,
    Key,
    Outcome,
    Probe,
    State,
    is_in_hand,
)
from ledger.writer import Writer
from router.history import History
from schemas.errors import LedgerError
from tests.eventually import eventually

REFUSED = Failure(FailureClass.HTTP_STATUS, "answered 500", 500)


@dataclass
class Store:
    """A ledger in memory, and one row for all who look."""

    events: list[Event] = field(default_factory=list)
    row: Delivery | None = None
    broken: bool = False
    hangs: bool = False
    looks: int = 0

    async def write(self, events: Sequence[Event]) -> None:
        if self.broken:
            raise LedgerError("locked")
        self.events += events

    async def look(self, _: Key) -> Delivery | None:
        self.looks += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.broken:
            raise LedgerError("not open")
        return self.row

    @property
    def beats(self) -> list[Heartbeat]:
        return [event for event in self.events if isinstance(event, Heartbeat)]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def account(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Account]:
    monkeypatch.setattr(module, "BEAT", 0.05)
    writer = Writer(store)
    task = asyncio.create_task(writer.run())
    await eventually(lambda: not writer.why_not)
    yield Account(writer, store.look, process="deliverer 1", counts=Counter())
    task.cancel()
    await asyncio.wait({task})


def a_key() -> Key:
    return Key(new_id(), uuid4())


def a_row(key: Key, state: State, *, round_: int = 0) -> Delivery:
    return Delivery(key, state, round_, attempts=0, since=0, last_at=0)


async def test_a_failed_attempt_is_in_the_outcome_and_a_probe_changes_no_state(
    account: Account, store: Store
) -> None:
    key, at = a_key(), datetime(2026, 11, 23, 12, tzinfo=UTC)
    history = History(round=2).after(REFUSED, at=at)
    account.retrying(key, history, wait=60.0, ms=12.5)
    account.not_counted(key, REFUSED, ms=3.0)
    await eventually(lambda: len(store.events) == 2)
    outcome, probe = store.events
    assert isinstance(outcome, Outcome)
    assert (outcome.state, outcome.round, outcome.attempts, outcome.wait) == (State.RETRYING, 2, 1, 60.0)
    milliseconds = int(at.timestamp() * 1000)
    assert outcome.failed == Attempt(milliseconds, 1, "http_status", "answered 500", 500, 12.5)
    assert isinstance(probe, Probe)
    assert (probe.failed.number, probe.failed.status) == (0, 500)


@pytest.mark.parametrize(
    ("state", "round_", "overtaken"),
    [
        (State.DELIVERED, 0, True),
        (State.REMOVED, 0, True),
        (State.NOT_WANTED, 0, True),
        (State.RETURNING, 2, True),
        (State.UNDELIVERABLE, 2, True),
        (State.UNDELIVERABLE, 1, True),
        (State.UNDELIVERABLE, 0, False),
        (State.RETURNING, 1, False),
        (State.RETRYING, 1, False),
        (State.PENDING, 0, False),
        (State.STUCK, 1, False),
        (State.UNSURE, 0, False),
    ],
)
async def test_what_the_row_says_decides_before_another_attempt(
    account: Account, store: Store, state: State, round_: int, overtaken: bool
) -> None:
    key = a_key()
    store.row = a_row(key, state, round_=round_)
    assert await account.overtaken(key, History(round=1)) is overtaken


async def test_without_a_row_or_an_answer_the_attempt_is_made(
    account: Account, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_TIMEOUT", 0.01)
    key = a_key()
    assert not await account.overtaken(key, History(round=1))
    store.broken = True
    assert not await account.overtaken(key, History(round=1))
    store.broken, store.hangs, store.looks = False, True, 0
    for _ in range(3):
        assert not await account.overtaken(key, History(round=1))
    assert store.looks == 1, "not each waits"


@pytest.mark.parametrize(
    ("history", "redelivered", "again"),
    [
        (History(), False, False),
        (History(), True, True),
        (History(attempts=1), False, True),
        (History(round=1), False, True),
        (History(replay=1), False, False),
    ],
)
def test_a_first_attempt_is_made_without_a_look(history: History, redelivered: bool, again: bool) -> None:
    assert is_again(history, redelivered=redelivered) is again


async def test_it_is_in_hand_until_its_outcome_is_stored(account: Account, store: Store) -> None:
    running = asyncio.create_task(account.run())
    key = a_key()
    with account.in_hand(key):
        await eventually(lambda: store.beats and store.beats[-1].hands == {key})
        store.broken = True
        account.delivered(key, History(), status=204, ms=1.0)
    beats = len(store.beats)
    store.broken = False
    await eventually(lambda: any(isinstance(event, Outcome) for event in store.events))
    await eventually(lambda: len(store.beats) > beats + 1 and not store.beats[-1].hands)
    assert all(beat.all_flushed for beat in store.beats)
    account.stopped()
    await eventually(lambda: store.beats[-1].stopped)
    await running


async def test_of_too_many_the_heartbeat_names_the_abonnementen(
    account: Account, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_KEYS", 2)
    keys = [a_key() for _ in range(3)]
    running = asyncio.create_task(account.run())
    with account.in_hand(keys[0]), account.in_hand(keys[1]), account.in_hand(keys[2]):
        await eventually(lambda: store.beats and store.beats[-1].hands)
        await eventually(lambda: store.beats[-1].hands == {Key(EVERYTHING, key.abonnement) for key in keys})
    hands = store.beats[-1].hands
    assert all(is_in_hand(key, hands) for key in keys)
    assert not is_in_hand(a_key(), hands)
    running.cancel()
    await asyncio.wait({running})
