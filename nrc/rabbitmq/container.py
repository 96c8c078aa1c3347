"""RabbitMQ in a container, through the docker command: for `nrc up` on a machine without rabbitmq-server.

Owns one container and one volume per state folder, and the file there with their password. Does not start
Docker itself, and removes no data: the volume stays when the container is stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from nrc.rabbitmq.private_node import free_port, marker, port_is_free, write_secret
from nrc.rabbitmq.readiness import takes_connections
from nrc.rabbitmq.shield_policy import SET_POLICY
from runtime.log import logger
from schemas.errors import BrokerUnavailable

log = logger(__name__)

IMAGE = "rabbitmq:4.3-management"
"""With its minor version: RabbitMQ goes on with the data of the one before only (docs/operations.md)."""
START_TIMEOUT = 300.0
"""Long, since the image may have to be downloaded first."""
CONTROL_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Container:
    """The container of one state folder, as in rabbitmq-container.json. name: also that of its volume."""

    name: str
    port: int
    user: str
    password: str

    @property
    def url(self) -> str:
        """Its AMQP URL."""
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self.port}/"

    def run_command(self) -> list[str]:
        """`docker run …`; the password is in the environment, since others can see arguments."""
        # RabbitMQ's data depend on the host name, so that must stay the same.
        names = ["--name", self.name, "--hostname", self.name]
        data = ["--publish", f"127.0.0.1:{self.port}:5672", "--volume", f"{self.name}:/var/lib/rabbitmq"]
        credentials = ["--env", "RABBITMQ_DEFAULT_USER", "--env", "RABBITMQ_DEFAULT_PASS"]
        return ["docker", "run", "--detach", "--rm", *names, *data, *credentials, IMAGE]


def _file(state_dir: Path) -> Path:
    return state_dir.resolve() / "rabbitmq-container.json"


def load_container(state_dir: Path) -> Container | None:
    """The container that was made for a state folder, running or not."""
    try:
        return Container(**json.loads(_file(state_dir).read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise BrokerUnavailable(f"{_file(state_dir)} cannot be read: {error}") from None


def find_running(state_dir: Path) -> str | None:
    """The AMQP URL of the container of this state folder when its port is open, else None."""
    container = load_container(state_dir)
    if container is None:
        return None
    try:
        socket.create_connection(("127.0.0.1", container.port), timeout=2).close()
    except OSError:
        return None
    return container.url


async def docker_answers() -> bool:
    """Whether there is a docker command and an engine behind it."""
    try:
        async with asyncio.timeout(10):
            return (await _docker(["docker", "info"]))[0] == 0
    except TimeoutError:
        return False


class ContainerBroker:
    """The container of one state folder: started or adopted by `start`, stopped by `stop`."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._container = load_container(state_dir)

    @property
    def described(self) -> str:
        """Its name and where its log is."""
        name = self._container.name if self._container else "not made yet"
        return f"container {name}; its log: docker logs {name}"

    async def start(self, *, note: Callable[[str], None] = lambda line: None) -> str:
        """Start it; its AMQP URL, once it accepts connections. Raises BrokerUnavailable with the reason."""
        if await self.is_alive() and self._container is not None:
            note(f"found RabbitMQ still running (container {self._container.name})")
            container = self._container
        else:
            container = self._container = self._prepare()
            note(f"starting RabbitMQ (container {container.name}, port {container.port})")
            code, output = await _docker(container.run_command(), container=container)
            if code:
                raise BrokerUnavailable(f"docker run: {output}")
        deadline = time.monotonic() + START_TIMEOUT
        while not await takes_connections(container.url):
            if time.monotonic() > deadline or not await self.is_alive():
                raise BrokerUnavailable(f"RabbitMQ did not start; see: docker logs {container.name}")
            await asyncio.sleep(0.5)
        await self._shield(container)
        return container.url

    async def _shield(self, container: Container) -> None:
        """Set the policy that keeps other policies off our queues; log when that fails."""
        code, said = 1, f"rabbitmqctl was not done within {CONTROL_TIMEOUT:g} s"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONTROL_TIMEOUT):
                code, said = await _docker(["docker", "exec", container.name, "rabbitmqctl", *SET_POLICY])
        if code:
            log.warning("policy that keeps others off is not set", reason=said)

    def _prepare(self) -> Container:
        name = marker(_file(self._state_dir))
        container = self._container or Container(name, 0, "nrc", secrets.token_hex(20))
        if not port_is_free(container.port):
            container = replace(container, port=free_port())
        write_secret(_file(self._state_dir), json.dumps(asdict(container)) + "\n")
        return container

    async def is_alive(self) -> bool:
        """Whether the container runs."""
        if self._container is None:
            return False
        running = ["docker", "inspect", "--format", "{{.State.Running}}", self._container.name]
        return await _docker(running) == (0, "true")

    async def stop(self, *, within: float = 8.0) -> None:
        """Stop the container, and return when it has stopped; its volume stays."""
        if self._container is not None:
            await _docker(["docker", "stop", "--time", str(max(1, int(within))), self._container.name])

    def terminate(self) -> None:
        """Does nothing: the next start finds the container again."""


async def _docker(command: list[str], *, container: Container | None = None) -> tuple[int, str]:
    """(exit code, last line of output) of a docker command."""
    env: Mapping[str, str] = os.environ
    if container is not None:
        env = {
            **os.environ,
            "RABBITMQ_DEFAULT_USER": container.user,
            "RABBITMQ_DEFAULT_PASS": container.password,
        }
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return 127, str(error)
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    lines = output.decode(errors="replace").strip().splitlines()
    return process.returncode or 0, lines[-1] if lines else ""
