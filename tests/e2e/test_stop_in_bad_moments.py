"""SIGTERM at the worst moment: every process ends within NRC_STOP_TIMEOUT and a little, whatever hangs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from nrc.processes import LAST_RESORT
from nrc.rabbitmq.private_broker import live_pids
from nrc.rabbitmq.private_node import free_port, node_folder
from nrc.up import GRACE
from schemas.application import Application, Scope
from tests.broker import Broker
from tests.callback_server import hang
from tests.e2e.running import NRC, Running, environment, running
from tests.eventually import eventually
from tests.integration.conftest import Running as Router
from tests.integration.conftest import running_router
from tests.integration.deliverer.delivering import delivering
from tests.stallable import stallable

PROCESSES = ("gateway", "router", "deliverer", "ledger")
STOP_TIMEOUT = 2.0
AT_MOST = STOP_TIMEOUT + LAST_RESORT + 20.0
"""With what a busy machine needs to end a process."""

READY = "ready"
CUT_SHORT = "did not stop in time"


@asynccontextmanager
async def process(
    name: str, url: str, folder: Path, *, ready: bool = True, **settings: str
) -> AsyncIterator[Running]:
    """A process on a registry of its own, by default once it is ready."""
    own = {
        "NRC_AMQP_URL": url,
        "NRC_STATE_DIR": str(folder),
        "NRC_STOP_TIMEOUT": f"{STOP_TIMEOUT:g}",
        "NRC_GATEWAY_LISTEN": f"127.0.0.1:{free_port()}",
        "NRC_CALLBACK_ALLOW_LOOPBACK": "true",
    }
    env = environment(**(own | settings))
    async with running(*NRC, name, env=env, cwd=folder) as run:
        if ready:
            await run.logs(f"] {READY} ")
        yield run


@pytest.fixture(scope="module")
async def beside(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a broker with a router at work, for processes that nothing is sent to."""
    vhost = await broker.fresh_vhost()
    async with running_router(vhost, tmp_path_factory.mktemp("router")):
        yield vhost
    await broker.remove_vhost(vhost)


@pytest.mark.parametrize("name", PROCESSES)
async def test_rabbitmq_hangs(name: str, beside: str, tmp_path: Path) -> None:
    async with (
        stallable(beside) as (url, flowing),
        process(name, url, tmp_path) as run,
    ):
        flowing.clear()

        assert await run.stop(within=AT_MOST) == 0
        assert CUT_SHORT not in run.err


@pytest.mark.parametrize("name", PROCESSES)
async def test_rabbitmq_hangs_while_it_starts(name: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are made, and nothing is said
        url = f"amqp://127.0.0.1:{silent.getsockname()[1]}/"
        async with process(name, url, tmp_path, ready=False) as run:
            silent.setblocking(False)
            connection, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(silent), 30)
            with connection:
                assert await run.stop(within=AT_MOST) == 0
                assert CUT_SHORT not in run.err


@pytest.mark.parametrize("name", PROCESSES)
async def test_the_registry_is_locked(name: str, beside: str, tmp_path: Path) -> None:
    async with process(name, beside, tmp_path) as run:
        with closing(sqlite3.connect(tmp_path / "registry.db", isolation_level=None)) as lock:
            lock.execute("BEGIN EXCLUSIVE")

            assert await run.stop(within=AT_MOST) == 0
            assert CUT_SHORT not in run.err


