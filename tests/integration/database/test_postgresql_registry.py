"""The registry in PostgreSQL, beyond the contract of tests/contract/stores: several hosts, and commands."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

import store
from runtime.settings import Settings
from schemas.application import Application
from schemas.errors import SecretsUnreadable, UsageError
from schemas.kanaal import Kanaal
from store.database.address import Connection, address_at
from store.opening import registry_at, registry_of
from store.postgresql.registry import PostgresqlRegistry
from store.registry import Registry
from store.secrets import Vault
from tests.command import nrc

KEY = "b0N0b2JlciBsaWdodHMgb24gdGhlIGhhcmJvdXIgMTI="
OTHER_KEY = "Tm92ZW1iZXIgbGlnaHRzIG9uIHRoZSBoYXJib3VyMTI="


def on_a_host(url: str, *keys: str, folder: Path = Path("/nowhere")) -> PostgresqlRegistry:
    """The registry as a process of one host opens it."""
    return PostgresqlRegistry(address_at(url), vault=Vault(keys, folder / "secret.keys"), patience=30)


def a_kanaal(naam: str) -> Kanaal:
    return Kanaal(uuid4(), naam, "", (), ())


async def test_no_change_number_is_seen_after_a_higher_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first writer has its number, and stands still before its commit; the second may not overtake it."""
    has_number, goes_on = asyncio.Event(), asyncio.Event()
    next_change = PostgresqlRegistry._next_change

    async with (
        on_a_host(database_url, KEY) as one,
        on_a_host(database_url, KEY) as other,
        on_a_host(database_url, KEY) as reader,
    ):

        async def slow(registry: PostgresqlRegistry, connection: Connection) -> int:
            number = await next_change(registry, connection)
            if registry is one:
                has_number.set()
                await goes_on.wait()
            return number

        monkeypatch.setattr(PostgresqlRegistry, "_next_change", slow)
        first = asyncio.create_task(one.add_kanaal(a_kanaal("first")))
        await has_number.wait()
        second = asyncio.create_task(other.add_kanaal(a_kanaal("second")))
        for _ in range(20):
            assert (await reader.changes_since(0)).number == 0
        assert not second.done()
        goes_on.set()
        assert ((await first).change, (await second).change) == (1, 2)


async def test_a_copy_that_follows_many_writers_misses_nothing(database_url: str) -> None:
    writers = [on_a_host(database_url, KEY) for _ in range(4)]
    async with on_a_host(database_url, KEY) as reader:
        await asyncio.gather(*(each.__aenter__() for each in writers))
        seen, number, done = set[str](), 0, asyncio.Event()

        async def follow() -> None:
            nonlocal number
            while not done.is_set() or number < 80:
                changes = await reader.changes_since(number)
                seen.update(kanaal.naam for kanaal in changes.kanalen)
                number = changes.number

        async def write(registry: Registry, at: int) -> None:
            for n in range(20):
                await registry.add_kanaal(a_kanaal(f"{at} {n}"))

        following = asyncio.create_task(follow())
        await asyncio.gather(*(write(each, at) for at, each in enumerate(writers)))
        done.set()
        await following
        await asyncio.gather(*(each.__aexit__(None, None, None) for each in writers))
    assert seen == {f"{at} {n}" for at in range(4) for n in range(20)}


async def test_a_process_that_writes_much_at_once_still_reads(database_url: str) -> None:
    async with on_a_host(database_url, KEY) as registry, on_a_host(database_url, KEY) as other:
        begun, ends = asyncio.Event(), asyncio.Event()

        async def work(connection: Connection) -> None:
            begun.set()
            await ends.wait()

        standing = asyncio.create_task(other._write(work))
        await begun.wait()
        adding = [asyncio.create_task(registry.add_kanaal(a_kanaal(f"{n}"))) for n in range(50)]
        await asyncio.sleep(0)
        for _ in range(20):
            assert await registry.change_number() == 0
        ends.set()
        await standing
        assert sorted(kanaal.change for kanaal in await asyncio.gather(*adding)) == list(range(1, 51))


