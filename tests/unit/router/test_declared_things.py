"""Notes of what was declared: those made at the same time share a write, and its fault."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from router.declaring.declared_things import Batch
from schemas.errors import RegistryError
from store.registry import Declared, DeclaredKind


def queue(name: str) -> Declared:
    return Declared(DeclaredKind.QUEUE, name)


class Store:
    def __init__(self) -> None:
        self.writes: list[list[str]] = []
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()
        self.fault: RegistryError | None = None

    async def write(self, things: Iterable[Declared]) -> None:
        self.writes.append([thing.key for thing in things])
        self.begun.set()
        await self.go_on.wait()
        if self.fault:
            raise self.fault


async def test_those_that_come_during_a_write_share_the_next() -> None:
    store = Store()
    note = Batch(store.write)
    store.go_on.clear()
    first = asyncio.create_task(note([queue("a")]))
    await store.begun.wait()
    others = [asyncio.create_task(note(map(queue, names))) for names in ("bc", "cd")]
    await asyncio.sleep(0)
    store.go_on.set()
    await asyncio.gather(first, *others)
    assert store.writes == [["a"], ["b", "c", "d"]]


async def test_nothing_to_note_is_no_write() -> None:
    store = Store()
    await Batch(store.write)([])
    assert store.writes == []


async def test_a_fault_is_that_of_everyone_who_shared_the_write_and_of_nobody_later() -> None:
    store = Store()
    note = Batch(store.write)
    store.fault = RegistryError("locked")
    for found in await asyncio.gather(note([queue("a")]), note([queue("b")]), return_exceptions=True):
        assert isinstance(found, RegistryError)
    store.fault = None
    await note([queue("a")])
    assert store.writes == [["a", "b"], ["a"]]
