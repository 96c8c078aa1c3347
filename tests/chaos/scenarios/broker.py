"""RabbitMQ as a whole: stopped, killed, blocking publishers, wiped."""

from __future__ import annotations

from tests.chaos.run import Run, Scenario


async def broker_restarted(run: Run) -> None:
    async with run.fault():
        await run.system.stop_broker()
        await run.lasting(1)
    await run.system.broker.start()
    await run.more(1500)


async def broker_killed(run: Run) -> None:
    for _ in range(2):
        async with run.fault():
            await run.system.kill_broker()
            await run.lasting(0.5)
        await run.system.broker.start()
        await run.more(1500)


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
)
