"""Programs of two versions on one store: beside which schema steps the older one goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlite_utils import Database

import ledger.postgresql.schema
import ledger.sqlite.schema
import store.postgresql.registry
import store.sqlite.schema
from schemas.errors import NrcError
from store.database.address import Connection
from store.database.schema_steps import Step
from tests.contract.stores.opened import ledger_in, registry_in
from tests.contract.stores.test_ledger import an_entry
from tests.make import a_kanaal

EXPANDS, CONTRACTS = "0098_expands", "0099_contracts"
SQL: Mapping[str, tuple[str, ...]] = {
    "registry": (
        "ALTER TABLE kanaal ADD COLUMN colour text NOT NULL DEFAULT 'red'",
        "ALTER TABLE kanaal DROP COLUMN colour",
    ),
    "ledger": (
        "ALTER TABLE replay ADD COLUMN colour text NOT NULL DEFAULT 'red'",
        "ALTER TABLE replay DROP COLUMN colour",
    ),
}
"""By what the store has: what a step that expands does, and one that contracts."""

Opens = Callable[[str], AbstractAsyncContextManager[Any]]
OPENS: Mapping[str, Opens] = {"registry": registry_in, "ledger": ledger_in}


@pytest.fixture(params=OPENS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def newer(kind: str, *names: str) -> ExitStack:
    """Whatever is opened within the context is of a version with these steps more."""

    def in_file(sql: str) -> Callable[..., None]:
        def step(db: Database, *_: object) -> None:
            db.execute(sql)

        return step

    def in_database(sql: str, *, compatible: bool) -> Step:
        async def step(connection: Connection) -> None:
            await connection.execute(sql.encode())

        return Step(step, compatible=compatible)

    sql = {name: each for name, each in zip((EXPANDS, CONTRACTS), SQL[kind], strict=True) if name in names}
    sqlite = store.sqlite.schema if kind == "registry" else ledger.sqlite.schema
    postgresql = store.postgresql.registry if kind == "registry" else ledger.postgresql.schema
    stack = ExitStack()
    more: dict[str, Any] = {name: in_file(each) for name, each in sql.items()}
    stack.enter_context(patch.object(sqlite, "STEPS", sqlite.STEPS | more))
    stack.enter_context(patch.object(sqlite, "COMPATIBLE", sqlite.COMPATIBLE | {EXPANDS}))
    more = {name: in_database(each, compatible=name == EXPANDS) for name, each in sql.items()}
    stack.enter_context(patch.object(postgresql, "STEPS", postgresql.STEPS | more))
    return stack


async def use(opened: Any, name: str) -> None:
    """Write something, and read."""
    if hasattr(opened, "add_kanaal"):
        await opened.add_kanaal(a_kanaal(name))
        assert name in {kanaal.naam for kanaal in (await opened.changes_since(0)).kanalen}
    else:
        await opened.write([an_entry()])
        assert await opened.replays.replays(limit=1) == []


async def test_an_older_program_goes_on_beside_a_step_that_expands(kind: str, address: str) -> None:
    """One that runs, one that is started then, and one that is all that is left after rolling back."""
    opens = OPENS[kind]
    async with opens(address) as running:
        with newer(kind, EXPANDS):
            async with opens(address) as upgraded:
                await use(upgraded, "a")
                await use(running, "b")
        async with opens(address) as started:
            await use(started, "c")
    async with opens(address) as alone:
        await use(alone, "d")
    with newer(kind, EXPANDS):  # it is done once
        async with opens(address) as again:
            await use(again, "e")


async def test_an_older_program_refuses_a_step_that_contracts(kind: str, address: str) -> None:
    opens = OPENS[kind]
    with newer(kind, EXPANDS, CONTRACTS):
        async with opens(address) as upgraded:
            await use(upgraded, "a")
    says = rf"written by a newer version of nrc \(step {CONTRACTS}\): start that version, or restore"
    with pytest.raises(NrcError, match=says):
        await opens(address).__aenter__()
    with newer(kind, EXPANDS), pytest.raises(NrcError, match=says):
        await opens(address).__aenter__()


async def test_one_that_runs_uses_no_file_that_a_step_contracted(kind: str, tmp_path: Path) -> None:
    """It says to restart it; PostgreSQL has no such look in each transaction."""
    address = str(tmp_path / "state" / "store.db")
    opens = OPENS[kind]
    async with opens(address) as running:
        with newer(kind, EXPANDS, CONTRACTS):
            async with opens(address):
                pass
        with pytest.raises(NrcError, match="restart this process with that version"):
            await use(running, "a")
