"""AMQP direct: consumers that read a queue or a stream of their own in RabbitMQ, beside callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from router import names
from tests.chaos.clients import load
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.chaos.scenarios.rabbitmq.topology import LOST_TWICE, in_hand
from tests.chaos.system import system

MATCHES = 5
"""The most of these abonnementen that want one notificatie."""
ROOM = 40
"""Messages in the queue that gets full."""
OUTCOMES = 3.0
"""Seconds in which the ledger has the outcome of what RabbitMQ confirmed before it went."""
UNREAD = "in the queue of its consumer, unread, in a RabbitMQ that was wiped: delivered, as far as we go"

QUEUE: Mapping[str, object] = {"kind": "quorum"}
_ALWAYS = {
    "callback": load.EVERYTHING,
    "queue": replace(load.EVERYTHING, amqp=QUEUE),
    "stream": replace(load.EVERYTHING, amqp={"kind": "stream"}),
}
_PARTS = {
    "callback": "Has a callback, which answers at once.",
    "queue": "Its consumer reads a quorum queue; it is killed with -9 every two to six seconds.",
    "stream": "So does this one, of a stream. It goes on from the time of the last that it had.",
}


async def killed(run: Run) -> None:
    """Deliverers, RabbitMQ, and then all of it with the router."""
    system = run.system
    for name in system.deliverers:
        async with run.fault():
            await system.kill(name)
            await run.lasting(1)
        await system.start(name)
        await run.more(300)
    async with run.fault():
        await system.stop_broker()
        await run.lasting(1)
    await system.broker.start()
    await run.more(500)
    async with run.fault():
        await system.kill_broker()
        await run.lasting(1)
    await system.broker.start()
    await run.more(500)
    async with run.fault():
        await system.kill_broker()
        await system.kill(*system.deliverers, *system.routers)
        await run.lasting(1)
    await system.broker.start()
    await system.start_all()
    await run.more(500)


async def full(run: Run) -> None:
    """Until it is held, and a deliverer and RabbitMQ are killed meanwhile."""
    system = run.system
    for name in ("full", "stream"):
        await run.readers[name].stop()
    await run.more(1000)
    await run.held("full")
    async with run.fault():
        await system.kill("deliverer 1")
        await run.lasting(1)
    await system.start("deliverer 1")
    async with run.fault():
        await system.kill_broker()
        await run.lasting(1)
    await system.broker.start()
    await run.more(300)
    queue = names.amqp_queue(run.abonnementen["full"])
    found = (await system.broker.ready([queue])).get(queue, 0)
    if not ROOM <= found < await _to_get(run, "full"):
        run.problems.append(f"{found} were in the queue that should be full")
    async with run.fault():
        for name in ("full", "stream"):
            await run.readers[name].start()
    await run.more(500)


async def _to_get(run: Run, name: str) -> int:
    return sum(run.wants(name, post) for post in run.publisher.accepted)


async def wiped(run: Run) -> None:
    """What lies unread in the queues of consumers is told; for one of them an operator sends it again."""
    for name in ("unread", "replayed"):
        await run.readers[name].stop()
    await run.more(600)
    run.may_repeat("in hand when RabbitMQ was wiped", in_hand(run, matches=MATCHES))
    async with run.fault():
        await run.system.wipe_broker()
        at = datetime.now(UTC)
        await asyncio.sleep(OUTCOMES)
        lay = {name: await run.unread(name) for name in run.readers}
    await run.system.broker.start()
    run.problems += [
        f"nothing lay unread in the queue of {name}" for name in ("unread", "replayed") if not lay[name]
    ]
    for name in lay.keys() - {"replayed"}:
        run.excuse_unread(UNREAD, name, lay[name])
    await run.more(600)
    for name in ("unread", "replayed"):
        await run.readers[name].start()
    await run.replay("replayed", before=at)
    await run.more(300)


with_direct = partial(system, direct=True)
_scenario = partial(
    Scenario, make=with_direct, rate=80.0, least=2500, settle=400.0, quiet=LOST_TWICE, all_arrive=True
)

SCENARIOS = (
    _scenario(
        "AMQP direct, killed",
        "Two consumers read all in RabbitMQ (AMQP direct), one in a queue and one in a stream, beside two "
        "callbacks. Each deliverer is killed with -9; RabbitMQ is stopped cleanly, and killed with -9; then "
        "RabbitMQ, the deliverers and the router are killed at the same moment. Everything is delivered.",
        killed,
        abonnementen={**_ALWAYS, "documents": load.DOCUMENTS},
        parts=_PARTS,
    ),
    _scenario(
        "AMQP direct, a queue full",
        f"Of three consumers that read RabbitMQ two do not read. The queue of one has room for {ROOM}, so "
        "its abonnement is held; meanwhile a deliverer and RabbitMQ are killed with -9. Then both read "
        "again. Everything is delivered.",
        full,
        abonnementen={
            **_ALWAYS,
            "full": replace(load.slice_of(1, 2), amqp={**QUEUE, "maxLength": ROOM}),
        },
        parts={**_PARTS, "full": "Its consumer does not read until its queue has long been full."},
    ),
    _scenario(
        "AMQP direct, RabbitMQ wiped",
        "RabbitMQ is killed with -9 and started without any of its state, so without the queues of consumers "
        "and their users, while two of them do not read. Queues and users are made again, with the same "
        "passwords. Apart is what by the ledger was delivered before, and its consumer had not read.",
        wiped,
        abonnementen={
            **_ALWAYS,
            "unread": replace(load.DOCUMENTS, amqp=QUEUE),
            "replayed": replace(load.slice_of(0, 2), amqp=QUEUE),
        },
        parts={
            **_PARTS,
            "unread": "Its consumer had stopped reading before.",
            "replayed": "So had this one. An operator sends all again by `nrc replay start`: none is apart.",
        },
    ),
)
