"""Registry and ledger behind a real PgBouncer, which lends out connections by transaction; else skipped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from ledger.opening import ledger_at
from ledger.values import Search
from schemas.kanaal import Kanaal
from store.database.address import Address, address_at
from store.postgresql.registry import PostgresqlRegistry
from store.secrets import Vault
from tests.contract.stores.test_ledger import an_entry, an_outcome
from tests.databases.pgbouncer import MISSING, can_be_before, pgbouncer

KEY = "b0N0b2JlciBsaWdodHMgb24gdGhlIGhhcmJvdXIgMTI="


@pytest.fixture
async def bouncer(database_url: str) -> AsyncIterator[str]:
    """The database behind PgBouncer, with two connections for all."""
    if not can_be_before(database_url):
        pytest.skip(MISSING)
    async with pgbouncer(database_url) as url:
        yield url


def registry_at(address: Address) -> PostgresqlRegistry:
    return PostgresqlRegistry(address, vault=Vault([KEY], Path("/nowhere")), patience=30)


async def test_many_share_few_connections(bouncer: str) -> None:
    registries = [registry_at(address_at(bouncer)) for _ in range(6)]
    async with contextlib.AsyncExitStack() as opened:
        for each in registries:
            await opened.enter_async_context(each)
        adding = [registries[n % 6].add_kanaal(Kanaal(uuid4(), f"kanaal {n}", "", (), ())) for n in range(60)]
        added = await asyncio.gather(*adding)
        assert sorted(kanaal.change for kanaal in added) == list(range(1, 61))
        for each in registries:
            assert len((await each.changes_since(0)).kanalen) == 60


async def test_several_ledgers_share_few_connections(bouncer: str) -> None:
    mine = uuid4()
    entries = [an_entry(mine) for _ in range(60)]
    ledgers = [ledger_at(address_at(bouncer), vault=Vault([KEY], Path("/nowhere"))) for _ in range(4)]
    async with contextlib.AsyncExitStack() as opened:
        for each in ledgers:
            await opened.enter_async_context(each)

        async def write(nr: int) -> None:
            for start in range(nr, 60, 4):
                await ledgers[nr].write([entries[start]])
                await ledgers[nr].write([an_outcome(entries[start], mine), entries[0]])

        await asyncio.gather(*map(write, range(4)))
        for each in ledgers:
            assert len(await each.search(Search(), limit=100)) == 60
            assert await each.backlogs() == {}
        assert await ledgers[0].keeping.take_lease("a keeper", seconds=60) == 1
        assert await ledgers[1].keeping.take_lease("another", seconds=60) is None


async def test_it_listens_past_pgbouncer(bouncer: str, database_url: str) -> None:
    past = Address(
        address_at(bouncer).url, address_at(bouncer).schema, listen_url=address_at(database_url).url
    )
    async with registry_at(past) as listening, registry_at(address_at(bouncer)) as other:
        await listening.wait_for_change(60)  # it listens from here on
        waiting = asyncio.create_task(listening.wait_for_change(600))
        await asyncio.sleep(0)
        await other.add_kanaal(Kanaal(uuid4(), "zaken", "", (), ()))
        await asyncio.wait_for(waiting, 60)
        assert (await listening.changes_since(0)).number == 1
