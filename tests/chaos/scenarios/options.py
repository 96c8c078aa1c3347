"""Abonnementen with delivery options, and bulk and CloudEvents among what is published, under faults.

Beside the account of every delivery it is judged whether what is in order per hoofdObject came so, and
whether what ended in a newer one may have (accounting/options.py).
"""

from __future__ import annotations

import asyncio
from functools import partial

from tests.chaos.clients import mixed
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.chaos.scenarios.rabbitmq.topology import LOST_TWICE, in_hand
from tests.chaos.scenarios.states import FAIL_FIRST

MATCHES = 8
"""The most of these abonnementen that want one notificatie."""
ATTEMPTS = 5
"""Those that fail, of one that is set aside: more than SET_ASIDE by the schedule."""
FAIL_LONG = {"every": 40, "then": ["first", {"attempts": ATTEMPTS, "then": ["status", {"code": 500}]}]}
SLOW = 0.4  # seconds for an answer: three at once are less than what comes
EVENTS = {"events": "structured", "events-binary": "binary"}


async def _fail_now_and_then(run: Run) -> None:
    """Some attempts fail, for each kind of abonnement; a callback for CloudEvents refuses all else."""
    for name in ("in-order", "newest", "one-at-once", "plain"):
        await run.consumer.behave(run.path(name), "some", **FAIL_FIRST)
    await run.consumer.behave(run.path("set-aside"), "some", **FAIL_LONG)
    for name, mode in EVENTS.items():
        await run.consumer.behave(run.path(name), "event", mode=mode, then=["some", FAIL_FIRST])


async def _well_again(run: Run) -> None:
    for name in mixed.ABONNEMENTEN:
        if name not in EVENTS:
            await run.consumer.behave(run.path(name), "status")


async def killed(run: Run) -> None:
    """Deliverers, RabbitMQ and the keeper, one after the other and then at once."""
    system = run.system
    await _fail_now_and_then(run)
    await run.more(250)
    for name in system.deliverers:
        async with run.fault():
            await system.kill(name)
            await run.lasting(1)
        await system.start(name)
        await run.more(150)
    async with run.fault():
        await system.kill_broker()
        await run.lasting(1)
    await system.broker.start()
    await run.more(300)
    async with run.fault():
        await system.kill(*system.keepers)
        await run.lasting(2)
    await system.start_all()
    await run.more(150)
    async with run.fault():
        await system.kill_broker()
        await system.kill(*system.deliverers, *system.keepers)
        await run.lasting(1)
    await system.broker.start()
    await system.start_all()
    await run.more(300)
    await _well_again(run)
    _is_published(run)


async def wiped(run: Run) -> None:
    """While bulk waits in the lane and is under way, and others are between attempts or wait for those."""
    await _fail_now_and_then(run)
    await run.consumer.behave(run.path("few-at-once"), "status", after=SLOW)
    await run.more(600)
    in_lane, under_way = await asyncio.to_thread(run.system.rows.bulk)
    if not in_lane or not under_way:
        run.problems.append(f"{in_lane} of bulk waited in the lane, and {under_way} were under way")
    run.may_repeat("in hand when RabbitMQ was wiped", in_hand(run, matches=MATCHES))
    async with run.fault():
        await run.system.wipe_broker()
    await run.system.broker.start()
    await run.more(400)
    await _well_again(run)
    await run.more(300)
    _is_published(run)


def _is_published(run: Run) -> None:
    """Of each kind there was some."""
    numbers = [post.number for post in run.publisher.accepted]
    for what, kind in (("bulk", mixed.is_bulk), ("CloudEvents", mixed.is_event)):
        if not any(map(kind, numbers)):
            run.problems.append(f"there were no {what}")


PARTS = {
    "in-order": "`order`: what is about one hoofdObject comes in the order of acceptance.",
    "set-aside": f"`order` too; one in {FAIL_LONG['every']} fails for longer than `setAsideAfter`, and may "
    "be overtaken after that.",
    "newest": "`consolidate`: what is apart here ended in a newer one that was delivered.",
    "paced": "`rate`.",
    "one-at-once": "`concurrency` of 1.",
    "few-at-once": "`concurrency` of 3, and `rate`.",
    "events": "Gets CloudEvents, structured, and those that sources publish; refuses all else.",
    "events-binary": "The same in binary form.",
    "plain": "Without options.",
}
_LOAD = (
    "A quarter of what is published is bulk (X-Batch-Id), and an eighth are CloudEvents; all is about "
    f"{mixed.OBJECTS} hoofdObjecten, and one attempt in five of most abonnementen fails. Everything is "
    "delivered, and in order where that is asked."
)

_scenario = partial(
    Scenario,
    rate=25.0,
    least=1500,
    settle=400.0,
    quiet=LOST_TWICE,
    traffic=mixed.TRAFFIC,
    all_arrive=True,
    abonnementen=mixed.ABONNEMENTEN,
    parts=PARTS,
)

SCENARIOS = (
    _scenario(
        "delivery options, killed",
        "Abonnementen with each of the delivery options. Each deliverer, RabbitMQ and the keeper are killed "
        f"with -9 in turn and started again, and then all of these at the same moment. {_LOAD}",
        killed,
    ),
    _scenario(
        "delivery options, RabbitMQ wiped",
        "Abonnementen with each of the delivery options. RabbitMQ is killed with -9 and started without "
        f"any of its state, while bulk waits in the ledger and some of it is under way. {_LOAD}",
        wiped,
    ),
)
