"""The private RabbitMQ node: other nodes are not disturbed, nothing is lost, every start finds its state."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import cycle
from pathlib import Path

import aio_pika
import pytest
from structlog.testing import capture_logs

from nrc.rabbitmq.private_broker import PrivateBroker, find_running, live_pids
from nrc.rabbitmq.private_node import (
    control_script,
    free_port,
    load_node,
    mend_message_stores,
    port_is_free,
    remove_empty_files,
    server_script,
)
from schemas.errors import BrokerUnavailable
from tests.broker import Broker, QuickNode
from tests.eventually import eventually

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


@pytest.fixture
async def own(folder: Path) -> AsyncIterator[PrivateBroker]:
    """The same exactly as `nrc up` starts it."""
    broker = PrivateBroker(folder)
    yield broker
    await broker.kill()


async def put(url: str, body: bytes) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
        await channel.default_exchange.publish(aio_pika.Message(body, delivery_mode=2), "kept")


async def take(url: str) -> bytes:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("kept", passive=True)
        # Not basic.get: it hangs while a quorum queue that was killed elects its leader.
        async with asyncio.timeout(30), queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                return message.body
    raise AssertionError("the queue was deleted")


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


async def test_a_node_of_our_own_on_loopback_only(own: PrivateBroker, folder: Path) -> None:
    assert find_running(folder) is None
    seen: list[str] = []

    url = await own.start(note=seen.append)

    assert "starting RabbitMQ" in seen[0]
    assert find_running(folder) == url
    assert own.folder.stat().st_mode & 0o777 == 0o700
    for secret in ("node.json", "rabbitmq.conf", ".erlang.cookie"):
        assert (own.folder / secret).stat().st_mode & 0o077 == 0
    (pid,) = live_pids(own.folder)
    ports = {own.node.port, own.node.dist_port}
    assert listening(pid) == {f"0100007F:{port:04X}" for port in ports}
    with pytest.raises(aio_pika.exceptions.AMQPConnectionError):
        await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{own.node.port}/")

    await own.stop()

    assert find_running(folder) is None
    assert not own.alive
    assert port_is_free(own.node.port)


async def test_a_node_that_was_killed_comes_back_with_what_it_held(node: PrivateBroker, folder: Path) -> None:
    url = await node.start()
    await put(url, b"kept through kill -9")
    # RabbitMQ writes a new quorum queue's name within half a second: one that is killed before that comes
    # back with a queue that has no leader and holds nothing.
    names = node.folder / "mnesia" / node.node.name / "quorum" / node.node.name / "names.dets"
    await eventually(lambda: b"kept" in names.read_bytes())

    await node.kill()

    assert find_running(folder) is None
    assert await node.start() == url
    assert await take(url) == b"kept through kill -9"


async def classic_queue_works(url: str) -> bytes:
    """The first message of classic queue `kept-classic`, which is made when it is not there."""
    async with asyncio.timeout(20), await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("kept-classic", durable=True)
        await channel.default_exchange.publish(aio_pika.Message(b"new", delivery_mode=2), queue.name)
        message = await queue.get(timeout=5)
        await message.ack()
        return message.body


@pytest.mark.parametrize("cut", [b"", b"\0" * 83, None])
async def test_a_message_store_without_its_settings_is_mended(node: PrivateBroker, cut: bytes | None) -> None:
    """As a loss of power leaves it: RabbitMQ writes this file once and does not sync it."""
    url = await node.start()
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("kept-classic", durable=True)
        await channel.default_exchange.publish(aio_pika.Message(b"old", delivery_mode=2), "kept-classic")
    await node.stop()
    (file,) = node.folder.rglob(".config")
    whole = file.read_bytes()
    assert not mend_message_stores(node.folder), "a whole one is left as it is"
    file.unlink() if cut is None else file.write_bytes(cut)

    url = await node.start()

    assert file.read_bytes() == whole, "what RabbitMQ itself writes"
    assert await classic_queue_works(url) == b"old"


async def test_a_node_starts_with_files_that_were_emptied_while_it_started(node: PrivateBroker) -> None:
    """As a loss of power leaves them: RabbitMQ writes these at every start and does not sync them."""
    await put(await node.start(), b"kept over a cut")
    await node.stop()
    assert not remove_empty_files(node.folder), "whole ones are left as they are"
    own = node.folder / "mnesia" / node.node.name
    coordination, quorum = (next((own / part).iterdir()) for part in ("coordination", "quorum"))
    mnesia = [own / "cluster_nodes.config", own / "nodes_running_at_shutdown"]
    if mnesia[0].exists():
        emptied = [*mnesia, *(file for file in coordination.iterdir() if file.is_file())]
        assert {file.suffix for file in emptied} == {".config", "", ".wal", ".dets"}
    else:  # Khepri has its log in `coordination`, which is synced, and forgets everything without its name
        emptied = [coordination / "meta.dets"]
        assert emptied[0].exists()
    for file, content in zip((*emptied, quorum / "00000099.wal"), cycle([b"", bytes(65)]), strict=False):
        file.write_bytes(content)

    assert await take(await node.start()) == b"kept over a cut"


async def test_what_a_new_node_wrote_is_on_disk_when_it_is_ready(
    own: PrivateBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[bool] = []
    monkeypatch.setattr(os, "sync", lambda: there.append(any(own.folder.rglob(".config"))))
    await own.start()
    assert there == [True]


async def test_a_live_node_is_adopted_and_stopped(node: PrivateBroker, folder: Path) -> None:
    url = await node.start()
    pids = live_pids(node.folder)
    seen: list[str] = []
    second = PrivateBroker(folder)

    assert await second.start(note=seen.append) == url
    assert live_pids(node.folder) == pids
    assert "still running" in seen[0]

    await second.stop()

    # What the first started it with, an erl script, may end a moment later.
    await eventually(lambda: not node.alive)


async def test_a_node_that_is_found_while_it_stops_is_started_again(
    node: PrivateBroker, folder: Path
) -> None:
    url = await node.start()

    second = PrivateBroker(folder)

    # As when `nrc up` was killed while it stopped its broker.
    node.terminate()

    assert await second.start() == url
    assert find_running(folder) == url
    await put(url, b"it works")
    await second.kill()


async def test_a_node_still_starting_is_adopted(node: PrivateBroker, folder: Path) -> None:
    starting = asyncio.create_task(node.start())
    await eventually(lambda: live_pids(node.folder))

    assert await PrivateBroker(folder).start() == await starting
    assert len(live_pids(node.folder)) == 1


async def test_a_policy_for_everything_does_not_empty_our_queues(own: PrivateBroker) -> None:
    url = await own.start()
    script = control_script()
    assert script is not None
    policy = ["-n", own.node.name, "set_policy", "all", ".*", '{"message-ttl": 500}']
    assert await own._control(script, own.node, policy) == ""
    async with await aio_pika.connect(url) as connection:
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


async def test_a_taken_port_is_left_to_its_owner(node: PrivateBroker) -> None:
    await node.start()
    await node.stop()
    before = node.node

    with socket.create_server(("127.0.0.1", before.port)):
        url = await node.start()

    after = node.node
    assert after.port != before.port
    assert (after.name, after.password) == (before.name, before.password)
    await put(url, b"elsewhere")


async def test_the_machines_rabbitmq_settings_do_not_get_through(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_NODENAME", "another@localhost")
    monkeypatch.setenv("RABBITMQ_NODE_PORT", "1")
    monkeypatch.setenv("ERL_FLAGS", "-no-such-file-as -boot nowhere")
    monkeypatch.delenv("HOME")
    awkward = folder / ("a folder of our own (név) & $HOME " + "x" * 150) / ("y" * 150)
    node = PrivateBroker(awkward)
    try:
        await put(await node.start(), b"it works")
    finally:
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


async def test_a_copied_folder_does_not_take_over_the_originals_node(
    node: PrivateBroker, folder: Path, tmp_path: Path
) -> None:
    url = await node.start()
    shutil.copytree(folder, tmp_path / "copy")
    copy = PrivateBroker(tmp_path / "copy")

    assert find_running(tmp_path / "copy") is None
    with pytest.raises(BrokerUnavailable, match="was made elsewhere"):
        await copy.start()

    assert find_running(folder) == url
    await put(url, b"undisturbed")


async def test_a_start_that_fails_says_why_and_where_to_look(node: PrivateBroker) -> None:
    await node.start()
    await node.stop()
    node_file = node.folder / "mnesia"
    shutil.rmtree(node_file)
    node_file.write_text("not a folder")

    with pytest.raises(BrokerUnavailable, match=r"RabbitMQ stopped during its start.*startup\.log"):
        await node.start()
    assert not node.alive


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


async def test_a_fresh_node_has_every_feature_flag(mortal_broker: Broker) -> None:
    assert (
        await mortal_broker.eval("rabbit_feature_flags:is_enabled([quorum_queue, stream_queue]).") == "true"
    )


AS_ORDINARY_USER = """
import asyncio, os, sys
from pathlib import Path
from tests.integration.rabbitmq.test_private_broker import PrivateBroker, put, take
import aio_pika, aiormq, concurrent.futures.thread, encodings.idna
os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.environ.pop("HOME", None)
async def main():
    node = PrivateBroker(Path(sys.argv[1]))
    try:
        url = await node.start()
        await put(url, b"as an ordinary user")
        print(await take(url))
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