@pytest.mark.parametrize("name", PROCESSES)
async def test_the_registry_is_locked_while_it_starts(name: str, beside: str, tmp_path: Path) -> None:
    """There is nothing to finish: the last resort ends it before SQLite's patience does."""
    with closing(sqlite3.connect(tmp_path / "registry.db", isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        async with process(name, beside, tmp_path, ready=False, NRC_STOP_TIMEOUT="0.1") as run:
            # Its event loop runs by then: it watches for signals before anything is opened.
            await eventually(lambda: handles(run.process.pid, signal.SIGTERM), within=30)

            assert await run.stop(within=AT_MOST) in (1, 3)


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal, as the kernel says."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(mask >> (number - 1) & 1)


async def test_a_callback_hangs(router: Router) -> None:
    async with (
        delivering(router) as stage,
        process("deliverer", router.settings.amqp_url[0], router.settings.state_dir) as run,
    ):
        stage.callback.script("/hang", hang())
        abonnement = await stage.subscribe("/hang")
        await eventually(lambda: stage.consumers_are(abonnement, 1))
        await stage.publish()
        await eventually(lambda: stage.callback.under_way("/hang"))

        assert await run.stop(within=AT_MOST) == 0

        assert CUT_SHORT not in run.err
        await eventually(lambda: stage.depth_is(abonnement, 1))


async def test_a_callback_and_rabbitmq_hang(router: Router) -> None:
    async with (
        delivering(router) as stage,
        stallable(router.settings.amqp_url[0]) as (url, flowing),
        process("deliverer", url, router.settings.state_dir) as run,
    ):
        stage.callback.script("/hang", hang())
        abonnement = await stage.subscribe("/hang")
        await eventually(lambda: stage.consumers_are(abonnement, 1))
        await stage.publish()
        await eventually(lambda: stage.callback.under_way("/hang"))
        flowing.clear()

        assert await run.stop(within=AT_MOST) == 0
        assert CUT_SHORT not in run.err


DRIPPED = (
    b"POST /api/v1/notificaties HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 900\r\n"
)


@asynccontextmanager
async def dripping(router: Router) -> AsyncIterator[Running]:
    """A gateway with a client that sends a byte now and then."""
    from tests.tokens import token

    await router.registry.add_application(Application("bron", "norb", scopes=frozenset({Scope.PUBLICEREN})))
    address = f"127.0.0.1:{free_port()}"
    state = router.settings.state_dir
    async with process("gateway", router.settings.amqp_url[0], state, NRC_GATEWAY_LISTEN=address) as run:
        reader, writer = await asyncio.open_connection(*address.split(":"))
        writer.write(DRIPPED + f"Authorization: {token('bron')}\r\nExpect: 100-continue\r\n\r\n".encode())

        async def drip() -> None:
            while True:
                writer.write(b" ")
                await asyncio.sleep(0.2)

        # From here on its handler waits for the body.
        assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
        task = asyncio.create_task(drip())
        try:
            yield run
        finally:
            task.cancel()
            await asyncio.wait({task})
            writer.transport.abort()


async def test_a_client_drips_its_body(router: Router) -> None:
    async with dripping(router) as run:
        assert await run.stop(within=AT_MOST) == 0
        assert CUT_SHORT not in run.err
        assert "stopping with requests unfinished" in run.err


async def test_a_second_signal_in_the_middle_of_stopping_a_gateway(router: Router) -> None:
    async with dripping(router) as run:
        await twice(run)


async def test_a_second_signal_in_the_middle_of_stopping_a_deliverer(router: Router) -> None:
    async with (
        delivering(router) as stage,
        process("deliverer", router.settings.amqp_url[0], router.settings.state_dir) as run,
    ):
        stage.callback.script("/hang", hang())
        abonnement = await stage.subscribe("/hang")
        await eventually(lambda: stage.consumers_are(abonnement, 1))
        await stage.publish()
        await eventually(lambda: stage.callback.under_way("/hang"))
        await twice(run)
        await eventually(lambda: stage.depth_is(abonnement, 1))


async def test_a_second_signal_in_the_middle_of_stopping_a_router(beside: str, tmp_path: Path) -> None:
    async with (
        stallable(beside) as (url, flowing),
        process("router", url, tmp_path) as run,
    ):
        flowing.clear()
        await twice(run)


async def twice(run: Running) -> None:
    run.process.send_signal(signal.SIGTERM)
    await run.logs("] stopping ")
    assert await run.stop(within=STOP_TIMEOUT) == 1
    assert "told to stop again: ending at once" in run.err


# -- all of it


@asynccontextmanager
async def everything(folder: Path, **settings: str) -> AsyncIterator[Running]:
    env = environment(
        NRC_STATE_DIR=str(folder),
        NRC_STOP_TIMEOUT=f"{STOP_TIMEOUT:g}",
        NRC_GATEWAY_LISTEN="127.0.0.1:0",
        **settings,
    )
    async with running(*NRC, "up", "--no-demo", env=env, cwd=folder) as run:
        yield run


ALL_AT_MOST = STOP_TIMEOUT + GRACE + 20.0


async def test_nrc_up_while_its_router_waits_for_rabbitmq(vhost: str, tmp_path: Path) -> None:
    async with stallable(vhost) as (url, flowing):
        flowing.clear()
        async with everything(tmp_path, NRC_AMQP_URL=url) as up:
            await up.says("starting the router")
            await eventually((tmp_path / "registry.db").exists, within=30)

            assert await up.stop(within=ALL_AT_MOST) == 0
            assert up.out.endswith("stopped\n")
            assert "is killed" not in up.err


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with room for a broker, not kept."""
    made = Path(tempfile.mkdtemp(prefix="nrc-test-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def test_nrc_up_while_rabbitmq_starts(place: Path) -> None:
    async with everything(place) as up:
        await up.says("starting RabbitMQ")
        await eventually(lambda: live_pids(node_folder(place)), within=30)

        assert await up.stop(within=ALL_AT_MOST) == 0
        assert not live_pids(node_folder(place))


async def test_nrc_up_when_its_rabbitmq_hangs(place: Path) -> None:
    async with everything(place) as up:
        await up.says("NRC ready: ")
        pids = live_pids(node_folder(place))
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

        assert await up.stop(within=ALL_AT_MOST) == 0

        assert "RabbitMQ did not stop in time and is killed" in up.err
        assert not live_pids(node_folder(place))
