"""Chooses the RabbitMQ that `nrc up` starts without NRC_AMQP_URL: a private node, else a container."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nrc.rabbitmq.container import ContainerBroker, docker_answers
from nrc.rabbitmq.private_broker import PrivateBroker
from nrc.rabbitmq.private_node import server_script
from schemas.errors import UsageError

NO_BROKER = (
    "no RabbitMQ: set NRC_AMQP_URL, or install rabbitmq-server (Debian and Ubuntu: apt-get install "
    "rabbitmq-server; macOS: brew install rabbitmq), or start Docker"
)


class Broker(Protocol):
    """A RabbitMQ of our own."""

    @property
    def described(self) -> str:
        """Its name and where its log is."""

    async def start(self, *, note: Callable[[str], None]) -> str:
        """Start it; its AMQP URL, once it accepts connections. Raises BrokerUnavailable."""

    async def is_alive(self) -> bool:
        """Whether it still runs."""

    async def stop(self, *, within: float) -> None:
        """Stop it, and return when it has stopped."""

    def terminate(self) -> None:
        """Tell it to stop, without waiting."""


async def choose_broker(state_dir: Path) -> Broker:
    """The broker of this state folder, not started yet. Raises UsageError, which says how to get one."""
    if server_script() is not None:
        return PrivateBroker(state_dir)
    if await docker_answers():
        return ContainerBroker(state_dir)
    raise UsageError(NO_BROKER)
