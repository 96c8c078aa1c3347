"""Queues that were made and have not rested yet, as the registry notes them.

Nothing has been led to such a queue (`resting`), so there is nothing in it to lose. When RabbitMQ was killed
meanwhile it may stand without its log and without a leader: it looks well, and hangs whoever publishes to it
or consumes it. Whoever finds one that is noted and empty deletes it and makes it again. Several are noted,
and forgotten, with one write. Declares nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from store.registry import Declared, DeclaredKind, Registry


class Unrested:
    """The names of these queues. One that is in it before it is made was left by a router that died."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._names: set[str] = set()
        self._to_note: set[str] = set()
        self._to_forget: set[str] = set()
        self._writing = asyncio.Lock()

    async def load(self) -> None:
        """Know those that another router left. Raises RegistryError."""
        noted = await self._registry.declared()
        self._names |= {thing.key for thing in noted if thing.kind is DeclaredKind.UNRESTED}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    async def note(self, names: Iterable[str]) -> None:
        """The registry has these; before they are made. Raises RegistryError."""
        wanted = set(names)
        self._names |= wanted
        self._to_note |= wanted
        async with self._writing:
            if wanted & self._to_note:
                some, self._to_note = self._to_note, set()
                try:
                    await self._registry.note_declared(map(_noted, some))
                except BaseException:
                    self._to_note |= some
                    raise

    async def forget(self, names: Iterable[str]) -> None:
        """The registry has these no more; after they have rested, before anything is led to them.

        Raises RegistryError: then nothing may be led to them, since another router would delete them.
        """
        wanted = set(names) & self._names
        self._to_forget |= wanted
        async with self._writing:
            if wanted & self._to_forget:
                some, self._to_forget = self._to_forget, set()
                try:
                    await self._registry.forget_declared(map(_noted, some))
                except BaseException:
                    self._to_forget |= some
                    raise
        self._names -= wanted


def _noted(name: str) -> Declared:
    return Declared(DeclaredKind.UNRESTED, name)
