"""Each test of a registry or a ledger, on every store: a new one joins in `addresses`.

PostgreSQL is behind a PgBouncer in transaction mode where one is installed: what works there works without it
too, and tests/integration/database uses the server itself. NRC_TEST_PGBOUNCER=off leaves it out.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from store.registry import Registry
from tests.contract.stores.opened import registry_in, with_listening
from tests.databases.pgbouncer import can_be_before, pgbouncer
from tests.databases.postgresql import Postgresql


@pytest.fixture(scope="session")
async def bounced(postgresql: Postgresql) -> AsyncIterator[str | None]:
    """The URL of `postgresql` behind PgBouncer; None where that is left out."""
    if os.environ.get("NRC_TEST_PGBOUNCER") == "off" or not can_be_before(postgresql.url):
        yield None
        return
    async with pgbouncer(postgresql.url, pool=20) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Postgresql | None:
    """The PostgreSQL that the store is in; None of one in a file."""
    return request.getfixturevalue("postgresql") if request.param == "postgresql" else None


@pytest.fixture
def behind(server: Postgresql | None, request: pytest.FixtureRequest) -> str | None:
    """The URL by which its schemas are reached, when that is another."""
    return request.getfixturevalue("bounced") if server else None


@pytest.fixture
async def addresses(
    server: Postgresql | None, behind: str | None, tmp_path: Path
) -> AsyncIterator[Callable[[], str]]:
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
        return with_listening(made[-1], behind) if behind else made[-1]

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
