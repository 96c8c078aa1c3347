"""Hosts reach each other until they are cut off or parted, end when they are killed, and leave nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.hosts.network import Host, Network, need_hosts, network
from tests.hosts.watcher import namespace_of

ROOT = Path(__file__).parents[2]
PORT = 8000
_ASK = f"""
import socket, sys
try:
    socket.create_connection((sys.argv[1], {PORT}), timeout=0.5).close()
    print("answered")
except TimeoutError:
    print("silent")
except ConnectionRefusedError:
    print("refused")
"""
_SERVE = f"""
import signal, socket, sys
listening = socket.create_server((sys.argv[1], {PORT}))
print()
signal.pause()
"""
_MADE_AND_LEFT = """
import asyncio, subprocess
from tests.hosts.network import network
async def main():
    async with network(1) as net:
        sleeping = subprocess.Popen([*net.hosts[0].inside, "sleep", "600"])
        print(sleeping.pid, net.outside, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _fit() -> None:
    need_hosts()


@pytest.fixture
async def net() -> AsyncIterator[Network]:
    async with network(3) as made:
        yield made


async def serving(host: Host) -> asyncio.subprocess.Process:
    """Something that listens in a host; it ends with the host."""
    process = await asyncio.create_subprocess_exec(
        *(*host.inside, sys.executable, "-c", _SERVE, host.address), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


def asked(host: Host, other: Host) -> str:
    """What becomes of a connection from one host to another."""
    return told(*host.inside, sys.executable, "-c", _ASK, other.address)


def told(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


async def test_a_host_is_reached_until_it_is_cut_off_or_killed(net: Network) -> None:
    first, second, third = net.hosts
    assert asked(first, second) == "refused"
    servers = [await serving(host) for host in net.hosts]
    assert asked(first, second) == "answered"
    _, writer = await asyncio.open_connection(first.address, PORT)  # from this process, which is in none
    writer.close()

    second.cut()
    assert (asked(first, second), asked(second, first)) == ("silent", "silent")
    assert asked(first, third) == "answered"
    second.connect()
    assert asked(first, second) == "answered"

    net.part([first], [second, third])
    assert (asked(first, second), asked(third, first)) == ("silent", "silent")
    assert asked(second, third) == "answered"
    _, writer = await asyncio.open_connection(first.address, PORT)
    writer.close()
    net.mend()
    assert (asked(first, second), asked(third, first)) == ("answered", "answered")

    second.kill()
    assert await servers[1].wait() == -9
    assert asked(first, second) == "refused"
    assert asked(first, third) == "answered"


async def test_two_networks_at_once_know_nothing_of_each_other(net: Network) -> None:
    async with network(3) as other:
        addresses = [host.address for host in (*net.hosts, *other.hosts)]
        assert len({*addresses, net.outside, other.outside}) == 8
        server = await serving(other.hosts[0])
        assert asked(other.hosts[1], other.hosts[0]) == "answered"
        assert told(*net.hosts[0].inside, "ip", "route", "get", other.hosts[0].address) == ""
    assert await server.wait() == -9


async def test_nothing_is_left_when_who_made_it_is_killed() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _MADE_AND_LEFT, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        pid, outside = (await process.stdout.readline()).decode().split()
        assert outside in told("ip", "-4", "address")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    def is_gone() -> bool:
        return outside not in told("ip", "-4", "address") and not namespace_of(int(pid))

    await eventually(is_gone)
