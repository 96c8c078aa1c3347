"""What several of these tests stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.conftest import Running, running_router


@pytest.fixture
async def router(vhost: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A router at work on an empty virtual host, with a registry of its own."""
    folder: Path = tmp_path_factory.mktemp("router")
    async with running_router(vhost, folder) as started:
        yield started
