"""Each test of a registry, on every store: a new one joins with a line in `address`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.registry import Registry
from tests.contract.stores.opened import registry_in


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a registry may be made, for `registry_in`."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("database_url"))
    return str(tmp_path / "state" / "registry.db")


@pytest.fixture
async def registry(address: str) -> AsyncIterator[Registry]:
    async with registry_in(address) as opened:
        yield opened
