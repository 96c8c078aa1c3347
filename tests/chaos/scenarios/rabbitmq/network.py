"""Connections to RabbitMQ that break, are refused, or stay open and carry nothing: through a TCP proxy."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.chaos.broker import Broker
from tests.chaos.faults.proxy import Proxy
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.chaos.system import System, system

KINDS = {
    "router": ["router"],
    "gateway": ["gateway 1", "gateway 2"],
    "deliverer": ["deliverer 1", "deliverer 2"],
}
CONFIRMED_WITHIN = 4.0  # seconds: a gateway gives up on a confirm after them
MISSED = 32.0  # seconds: RabbitMQ closes a connection that has missed two heartbeats of 10 s


@asynccontextmanager
async def proxied(*, keep: bool = False) -> AsyncIterator[System]:
    """A system in which each kind of process reaches RabbitMQ through a proxy of its own."""
    folder = Path(tempfile.mkdtemp(prefix="nrc-chaos-"))
    broker = Broker(folder)
    try:
        async with AsyncExitStack() as opened:
            await broker.start()
            proxies, urls = {}, {}
            for kind, processes in KINDS.items():
                port = broker.private.node.port
                proxies[kind] = await opened.enter_async_context(Proxy(port))
                through = broker.url.replace(f":{port}/", f":{proxies[kind].port}/")
                urls |= dict.fromkeys(processes, through)
            made = await opened.enter_async_context(system(broker=broker, amqp_urls=urls, keep=keep))
            made.proxies = proxies
            yield made
    finally:
        await broker.close()
        shutil.rmtree(folder, ignore_errors=True)


def _in_flight(run: Run, why: str) -> None:
    """What deliverers had unacknowledged goes back when their connection breaks."""
    run.system.in_flight(why, *run.system.deliverers)


async def connections_cut(run: Run) -> None:
    for turn in range(4):
        for kind, proxy in run.system.proxies.items():
            if kind == "deliverer":
                _in_flight(run, "connections cut")
            async with run.fault():
                if turn % 2:
                    await proxy.refuse()
                proxy.cut()
                if turn % 2:
                    await run.lasting(1.5)
                    await proxy.accept()
            await run.more(400)


async def stalled_for_gateways(run: Run) -> None:
    proxy = run.system.proxies["gateway"]
    for up, down in ((True, True), (True, False), (False, True)):
        async with run.fault():
            proxy.stall(up=up, down=down)
            await run.lasting(CONFIRMED_WITHIN + 2)
            proxy.resume()
        await run.more(1200)


async def stalled_for_deliverers(run: Run) -> None:
    proxy = run.system.proxies["deliverer"]
    for up, down, seconds in ((True, True, 3.0), (False, True, 3.0), (True, False, MISSED)):
        if seconds == MISSED:
            _in_flight(run, "connections given up as dead")
        async with run.fault():
            proxy.stall(up=up, down=down)
            await run.lasting(seconds)
            proxy.resume()
        await run.more(1000)


SCENARIOS = (
    Scenario(
        "connections to RabbitMQ cut",
        "Through a TCP proxy: the connections of router, gateways and deliverers in turn are reset, four "
        "times over; every second time new ones are refused for a while too.",
        connections_cut,
        make=proxied,
    ),
    Scenario(
        "gateways' connections stalled",
        "The connections from gateways to RabbitMQ stay open and carry nothing, for longer than a gateway "
        "waits for a confirm: in both directions, towards RabbitMQ only, and back only. What was held goes "
        "on afterwards, also when the gateway has hung up meanwhile.",
        stalled_for_gateways,
        make=proxied,
    ),
    Scenario(
        "deliverers' connections stalled",
        "The same for the deliverers: for three seconds, and for so long that RabbitMQ gives them up.",
        stalled_for_deliverers,
        make=proxied,
        rate=250.0,
    ),
)
