"""The whole of RabbitMQ: stopped, killed, blocking publishers, wiped."""

from __future__ import annotations

import asyncio

from tests.chaos.clients import load
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.chaos.scenarios import states
from tests.chaos.scenarios.rabbitmq.topology import in_hand

LET_GO = 0.5  # seconds
AWAY = 180.0  # seconds


async def broker_restarted(run: Run) -> None:
    async with run.fault():
        await run.system.stop_broker()
        await run.lasting(1)
    await run.system.broker.start()
    await run.more(900)


async def broker_killed(run: Run) -> None:
    for _ in run.rounds(2):
        async with run.fault():
            await run.system.kill_broker()
            await run.lasting(0.5)
        await run.system.broker.start()
        await run.more(900)


async def memory_alarm(run: Run) -> None:
    for _ in run.rounds(2):
        async with run.fault():
            await run.system.broker.alarm(True)
            await run.lasting(4)
            await run.system.broker.alarm(False)
        await run.more(700)


async def broker_away(run: Run) -> None:
    async with run.fault():
        await run.system.stop_broker()
        await run.lasting(AWAY)
    await run.system.broker.start()
    await run.more(1500)


async def broker_wiped(run: Run) -> None:
    await states.bring_about(run, waiting=True)
    run.may_repeat("in hand when RabbitMQ was wiped", in_hand(run))
    async with run.fault():
        await run.system.wipe_broker()
    await run.system.broker.start()
    await states.well_again(run)
    await run.more(2000)
    await states.send_again(run)
    await run.more(300)


async def killed_after_creation(run: Run) -> None:
    for turn in range(3):
        await run.subscribe(f"new-{turn}", load.DOCUMENTS)
        async with run.fault():
            await asyncio.sleep(LET_GO * turn / 3)
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
        "RabbitMQ is killed with -9 within half a second of the 201 for a new abonnement, three times.",
        killed_after_creation,
    ),
    Scenario(
        "memory alarm",
        "RabbitMQ has a memory alarm and blocks publishers for some seconds, twice.",
        memory_alarm,
    ),
    Scenario(
        "RabbitMQ away for three minutes",
        "RabbitMQ is stopped cleanly, and started again three minutes later. No publisher sees an error: all "
        "that is posted meanwhile is answered with 201.",
        broker_away,
        rate=150.0,
        no_errors=True,
        settle=120.0,
    ),
    Scenario(
        "RabbitMQ wiped",
        "RabbitMQ is killed with -9 and started again without any of its state, while messages wait in a "
        "queue, wait of a held abonnement, are between attempts, and are undeliverable. No publisher sees "
        "an error.",
        broker_wiped,
        no_errors=True,
        settle=120.0,
        abonnementen=states.ABONNEMENTEN,
        parts={"everything": "Slower than notificaties come: waiting in its queue.", **states.PARTS},
    ),
    Scenario(
        "message store emptied",
        "RabbitMQ is killed with -9, the settings of its message store are emptied, as a loss of power may "
        "leave them, and it is started again, twice.",
        message_store_emptied,
        least=3000,
    ),
)
