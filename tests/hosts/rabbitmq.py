"""A RabbitMQ node on a host of its own (network.py), as it would be installed there.

It is named after the host's address, so no name needs to be resolved, and has the usual ports. What a cluster
of such nodes is set to is written here as docs/high-availability.md advises it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nrc.rabbitmq.private_broker import START_TIMEOUT
from nrc.rabbitmq.private_node import Node, marker, server_script, write_secret
from schemas.errors import BrokerUnavailable
from store.files.durable import make_folder
from tests.broker import ErlangControl, QuickNode
from tests.hosts.network import Host

PORT, DIST_PORT = 5672, 25672
SETTINGS = "           {cluster_partition_handling, pause_minority},\n"
"""Of each node of a cluster: one that sees less than half of the others stops serving until it does."""


@dataclass(frozen=True, slots=True)
class _Node(Node):
    """A node that others reach at its host's address."""

    address: str

    @property
    def url(self) -> str:
        """Its AMQP URL."""
        return f"amqp://{self.user}:{self.password}@{self.address}:{self.port}/"

    def arguments(self, folder: Path) -> list[str]:
        """As of any private node, but for the interface of Erlang's distribution."""
        interface = f"{{{self.address.replace('.', ',')}}}"
        return ["-kernel", "inet_dist_use_interface", interface, "-nrc_folder", marker(folder)]

    @property
    def of_one_node(self) -> str:
        """What is set because it is one of several."""
        return SETTINGS

    def environment(self, folder: Path) -> dict[str, str]:
        """As of any private node, but for its address."""
        return Node.environment(self, folder) | {
            "ERL_EPMD_ADDRESS": self.address,
            "RABBITMQ_NODE_IP_ADDRESS": self.address,
            "RABBITMQ_USE_LONGNAME": "true",
        }


class HostNode(QuickNode):
    """The node of one host, in a folder of its own. All of a cluster have the same password and cookie."""

    def __init__(self, host: Host, state_dir: Path, *, password: str, cookie: str) -> None:
        super().__init__(state_dir)
        self.host = host
        self.inside = host.inside
        self.control = ErlangControl(self, inside=host.inside, address=host.address)
        self._node = _Node(f"nrc@{host.address}", PORT, DIST_PORT, "nrc", password, host.address)
        self._cookie = cookie

    @property
    def node(self) -> Node:
        """Its name, ports and password."""
        return self._node

    async def _start(self, note: Callable[[str], None]) -> str:
        script = server_script()
        if script is None:
            raise BrokerUnavailable("there is no rabbitmq-server on this machine")
        node, folder = self._node, self.folder
        if not folder.exists():
            make_folder(folder)
            write_secret(folder / ".erlang.cookie", self._cookie, mode=0o400)
            write_secret(folder / "node.json", json.dumps(asdict(node)))
            write_secret(folder / "advanced.config", node.configuration())
            write_secret(folder / "enabled_plugins", "[].\n")
            write_secret(folder / "rabbitmq-env.conf", "")
        (folder / "rabbitmq.pid").unlink(missing_ok=True)
        if self._spawned is not None:
            await asyncio.to_thread(self._spawned.wait)  # it was killed with its host
        self._spawn(script, node)
        if not await self._becomes_ready(node, deadline=time.monotonic() + START_TIMEOUT):
            raise BrokerUnavailable(f"{node.name} did not start; its log: {folder / 'log'}")
        return await self._shielded(node)

    def _command(self, script: Path, node: Node) -> list[str]:
        return [*self.inside, *super()._command(script, node)]


def nodes_on(hosts: Sequence[Host], folder: Path, *, password: str, cookie: str) -> list[HostNode]:
    """A node for each host, with a folder in `folder`; none is started."""
    return [
        HostNode(host, folder / host.name.replace(" ", "-"), password=password, cookie=cookie)
        for host in hosts
    ]
