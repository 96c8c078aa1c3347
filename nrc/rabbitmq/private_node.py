"""The name, ports, password, configuration and environment of the private RabbitMQ node.

Owns the files in the folder `rabbitmq` of a state folder that we write ourselves (RabbitMQ writes the
rest); starts and stops nothing.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path

from schemas.errors import BrokerUnavailable
from store.files.durable import keep, make_folder

# Below the ephemeral ports of Linux and macOS, so that they are seldom taken.
_PORTS = range(21000, 32000)
_SCRIPTS = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/rabbitmq/sbin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
)

_TICK_INTERVAL = 30_000  # milliseconds
_SEGMENT_ENTRIES = 2048  # RabbitMQ's own default
_STORE_SETTINGS = (
    f"%% This file is auto-generated! Edit at your own risk!\n{{segment_entry_count, {_SEGMENT_ENTRIES}}}."
)
"""The content that RabbitMQ writes to the file `.config` of a virtual host's message store."""

_NOT_SYNCED = (
    "cluster_nodes.config",
    "nodes_running_at_shutdown",
    "coordination/*/*.wal",
    "coordination/*/*.dets",
    "quorum/*/*.wal",
    "quorum/*/*.dets",
)
"""Files in a node's folder that can be empty after a power cut, which prevents its start."""


