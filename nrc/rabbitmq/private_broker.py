"""Starts, watches and stops the private RabbitMQ node, beside any others on this machine.

Owns the folder `rabbitmq` in the state folder and the one Erlang process that works in it. Everything that
RabbitMQ would take from the machine (name, ports, cookie, configuration, plugins, HOME) is set here, so that
this node and others do not affect each other. epmd is shared by the machine, and never stopped here. What is
declared in RabbitMQ is not decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from nrc.rabbitmq import container
from nrc.rabbitmq.private_node import (
    Node,
    control_script,
    load_node,
    marker,
    mend_message_stores,
    node_folder,
    port_is_free,
    prepare_node,
    remove_empty_files,
    server_script,
)
from nrc.rabbitmq.readiness import PasswordRefused, takes_connections
from nrc.rabbitmq.shield_policy import SET_POLICY
from runtime.log import logger
from schemas.errors import BrokerUnavailable

log = logger(__name__)

START_TIMEOUT = 90.0
STOP_TIMEOUT = 8.0
CONTROL_TIMEOUT = 30.0
_POLL = 0.1
_STAYS = 1.0  # seconds after which a node that was found running is checked once more
_MAX_SPAWNS = 3


def find_running(state_dir: Path) -> str | None:
    """The AMQP URL of the live broker that `nrc up` runs for this state folder, else None.

    Live means that its process exists; it may still be starting. Raises BrokerUnavailable when the state
    folder belongs to another user.
    """
    folder = node_folder(state_dir)
    node = load_node(folder)
    if node is not None and live_pids(folder):
        return node.url
    return container.find_running(state_dir)


def live_pids(folder: Path) -> tuple[int, ...]:
    """The processes of the node that works in `folder`, Erlang's last; () when it does not run.

    A pid counts only while its command line has the folder's mark, since pids are reused.
    """
    mark = marker(folder)
    found = []
    for name in ("spawned.pid", "rabbitmq.pid"):
        with contextlib.suppress(OSError, ValueError):
            pid = int((folder / name).read_text())
            if pid not in found and mark in _command_line(pid):
                found.append(pid)
    return tuple(found)


def _command_line(pid: int) -> str:
    """The command line of a process; "" when it is gone or a zombie."""
    if Path("/proc/self/cmdline").exists():
        for _ in range(5):
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                return ""
            if line:
                return line.replace(b"\0", b" ").decode(errors="replace")
            # A zombie's, or of a process during exec, which start scripts do several times.
            time.sleep(0.002)
        return ""
    shown = subprocess.run(  # noqa: S603
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout


class PrivateBroker:
    """The private node of one state folder: started or adopted by `start`, stopped by `stop`."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = node_folder(state_dir)
        self._spawned: subprocess.Popen[bytes] | None = None

    @property
    def node(self) -> Node:
        """The node's name, ports and password; BrokerUnavailable when it was never started."""
        node = load_node(self.folder)
        if node is None:
            raise BrokerUnavailable(f"there is no private RabbitMQ node in {self.folder}")
        return node

    @property
    def alive(self) -> bool:
        """Whether its process exists (it may still be starting)."""
        return self._spawned_runs() or bool(live_pids(self.folder))

    def _spawned_runs(self) -> bool:
        return self._spawned is not None and self._spawned.poll() is None

    @property
    def described(self) -> str:
        """Its name and where its log is."""
        return f"private node {self.node.name}; its log: {self.folder / 'log'}"

    async def is_alive(self) -> bool:
        """`alive`, as a coroutine, as `Broker` has it."""
        return self.alive

    async def start(self, *, note: Callable[[str], None] = lambda line: None) -> str:
        """Start it; its AMQP URL, once it accepts connections and its files are synced.

        A running node that a killed `nrc up` left is adopted. note: called with what it waits for. Raises
        BrokerUnavailable with the reason and where to look.
        """
        url = await self._start(note)
        # RabbitMQ does not sync the files that it writes only once, when a node is new.
        await asyncio.to_thread(os.sync)
        return url

    async def _start(self, note: Callable[[str], None]) -> str:
        script = server_script()
        if script is None:
            raise BrokerUnavailable("there is no rabbitmq-server on this machine")
        deadline = time.monotonic() + START_TIMEOUT
        spawns, found = 0, False
        while True:
            if self.alive:
                node = self.node
                if not spawns:
                    found = True
                    note(f"found RabbitMQ still running ({node.name}, port {node.port})")
            elif spawns == _MAX_SPAWNS:
                raise BrokerUnavailable(self._why_it_stopped())
            else:
                node = prepare_node(self.folder)
                for file in mend_message_stores(self.folder):
                    log.warning("RabbitMQ's message store had lost its settings", file=str(file))
                for file in remove_empty_files(self.folder):
                    log.warning("a file of RabbitMQ's was empty and is removed", file=str(file))
                note(f"starting RabbitMQ ({node.name}, port {node.port}); this takes some seconds")
                self._spawn(script, node)
                spawns += 1
            if await self._becomes_ready(node, deadline=deadline):
                if spawns:
                    return await self._shielded(node)
                # It was found alive: one that is stopping still accepts connections for a moment.
                await asyncio.sleep(_STAYS)
                if await self._becomes_ready(node, deadline=deadline):
                    return await self._shielded(node)
            if time.monotonic() > deadline:
                await self.stop()
                raise BrokerUnavailable(
                    f"RabbitMQ was not ready within {START_TIMEOUT:.0f} s; see {self._what_it_wrote()}. "
                    "Where that says nothing, this machine had too little time for it: start again"
                )
            if spawns and not found and port_is_free(node.port) and port_is_free(node.dist_port):
                # It died by itself: another start would fail too. (Not when it was found alive and was
                # stopping, with its name or a lock still taken; nor when its port was taken.)
                raise BrokerUnavailable(self._why_it_stopped())

    async def _shielded(self, node: Node) -> str:
        """The URL, after setting the policy that keeps others off our queues; log when that fails."""
        script = control_script()
        reason = "there is no rabbitmqctl"
        if script is not None:
            reason = await self._control(script, node, ["-n", node.name, *SET_POLICY])
        if reason:
            log.warning("policy that keeps others off is not set", reason=reason)
        return node.url

    async def _control(self, script: Path, node: Node, arguments: list[str]) -> str:
        """Run rabbitmqctl; why it failed, "" when it did not."""
        try:
            process = await asyncio.create_subprocess_exec(
                str(script),
                *arguments,
                cwd=self.folder,
                env=node.environment(self.folder),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as error:
            return f"{script}: {error.strerror or error}"
        try:
            async with asyncio.timeout(CONTROL_TIMEOUT):
                said, _ = await process.communicate()
        except TimeoutError:
            return f"rabbitmqctl was not done within {CONTROL_TIMEOUT:g} s"
        finally:
            if process.returncode is None:
                process.kill()
        return " ".join(said.decode(errors="replace").split())[:500] if process.returncode else ""

    async def stop(self, *, within: float = STOP_TIMEOUT) -> None:
        """Stop the node, and return when it has stopped: cleanly, or killed after `within` seconds."""
        self.terminate()
        deadline = time.monotonic() + within
        while self.alive:
            if time.monotonic() > deadline:
                log.warning("RabbitMQ did not stop in time and is killed", seconds=within)
                await self.kill()
            await asyncio.sleep(_POLL)

    def terminate(self) -> None:
        """Tell it to stop, without waiting."""
        self._signal(signal.SIGTERM)

    async def kill(self) -> None:
        """Kill the node (SIGKILL): what it had not written is lost."""
        while self.alive:
            self._signal(signal.SIGKILL)
            await asyncio.sleep(_POLL)

    async def restart(self) -> str:
        """Stop it cleanly and start it again; returns the URL, the same unless its port was taken."""
        await self.stop()
        return await self.start()

    def _command(self, script: Path, node: Node) -> list[str]:
        return [str(script), *node.arguments(self.folder)]

    def _spawn(self, script: Path, node: Node) -> None:
        # A session of its own: Ctrl-C in the terminal is for `nrc up`, which stops the broker last.
        with (self.folder / "startup.log").open("wb") as output:
            self._spawned = subprocess.Popen(  # noqa: S603
                self._command(script, node),
                cwd=self.folder,
                env=node.environment(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        (self.folder / "spawned.pid").write_text(str(self._spawned.pid))

    async def _becomes_ready(self, node: Node, *, deadline: float) -> bool:
        """True once it accepts connections; False when its process ends or the deadline passes first."""
        while time.monotonic() < deadline:
            if not self.alive:
                return False
            try:
                if await takes_connections(node.url):
                    return True
            except PasswordRefused:
                raise BrokerUnavailable(
                    f"the RabbitMQ node in {self.folder} refuses the password in node.json there: "
                    "that folder holds the state of another node; move it away"
                ) from None
            await asyncio.sleep(_POLL)
        return False

    def _signal(self, number: signal.Signals) -> None:
        pids = live_pids(self.folder)
        if self._spawned is not None and self._spawned_runs() and self._spawned.pid not in pids:
            pids = (self._spawned.pid, *pids)
        # Erlang's own process stops cleanly on SIGTERM; a start script around it then ends by itself.
        for pid in pids if number == signal.SIGKILL else pids[-1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _what_it_wrote(self) -> Path:
        """Its log; what it printed, while it has not come so far as to have one."""
        logs = self.folder / "log"
        return logs if logs.is_dir() else self.folder / "startup.log"

    def _why_it_stopped(self) -> str:
        output = self.folder / "startup.log"
        told = ""
        with contextlib.suppress(OSError):
            lines = output.read_text(errors="replace").splitlines()
            told = next((line.strip() for line in lines if "ERROR:" in line or "already running" in line), "")
            if any("required feature flag not enabled" in line for line in lines):
                told = (
                    f"what is in {self.folder} is of an older RabbitMQ, from which this version cannot go "
                    "on. Start the older one again, or move that folder away: what waited in it is given "
                    "back from the ledger"
                )
        return f"RabbitMQ stopped during its start{': ' + told if told else ''}; see {output}"
