"""RabbitMQ as a whole: stopped, killed, blocking publishers, wiped."""

from __future__ import annotations

import asyncio

from tests.chaos.clients import load
from tests.chaos.run import Run, Scenario
from tests.chaos.system import PREFETCH

LET_GO = 0.5  # seconds


async def broker_restarted(run: Run) -> None:
    async with run.fault():
        await run.system.stop_broker()
        await run.lasting(1)
    await run.system.broker.start()
    await run.more(1500)


async def broker_killed(run: Run) -> None:
    for _ in run.rounds(2):
        async with run.fault():
            await run.system.kill_broker()
            await run.lasting(0.5)
        await run.system.broker.start()
        await run.more(1500)


async def memory_alarm(run: Run) -> None:
    for _ in run.rounds(3):
        async with run.fault():
            await run.system.broker.alarm(True)
            await run.lasting(4)
            await run.system.broker.alarm(False)
        await run.more(1000)


async def broker_wiped(run: Run) -> None:
    """With a backlog: a callback that hangs, so that there is something to lose."""
    await run.consumer.behave(run.path("documents"), "hang")
    await run.more(1000)
    run.may_repeat(
        "in hand when RabbitMQ was wiped", PREFETCH * len(run.system.deliverers) * run.system.queues
    )
    async with run.fault():
        await run.system.wipe_broker()
        await run.consumer.behave(run.path("documents"), "status")
    await run.system.broker.start()
    await run.more(2000)


async def killed_after_creation(run: Run) -> None:
    for turn in range(4):
        await run.subscribe(f"new-{turn}", load.DOCUMENTS)
        async with run.fault():
            await asyncio.sleep(LET_GO * turn / 4)
            await run.system.kill_broker()
        await run.system.broker.start()
        await run.more(600)


async def message_store_emptied(run: Run) -> None:
    """As a loss of power may leave it: RabbitMQ itself would start, and every classic queue would crash."""
    broker = run.system.broker
    for _ in run.rounds(2):
        whole = broker.message_store.read_bytes()
        async with run.fault():
            await run.system.kill_broker()
            broker.message_store.write_bytes(b"")
        await broker.start()
        if broker.message_store.read_bytes() != whole:
            run.problems.append("the settings of the message store were not written again")
        await run.more(1200)


SCENARIOS = (
    Scenario(
        "RabbitMQ restarted",
        "RabbitMQ is stopped cleanly and started again.",
        broker_restarted,
    ),
    Scenario(
        "RabbitMQ killed",
        "RabbitMQ is killed with -9 and started again, twice.",
        broker_killed,
        short=True,
    ),
    Scenario(
        "RabbitMQ killed after a creation",
        "RabbitMQ is killed with -9 within half a second of the 201 for a new abonnement, four times.",
        killed_after_creation,
    ),
    Scenario(
        "memory alarm",
        "RabbitMQ has a memory alarm and blocks publishers for some seconds, three times.",
        memory_alarm,
    ),
    Scenario(
        "RabbitMQ wiped",
        "RabbitMQ is killed with -9 and started again without any of its state, while one callback hangs and "
        "messages wait for it.",
        broker_wiped,
    ),
    Scenario(
        "message store emptied",
        "RabbitMQ is killed with -9, the settings of its message store are emptied, as a loss of power may "
        "leave them, and it is started again, twice.",
        message_store_emptied,
        least=3000,
    ),
)