@dataclass(frozen=True, slots=True)
class Node:
    """One private node, as in node.json. Its name depends on the folder in which it was made."""

    name: str
    port: int
    dist_port: int
    user: str
    password: str

    @property
    def url(self) -> str:
        """Its AMQP URL."""
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self.port}/"

    def arguments(self, folder: Path) -> list[str]:
        """Erlang's arguments: distribution on loopback only, and the mark by which `live_pids` finds it."""
        return ["-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-nrc_folder", marker(folder)]

    def environment(self, folder: Path) -> dict[str, str]:
        """The whole environment, without variables that are set for other nodes on this machine."""
        return {
            "PATH": os.pathsep.join(
                [os.environ.get("PATH", os.defpath), "/usr/local/bin", "/usr/bin", "/bin"]
            ),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "HOME": str(folder),
            # The start script then execs the Erlang process instead of waiting for it, so there is one pid.
            "RUNNING_UNDER_SYSTEMD": "true",
            # Only applies when epmd does not run yet, so that the node starts it.
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            # Neither of the two is there. Of the machine's own settings RabbitMQ reads none then, and it does
            # not start its translator for such files, which takes a fifth of the start.
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(folder / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
        }

    @property
    def of_one_node(self) -> str:
        """What is set because the node is no member of a cluster.

        The interval, in milliseconds: at each tick every quorum queue works out its statistics, which nobody
        reads here. That is most of what idle queues cost (decision 53). In a cluster a tick also brings a
        member up to date that missed something, so there RabbitMQ's own 5 s stay.
        """
        return f"           {{quorum_tick_interval, {_TICK_INTERVAL}}},\n"

    def configuration(self) -> str:
        """advanced.config, with all settings: there is no rabbitmq.conf."""
        # The timeout, in milliseconds: dead letters of a wait queue that were not routed (nrc.return was
        # deleted) are tried again after it. RabbitMQ's own three minutes delay all retries behind them.
        # The prefetch: how many dead letters of one wait queue may be under way. With RabbitMQ's default of
        # 32, retries for one queue that accepts nothing (it has no leader) delay all others.
        # The segment entries are RabbitMQ's default, set so that `mend_message_stores` knows it.
        return (
            f'[{{rabbit, [{{default_user, <<"{self.user}">>}},\n'
            f'           {{default_pass, <<"{self.password}">>}},\n'
            "           {log, [{file, [{size, 10485760}, {count, 3}]}]},\n"
            "           {dead_letter_worker_publisher_confirm_timeout, 10000},\n"
            "           {dead_letter_worker_consumer_prefetch, 512},\n"
            f"{self.of_one_node}"
            f"           {{queue_index_segment_entry_count, {_SEGMENT_ENTRIES}}}]}}].\n"
        )


def node_folder(state_dir: Path) -> Path:
    """The folder of the private node of a state folder; absolute, links resolved."""
    return state_dir.resolve() / "rabbitmq"


def marker(folder: Path) -> str:
    """The mark in the command line of the node in exactly this folder."""
    return "nrc-" + blake2b(os.fsencode(folder), digest_size=6).hexdigest()


def node_name(folder: Path) -> str:
    """The name of the node that is made in this folder."""
    return f"{marker(folder)}@localhost"


def server_script() -> Path | None:
    """RabbitMQ's own start script, not a package's wrapper around it, which changes the user or refuses."""
    on_path = shutil.which("rabbitmq-server")
    for candidate in (*_SCRIPTS, *([on_path] if on_path else [])):
        script = Path(candidate).resolve()
        try:
            if "rabbitmq-env" in script.read_text(errors="replace") and os.access(script, os.X_OK):
                return script
        except OSError:
            continue
    return None


def control_script() -> Path | None:
    """RabbitMQ's own rabbitmqctl, beside its start script."""
    script = server_script()
    found = script.with_name("rabbitmqctl") if script is not None else None
    return found if found is not None and found.exists() else None


def load_node(folder: Path) -> Node | None:
    """The node that was made in `folder`; None when there is none. Raises BrokerUnavailable."""
    file = folder / "node.json"
    try:
        return Node(**json.loads(file.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise BrokerUnavailable(f"{file} cannot be read: the private node belongs to another user") from None
    except (OSError, ValueError, TypeError) as error:
        raise BrokerUnavailable(f"{file} cannot be read: {error}; move {folder} away to start anew") from None


def prepare_node(folder: Path) -> Node:
    """The node of `folder`, made when there is none, with free ports and its files written.

    Only for a node that does not run. Raises BrokerUnavailable when the folder can't be used.
    """
    if set(str(folder)) & set("'\"\n\\"):
        # RabbitMQ hands the path to a shell between quotes, and then waits for ever.
        raise BrokerUnavailable(
            f"{folder} cannot hold a RabbitMQ node: a quotation mark or backslash in its path"
        )
    node = load_node(folder)
    if node is not None and node.name != node_name(folder):
        raise BrokerUnavailable(
            f"{folder} was made elsewhere, and RabbitMQ keeps the full paths of its queues: put the state "
            "folder back where it was, or move this folder away to start with empty queues"
        )
    with _faults_of(folder):
        make_folder(folder)
        folder.chmod(0o700)
        if node is None:
            write_secret(folder / ".erlang.cookie", secrets.token_hex(20), mode=0o400)
            node = Node(node_name(folder), 0, 0, "nrc", secrets.token_hex(20))
        port = node.port if port_is_free(node.port) else free_port()
        dist_port = node.dist_port if port_is_free(node.dist_port) else free_port(but=port)
        node = replace(node, port=port, dist_port=dist_port)
        write_secret(folder / "node.json", json.dumps(asdict(node), indent=2) + "\n")
        write_secret(folder / "advanced.config", node.configuration())
        write_secret(folder / "enabled_plugins", "[].\n")
        write_secret(folder / "rabbitmq-env.conf", "")
        # A pid from an earlier run may be that of any process by now; settings may be an older version's.
        for name in ("rabbitmq.pid", "rabbitmq.conf"):
            (folder / name).unlink(missing_ok=True)
    return node


def mend_message_stores(folder: Path) -> list[Path]:
    """Write the settings of message stores that a power cut emptied; returns the files written.

    RabbitMQ writes this file only when it makes a virtual host, and does not sync it. With an empty one it
    starts, and every classic queue crashes. Without one it uses an older version's value, which differs from
    that of the queues' files. Only for a node that does not run. Raises BrokerUnavailable.
    """
    mended = []
    with _faults_of(folder):
        for store in sorted(folder.glob("mnesia/*/msg_stores/vhosts/*/")):
            file = store / ".config"
            if not file.exists() or b"segment_entry_count" not in file.read_bytes():
                keep(file, _STORE_SETTINGS.encode(), replace=True)
                mended.append(file)
    return mended


def remove_empty_files(folder: Path) -> list[Path]:
    """Remove files of RabbitMQ's that a power cut left empty; returns those removed.

    RabbitMQ writes them at every start without a sync. It does not start with an empty one; without one it
    makes a new one. Only for a node that does not run. Raises BrokerUnavailable.
    """
    removed = []
    with _faults_of(folder):
        for pattern in _NOT_SYNCED:
            for file in sorted(folder.glob(f"mnesia/*/{pattern}")):
                if not _begin_of(file).strip(b"\0"):
                    file.unlink()
                    removed.append(file)
    return removed


@contextmanager
def _faults_of(folder: Path) -> Iterator[None]:
    """Raises errors of the file system in the context as BrokerUnavailable, with the folder."""
    try:
        yield
    except OSError as error:
        raise BrokerUnavailable(f"{folder} cannot hold a RabbitMQ node: {error.strerror or error}") from None


def _begin_of(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(4096)


def write_secret(file: Path, text: str, *, mode: int = 0o600) -> None:
    """Write the file whole and synced, or not at all; readable by its owner only. Raises OSError."""
    keep(file, text.encode(), replace=True, mode=mode)


def free_port(*, but: int = 0) -> int:
    """A free port on loopback (it may be taken before it is used), other than `but`."""
    while (port := random.choice(_PORTS)) == but or not port_is_free(port):  # noqa: S311
        pass
    return port


def port_is_free(port: int) -> bool:
    """Whether no process listens on this loopback port; False for 0."""
    if not port:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
