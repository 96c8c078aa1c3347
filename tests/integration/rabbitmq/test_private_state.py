"""What the private node finds at its start: nothing is lost, whatever the last one left."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from itertools import cycle
from pathlib import Path

import pytest

from nrc.rabbitmq.private_broker import PrivateBroker, find_running, live_pids
from nrc.rabbitmq.private_node import mend_message_stores, port_is_free, remove_empty_files, server_script
from schemas.errors import BrokerUnavailable
from tests.broker import QuickNode, private_broker
from tests.eventually import eventually
from tests.integration.rabbitmq.keeping import classic_queue_works, first_of, put

pytestmark = pytest.mark.skipif(
    server_script() is None and "CI" not in os.environ, reason="there is no rabbitmq-server on this machine"
)


@pytest.fixture
async def node() -> AsyncIterator[PrivateBroker]:
    """A node that has been started, and is gone after the test."""
    async with private_broker() as broker:
        assert broker.private is not None
        yield broker.private


@pytest.fixture(scope="module")
async def filled() -> AsyncIterator[PrivateBroker]:
    """A node that has stopped, with a message in a quorum queue and one in a classic queue."""
    state = Path(tempfile.mkdtemp(prefix="nrc-test-"))
    broker = QuickNode(state)
    try:
        url = await broker.start()
        await put(url, b"kept")
        assert await classic_queue_works(url, b"old") == b"old"
        await broker.stop()
        assert find_running(state) is None
        assert not broker.alive
        assert port_is_free(broker.node.port)
        yield broker
    finally:
        await broker.control.close()
        await broker.kill()
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
async def stopped(filled: PrivateBroker) -> AsyncIterator[PrivateBroker]:
    """The same for one test, which may start it, and takes no message out of it."""
    yield filled
    await filled.stop()


async def test_a_node_that_was_killed_comes_back_with_what_it_held(node: PrivateBroker) -> None:
    url = node.node.url
    await put(url, b"kept through kill -9")
    # RabbitMQ writes a new quorum queue's name within half a second: one that is killed before that comes
    # back with a queue that has no leader and holds nothing.
    names = node.folder / "mnesia" / node.node.name / "quorum" / node.node.name / "names.dets"
    await eventually(lambda: b"kept" in names.read_bytes())

    await node.kill()

    assert find_running(node.folder.parent) is None
    assert await node.start() == url
    assert await first_of(url) == b"kept through kill -9"


@pytest.mark.parametrize("cut", [b"", b"\0" * 83, None])
async def test_a_message_store_without_its_settings_is_mended(
    stopped: PrivateBroker, cut: bytes | None
) -> None:
    """As a loss of power leaves it: RabbitMQ writes this file once and does not sync it."""
    (file,) = stopped.folder.rglob(".config")
    whole = file.read_bytes()
    assert not mend_message_stores(stopped.folder), "a whole one is left as it is"
    file.unlink() if cut is None else file.write_bytes(cut)

    url = await stopped.start()

    assert file.read_bytes() == whole, "what RabbitMQ itself writes"
    assert await classic_queue_works(url) == b"old"


async def test_a_node_starts_with_files_that_were_emptied_while_it_started(stopped: PrivateBroker) -> None:
    """As a loss of power leaves them: RabbitMQ writes these at every start and does not sync them."""
    assert not remove_empty_files(stopped.folder), "whole ones are left as they are"
    own = stopped.folder / "mnesia" / stopped.node.name
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

    assert await first_of(await stopped.start()) == b"kept"


async def test_a_node_that_is_found_while_it_starts_or_stops(stopped: PrivateBroker) -> None:
    state = stopped.folder.parent
    starting = asyncio.create_task(stopped.start())
    await eventually(lambda: live_pids(stopped.folder))

    assert (url := await PrivateBroker(state).start()) == await starting
    assert len(live_pids(stopped.folder)) == 1

    second = PrivateBroker(state)

    # As when `nrc up` was killed while it stopped its broker.
    stopped.terminate()

    assert await second.start() == url
    assert find_running(state) == url
    assert await first_of(url) == b"kept"
    await second.stop()


async def test_a_taken_port_is_left_to_its_owner(stopped: PrivateBroker) -> None:
    before = stopped.node

    with socket.create_server(("127.0.0.1", before.port)):
        url = await stopped.start()

    after = stopped.node
    assert after.port != before.port
    assert (after.name, after.password) == (before.name, before.password)
    assert await first_of(url) == b"kept"


async def test_a_start_that_fails_says_why_and_where_to_look(stopped: PrivateBroker) -> None:
    node_file = stopped.folder / "mnesia"
    aside = node_file.rename(stopped.folder / "aside")
    node_file.write_text("not a folder")

    with pytest.raises(BrokerUnavailable, match=r"RabbitMQ stopped during its start.*startup\.log"):
        await stopped.start()
    assert not stopped.alive
    node_file.unlink()
    aside.rename(node_file)
