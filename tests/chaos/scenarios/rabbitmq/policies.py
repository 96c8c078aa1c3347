"""Policies that somebody sets in RabbitMQ, and that would empty our queues."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from ledger.values import Cause
from tests.chaos.clients import load
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.chaos.scenarios.callbacks import short_schedule

EMPTYING: Mapping[str, int] = {"message-ttl": 3000, "max-length": 5, "expires": 3000}


async def emptying_policy(run: Run) -> None:
    """While one abonnement is held, and some of another's are undeliverable."""
    broker = run.system.broker
    await run.consumer.behave(run.path("held"), "status", code=500)
    refuse = {"every": 100, "then": ["status", {"code": 400}]}
    await run.consumer.behave(run.path("some-refused"), "some", **refuse)
    await run.more(2400)
    held, refused = await _waiting(run)
    if min(held, refused) <= EMPTYING["max-length"]:
        run.problems.append(f"only {held} wait for an abonnement, and {refused} are undeliverable")
    await run.consumer.behave(run.path("some-refused"), "status")
    await broker.set_policy("emptying", ".*", EMPTYING)
    async with run.fault():
        await run.lasting(10)
        await broker.clear_policy("emptying")
        await run.consumer.behave(run.path("held"), "status")
        await run.system.nrc("abonnement", "resume", str(run.abonnementen["held"]))
    await run.system.nrc("undeliverable", "resend", "--abonnement", str(run.abonnementen["some-refused"]))
    await run.more(600)


SHORT = {"message-ttl": 3000}
STANDS = 2.5  # seconds: what it drops is given back when it is gone


async def operator_policy(run: Run) -> None:
    """On top of every policy, ours included. It holds for what comes into a queue while it stands.

    RabbitMQ drops at the head of a queue: nothing that came before may wait there.
    """
    broker = run.system.broker
    uuid = run.abonnementen["suspended"]
    async with run.fault():
        await broker.set_operator_policy("short", "^nrc[.]", SHORT)
        await run.system.nrc("abonnement", "suspend", str(uuid))
        await asyncio.sleep(STANDS)
        await broker.clear_operator_policy("short")
    await run.more(1500)
    if Cause.DROPPED not in (await run.given_back()).values():
        run.problems.append("the policy dropped nothing")
    await run.system.nrc("abonnement", "resume", str(uuid))
    await run.more(600)


async def _waiting(run: Run) -> tuple[int, int]:
    """Messages in the queue of the abonnement that is held, and undeliverable ones."""
    counted = await run.system.broker.ready([run.queue("held")])
    return counted[run.queue("held")], len(await run.system.undeliverable())


SCENARIOS = (
    Scenario(
        "policy for everything",
        "While one abonnement is held and some of another's notificaties are undeliverable, somebody sets a "
        "policy on all queues that empties them: `message-ttl` and `expires` of 3 s, `max-length` of 5. It "
        "stands for 10 s.",
        emptying_policy,
        make=short_schedule,
        rate=300.0,
        least=5000,
        abonnementen={
            "everything": load.EVERYTHING,
            "held": load.slice_of(0, 1),
            "some-refused": load.EVERYTHING,
        },
        parts={
            "held": "Answers 500 until the policy is gone.",
            "some-refused": "Answers 400 to one in 100; afterwards `nrc undeliverable resend` sends these.",
        },
    ),
    Scenario(
        "operator policy",
        "An operator policy with a `message-ttl` of 3 s stands over all queues of ours for some seconds, in "
        "which an abonnement is suspended. RabbitMQ drops what came for it meanwhile, and the keeper gives "
        "that back. No publisher sees an error.",
        operator_policy,
        rate=300.0,
        least=4000,
        no_errors=True,
        abonnementen={"everything": load.EVERYTHING, "suspended": load.DOCUMENTS},
        parts={"suspended": "Suspended while the policy stands, and resumed some seconds later."},
    ),
)
