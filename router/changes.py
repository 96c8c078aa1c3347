"""The hint that the registry changed: a fanout to every process. It carries no change itself.

A hint has `change`, the number up to which the router has read the registry, and `undeclared`: those
abonnementen among them whose queue and bindings do not stand yet, as far as the router knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import orjson
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from router import names
from router.catalogue import Catalogue
from router.readiness import topology_stands
from schemas.abonnement import Abonnement

BIND_AGAIN = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Hint:
    """A hint of the router. change: 0 when it does not tell what is declared."""

    change: int = 0
    undeclared: frozenset[UUID] = frozenset()

    @classmethod
    def read(cls, body: bytes) -> Self | None:
        """The hint in a message; None for another message. That of an older router does not tell."""
        try:
            value: Mapping[str, Any] = orjson.loads(body)
            change = int(value["change"])
            return cls(change, frozenset(map(UUID, value["undeclared"]))) if "undeclared" in value else cls()
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def is_undeclared(self, abonnement: Abonnement) -> bool:
        """Whether the router had yet to declare it, as far as this hint tells."""
        return 0 < self.change < abonnement.kanalen_change or abonnement.uuid in self.undeclared


async def follow_changes(
    connection: AbstractConnection,
    catalogue: Catalogue,
    *,
    heard: Callable[[bytes], None] | None = None,
    connected: Callable[[], None] | None = None,
) -> None:
    """Refresh the copy now and on every hint; return when the connection closes.

    heard: gets the body of each hint. connected: called when hints are heard from now on.
    """
    await topology_stands(connection)
    channel = connection.channel(publisher_confirms=False)
    await channel.initialize()
    queue = await channel.declare_queue(names.changes_queue(), exclusive=True, auto_delete=True)
    await queue.bind(names.CHANGES)
    await queue.bind(names.READY, names.HELD)  # nothing is published with this key: router/readiness.py

    async def look(hint: AbstractIncomingMessage) -> None:
        if heard is not None:
            heard(hint.body)
        await catalogue.try_refresh()

    await queue.consume(look, no_ack=True)
    if connected is not None:
        connected()
    await catalogue.try_refresh()
    while not channel.is_closed:
        with suppress(TimeoutError):
            async with asyncio.timeout(BIND_AGAIN):
                await channel.closed()
                return
        # The exchange may have been deleted and declared again, without this binding.
        await queue.bind(names.CHANGES)
