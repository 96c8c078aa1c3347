"""Order per hoofdObject at the callback: with two deliverers, failing heads, and one that is killed."""

from __future__ import annotations

import asyncio
import random
from asyncio.subprocess import Process
from collections import defaultdict
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import orjson
import pytest

from ledger.ids import new_id
from ledger.keeper.service import Limits
from ledger.keeper.service import serve as keep
from ledger.ledger import Ledger
from ledger.tables.turns import BEHIND
from ledger.values import Entry, Key, State
from router.routing import route
from schemas.abonnement import Abonnement
from schemas.abonnement import State as Condition
from schemas.delivery_options import DeliveryOptions
from schemas.delivery_options.order import Order
from schemas.notificatie import Notificatie
from tests.callback_server import Received, Wire, status
from tests.eventually import eventually
from tests.integration.conftest import running
from tests.integration.deliverer.delivering import Delivering
from tests.integration.deliverer.test_delivery_workers import end, start_process

pytestmark = pytest.mark.usefixtures("broker")

LIMITS = Limits(pause=0.1, longest_pause=0.3)  # of a keeper that looks often
ZAAK = "https://zaken.example.nl/zaken/"


async def ordered(spine: Delivering, *, set_aside_after: float = 3600) -> Abonnement:
    """An abonnement on /a with order per hoofdObject."""
    abonnement = await spine.subscribe("/a")
    order = Order(setAsideAfter=set_aside_after)
    return await spine.change(abonnement, options=DeliveryOptions(order=order))


async def accept(spine: Delivering, ledger: Ledger, abonnement: Abonnement, zaak: str) -> UUID:
    """Publish one about this zaak, and write its entry, as a gateway does before its 201; its id."""
    id_, url = new_id(), f"{ZAAK}{zaak}"
    body = orjson.dumps({"kanaal": spine.kanaal.naam, "hoofdObject": url, "kenmerken": {}})
    entry = Entry(
        id=id_,
        received=int(datetime.now(UTC).timestamp() * 1000),
        client="bron",
        kanaal=spine.kanaal.naam,
        resource="zaak",
        actie="create",
        hoofd_object=url,
        resource_url=url,
        kenmerken={},
        body=body,
        catalogue=1,
        matched=(abonnement.uuid,),
    )
    outgoing = route(
        spine.kanaal,
        Notificatie(spine.kanaal.naam, "zaak", "create", {}, body),
        message_id=str(id_),
        accepted_at=datetime.now(UTC),
    )
    await asyncio.gather(ledger.write([entry]), spine.publisher.publish(outgoing))
    return id_


class Callback:
    """A callback that notes each attempt and its answer. fails: whether it answers 500 to this one now."""

    def __init__(self, spine: Delivering, *, seed: int = 1, slow: float = 0.01) -> None:
        self.random = random.Random(seed)
        self.slow = slow
        self.attempts: list[tuple[UUID, int]] = []
        self.dead: set[UUID] = set()
        self.may_fail = 0.0
        spine.callback.script("/a", self.answer)

    async def answer(self, wire: Wire, received: Received) -> bool:
        id_ = UUID(received.header("webhook-id") or "")
        fails = id_ in self.dead or self.random.random() < self.may_fail
        code = 500 if fails else 204
        self.attempts.append((id_, code))
        return await status(code, after=self.random.random() * self.slow)(wire, received)

    @property
    def delivered(self) -> set[UUID]:
        return {id_ for id_, code in self.attempts if code == 204}

    def check(self, lanes: dict[str, list[UUID]], *, but: frozenset[UUID] = frozenset()) -> None:
        """No attempt of one was made before all earlier ones of its zaak were delivered."""
        done: set[UUID] = set()
        place = {id_: (ids, n) for ids in lanes.values() for n, id_ in enumerate(ids)}
        for id_, code in self.attempts:
            ids, n = place[id_]
            lacking = [each for each in ids[:n] if each not in done and each not in but]
            assert not lacking, f"number {n} was attempted before {[ids.index(each) for each in lacking]}"
            if code == 204:
                done.add(id_)


async def stopped(process: Process) -> None:
    process.terminate()
    await process.wait()


