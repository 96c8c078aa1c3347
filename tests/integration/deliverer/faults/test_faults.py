"""Exceptions that nothing foresaw, in each place on the path of a message but the request itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from deliverer.attempting import faults
from deliverer.attempting.deliver import Deliverer
from deliverer.attempting.settle import Delivery, Settle
from deliverer.consolidating.consolidating import Consolidating
from deliverer.holding.breaker import Breaker
from deliverer.ordering.in_turn import InTurn
from deliverer.parts import Parts
from ledger.ledger import Ledger
from ledger.values import Key, State
from schemas.abonnement import Abonnement, Hold
from schemas.abonnement import State as Condition
from schemas.delivery_options import DeliveryOptions
from schemas.errors import LedgerError, RegistryError
from tests.callback_server import status
from tests.eventually import eventually
from tests.integration.deliverer.delivering import Delivering
from tests.integration.deliverer.test_hold import probe_until
from tests.integration.deliverer.test_outcomes import accept, row, state_of

pytestmark = pytest.mark.usefixtures("broker")


def raises_for(bad: set[str], method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, which raises at once when a message that is bad is among its arguments, or its id."""

    def raises(*arguments: Any, **more: Any) -> Any:
        if any(getattr(each, "notificatie", each) in bad for each in arguments if is_message(each)):
            raise RuntimeError("a fault of ours")
        return method(*arguments, **more)

    return raises


def is_message(value: Any) -> bool:
    return isinstance(value, str | Delivery)


async def is_in(ledger: Ledger, id_: str, abonnement: Abonnement, state: State) -> bool:
    return await state_of(ledger, id_, abonnement) is state


@pytest.mark.parametrize(
    ("of", "name", "answer"),
    [
        (InTurn, "deliver", 204),
        (Consolidating, "settles", 204),
        (Deliverer, "overtaken", 204),
        (Settle, "delivered", 204),
        (Breaker, "failed", 500),
    ],
)
async def test_what_raises_counts_as_failed_attempts_and_ends(
    spine: Delivering, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, of: type, name: str, answer: int
) -> None:
    abonnement = await spine.subscribe("/a")
    if of is Consolidating:
        await spine.change(abonnement, options=DeliveryOptions.model_validate({"consolidate": 60}))
    bad = await accept(spine, ledger, abonnement)
    monkeypatch.setattr(of, name, raises_for({bad}, getattr(of, name)))
    spine.callback.script("/a", status(answer))
    with capture_logs() as logs:
        async with spine.deliverer(retry_schedule="1,1"):
            await eventually(lambda: is_in(ledger, bad, abonnement, State.UNDELIVERABLE), within=60)
            spine.callback.script("/a", status(204))
            good = await accept(spine, ledger, abonnement)
            await eventually(lambda: is_in(ledger, good, abonnement, State.DELIVERED), within=60)
            assert await spine.state_is(abonnement, Condition.ACTIVE)
    failed = await ledger.attempts(Key(UUID(bad), abonnement.uuid))
    assert [(each.number, each.kind) for each in failed] == [(n, "unexpected") for n in (1, 2, 3)]
    assert "a fault of ours" in failed[-1].detail
    assert "delivery failed unexpectedly" in {each["event"] for each in logs}
    assert "channel closed; its queues will be consumed on another" not in {each["event"] for each in logs}


async def test_one_that_was_settled_before_that_is_not_settled_again(
    spine: Delivering, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which would close the channel, with all that is in hand on it."""
    abonnement = await spine.subscribe("/a")
    monkeypatch.setattr(faults, "PAUSE", 0.0)
    deliver = InTurn.deliver

    async def raises(self: InTurn, delivery: Delivery) -> None:
        await deliver(self, delivery)
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(InTurn, "deliver", raises)
    spine.callback.script("/a", status(500), status(204))
    with capture_logs() as logs:
        async with spine.deliverer():
            ids = [await accept(spine, ledger, abonnement) for _ in range(3)]
            for id_ in ids:
                await eventually(partial(is_in, ledger, id_, abonnement, State.DELIVERED), within=60)
    events = [each["event"] for each in logs]
    assert events.count("delivery failed unexpectedly") >= 4
    assert "channel closed; its queues will be consumed on another" not in events
    assert len(spine.ids_at("/a")) == 4


async def test_what_the_ledger_or_the_registry_did_is_no_attempt_but_a_warning(
    spine: Delivering, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    abonnement = await spine.subscribe("/a")
    monkeypatch.setattr(faults, "PAUSE", 0.1)
    away = [LedgerError("away"), RegistryError("away")]
    overtaken = Deliverer.overtaken

    async def raises(self: Deliverer, delivery: Delivery) -> bool:
        if away:
            raise away.pop()
        return await overtaken(self, delivery)

    monkeypatch.setattr(Deliverer, "overtaken", raises)
    seen: list[Parts] = []

    @asynccontextmanager
    async def observe(parts: Parts) -> AsyncIterator[None]:
        seen.append(parts)
        yield

    async with spine.deliverer(observe=observe):
        assert seen[0].warnings() == []
        id_ = await accept(spine, ledger, abonnement)
        await eventually(lambda: is_in(ledger, id_, abonnement, State.DELIVERED), within=60)
        found = await row(ledger, id_, abonnement)
        assert found is not None
        assert found.attempts == 1
        (warning,) = seen[0].warnings()
        assert warning == f"delivering: a message of {abonnement.uuid} was requeued: LedgerError: away"


async def test_what_a_probe_raises_leaves_the_probe_to_others(
    spine: Delivering, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    abonnement = await spine.subscribe("/a")
    bad = await accept(spine, ledger, abonnement)
    good = await accept(spine, ledger, abonnement)
    monkeypatch.setattr(Deliverer, "overtaken", raises_for({bad}, Deliverer.overtaken))
    hold = Hold(since=time.time(), probes=0, next_probe=0.0)
    await spine.router.registry.set_hold(
        abonnement.uuid, hold, "by a test", before=None, callback_url=abonnement.callback_url
    )
    with capture_logs() as logs:
        async with spine.deliverer(retry_schedule="1,1"):
            seen = partial(happened, logs, "probe failed unexpectedly")
            await eventually(seen, within=60)
            await probe_until(spine, abonnement, Condition.ACTIVE)
            await eventually(lambda: is_in(ledger, good, abonnement, State.DELIVERED), within=60)
    assert set(spine.ids_at("/a")) == {good}


def happened(logs: list[Any], event: str) -> bool:
    return event in {each["event"] for each in logs}
