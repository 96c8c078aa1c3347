"""What was declared, noted in the registry: AMQP has no list of it. Who note at once share a write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from store.registry import Declared, Registry


def owner_of_kanaal(naam: str) -> str:
    """Under which its exchange is noted: no UUID of an abonnement, which its naam may be."""
    return f"kanaal {naam}"


class Notes:
    """Notes and forgets, several callers with one transaction."""

    def __init__(self, registry: Registry) -> None:
        self._noting = _Shared(registry.note_declared)
        self._forgetting = _Shared(registry.forget_declared)

    async def note(self, things: Iterable[Declared]) -> None:
        """The registry has these when this returns. Raises RegistryError."""
        await self._noting.write(things)

    async def forget(self, things: Iterable[Declared]) -> None:
        """The registry has these no more when this returns. Raises RegistryError."""
        await self._forgetting.write(things)


class _Shared:
    """One write at a time; what comes meanwhile goes together into the next."""

    def __init__(self, write: Callable[[Iterable[Declared]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: dict[Declared, None] = {}
        self._writing = asyncio.Lock()

    async def write(self, things: Iterable[Declared]) -> None:
        wanted = dict.fromkeys(things)
        self._waiting.update(wanted)
        async with self._writing:
            if wanted.keys().isdisjoint(self._waiting):
                return  # with another's
            some, self._waiting = self._waiting, {}
            try:
                await self._write(some)
            except BaseException:
                self._waiting = some | self._waiting
                raise
