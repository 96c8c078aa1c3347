"""What the private RabbitMQ node is given: its name, ports, password, configuration, environment.

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

# Below the ports that Linux and macOS hand out by themselves, so that seldom anybody takes ours.
_PORTS = range(21000, 32000)
_SCRIPTS = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/rabbitmq/sbin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
)

_SEGMENT_ENTRIES = 2048  # RabbitMQ's own default
_STORE_SETTINGS = (
    f"%% This file is auto-generated! Edit at your own risk!\n{{segment_entry_count, {_SEGMENT_ENTRIES}}}."
)
"""What RabbitMQ writes in the file `.config` of a virtual host's message store."""

_NOT_SYNCED = (
    "cluster_nodes.config",
    "nodes_running_at_shutdown",
    "coordination/*/*.wal",
    "coordination/*/*.dets",
    "quorum/*/*.wal",
    "quorum/*/*.dets",
)
"""Files in a node's folder that can be empty after a loss of power, and with which it does not start then."""


@dataclass(frozen=True, slots=True)
class Node:
    """One private node, as node.json keeps it. Its name says in which folder it was made."""

    name: str
    port: int
    dist_port: int
    user: str
    password: str

    @property
    def url(self) -> str:
        """Where it takes AMQP connections."""
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self.port}/"

    def arguments(self, folder: Path) -> list[str]:
        """Erlang's arguments: distribution on loopback only, and a mark that `live_pids` knows it by."""
        return ["-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-nrc_folder", marker(folder)]

    def environment(self, folder: Path) -> dict[str, str]:
        """The whole environment: nothing that is set for another node on this machine gets through."""
        return {
            "PATH": os.pathsep.join(
                [os.environ.get("PATH", os.defpath), "/usr/local/bin", "/usr/bin", "/bin"]
            ),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "HOME": str(folder),
            # The start script then becomes the Erlang process instead of waiting for it: one pid to know.
            "RUNNING_UNDER_SYSTEMD": "true",
            # Only for an epmd that is not there yet and which the node therefore starts.
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
        }

    def configuration(self) -> str:
        """rabbitmq.conf."""
        return (
            f"default_user = {self.user}\n"
            f"default_pass = {self.password}\n"
            "log.file.rotation.size = 10485760\n"
            "log.file.rotation.count = 3\n"
        )

    def advanced_configuration(self) -> str:
        """advanced.config, for what rabbitmq.conf has no word for."""
        # Messages that found no way out of a wait queue (somebody deleted nrc.return) are tried again after
        # this many milliseconds. RabbitMQ's own three minutes hold up every retry behind them.
        # The prefetch: how many messages may be on their way out of one wait queue. With RabbitMQ's own 32,
        # retries for one queue that takes nothing (it has no leader) hold up everybody's.
        # The last is RabbitMQ's default, and given so that `mend_message_stores` knows it.
        return (
            "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 10000},\n"
            "           {dead_letter_worker_consumer_prefetch, 512},\n"
            f"           {{queue_index_segment_entry_count, {_SEGMENT_ENTRIES}}}]}}].\n"
        )


def node_folder(state_dir: Path) -> Path:
    """Where the private node of a state folder lives; absolute, links resolved."""
    return state_dir.resolve() / "rabbitmq"


def marker(folder: Path) -> str:
    """What the command line of the node in exactly this folder carries, and no other's."""
    return "nrc-" + blake2b(os.fsencode(folder), digest_size=6).hexdigest()


def node_name(folder: Path) -> str:
    """The name of the node that is made in this folder."""
    return f"{marker(folder)}@localhost"


def server_script() -> Path | None:
    """RabbitMQ's own start script: not a package's wrapper around it, which changes user or refuses."""
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
        write_secret(folder / "rabbitmq.conf", node.configuration())
        write_secret(folder / "advanced.config", node.advanced_configuration())
        write_secret(folder / "enabled_plugins", "[].\n")
        write_secret(folder / "rabbitmq-env.conf", "")
        # A pid that an earlier run left could mean anybody by now.
        (folder / "rabbitmq.pid").unlink(missing_ok=True)
    return node


def mend_message_stores(folder: Path) -> list[Path]:
    """Write the settings of message stores that a loss of power emptied; returns the files written.

    RabbitMQ writes this file when it makes a virtual host, never again, and does not sync it. With an empty
    one it starts, and every classic queue crashes. With none it takes an older version's number, which is not
    what the queues' files were written with. Only for a node that does not run. Raises BrokerUnavailable.
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
    """Remove files of RabbitMQ's that a loss of power left empty; returns those removed.

    RabbitMQ writes them at every start without a sync. It does not start with an empty one, and starts with
    none: it makes them anew. Only for a node that does not run. Raises BrokerUnavailable.
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
    """What the file system refuses meanwhile is raised as BrokerUnavailable, with the folder."""
    try:
        yield
    except OSError as error:
        raise BrokerUnavailable(f"{folder} cannot hold a RabbitMQ node: {error.strerror or error}") from None


def _begin_of(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(4096)


def write_secret(file: Path, text: str, *, mode: int = 0o600) -> None:
    """The file is written whole and on disk, or not at all; readable by its owner only. Raises OSError."""
    keep(file, text.encode(), replace=True, mode=mode)


def free_port(*, but: int = 0) -> int:
    """A port on loopback that nobody has now (somebody may before it is used), and not `but`."""
    while (port := random.choice(_PORTS)) == but or not port_is_free(port):  # noqa: S311
        pass
    return port


def port_is_free(port: int) -> bool:
    """Whether nobody listens on this loopback port; 0 never is."""
    if not port:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