async def test_per_object_what_arrives_is_in_the_order_of_acceptance(
    spine: Delivering, ledger: Ledger
) -> None:
    """Six sequential publishers, two deliverers of which one is killed, and a callback that fails a tenth."""
    abonnement = await ordered(spine)
    callback = Callback(spine)
    callback.may_fail = 0.1
    lanes: dict[str, list[UUID]] = defaultdict(list)

    async def publisher(zaak: str, seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(50):
            lanes[zaak].append(await accept(spine, ledger, abonnement, zaak))
            await asyncio.sleep(rng.random() * 0.05)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(keep, spine.router.settings, limits=LIMITS))
        schedule = "1,1,2,2,2,2,2"
        workers = [await start_process(spine, retry_schedule=schedule) for _ in range(2)]
        try:
            publishing = asyncio.gather(*(publisher(f"zaak-{n}", n) for n in range(6)))
            await eventually(lambda: len(callback.delivered) > 60, within=90)
            await end(workers.pop(0))
            workers.append(await start_process(spine, retry_schedule=schedule))
            await publishing
            await eventually(lambda: len(callback.delivered) == 300, within=120)
        finally:
            for worker in workers:
                await end(worker)
    callback.check(lanes)
    assert all(len(ids) == 50 for ids in lanes.values())


async def test_one_that_keeps_failing_is_set_aside_and_others_go_on_meanwhile(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await ordered(spine, set_aside_after=4)
    callback = Callback(spine)
    async with running(keep, spine.router.settings, limits=LIMITS), spine.deliverer(retry_schedule="3,3,3,3"):
        head = await accept(spine, ledger, abonnement, "dead")
        callback.dead.add(head)
        await eventually(lambda: len(callback.attempts) == 1)
        behind = [await accept(spine, ledger, abonnement, "dead") for _ in range(30)]
        others = [await accept(spine, ledger, abonnement, f"other-{n}") for n in range(30)]
        await eventually(lambda: set(others) <= callback.delivered)
        assert not set(behind) & callback.delivered
        # They wait in the ledger, not in RabbitMQ, and none of their attempts is used up.
        await eventually(lambda: _all(ledger, abonnement, behind, State.RETURNING))
        (note,) = await ledger.attempts(Key(behind[0], abonnement.uuid))
        assert (note.kind, note.detail, note.number) == (BEHIND, str(head), 0)
        await eventually(lambda: set(behind) <= callback.delivered, within=90)
        assert head not in callback.delivered
        callback.check(
            {"dead": [head, *behind], **{str(id_): [id_] for id_ in others}}, but=frozenset({head})
        )
        # The head keeps its own schedule, and is delivered when its callback works again.
        callback.dead.clear()
        await eventually(lambda: head in callback.delivered, within=90)
    for id_ in (head, *behind):
        row = await ledger.delivery(Key(id_, abonnement.uuid))
        assert row is not None
        assert row.state is State.DELIVERED
        assert id_ == head or row.attempts == 1


async def test_those_behind_follow_at_once_when_the_head_is_delivered(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await ordered(spine)
    callback = Callback(spine)
    # A keeper brings nothing back within this test: the deliverer does.
    async with spine.deliverer(retry_schedule="4,4,4"):
        head = await accept(spine, ledger, abonnement, "one")
        callback.dead.add(head)
        await eventually(lambda: len(callback.attempts) == 1)
        behind = [await accept(spine, ledger, abonnement, "one") for _ in range(100)]
        await eventually(lambda: _all(ledger, abonnement, behind, State.RETURNING))
        callback.dead.clear()
        await eventually(lambda: set(behind) <= callback.delivered, within=90)
    callback.check({"one": [head, *behind]})


async def test_a_probe_keeps_the_order_too(spine: Delivering, ledger: Ledger) -> None:
    abonnement = await ordered(spine)
    callback = Callback(spine)
    callback.may_fail = 1.0
    async with running(keep, spine.router.settings, limits=LIMITS), spine.deliverer():
        first = [await accept(spine, ledger, abonnement, f"zaak-{n}") for n in range(12)]
        second = [await accept(spine, ledger, abonnement, f"zaak-{n}") for n in range(12)]
        await eventually(partial(spine.state_is, abonnement, Condition.HELD), within=90)
        callback.may_fail = 0.0
        await eventually(lambda: set(first + second) <= callback.delivered, within=120)
    callback.check({str(n): [*pair] for n, pair in enumerate(zip(first, second, strict=True))})


async def _all(ledger: Ledger, abonnement: Abonnement, ids: list[UUID], state: State) -> bool:
    rows = [await ledger.delivery(Key(id_, abonnement.uuid)) for id_ in ids]
    return all(row is not None and row.state is state for row in rows)
