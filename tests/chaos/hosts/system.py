"""Four hosts: three with a RabbitMQ node, a gateway, a router, a deliverer and a keeper each, and a database.

    host 1, 2, 3    RabbitMQ, `nrc gateway`, `nrc router`, `nrc deliverer`, `nrc ledger`
    host 4          PostgreSQL, with registry and ledger
    outside         publisher and consumer

Each process of a host has the addresses of all three nodes, that of its own host first. Owns what becomes of
a host as a whole; the order of starting and stopping is that of a `System`.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tests.chaos.clients import load
from tests.chaos.clients.publisher import Unanswered
from tests.chaos.faults.cluster import Cluster, ClusterBroker
from tests.chaos.process import Process
from tests.chaos.system import CLIENT, SECRET, SETTINGS, System
from tests.eventually import eventually
from tests.hosts.network import Host, Network, network
from tests.hosts.postgresql import HostServer
from tests.hosts.rabbitmq import nodes_on

NODES = 3
KINDS = ("router", "gateway", "deliverer", "ledger")
GATEWAY_PORT = 8000


@dataclass(slots=True, kw_only=True)
class HostsSystem(System):
    """All of it. Hosts are numbered from 0; the last is the database's.

    away: from when until when the gateway of each address may have given no answer.
    """

    net: Network
    nodes: Cluster
    server: HostServer
    away: list[tuple[str, float, float]] = field(default_factory=list)

    @property
    def gateway_addresses(self) -> list[tuple[str, int]]:
        """Of each of the first three hosts."""
        return [(host.address, GATEWAY_PORT) for host in self.net.hosts[:NODES]]

    def on(self, index: int) -> list[str]:
        """The names of the processes of a host."""
        return [name for name in self.processes if name.endswith(f" {index + 1}")]

    def look_through(self, index: int) -> None:
        """Ask this RabbitMQ node from now on."""
        cast("ClusterBroker", self.broker).look_through(index)

    def problems_of(self, unanswered: Iterable[Unanswered]) -> list[str]:
        """What a publisher was not answered though the host was there."""
        found = [
            f"{each.host}: {each.what}"
            for each in unanswered
            if not any(
                host == each.host and begin <= each.given_up and each.posted <= end
                for host, begin, end in self.away
            )
        ]
        return [f"{number} without an answer from {what}" for what, number in Counter(found).items()]

    @asynccontextmanager
    async def may_be_away(self, index: int) -> AsyncIterator[None]:
        """The gateway of this host need not answer for as long as the context is open."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.away.append((self.net.hosts[index].address, begin, time.monotonic()))

    def part(self, index: int) -> None:
        """A host does not reach the others any more, nor they it; clients reach it."""
        self.in_flight(f"{self.net.hosts[index].name} parted from the others", *self.deliverers)
        self.look_through((index + 1) % NODES)
        self.net.part(
            self.net.hosts[index : index + 1], [*self.net.hosts[:index], *self.net.hosts[index + 1 :]]
        )

    async def noticed(self, index: int) -> None:
        """Return once the other nodes take this one for gone: RabbitMQ's net_ticktime, some 60 s."""

        async def is_gone() -> bool:
            others = [other for other in range(NODES) if other != index]
            return [await self.nodes.running(other) for other in others] == [NODES - 1] * 2

        await eventually(is_gone, within=120)

    async def mend(self, index: int) -> None:
        """The end of `part`. The node comes back by itself; one that RabbitMQ lets hang is restarted.

        RabbitMQ 3.10.8 does so at times with Erlang 25.1 or later (rabbitmq-server#6034).
        """
        self.in_flight(f"{self.net.hosts[index].name} back among the others", *self.deliverers)
        self.net.mend()
        try:
            await self.all_nodes_run(within=40)
        except AssertionError:
            await self.nodes[index].kill()
            await self.nodes[index].start()
            await self.all_nodes_run()

    async def restart_host(self, index: int) -> None:
        """Everything on it is stopped cleanly, gateway first and RabbitMQ last, and started again."""
        self.in_flight(f"{self.net.hosts[index].name} stopped", *self.deliverers)
        self.look_through((index + 1) % NODES)
        for kind in ("gateway", "deliverer", "ledger", "router"):
            await self.term(f"{kind} {index + 1}")
        await self.nodes[index].stop(within=30)
        await self.host_returns(index)

    async def host_dies(self, index: int, *, silently: bool = False) -> None:
        """Everything on a host is killed at once. silently: its network is gone first, as without power."""
        if index < NODES:
            self.in_flight(f"{self.net.hosts[index].name} killed", *self.deliverers)
            self.look_through((index + 1) % NODES)
        if silently:
            self.net.hosts[index].cut()
        await asyncio.to_thread(self.net.hosts[index].kill)
        for name in self.on(index):
            await self.processes[name].ended()

    async def host_returns(self, index: int) -> None:
        """Everything on it is started, all at once; it is ready when this returns."""
        self.net.hosts[index].connect()
        if index >= NODES:
            await self.server.start()
        else:
            await asyncio.gather(self.nodes[index].start(), self.start_all(self.on(index)))
            await self.all_nodes_run()

    async def all_nodes_run(self, *, within: float = 120) -> None:
        """Return once every node sees all others, and every queue has a member on each that is up to date."""

        async def run() -> bool:
            with suppress(RuntimeError):  # of a node that is still starting
                told = [
                    await self.nodes.running(index) == NODES and await self.nodes.can_spare(index)
                    for index in range(NODES)
                ]
                return all(told)
            return False

        await eventually(run, within=within, every=0.5)


