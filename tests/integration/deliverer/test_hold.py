"""Callbacks that do not work: their abonnement is held, probed, and goes on by itself; nothing is lost."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from aio_pika.abc import AbstractIncomingMessage
from structlog.testing import capture_logs

from deliverer.attempting.deliver import Deliverer
from deliverer.attempting.settle import REST, Delivery
from router import names
from schemas.abonnement import Abonnement, Hold, State
from tests.callback_server import CallbackServer, Script, status, when
from tests.eventually import eventually
from tests.integration.deliverer.delivering import Delivering
from tests.open_files import no_more_files

pytestmark = pytest.mark.usefixtures("broker")


async def kept(spine: Delivering, abonnement: Abonnement) -> Abonnement:
    """The abonnement as the registry has it now."""
    changes = await spine.router.registry.changes_since(0)
    return next(each for each in changes.abonnementen if each.uuid == abonnement.uuid)


async def probe_now(spine: Delivering, abonnement: Abonnement) -> None:
    """What `nrc abonnement probe` does."""
    held = await kept(spine, abonnement)
    assert held.hold is not None
    await spine.router.registry.set_hold(
        held.uuid,
        replace(held.hold, next_probe=0.0),
        held.state_reason,
        before=held.hold,
        callback_url=held.callback_url,
    )
    await spine.router.client.announce()


async def held_with(spine: Delivering, abonnement: Abonnement, messages: int) -> bool:
    """Whether it is held, with so many messages in its queue and none waiting elsewhere."""
    return await spine.state_is(abonnement, State.HELD) and await spine.depth_is(
        abonnement, messages, waiting=0
    )


async def test_a_callback_that_fails_in_a_row_is_held_probed_and_released(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500))
    async with spine.deliverer(retry_schedule="1,1,1,1,1,1,1,1"), spine.deliverer(retry_schedule="1,1,1,1,1"):
        numbers = {await spine.publish() for _ in range(40)}
        await eventually(lambda: held_with(spine, abonnement, 40))
        held = await kept(spine, abonnement)
        assert held.state_reason == "http_status: answered 500"
        assert held.hold is not None
        # Nobody consumes, and what comes in is held too.
        await eventually(lambda: spine.consumers_are(abonnement, 0))
        numbers.add(await spine.publish())
        seen = len(spine.callback.received)

        # One probe, by one of the two; its message comes back uncounted and goes to the end of the row.
        await probe_now(spine, abonnement)
        await eventually(lambda: len(spine.callback.received) > seen)
        await eventually(lambda: held_with(spine, abonnement, 41))
        assert len(spine.callback.received) == seen + 1
        again = await kept(spine, abonnement)
        assert again.hold is not None
        assert again.hold.since == held.hold.since
        assert again.hold.probes == 1
        assert again.hold.next_probe > held.hold.next_probe

        spine.callback.script("/a", status(204))
        await probe_now(spine, abonnement)
        await eventually(lambda: spine.state_is(abonnement, State.ACTIVE))
        await eventually(lambda: set(spine.ids_at("/a")[seen + 1 :]) == numbers)
        assert (await kept(spine, abonnement)).hold is None
        assert await spine.undeliverable() == []
        # No attempt was counted but those before it was held: ten in each of the two, at most.
        attempts = [received.header("nrc-attempt") for received in spine.callback.at("/a")[seen + 1 :]]
        assert sum(int(attempt or 0) - 1 for attempt in attempts) <= 2 * 10


async def test_a_callback_that_is_down_is_probed_by_itself(spine: Delivering) -> None:
    async with CallbackServer() as there:
        url = there.url("/")
    abonnement = await spine.subscribe(url=url)
    async with spine.deliverer():
        for _ in range(12):
            await spine.publish()
        await eventually(lambda: spine.state_is(abonnement, State.HELD))
        await eventually(lambda: held_with(spine, abonnement, 12))
        assert "connection_refused" in (await kept(spine, abonnement)).state_reason
        async with CallbackServer(port=there.port) as back:
            # The first probe comes five seconds after the hold, and lets the others through.
            await eventually(lambda: len(back.received) == 12)
            await eventually(lambda: spine.state_is(abonnement, State.ACTIVE))


async def test_it_catches_up_slowly(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500))
    async with spine.deliverer():
        for _ in range(60):
            await spine.publish()
        await eventually(lambda: held_with(spine, abonnement, 60))
        gates = [asyncio.Event() for _ in range(3)]
        let_go: list[Script] = [when(gate, status(204)) for gate in gates]
        # The probe; then one; then two.
        spine.callback.script("/a", let_go[0], let_go[1], let_go[2])
        await probe_now(spine, abonnement)
        await eventually(lambda: spine.callback.under_way("/a") == 1)
        gates[0].set()
        await eventually(lambda: spine.state_is(abonnement, State.ACTIVE))
        await eventually(lambda: spine.consumers_are(abonnement, 1))
        await eventually(lambda: spine.callback.under_way("/a") == 1)
        gates[1].set()
        await eventually(lambda: spine.callback.under_way("/a") == 2)
        gates[2].set()
        # An empty queue is not enough: the deliverer may have all 60 in hand.
        await eventually(lambda: len({*spine.ids_at("/a")}) == 60)
        await eventually(lambda: spine.depth_is(abonnement, 0, waiting=0))
        await eventually(lambda: spine.callback.under_way("/a") == 0)
        assert len({*spine.ids_at("/a")}) == 60


async def test_a_poison_message_holds_nobody_up(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    poison = await spine.publish()
    spine.callback.script("/a", *[status(500), *[status(204)] * 9] * 3, status(204))
    async with spine.deliverer():
        numbers = {poison} | {await spine.publish() for _ in range(30)}
        await eventually(lambda: set(spine.ids_at("/a")) == numbers)
        assert await spine.state_is(abonnement, State.ACTIVE)


async def test_a_probe_rotates_past_the_one_message_that_fails(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500))
    async with spine.deliverer(retry_schedule="1,1,1,1,1,1"):
        for _ in range(20):
            await spine.publish()
        await eventually(lambda: held_with(spine, abonnement, 20))
        seen = len(spine.callback.received)
        for tried in (1, 2, 3):
            await probe_now(spine, abonnement)
            await eventually(lambda tried=tried: len(spine.callback.received) == seen + tried)
            await eventually(lambda: held_with(spine, abonnement, 20))
        assert len({*spine.ids_at("/a")[seen:]}) == 3


async def test_a_probe_of_what_goes_round_releases(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500))
    async with spine.deliverer(retry_schedule="1,1,1,1,1,1"):
        for _ in range(12):
            await spine.publish()
        await eventually(lambda: held_with(spine, abonnement, 12))
        seen = len(spine.callback.received)
        spine.callback.script("/a", status(508, headers={"nrc-hops": "5"}), status(204))
        await probe_now(spine, abonnement)
        await eventually(lambda: spine.state_is(abonnement, State.ACTIVE))
        await eventually(lambda: len(spine.callback.received) == seen + 12)
        (round_,) = await spine.undeliverable()
        assert round_.message_id == spine.ids_at("/a")[seen]


async def test_a_probe_that_is_answered_410_suspends(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500))
    async with spine.deliverer():
        for _ in range(15):
            await spine.publish()
        await eventually(lambda: held_with(spine, abonnement, 15))
        spine.callback.script("/a", status(410))
        await probe_now(spine, abonnement)
        await eventually(lambda: spine.state_is(abonnement, State.SUSPENDED))
        await eventually(lambda: spine.depth_is(abonnement, 15))
        spine.callback.script("/a", status(204))
        await spine.set_state(abonnement, State.ACTIVE)
        await eventually(lambda: spine.callback.under_way("/a") == 0 and len({*spine.ids_at("/a")}) == 15)


async def test_a_probe_heeds_retry_after(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500))
    async with spine.deliverer():
        for _ in range(15):
            await spine.publish()
        await eventually(lambda: held_with(spine, abonnement, 15))
        spine.callback.script("/a", status(429, headers={"Retry-After": "900"}))
        before = await kept(spine, abonnement)
        assert before.hold is not None
        await probe_now(spine, abonnement)

        async def put_off() -> bool:
            hold = (await kept(spine, abonnement)).hold
            return hold is not None and before.hold is not None and hold.next_probe > before.hold.since + 800

        await eventually(put_off)


async def test_files_that_we_lack_hold_nothing_and_cost_no_attempt(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    async with spine.deliverer(retry_schedule="1"):
        await eventually(lambda: spine.consumers_are(abonnement, 1))
        with no_more_files(), capture_logs() as lines:
            numbers = [await spine.publish() for _ in range(15)]
            # Twice round the wait queue: more failures than would hold it, and than there are attempts.
            await eventually(lambda: [line["event"] for line in lines].count("put off") >= 45)
            assert spine.callback.received == []
            assert await spine.state_is(abonnement, State.ACTIVE)
        await eventually(lambda: sorted(map(str, spine.ids_at("/a"))) == sorted(numbers))
        assert {received.header("nrc-attempt") for received in spine.callback.received} == {"1"}
        await eventually(lambda: spine.depth_is(abonnement, 0))
    assert await spine.undeliverable() == []


async def test_a_probe_without_files_says_nothing_of_the_callback(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    async with spine.deliverer():
        before = await spine.router.registry.set_hold(
            abonnement.uuid,
            Hold(1.0, 3, time.time() + 60),
            "timeout",
            before=None,
            callback_url=abonnement.callback_url,
        )
        assert before is not None
        await spine.router.client.announce()
        await eventually(lambda: spine.consumers_are(abonnement, 0))
        number = await spine.publish()
        await eventually(lambda: spine.depth_is(abonnement, 1))
        with no_more_files():
            await probe_now(spine, abonnement)
            # The probe was made: its message went round the wait queue.
            await eventually(lambda: _has_waiting(spine, names.wait_queue(REST)))

        async def is_as_before() -> bool:
            after = await kept(spine, abonnement)
            assert (after.state, after.state_reason) == (State.HELD, "timeout")
            return after.hold is not None and after.hold.probes == 3

        await eventually(is_as_before)
        await eventually(lambda: spine.ids_at("/a") == [number])
        await eventually(lambda: spine.state_is(abonnement, State.ACTIVE))


async def _has_waiting(spine: Delivering, queue: str) -> bool:
    return await spine.depth(queue) > 0


async def test_an_empty_queue_is_probed_with_the_next_message(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    async with spine.deliverer():
        await spine.router.registry.set_hold(
            abonnement.uuid, Hold(1.0, 0, 2.0), "timeout", before=None, callback_url=abonnement.callback_url
        )
        await spine.router.client.announce()
        await eventually(lambda: spine.consumers_are(abonnement, 0))
        number = await spine.publish()
        await eventually(lambda: spine.ids_at("/a") == [number])
        await eventually(lambda: spine.state_is(abonnement, State.ACTIVE))


@pytest.mark.parametrize("code", [410, 500])
async def test_a_registry_that_is_locked_holds_up_nobody(spine: Delivering, code: int) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(code))
    async with spine.deliverer(retry_schedule="16,16"):
        locked = sqlite3.connect(spine.router.settings.registry_file, isolation_level=None)
        try:
            locked.execute("BEGIN IMMEDIATE")
            for _ in range(30):
                await spine.publish()
            # One waits for the lock; what can't be held goes through its retries, and all of it at once.
            await eventually(lambda: depth_of_wait(spine, 16, at_least=28), within=30)
        finally:
            locked.close()
    assert await spine.state_is(abonnement, State.ACTIVE)


async def depth_of_wait(spine: Delivering, seconds: int, *, at_least: int) -> bool:
    """Whether so many wait in this wait queue."""
    return await spine.depth(names.wait_queue(seconds)) >= at_least


async def test_what_is_held_stays_so_when_deliverers_come_and_go(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500))
    async with spine.deliverer():
        for _ in range(15):
            await spine.publish()
        await eventually(lambda: held_with(spine, abonnement, 15))
    seen = len(spine.callback.received)
    spine.callback.script("/a", status(204))
    async with spine.deliverer():
        assert await spine.consumers_are(abonnement, 0)
        await eventually(lambda: len({*spine.ids_at("/a")[seen:]}) == 15, within=30)


async def test_what_always_raises_is_counted_and_ends_and_holds_up_neither_others_nor_a_probe(
    spine: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    abonnement = await spine.subscribe("/a")
    bad = {await spine.publish()}
    headers = Deliverer.headers

    def raises(deliverer: Deliverer, delivery: Delivery, of: Abonnement) -> dict[str, str]:
        if delivery.notificatie in bad:
            raise RuntimeError("a fault of ours")
        return headers(deliverer, delivery, of)

    monkeypatch.setattr(Deliverer, "headers", raises)
    good = {await spine.publish() for _ in range(3)}
    hold = Hold(since=time.time(), probes=0, next_probe=0.0)
    await spine.router.registry.set_hold(
        abonnement.uuid, hold, "by a test", before=None, callback_url=abonnement.callback_url
    )
    with capture_logs() as logs:
        async with spine.deliverer(retry_schedule="1,1"):
            # The one at the head of the queue fails this probe, and goes to the end of it.
            await eventually(lambda: "attempt failed unexpectedly" in {each["event"] for each in logs})
            await probe_until(spine, abonnement, State.ACTIVE)
            await eventually(lambda: good <= {*spine.ids_at("/a")}, within=30)
            gone: list[AbstractIncomingMessage] = []

            async def has_ended() -> bool:
                gone.extend(await spine.undeliverable())
                return bool(gone)

            await eventually(has_ended, within=60)
    assert {each.message_id for each in gone} == bad
    assert b"unexpected" in bytes(str(gone[0].headers), "utf-8")
    assert bad.isdisjoint(spine.ids_at("/a"))


async def probe_until(spine: Delivering, abonnement: Abonnement, state: State) -> None:
    """Probe again and again until it is in this state."""

    async def is_so() -> bool:
        if await spine.state_is(abonnement, state):
            return True
        with suppress(AssertionError):  # it was released just now
            await probe_now(spine, abonnement)
        return False

    await eventually(is_so, within=60)
