"""`nrc up`: everything from nothing, watched, stopped, and found again after a kill -9."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from nrc.rabbitmq.private_broker import PrivateBroker, live_pids
from nrc.rabbitmq.private_node import free_port
from store.opening import open_registry
from tests.callback_server import CallbackServer
from tests.e2e.running import NRC, Running, environment, nrc, running
from tests.eventually import eventually
from tests.make import a_kanaal, an_abonnement

ARRIVAL = re.compile(r"callback received it \d+\.\d ms after the POST")


@pytest.fixture
def place() -> Iterator[Path]:
    """A working directory with room for a broker, not kept."""
    made = Path(tempfile.mkdtemp(prefix="nrc-test-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def pids(up: Running) -> dict[str, int]:
    """The processes that `nrc up` says it started."""
    line = re.search(r"Processes +(.*)", up.out)
    assert line
    return {name: int(pid) for name, pid in re.findall(r"([a-z]+(?: \d+)?) (\d+)(?:,|$)", line[1])}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def status(url: str) -> int:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status
    except aiohttp.ClientError:
        return 0


async def test_everything_from_nothing(place: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    console = f"127.0.0.1:{free_port()}"
    env = environment(
        NRC_STATE_DIR=str(place / "state"), NRC_GATEWAY_LISTEN=address, NRC_CONSOLE_LISTEN=console
    )

    async with running(*NRC, "up", env=env, cwd=place) as up:
        await up.says("Ctrl-C stops everything")

        assert f"NRC ready: http://{address}/api/v1\n" in up.out
        assert ARRIVAL.search(up.out), up.out
        assert (place / "state").stat().st_mode & 0o777 == 0o700
        assert await status(f"http://{address}/api/v1/schema/") == 200
        started = pids(up)
        assert set(started) == {
            "up",
            "router",
            "gateway",
            "deliverer",
            "ledger",
            "inbox",
            "console",
            "alerts",
        }
        assert f"  Console     http://{console}/console/\n" in up.out
        assert up.out.count("The console's first user, said once: admin, with password ") == 1
        assert await status(f"http://{console}/") == 200
        broker = PrivateBroker(place / "state")
        assert broker.node.password not in up.out + up.err

        await a_second_one_is_refused(up, place, env=env, address=address)
        await commands_work_beside_it(place, env=env)
        await what_dies_is_started_again(up, broker, ready=f"http://{address}/health/ready")

        assert await up.stop(signal.SIGINT) == 0
        assert up.out.endswith("stopped\n")
        assert not any(alive(pid) for pid in started.values())
        assert not broker.alive
        assert "Traceback" not in up.err, up.err


async def a_second_one_is_refused(up: Running, place: Path, *, env: dict[str, str], address: str) -> None:
    second = await nrc("up", env=env, cwd=place)
    assert second.process.returncode == 2
    assert second.err == f"nrc: `nrc up` already runs on {place / 'state'} (pid {up.process.pid})\n"

    elsewhere = await nrc("up", env=env | {"NRC_STATE_DIR": str(place / "other")}, cwd=place)
    assert elsewhere.process.returncode == 2
    assert elsewhere.err == f"nrc: NRC_GATEWAY_LISTEN: {address}: Address already in use\n"


async def commands_work_beside_it(place: Path, *, env: dict[str, str]) -> None:
    demo = await nrc("demo", env=env, cwd=place)
    assert demo.process.returncode == 0, demo.out + demo.err
    assert ARRIVAL.search(demo.out)
    assert "on a kanaal of its own, nrc-demo" in demo.out, "the first one left kanaal zaken"

    listed = await nrc("application", "list", "--json", env=env, cwd=place)
    assert json.loads(listed.out) == [], "the demo's applications are removed again"
    queues = await nrc("queues", "--json", env=env, cwd=place)
    assert queues.process.returncode == 0, queues.err


async def what_dies_is_started_again(up: Running, broker: PrivateBroker, *, ready: str) -> None:
    for name in ("gateway", "router", "deliverer", "inbox"):
        os.kill(pids(up)[name], signal.SIGKILL)
    for name in ("gateway", "router", "deliverer", "inbox"):
        await up.logs(f"name={name} pid=")
    await eventually(lambda: _is_ready(ready), within=30)

    before = live_pids(broker.folder)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await up.logs("RabbitMQ died: starting it again")
    await up.logs("RabbitMQ is ready again")
    assert live_pids(broker.folder) != before
    await eventually(lambda: _is_ready(ready), within=30)


async def _is_ready(url: str) -> bool:
    return await status(url) == 200


async def test_a_run_after_kill_minus_9_finds_everything(place: Path) -> None:
    env = environment(NRC_STATE_DIR="state", NRC_GATEWAY_LISTEN=f"127.0.0.1:{free_port()}")
    async with running(*NRC, "up", env=env, cwd=place) as first:
        await first.says("Ctrl-C stops everything")
        left = pids(first)
        assert await first.stop(signal.SIGKILL) == -signal.SIGKILL

        async with running(*NRC, "up", env=env, cwd=place) as second:
            await second.says("Ctrl-C stops everything")

            assert "found RabbitMQ still running" in second.out
            assert "naam=nrc-demo → not there yet" in second.out
            assert ARRIVAL.search(second.out), second.out
            assert not any(alive(pid) for pid in left.values())
            assert await second.stop() == 0
        assert not PrivateBroker(place / "state").alive


async def test_a_broker_that_was_given_is_left_alone(vhost: str, place: Path) -> None:
    async with open_registry(place / "state" / "registry.db") as registry:
        await registry.add_kanaal(a_kanaal("nrc-demo", "afwijkend"))
    env = environment(
        NRC_AMQP_URL=vhost,
        NRC_STATE_DIR=str(place / "state"),
        NRC_GATEWAY_LISTEN="127.0.0.1:0",
        NRC_PUBLIC_URL="https://notificaties.example.nl/nrc/",
        NRC_GATEWAY_PROCESSES="2",
        NRC_DELIVERER_PROCESSES="2",
    )

    async with running(*NRC, "up", env=env, cwd=place) as up:
        await up.says("Ctrl-C stops everything")

        assert "NRC ready: https://notificaties.example.nl/nrc/api/v1\n" in up.out
        started = pids(up)
        several = {"gateway 1", "gateway 2", "deliverer 1", "deliverer 2"}
        assert set(started) == {"up", "router", "ledger", "inbox", "alerts", *several}
        assert "The demo failed: step 2: kanaal nrc-demo is there already, with filters afwijkend" in up.out
        assert "`nrc up` goes on" in up.out
        assert not (place / "state" / "rabbitmq").exists()
        assert vhost.split("@")[0].rpartition(":")[2] not in up.out + up.err

        # A process that does not stop holds everything up, until the second signal.
        os.kill(started["deliverer 1"], signal.SIGSTOP)
        up.process.send_signal(signal.SIGTERM)
        await eventually(lambda: not alive(started["gateway 1"]))
        assert up.process.returncode is None
        assert await up.stop() == 1
        await eventually(lambda: not any(alive(pid) for pid in started.values()))


async def test_loopback_stays_closed_when_the_operator_says_so(vhost: str, place: Path) -> None:
    env = environment(
        NRC_AMQP_URL=vhost, NRC_GATEWAY_LISTEN="127.0.0.1:0", NRC_CALLBACK_ALLOW_LOOPBACK="false"
    )

    async with running(*NRC, "up", env=env, cwd=place) as up:
        await up.says("The demo failed")
        assert "regel loopback: " in up.out + up.err
        assert await up.stop() == 0


async def test_the_demo_sends_nothing_to_real_consumers(vhost: str, place: Path) -> None:
    env = environment(NRC_AMQP_URL=vhost, NRC_GATEWAY_LISTEN="127.0.0.1:0", NRC_STATE_DIR=".")
    async with CallbackServer() as consumer:
        async with open_registry(place / "registry.db") as registry:
            filters = ("bronorganisatie", "zaaktype", "vertrouwelijkheidaanduiding")
            await registry.add_kanaal(a_kanaal("zaken", *filters))
            await registry.add_abonnement(an_abonnement(("zaken", {}), callback=consumer.url()))
        async with running(*NRC, "up", env=env, cwd=place) as up:
            await up.says("Ctrl-C stops everything")
            assert "on a kanaal of its own, nrc-demo" in up.out
            assert ARRIVAL.search(up.out), up.out
            assert await up.stop() == 0
        assert not consumer.received


async def subscribe(url: str, header: str) -> tuple[int, str]:
    """The status and text of an abonnement with a callback on loopback, where nobody listens."""
    name, _, value = header.strip().partition(": ")
    body = {"callbackUrl": "http://127.0.0.1:9/", "auth": "Token abc", "kanalen": []}
    async with (
        aiohttp.ClientSession(headers={name: value}) as session,
        session.post(f"{url}/api/v1/abonnement", json=body) as answer,
    ):
        return answer.status, await answer.text()


async def test_what_runs_beside_it_has_loopback_as_it_has(vhost: str, place: Path) -> None:
    env = environment(
        NRC_AMQP_URL=vhost, NRC_GATEWAY_LISTEN="127.0.0.1:0", NRC_STATE_DIR=".", NRC_CALLBACK_CHECK="off"
    )
    address = f"127.0.0.1:{free_port()}"
    alone = env | {"NRC_GATEWAY_LISTEN": address}
    await nrc("application", "add", "afnemer", "--new", "--scope", "consumeren", env=env, cwd=place)
    header = (await nrc("token", "afnemer", env=env, cwd=place)).out

    async with running(*NRC, "up", "--no-demo", env=env, cwd=place) as up:
        await up.says("NRC ready")
        async with running(*NRC, "gateway", env=alone, cwd=place) as gateway:
            await gateway.logs(" ready ")
            assert (await subscribe(f"http://{address}", header))[0] == 201
        # What the operator says goes first.
        async with running(
            *NRC, "gateway", env=alone | {"NRC_CALLBACK_ALLOW_LOOPBACK": "false"}, cwd=place
        ) as gateway:
            await gateway.logs(" ready ")
            status, text = await subscribe(f"http://{address}", header)
            assert status == 400
            assert "regel loopback: " in text
            assert "NRC_CALLBACK_ALLOW_LOOPBACK" in text
        assert await up.stop() == 0


async def test_no_demo_and_a_deadline(vhost: str, place: Path) -> None:
    env = environment(NRC_AMQP_URL=vhost, NRC_GATEWAY_LISTEN="127.0.0.1:0", NRC_STOP_TIMEOUT="1")

    async with running(*NRC, "up", "--no-demo", env=env, cwd=place) as up:
        await up.says("NRC ready: http://127.0.0.1:")
        started = pids(up)
        os.kill(started["deliverer"], signal.SIGSTOP)

        assert await up.stop() == 0

        assert "main job" not in up.out
        assert "did not stop in time and is killed" in up.err
        assert not any(alive(pid) for pid in started.values())


async def test_a_process_that_cannot_start_ends_it_all(vhost: str, place: Path) -> None:
    (place / "registry.db").write_bytes(b"this is no database" * 100)
    env = environment(NRC_AMQP_URL=vhost, NRC_STATE_DIR=".", NRC_GATEWAY_LISTEN="127.0.0.1:0")

    up = await nrc("up", env=env, cwd=place)

    assert up.process.returncode == 1
    assert up.err.splitlines()[-1] == "nrc: the router did not start (exit code 3); its last lines say why"
    assert "cannot go on" in up.err


async def test_a_process_alone_without_a_broker_is_one_line(place: Path) -> None:
    run = await nrc("router", env=environment(NRC_STATE_DIR="nowhere"), cwd=place)

    assert run.process.returncode == 3
    assert len(run.err.splitlines()) == 1
    assert "NRC_AMQP_URL is not set and no `nrc up` runs RabbitMQ" in run.err


async def test_wrong_settings_stop_before_anything_starts(place: Path) -> None:
    env = environment(NRC_STATE_DIR="state", NRC_STOP_TIMEOUT="soon", NRC_GATEWAY_LISTEN="here")

    up = await nrc("up", env=env, cwd=place)

    assert up.process.returncode == 2
    assert "NRC_STOP_TIMEOUT" in up.err
    assert "NRC_GATEWAY_LISTEN" in up.err
    assert not (place / "state").exists()


async def test_a_process_stops_when_nrc_up_is_gone(vhost: str, place: Path) -> None:
    ours, theirs = socket.socketpair()
    env = environment(NRC_AMQP_URL=vhost, NRC_STATE_DIR=".", NRC_UP_FD=str(theirs.fileno()))
    with ours, theirs:
        async with running(*NRC, "router", env=env, cwd=place, pass_fds=[theirs.fileno()]) as router:
            theirs.close()
            ours.setblocking(False)
            assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 64), 30) == b"ready\n"

            ours.close()

            assert await router.ends(within=60) == 0
            assert "`nrc up` is gone" in router.err


async def test_the_demo_says_which_step_failed(place: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    env = environment(NRC_GATEWAY_LISTEN=address, NRC_STATE_DIR=".")
    await nrc("kanaal", "add", "zaken", "--new", env=env, cwd=place)
    run = await nrc("demo", env=env, cwd=place)

    assert run.process.returncode == 3
    assert "  ✗ The demo failed" in run.out
    assert address.rpartition(":")[2] in run.out
    listed = await nrc("application", "list", "--json", env=env, cwd=place)
    assert json.loads(listed.out) == []
