"""The private RabbitMQ node: it is ours alone, and others are not disturbed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import pytest
from structlog.testing import capture_logs

from nrc.rabbitmq.private_broker import PrivateBroker, find_running, live_pids
from nrc.rabbitmq.private_node import (
    control_script,
    free_port,
    load_node,
    port_is_free,
    server_script,
)
from schemas.errors import BrokerUnavailable
from tests.broker import Broker, ErlangControl, QuickNode
from tests.eventually import eventually
from tests.integration.rabbitmq.keeping import put

pytestmark = pytest.mark.skipif(
    server_script() is None and "CI" not in os.environ, reason="there is no rabbitmq-server on this machine"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A state folder that is not kept: a node's files take space."""
    made = Path(tempfile.mkdtemp(prefix="nrc-test-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
async def node(folder: Path) -> AsyncIterator[PrivateBroker]:
    """A node that has not been started, and is gone after the test; what rabbitmqctl does is done quicker."""
    broker = QuickNode(folder)
    yield broker
    await broker.control.close()
    await broker.kill()


@dataclass(frozen=True)
class Started:
    """A node as `nrc up` starts it. seen: what it said. synced: whether its files were there at each sync."""

    broker: PrivateBroker
    state: Path
    url: str
    seen: list[str]
    synced: list[bool]


@pytest.fixture(scope="module")
async def started() -> AsyncIterator[Started]:
    """One for all tests of this file that leave it as it is: a start takes four seconds of a core."""
    state = Path(tempfile.mkdtemp(prefix="nrc-test-"))
    broker = PrivateBroker(state)
    seen: list[str] = []
    synced: list[bool] = []
    assert find_running(state) is None
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "sync", lambda: synced.append(any(broker.folder.rglob(".config"))))
            url = await broker.start(note=seen.append)
        yield Started(broker, state, url, seen, synced)
    finally:
        await broker.kill()
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
async def runs(started: Started) -> Started:
    """The same, also after the test that stops it."""
    if not started.broker.alive:
        assert await started.broker.start() == started.url
    return started


@pytest.fixture
async def own(folder: Path) -> AsyncIterator[PrivateBroker]:
    """The same exactly as `nrc up` starts it."""
    broker = PrivateBroker(folder)
    yield broker
    await broker.kill()


def listening(pid: int) -> set[str]:
    """The local addresses (host:port, in /proc's hexadecimal) on which a process listens."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(link.readlink()))
        except OSError:
            continue
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}


async def test_a_node_of_our_own_on_loopback_only(runs: Started) -> None:
    own = runs.broker
    assert "starting RabbitMQ" in runs.seen[0]
    assert find_running(runs.state) == runs.url
    assert own.folder.stat().st_mode & 0o777 == 0o700
    for secret in ("node.json", "advanced.config", ".erlang.cookie"):
        assert (own.folder / secret).stat().st_mode & 0o077 == 0
    (pid,) = live_pids(own.folder)
    ports = {own.node.port, own.node.dist_port}
    assert listening(pid) == {f"0100007F:{port:04X}" for port in ports}
    with pytest.raises(aio_pika.exceptions.AMQPConnectionError):
        await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{own.node.port}/")


async def test_what_a_new_node_wrote_is_on_disk_when_it_is_ready(started: Started) -> None:
    assert started.synced == [True]


async def test_a_policy_for_everything_does_not_empty_our_queues(runs: Started) -> None:
    script = control_script()
    assert script is not None
    node = runs.broker.node
    policy = ["-n", node.name, "set_policy", "all", ".*", '{"message-ttl": 500}']
    assert await runs.broker._control(script, node, policy) == ""
    async with await aio_pika.connect(runs.url) as connection:
        channel = await connection.channel()
        quorum = {"x-queue-type": "quorum", "x-delivery-limit": 100_000}
        for name in ("nrc.undeliverable", "other"):
            await channel.declare_queue(name, durable=True, arguments=quorum)
            await channel.default_exchange.publish(aio_pika.Message(b"{}", delivery_mode=2), name)

        async def count(name: str) -> int | None:
            return (await channel.declare_queue(name, passive=True)).declaration_result.message_count

        async def other_is_emptied() -> bool:  # the one that would go later
            return await count("other") == 0

        await eventually(other_is_emptied)
        assert await count("nrc.undeliverable") == 1


async def test_a_copied_folder_does_not_take_over_the_originals_node(runs: Started, tmp_path: Path) -> None:
    shutil.copytree(runs.state, tmp_path / "copy")
    copy = PrivateBroker(tmp_path / "copy")

    assert find_running(tmp_path / "copy") is None
    with pytest.raises(BrokerUnavailable, match="was made elsewhere"):
        await copy.start()

    assert find_running(runs.state) == runs.url
    await put(runs.url, b"undisturbed")


async def test_a_live_node_is_adopted_and_stopped(runs: Started) -> None:
    pids = live_pids(runs.broker.folder)
    seen: list[str] = []
    second = PrivateBroker(runs.state)

    assert await second.start(note=seen.append) == runs.url
    assert live_pids(runs.broker.folder) == pids
    assert "still running" in seen[0]

    await second.stop()

    assert find_running(runs.state) is None
    assert port_is_free(second.node.port)
    # What the first started it with, an erl script, may end a moment later.
    await eventually(lambda: not runs.broker.alive)


async def test_a_rabbitmqctl_that_cannot_run_is_a_line_in_the_log(
    own: PrivateBroker, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = folder / "rabbitmqctl"
    script.touch(mode=0o600)
    monkeypatch.setattr("nrc.rabbitmq.private_broker.control_script", lambda: script)
    with capture_logs() as lines:
        await put(await own.start(), b"it works all the same")
    (line,) = (line for line in lines if line["event"] == "policy that keeps others off is not set")
    assert line["reason"] == f"{script}: Permission denied"


async def test_the_machines_rabbitmq_settings_do_not_get_through(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_NODENAME", "another@localhost")
    monkeypatch.setenv("RABBITMQ_NODE_PORT", "1")
    monkeypatch.setenv("ERL_FLAGS", "-no-such-file-as -boot nowhere")
    monkeypatch.delenv("HOME")
    awkward = folder / ("a folder of our own (név) & $HOME " + "x" * 150) / ("y" * 150)
    node = PrivateBroker(awkward)
    earlier = node.folder / "rabbitmq.conf"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("default_user = of-an-earlier-version\n")
    control = ErlangControl(node)
    try:
        await put(await node.start(), b"it works")
        # One file, which RabbitMQ need not translate.
        assert await control.eval("[filename:basename(F) || F <- rabbit_config:config_files()].") == (
            '["advanced.config"]'
        )
        assert (
            await control.eval(
                "lists:usort([{Size, Count} || #{config := #{max_no_bytes := Size, max_no_files := Count}} "
                "<- logger:get_handler_config(), Size =/= infinity])."
            )
            == "[{10485760,3}]"
        )
    finally:
        await control.close()
        await node.kill()


async def test_a_pid_of_somebody_else_is_left_alone(node: PrivateBroker, folder: Path) -> None:
    node.folder.mkdir()
    somebody = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        for name in ("spawned.pid", "rabbitmq.pid"):
            (node.folder / name).write_text(str(somebody.pid))
        assert not node.alive
        await node.kill()
        await node.stop()
        assert somebody.returncode is None
        os.kill(somebody.pid, 0)
    finally:
        somebody.kill()
        await somebody.wait()


async def test_a_start_that_takes_too_long_names_what_there_is_to_read(
    node: PrivateBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nrc.rabbitmq.private_broker.START_TIMEOUT", 0.0)

    with pytest.raises(BrokerUnavailable, match="not ready within 0 s") as raised:
        await node.start()

    told = re.search(r"see (.+?)\. Where", str(raised.value))
    assert told is not None
    # RabbitMQ makes its folder of logs only some way into its start.
    assert await asyncio.to_thread(Path(told[1]).exists)


async def test_a_node_of_an_older_rabbitmq_than_it_can_open_says_what_to_do(
    node: PrivateBroker, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As RabbitMQ 4.0 says it of a folder of 3.10: what an upgrade of Debian 12 to 13 meets."""
    script = folder / "rabbitmq-server"
    script.write_text(
        "#!/bin/sh\n"
        "echo '[error] <0.216.0> Feature flags: `stream_single_active_consumer`: required feature flag not"
        " enabled! It must be enabled before upgrading RabbitMQ.'\n"
        "exit 1\n"
    )
    script.chmod(0o700)
    monkeypatch.setattr("nrc.rabbitmq.private_broker.server_script", lambda: script)

    with pytest.raises(BrokerUnavailable, match=r"of an older RabbitMQ.*move that folder away.*startup\.log"):
        await node.start()


async def test_a_folder_that_cannot_hold_it_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(BrokerUnavailable, match="cannot hold a RabbitMQ node"):
        await PrivateBroker(tmp_path / "file").start()
    with pytest.raises(BrokerUnavailable, match="quotation mark"):
        await PrivateBroker(tmp_path / "a folder's own").start()
    (tmp_path / "rabbitmq").mkdir()
    (tmp_path / "rabbitmq" / "node.json").write_text("{")
    with pytest.raises(BrokerUnavailable, match=r"node\.json cannot be read"):
        find_running(tmp_path)


def test_ports_of_a_node_differ_and_are_free() -> None:
    port = free_port()
    assert port_is_free(port)
    assert free_port(but=port) != port
    with socket.create_server(("127.0.0.1", port)):
        assert not port_is_free(port)


async def test_a_fresh_node_has_every_feature_flag(broker: Broker) -> None:
    if broker.private is None:
        pytest.skip("the tests' RabbitMQ is no private node")
    assert await broker.eval("rabbit_feature_flags:is_enabled([quorum_queue, stream_queue]).") == "true"


AS_ORDINARY_USER = """
import asyncio, os, sys
from pathlib import Path
from nrc.rabbitmq.private_broker import PrivateBroker
from tests.integration.rabbitmq.keeping import first_of, put
import aio_pika, aiormq, concurrent.futures.thread, encodings.idna
os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.environ.pop("HOME", None)
async def main():
    node = PrivateBroker(Path(sys.argv[1]))
    try:
        url = await node.start()
        await put(url, b"as an ordinary user")
        print(await first_of(url))
    finally:
        await node.stop()
asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="these tests run as an ordinary user already")
async def test_an_ordinary_user_without_a_home(folder: Path) -> None:
    os.chown(folder, 65534, 65534)
    # The interpreter may live where that user can't go: it is loaded before the rights are dropped.
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", AS_ORDINARY_USER, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.stdout.strip() == "b'as an ordinary user'", done.stderr
    assert (folder / "rabbitmq" / "node.json").stat().st_uid == 65534
    assert json.loads((folder / "rabbitmq" / "node.json").read_text())["name"].startswith("nrc-")
    assert load_node(folder / "rabbitmq") is not None
