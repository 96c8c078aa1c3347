"""What the registry notes of queues that have not rested. No broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from router.unrested import Unrested
from schemas.errors import RegistryError
from store.opening import open_registry
from store.registry import Declared, DeclaredKind, Registry


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with open_registry(tmp_path / "registry.db") as opened:
        yield opened


async def noted(registry: Registry) -> set[str]:
    return {thing.key for thing in await registry.declared() if thing.kind is DeclaredKind.UNRESTED}


async def test_the_next_router_knows_what_was_not_finished(registry: Registry) -> None:
    unrested = Unrested(registry)
    await unrested.note(["a", "b"])
    await unrested.forget(["b"])
    assert ("a" in unrested, "b" in unrested) == (True, False)
    after = Unrested(registry)
    await after.load()
    assert ("a" in after, "b" in after) == (True, False)
    await after.forget(["a", "never noted"])
    assert await noted(registry) == set()


async def test_many_at_once_are_few_writes(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = []
    for method in ("note_declared", "forget_declared"):
        original = getattr(registry, method)

        async def counted(things: Iterable[Declared], original: Any = original) -> None:
            writes.append([*things])
            await original(writes[-1])

        monkeypatch.setattr(registry, method, counted)
    unrested = Unrested(registry)
    names = [f"q-{number}" for number in range(100)]
    await asyncio.gather(*(unrested.note([name]) for name in names))
    assert await noted(registry) == set(names)
    await asyncio.gather(*(unrested.forget([name]) for name in names))
    assert await noted(registry) == set()
    assert len(writes) <= 6


async def test_what_cannot_be_forgotten_is_an_error_for_each(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing may be led to a queue of which the registry says that nothing ever was."""
    unrested = Unrested(registry)
    await unrested.note(["a", "b"])
    with monkeypatch.context() as patch:

        async def fail(_: object) -> None:
            await asyncio.sleep(0)
            raise RegistryError("locked")

        patch.setattr(registry, "forget_declared", fail)
        results = await asyncio.gather(
            *(unrested.forget([name]) for name in ("a", "b")), return_exceptions=True
        )
        assert [type(result) for result in results] == [RegistryError, RegistryError]
        assert "a" in unrested
    await unrested.forget(["a", "b"])
    assert await noted(registry) == set()