@asynccontextmanager
async def on_hosts(
    *, settings: Mapping[str, str] | None = None, kinds: tuple[str, ...] = KINDS, keep: bool = False
) -> AsyncIterator[HostsSystem]:
    """All of it runs, with the kanalen of the load. keep: leave the folder, with the logs, where it is."""
    folder = Path(tempfile.mkdtemp(prefix="nrc-chaos-hosts-"))
    made: HostsSystem | None = None
    async with network(NODES + 1) as net:
        server = HostServer(net.hosts[NODES])
        password, cookie = secrets.token_hex(20), secrets.token_hex(20)
        nodes = Cluster(nodes_on(net.hosts[:NODES], folder, password=password, cookie=cookie))
        try:
            await asyncio.gather(_database(server), *(node.start() for node in nodes.nodes))
            await nodes.join(NODES)
            environment = {
                **SETTINGS,
                "NRC_DATABASE_URL": server.url,
                "NRC_SECRET_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
                **(settings or {}),
            }
            processes: dict[str, Process] = {}
            for index, host in enumerate(net.hosts[:NODES]):
                urls = nodes.urls[index:] + nodes.urls[:index]
                for kind in kinds:
                    name = f"{kind} {index + 1}"
                    processes[name] = _process(kind, name, host, folder, env=environment, urls=urls)
            broker = ClusterBroker(nodes)
            made = HostsSystem(
                folder, broker, processes, GATEWAY_PORT, socket.socket(),
                callbacks_at=net.outside, net=net, nodes=nodes, server=server,
            )  # fmt: skip
            await made.nrc(
                *("application", "add", CLIENT, "--new", "--secret", SECRET, "--scope", "publiceren"),
                *("--scope", "consumeren"),
            )
            await made.start_all()
            for kanaal in load.KANALEN:
                await made.call("POST", "kanaal", kanaal)
            await made.all_nodes_run()
            yield made
        finally:
            if made is not None:
                made.sock.close()
                await made.stop()
            await nodes.close()
            await server.remove()
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)


async def _database(server: HostServer) -> None:
    await asyncio.to_thread(server.make)
    await server.start()


def _process(
    kind: str, name: str, host: Host, folder: Path, *, env: Mapping[str, str], urls: list[str]
) -> Process:
    state = folder / f"{host.name.replace(' ', '-')}-state"
    own = {
        **env,
        "NRC_STATE_DIR": str(state),
        "NRC_AMQP_URL": ",".join(urls),
        "NRC_GATEWAY_LISTEN": f"{host.address}:{GATEWAY_PORT}",
    }
    process = Process(kind, name, env=own, fds=[], log=folder / f"{name.replace(' ', '-')}.log")
    process.prefix = list(host.inside)
    return process