async def test_a_writer_that_stands_still_holds_up_the_others_for_some_seconds_only(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.database.database.STOOD_STILL", 0.2)
    stands, ends, times = asyncio.Event(), asyncio.Event(), 0
    async with on_a_host(database_url, KEY) as one, on_a_host(database_url, KEY) as other:

        async def work(connection: Connection) -> None:
            nonlocal times
            times += 1
            stands.set()
            await ends.wait()
            await connection.execute("SELECT 1")

        standing = asyncio.create_task(one._write(work))
        await stands.wait()
        assert (await other.add_kanaal(a_kanaal("zaken"))).change == 1
        ends.set()
        await standing
        assert times > 1, "it began again"


async def test_a_change_wakes_who_waits_on_another_host(database_url: str) -> None:
    async with on_a_host(database_url, KEY) as one, on_a_host(database_url, KEY) as other:
        await other.wait_for_change(60)  # it listens from here on
        waiting = asyncio.create_task(other.wait_for_change(600))
        await asyncio.sleep(0)
        await one.add_kanaal(a_kanaal("zaken"))
        await asyncio.wait_for(waiting, 60)
        assert (await other.changes_since(0)).number == 1


async def test_a_host_with_other_keys_is_refused_before_it_encrypts_anything(
    database_url: str, tmp_path: Path
) -> None:
    async with on_a_host(database_url, KEY):
        pass
    with pytest.raises(SecretsUnreadable, match=r"not in NRC_SECRET_KEYS"):
        await on_a_host(database_url, OTHER_KEY).__aenter__()
    with pytest.raises(SecretsUnreadable, match="the key is gone"):
        await on_a_host(database_url, folder=tmp_path).__aenter__()
    assert not (tmp_path / "secret.keys").exists()


async def test_after_a_rotation_the_old_key_may_go(database_url: str) -> None:
    async with on_a_host(database_url, KEY) as registry:
        await registry.add_application(Application("zac", "geheim", old_secret="oud"))
    async with on_a_host(database_url, OTHER_KEY, KEY) as registry:
        assert await registry.rotate_secrets(progress=lambda done, all_: None) == 2
    async with on_a_host(database_url, OTHER_KEY) as registry:
        [application] = (await registry.changes_since(0)).applications
        assert (application.secret, application.old_secret) == ("geheim", "oud")
        assert (await registry.check_secrets()).faults == ()


async def test_secrets_stand_nowhere_in_the_database_as_they_are(database_url: str) -> None:
    async with on_a_host(database_url, KEY) as registry:
        await registry.add_application(Application("zac", "geheim-van-zac"))
    url, _, schema = database_url.partition("?schema=")
    async with await psycopg.AsyncConnection.connect(url) as connection:
        found = await connection.execute(f'SELECT secret FROM "{schema}".application')  # type: ignore[call-overload]
        [(secret,)] = await found.fetchall()
    assert secret.startswith("nrc1.")
    assert "geheim-van-zac" not in secret


async def test_what_operators_did_is_only_appended_to(database_url: str) -> None:
    async with on_a_host(database_url, KEY):
        pass
    url, _, schema = database_url.partition("?schema=")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for statement in ("DELETE FROM", "TRUNCATE"):
            with pytest.raises(psycopg.Error, match="only appended to"):
                await connection.execute(f'{statement} "{schema}".act')  # type: ignore[call-overload]


# Commands


def of(database_url: str, **more: str) -> dict[str, str]:
    return {"NRC_DATABASE_URL": database_url, **more}


def test_commands_use_the_registry_in_postgresql(tmp_path: Path, database_url: str) -> None:
    env = of(database_url)
    added = nrc(tmp_path, "application", "add", "zac", "--scope", "consumeren", env=env)
    assert added.code == 0, added.err
    assert not (tmp_path / "registry.db").exists()
    listed: Any = nrc(tmp_path, "application", "list", "--json", env=env).json()
    assert [each["clientId"] for each in listed] == ["zac"]
    trail: Any = nrc(tmp_path, "audit-trail", "--json", env=env).json()
    assert [each["act"] for each in trail] == ["application added"]
    assert (tmp_path / "operator.log").exists()


def test_the_key_of_the_ledgers_hashes_is_among_the_secrets_that_are_checked(
    tmp_path: Path, database_url: str
) -> None:
    def check(key: str) -> Any:
        ran = nrc(tmp_path, "secrets", "check", "--json", env=of(database_url, NRC_SECRET_KEYS=key))
        return ran.code, *map(ran.json().__getitem__, ("keys", "faults"))

    keys = of(database_url, NRC_SECRET_KEYS=KEY)
    assert nrc(tmp_path, "application", "add", "zac", "--scope", "consumeren", env=keys).code == 0
    code, (only,), faults = check(KEY)
    assert (code, only["secrets"], faults) == (0, 1, []), "there is no ledger yet"
    assert nrc(tmp_path, "migrate", env=keys).code == 0
    code, (only,), faults = check(KEY)
    assert (code, only["secrets"], faults) == (0, 2, [])

    both = of(database_url, NRC_SECRET_KEYS=f"{OTHER_KEY},{KEY}")
    assert nrc(tmp_path, "secrets", "rotate", env=both).code == 0
    code, (only,), faults = check(OTHER_KEY)
    assert (code, only["secrets"], faults) == (0, 2, [])


@pytest.mark.parametrize(
    ("command", "otherwise"),
    [
        (["backup", "copy"], "pg_dump"),
        (["restore", "copy"], "pg_restore"),
    ],
)
def test_commands_for_files_say_what_to_use_instead(
    tmp_path: Path, command: list[str], otherwise: str
) -> None:
    ran = nrc(tmp_path, *command, env=of("postgresql://localhost/nrc"))
    assert (ran.code, otherwise in ran.err) == (2, True), ran.err


def test_a_database_that_cannot_be_reached_is_told_without_its_password(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "application", "list", env=of("postgresql://nrc:hunter2@127.0.0.1:1/nrc"))
    assert ran.code == 3, ran.err
    assert "postgresql://127.0.0.1:1/nrc: it cannot be reached" in ran.err
    assert "hunter2" not in ran.err
    shown = nrc(tmp_path, "settings", env=of("postgresql://nrc:hunter2@db1:5432,db2:5432/nrc"))
    assert shown.code == 0, shown.err
    assert "hunter2" not in shown.out


def test_a_url_that_cannot_be_read_is_told_without_its_password(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "application", "list", env=of("postgresql://nrc:hun/ter2@db/nrc"))
    assert ran.code == 2, ran.err
    assert "%2F" in ran.err
    assert "hun" not in ran.err.replace("NRC_", "")


async def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("database", "postgresql"):
        # An import that fails leaves another package there, which has nothing in it.
        monkeypatch.setattr(store, name, getattr(store, name))
    for name in [name for name in sys.modules if name.startswith(("store.postgresql", "store.database."))]:
        if name != "store.database.extra":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError, match=r"pip install 'nrc\[postgresql\]'"):
        registry_of(Settings(database_url="postgresql://localhost/nrc"))
    with pytest.raises(UsageError, match=r"pip install 'nrc\[postgresql\]'"):
        registry_at(address_at("postgresql://localhost/nrc"), vault=Vault([KEY], tmp_path / "secret.keys"))
