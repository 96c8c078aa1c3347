"""Hosts of a test: a network namespace each, with an address on a bridge that this process is on too.

    async with network(3) as net:
        process = await asyncio.create_subprocess_exec(*net.hosts[0].inside, "nrc", "gateway")
        net.hosts[0].cut()          # its cable is pulled: no packet comes or goes, and nothing is refused
        net.hosts[0].connect()
        net.part(net.hosts[:1], net.hosts[1:])    # these do not reach those; all others reach each other
        net.mend()
        net.hosts[0].kill()         # kill -9 for all that runs in it

Owns no process in a host. It needs root and Linux; `unfit` says what is missing. Everything goes when whoever
made it is gone, also by kill -9: a watcher ends what runs in the hosts, and their interfaces go with them.
"""

from __future__ import annotations

import ipaddress
import json
import os
import random
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from tests.hosts.watcher import kill_all, namespace_of

ROOT = Path(__file__).parents[2]
_ALL = ipaddress.IPv4Network("10.128.0.0/9")
"""Where networks get their addresses; one that this machine uses itself is not taken."""
_NOBODY = "02:00:00:00:00:01"
"""A hardware address that nobody has."""
_TRIAL = "ip link add br0 type bridge && ip link add veth0 type veth peer name veth1"


class Host:
    """One host. inside: the words in front of a command that is to run in it."""

    def __init__(self, name: str, address: str, *, holder: int, port: str, switch: Sequence[str]) -> None:
        self.name = name
        self.address = address
        self.inside = _inside(holder)
        self._holder = holder
        self._port = port
        self._switch = switch

    def cut(self) -> None:
        """No packet comes or goes any more. The host itself does not see it."""
        _ip(self._switch, f"link set {self._port} nomaster")

    def connect(self) -> None:
        """The end of `cut`."""
        _ip(self._switch, f"link set {self._port} master br0")

    def kill(self) -> None:
        """Everything that runs in it is gone, by SIGKILL."""
        kill_all([namespace_of(self._holder)], but=[self._holder])


class Network:
    """Some hosts, and `outside`: the address on their network of whoever is in none, such as this process."""

    def __init__(self, hosts: Sequence[Host], *, outside: str) -> None:
        self.hosts = hosts
        self.outside = outside
        self._parted: list[tuple[Host, Host]] = []

    def part(self, some: Sequence[Host], others: Sequence[Host]) -> None:
        """Packets between some and others are lost, in both directions."""
        for one, other in product(some, others):
            self._parted += [(one, other), (other, one)]
            _ip(one.inside, f"neigh replace {other.address} lladdr {_NOBODY} dev eth0 nud permanent")
            _ip(other.inside, f"neigh replace {one.address} lladdr {_NOBODY} dev eth0 nud permanent")

    def mend(self) -> None:
        """The end of all `part`."""
        for one, other in self._parted:
            _ip(one.inside, f"neigh del {other.address} dev eth0")
        self._parted.clear()


@cache
def unfit() -> str:
    """Why there can be no such hosts here; "" when there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "hosts are network namespaces, which need Linux and root"
    missing = [command for command in ("ip", "unshare", "nsenter") if shutil.which(command) is None]
    if missing:
        return f"hosts are network namespaces, made by {', '.join(missing)}, which is not here"
    tried = subprocess.run(["unshare", "--net", "sh", "-c", _TRIAL], capture_output=True, check=False)
    if tried.returncode:
        return f"no network namespaces, bridges and veths here: {tried.stderr.decode().strip()}"
    return ""


def need_hosts() -> None:
    """Skip the test where there can be no hosts, with the reason."""
    if why := unfit():
        pytest.skip(why)


@asynccontextmanager
async def network(count: int) -> AsyncIterator[Network]:
    """A network with so many hosts, 250 at most. What still runs in them at the end is killed."""
    watcher = subprocess.Popen(  # noqa: ASYNC220 - a fork, and a wait of some milliseconds
        [sys.executable, "-m", "tests.hosts.watcher", str(count + 1)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert watcher.stdout is not None
        switch, *holders = map(int, watcher.stdout.readline().split())
        yield _made(switch, holders)
    finally:
        watcher.communicate()


def _made(switch: int, holders: Sequence[int]) -> Network:
    addresses = [str(address) for address in _free_network().hosts()]
    ours = f"nrc{secrets.token_hex(5)}"
    outside = addresses[-1]
    _ip(
        (),
        f"link add {ours} type veth peer name outside netns {switch}",
        f"address add {outside}/24 dev {ours}",
        f"link set {ours} up",
    )
    inside = _inside(switch)
    _ip(inside, "link add br0 type bridge", "link set br0 up", "link set outside master br0 up")
    hosts = []
    for number, (holder, address) in enumerate(zip(holders, addresses, strict=False), 1):
        port = f"host{number}"
        _ip(
            inside,
            f"link add {port} type veth peer name eth0 netns {holder}",
            f"link set {port} master br0 up",
        )
        _ip(_inside(holder), f"address add {address}/24 dev eth0", "link set eth0 up")
        hosts.append(Host(f"host {number}", address, holder=holder, port=port, switch=inside))
    return Network(hosts, outside=outside)


def _inside(holder: int) -> list[str]:
    return ["nsenter", f"--net=/proc/{holder}/ns/net", "--"]


def _free_network() -> ipaddress.IPv4Network:
    """A network of 256 addresses that overlaps with none of this machine's."""
    shown = subprocess.run(["ip", "-json", "-4", "address"], check=True, capture_output=True).stdout
    used = [
        ipaddress.ip_network(f"{each['local']}/{each['prefixlen']}", strict=False)
        for interface in json.loads(shown)
        for each in interface.get("addr_info", ())
    ]
    subnets = [each for each in _ALL.subnets(new_prefix=24) if not any(each.overlaps(one) for one in used)]
    return random.choice(subnets)


def _ip(inside: Sequence[str], *commands: str) -> None:
    """Carry out commands of `ip` in a namespace, or in this process's own. Raises RuntimeError."""
    done = subprocess.run(
        [*inside, "ip", "-batch", "-"], input="\n".join(commands), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"ip {'; '.join(commands)}: {done.stderr.strip()}")
