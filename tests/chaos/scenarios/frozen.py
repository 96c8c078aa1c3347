"""Processes that hang: they exist, their connections are open, and nothing comes from them."""

from __future__ import annotations

from nrc.rabbitmq.private_broker import live_pids
from tests.chaos.process import hanging
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario

MISSED = 26.0  # seconds: RabbitMQ closes a connection that has missed two heartbeats of 10 s


async def frozen(run: Run) -> None:
    processes = run.system.processes
    for name, seconds in (("gateway 1", 6.0), ("router", 3.0), ("deliverer 1", MISSED)):
        run.system.in_flight(f"{name} hung", name)
        async with run.fault():
            with hanging(processes[name].pid):
                await run.lasting(seconds)
        await run.more(500)
    run.system.in_flight("RabbitMQ hung", *run.system.deliverers)
    async with run.fault():
        with hanging(*live_pids(run.system.broker.private.folder)):
            await run.lasting(7)
    await run.more(1000)


SCENARIOS = (
    Scenario(
        "processes hang",
        "A gateway, the router, a deliverer (for so long that RabbitMQ gives it up) and RabbitMQ itself hang "
        "in turn (SIGSTOP), and go on.",
        frozen,
        rate=250.0,
    ),
)
