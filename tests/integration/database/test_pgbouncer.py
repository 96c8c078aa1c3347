"""Registry and ledger behind a real PgBouncer, which lends out connections by transaction; else skipped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from ledger.opening import ledger_at
from ledger.values import Search
from schemas.kanaal import Kanaal
from store.database.address import Address, address_at
from store.postgresql.registry import PostgresqlRegistry
from store.secrets import Vault
from tests.contract.stores.test_ledger import an_entry, an_outcome
from tests.databases.postgresql import free_port
from tests.eventually import eventually

KEY = "b0N0b2JlciBsaWdodHMgb24gdGhlIGhhcmJvdXIgMTI="
PROGRAM = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")


@pytest.fixture
async def bouncer(database_url: str, tmp_path: Path) -> AsyncIterator[str]:
    """The database behind PgBouncer, with two connections for all; its user is the first one that comes."""
    if PROGRAM is None:
        pytest.skip("PgBouncer is not installed here (Debian and Ubuntu: apt-get install pgbouncer)")
    at = urlsplit(database_url)
    assert at.hostname
    port, name, user = free_port(), at.path.removeprefix("/"), at.username or "postgres"
    (tmp_path / "users").write_text(f'"{user}" "{at.password or ""}"\n')
    (tmp_path / "pgbouncer.ini").write_text(
        f"[databases]\n{name} = host={at.hostname} port={at.port or 5432} dbname={name}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {tmp_path}/users\npool_mode = transaction\ndefault_pool_size = 2\n"
        f"logfile = {tmp_path}/log\npidfile = {tmp_path}/pid\n"
    )
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:
        # PgBouncer refuses to run as root.
        as_user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        for folder in (tmp_path, *tmp_path.parents[:3]):
            folder.chmod(folder.stat().st_mode | 0o711)
        for file in (tmp_path, tmp_path / "users", tmp_path / "pgbouncer.ini"):
            shutil.chown(file, "nobody")
    process = subprocess.Popen(  # noqa: ASYNC220 - a fork, and no wait
        [PROGRAM, tmp_path / "pgbouncer.ini"], cwd="/", stderr=subprocess.DEVNULL, **as_user
    )  # type: ignore[call-overload]
    url = f"postgresql://{user}@127.0.0.1:{port}/{name}"

    async def answers() -> bool:
        assert process.poll() is None, "PgBouncer ended"
        with contextlib.suppress(psycopg.OperationalError):
            await (await psycopg.AsyncConnection.connect(url, connect_timeout=5)).close()
            return True
        return False

    try:
        await eventually(answers, within=60)
        yield f"{url}?{at.query}"
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.wait)


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
