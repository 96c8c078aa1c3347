"""Fixtures that several of these tests use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.guides.place import Place, a_place
from tests.integration.conftest import Running, running_router


@pytest.fixture
async def router(vhost: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A router at work on an empty virtual host, with a registry of its own."""
    folder: Path = tmp_path_factory.mktemp("router")
    async with running_router(vhost, folder) as started:
        yield started


@pytest.fixture
async def place(vhost: str, tmp_path: Path) -> AsyncIterator[Place]:
    """Everything that `nrc up` starts, on an empty broker and with an empty registry."""
    async with a_place(vhost, tmp_path) as started:
        yield started
