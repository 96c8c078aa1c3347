"""A message whose delivery raised: as a failed attempt, or back into its queue with a warning."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any, cast
from uuid import uuid4

import pytest

from deliverer.attempting import faults
from deliverer.attempting.faults import Faults
from deliverer.attempting.settle import Delivery, Origin
from ledger.ids import new_id
from ledger.values import Key
from router.history import History
from schemas.errors import LedgerError

TAG = 7


class Channel:
    """What an Origin uses: notes what is requeued."""

    def __init__(self) -> None:
        self.requeued: list[int] = []

    async def basic_nack(self, tag: int, **_: Any) -> None:
        self.requeued.append(tag)


class World:
    def __init__(self) -> None:
        self.channel, self.failed = Channel(), list[Exception]()
        self.origin = Origin(cast(Any, self.channel))
        self.origin.came(TAG)
        self.faults = Faults(self.fail, cast(Any, self))
        self.fails = False

    def in_hand(self, key: Key) -> nullcontext[None]:
        return nullcontext()

    async def fail(self, delivery: Delivery, error: Exception) -> None:
        if self.fails:
            raise KeyError("another")
        self.failed.append(error)
        self.origin.ack_later(delivery.tag)

    async def settle(self, error: Exception, *, read: bool = True) -> None:
        abonnement = uuid4()
        delivery = Delivery(
            notificatie="x",
            abonnement=abonnement,
            key=Key(new_id(), abonnement),
            body=b"",
            kept={},
            timestamp=None,
            history=History(),
            origin=self.origin,
            tag=TAG,
            consumer_stopped=asyncio.Event(),
        )
        made = delivery if read else None
        await self.faults.settle(error, made, abonnement=abonnement, origin=self.origin, tag=TAG)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(faults, "PAUSE", 0.0)
    return World()


async def test_a_fault_is_a_failed_attempt_and_no_warning(world: World) -> None:
    error = ValueError("x")
    await world.settle(error)
    assert (world.failed, world.channel.requeued, world.faults.why_not) == ([error], [], "")
    await world.settle(error)  # as it was settled, nothing more is done
    assert (world.failed, world.channel.requeued) == ([error], [])


@pytest.mark.parametrize("error", [LedgerError("away"), OSError("away"), MemoryError()])
async def test_what_is_not_the_message_s_is_no_attempt(world: World, error: Exception) -> None:
    await world.settle(error)
    assert (world.failed, world.channel.requeued) == ([], [TAG])
    assert "was requeued" in world.faults.why_not


async def test_what_cannot_be_counted_goes_back_with_a_warning(world: World) -> None:
    world.fails = True
    await world.settle(ValueError("x"))
    assert (world.failed, world.channel.requeued) == ([], [TAG])
    assert world.faults.why_not.endswith("KeyError: 'another'")


async def test_a_message_that_cannot_be_read_goes_back_with_a_warning(world: World) -> None:
    await world.settle(ValueError("x"), read=False)
    assert world.channel.requeued == [TAG]
    assert world.faults.why_not
