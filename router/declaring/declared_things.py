"""Notes in the registry what was declared: AMQP cannot list it. Concurrent callers share a write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from runtime.joining import Joined
from store.registry import Declared, Registry


def owner_of_kanaal(naam: str) -> str:
    """The owner of the exchange of a kanaal: never the UUID of an abonnement, which a naam may be."""
    return f"kanaal {naam}"


class Notes:
    """Notes and forgets declared things in one registry."""

    def __init__(self, registry: Registry) -> None:
        self.note = Batch(registry.note_declared)
        self.forget = Batch(registry.forget_declared)


class Batch:
    """Writes things; those that come during a write go into the next one together. Raises RegistryError."""

    def __init__(self, write: Callable[[Iterable[Declared]], Awaitable[None]]) -> None:
        self._write = write
        self._things: dict[Declared, None] = {}
        self._writes = Joined(self._write_all, name="noting what is declared")

    async def __call__(self, things: Iterable[Declared]) -> None:
        """Return when these are written."""
        if more := dict.fromkeys(things):
            self._things |= more
            await self._writes.run()

    async def _write_all(self) -> None:
        things, self._things = self._things, {}
        await self._write(things)
