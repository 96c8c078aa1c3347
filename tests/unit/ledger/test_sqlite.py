"""What is specific to the ledger in SQLite: the file, the key of its hashes, and its errors."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

from ledger.ids import new_id
from ledger.opening import ledger_of
from ledger.sqlite.ledger import SqliteLedger
from ledger.sqlite.schema import COMPATIBLE, STEPS
from ledger.values import Entry, Search
from runtime.settings import Settings
from schemas.errors import LedgerError, LedgerFull
from store.secrets import Vault, key_id
from tests.databases.sqlite_file import ask, content, damage

AT = 1_760_000_000_000
ZAAK = "https://zaken.example.nl/zaken/"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


def an_entry(name: str = "1", *, size: int = 100) -> Entry:
    return Entry(
        id=new_id(at=AT / 1000),
        received=AT,
        client="zac",
        kanaal="zaken",
        resource="zaak",
        actie="create",
        hoofd_object=f"{ZAAK}{name}",
        resource_url=f"{ZAAK}{name}",
        kenmerken={"bron": "geheim-kenmerk"},
        body=b"x" * size,
        catalogue=1,
        matched=(uuid4(),),
    )


async def hits(ledger: SqliteLedger, text: str) -> int:
    return len(await ledger.search(Search(text=text), limit=10))


async def test_the_file_is_its_owners_only_and_beside_the_registry(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", database_url=f"sqlite:///{tmp_path}/db/registry.db")
    async with ledger_of(settings) as ledger:
        await ledger.write([an_entry()])
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "db").iterdir()}
    assert {path.name for path in modes} == {"ledger.db", "ledger.db-wal", "ledger.db-shm"}
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "state" / "secret.keys").exists()


async def test_commits_wait_for_the_disk(file: Path) -> None:
    async with SqliteLedger(file) as ledger:
        pragmas = await ledger._file.write(
            lambda db: [
                db.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "secure_delete")
            ]
        )
    assert pragmas == ["wal", 2, 0]


async def test_rows_and_indexes_hold_nothing_of_an_object_or_a_kenmerk(file: Path) -> None:
    async with SqliteLedger(file) as ledger:
        await ledger.write([an_entry("een-zaak")])
        assert await hits(ledger, "een-zaak") == 1
    kept = content(file)
    assert b"een-zaak" not in kept
    assert b"geheim-kenmerk" not in kept


# The key of the hashes


async def test_the_key_stays_when_the_vaults_keys_are_changed(file: Path) -> None:
    first, second, third = (Fernet.generate_key().decode() for _ in range(3))

    def opened(*keys: str) -> SqliteLedger:
        return SqliteLedger(file, vault=Vault(keys, file.with_name("secret.keys")))

    async with opened(first) as ledger:
        await ledger.write([an_entry("1")])
    async with opened(second, first) as ledger:
        assert await hits(ledger, "1") == 1
    ((sealed,),) = ask(file, "SELECT value FROM secret")
    assert str(sealed).startswith(f"nrc1.{key_id(second)}.")
    async with opened(second) as ledger:
        assert await hits(ledger, "1") == 1
    with pytest.raises(LedgerError, match=r"not in NRC_SECRET_KEYS .*put it back"):
        await opened(third).__aenter__()


async def test_a_key_that_is_damaged(file: Path) -> None:
    async with SqliteLedger(file):
        pass
    ask(file, "UPDATE secret SET value = substr(value, 1, 60)")
    with pytest.raises(LedgerError, match="damaged"):
        await SqliteLedger(file).__aenter__()


# What can be wrong with it


async def test_a_newer_file_is_left_alone(file: Path) -> None:
    async with SqliteLedger(file) as ledger:
        await ledger.write([an_entry()])
        ask(file, "INSERT INTO _sqlite_migrations VALUES (99, 'ledger', '0099_from_the_future', '')")
        with pytest.raises(LedgerError, match="restart this process"):
            await ledger.write([an_entry()])
    with pytest.raises(LedgerError, match=r"newer version of nrc .*0099_from_the_future"):
        await SqliteLedger(file).__aenter__()
    assert len(ask(file, "SELECT name FROM _sqlite_migrations")) == len(STEPS) - len(COMPATIBLE) + 1


async def test_a_registry_in_its_place(file: Path) -> None:
    file.parent.mkdir()
    ask(file, "CREATE TABLE theirs (id)")
    with pytest.raises(LedgerError, match="another program"):
        await SqliteLedger(file).__aenter__()


async def test_a_locked_file_is_a_fault_of_writers_only(file: Path) -> None:
    async with SqliteLedger(file, busy_timeout=0.05) as ledger:
        await ledger.write([an_entry("1")])
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for events in ([an_entry("2")], []):
            with pytest.raises(LedgerError, match="keeps it locked"):
                await ledger.write(events)
        assert await hits(ledger, "1") == 1
        other.execute("ROLLBACK")
        other.close()
        await ledger.write([an_entry("2")])


async def test_another_host_is_refused(file: Path) -> None:
    async with SqliteLedger(file, boot="here"):
        with pytest.raises(LedgerError, match="in use on host"):
            await SqliteLedger(file, boot="elsewhere").__aenter__()


async def test_a_damaged_file(file: Path) -> None:
    async with SqliteLedger(file) as ledger:
        await ledger.write([an_entry(str(number)) for number in range(500)])
    damage(file)
    with pytest.raises(LedgerError, match="damaged"):
        async with SqliteLedger(file) as ledger:
            await ledger.search(Search(), limit=1000)


async def test_a_file_that_may_not_grow(file: Path) -> None:
    async with SqliteLedger(file) as ledger:
        await ledger.write([an_entry("1")])
        pages = ask(file, "PRAGMA page_count")[0][0]
        assert isinstance(pages, int)
        await ledger._file.write(lambda db: db.execute(f"PRAGMA max_page_count={pages + 20}"))
        with pytest.raises(LedgerFull, match="disk is full; free some space"):
            await ledger.write([an_entry("2", size=1_000_000)])
        assert await hits(ledger, "2") == 0
        await ledger.write([an_entry("3")])
        assert await hits(ledger, "3") == 1


async def test_a_disk_that_takes_no_more(file: Path) -> None:
    """In a process of its own: the limit is a process's, and it is the one thing to fill without a mount."""
    script = """
import asyncio, resource, sys
from pathlib import Path
from ledger.sqlite.ledger import SqliteLedger
from ledger.values import Search
from schemas.errors import LedgerError
from tests.unit.ledger.test_sqlite import an_entry

async def main():
    async with SqliteLedger(Path(sys.argv[1])) as ledger:
        await ledger.write([an_entry("before")])
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
        written = 1
        try:
            for number in range(1000):
                await ledger.write([an_entry(f"n{number}", size=1000)])
                written += 1
        except LedgerError as error:
            print(error)
        found = await ledger.search(Search(), limit=9999)
        assert len(found) == written, (len(found), written)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await ledger.write([an_entry("after")])
        assert len(await ledger.search(Search(text="after"), limit=9)) == 1

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(file),
        cwd=Path(__file__).parents[3], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert b"its disk is full" in output or b"writing it failed" in output
