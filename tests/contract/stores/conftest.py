"""Each test of a registry or a ledger, on every store: a new one joins in `addresses`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from store.registry import Registry
from tests.contract.stores.opened import registry_in
from tests.databases.postgresql import Postgresql


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Postgresql | None:
    """The PostgreSQL that the store is in; None of one in a file."""
    return request.getfixturevalue("postgresql") if request.param == "postgresql" else None


@pytest.fixture
async def addresses(server: Postgresql | None, tmp_path: Path) -> AsyncIterator[Callable[[], str]]:
    """Makes places where a store may be made, for `registry_in` and `ledger_in`; each call another one."""
    made: list[str] = []
    if server is None:

        def in_file() -> str:
            made.append(str(tmp_path / f"state-{len(made)}" / "store.db"))
            return made[-1]

        yield in_file
        return

    def in_schema() -> str:
        made.append(server.fresh_schema())
        return made[-1]

    yield in_schema
    for url in made:
        await server.remove_schema(url)


@pytest.fixture
def address(addresses: Callable[[], str]) -> str:
    """Where a store may be made."""
    return addresses()


@pytest.fixture
async def registry(address: str) -> AsyncIterator[Registry]:
    async with registry_in(address) as opened:
        yield opened
