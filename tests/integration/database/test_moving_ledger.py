"""`nrc registry move`: the ledger goes along, from a file to PostgreSQL and back."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

from ledger.copies.instance import older_than_noted
from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.moving.tables import OWN, STAY, TABLES
from ledger.opening import ledger_at, open_ledger
from ledger.values import GapOpened, Key, Outcome, Scope, State
from store.database.address import address_at, connect
from store.opening import registry_at
from store.secrets import Vault
from tests.integration.database.moving import Filled, filled, in_file, move, rows_of, told

# Runs the command, with something in the place of a function of ours.
KILLED = """
import os, signal
from {module} import {name} as of
of.{attribute} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
from nrc.cli import main
main()
"""
WHEN_KILLED = {
    "all is copied": ("ledger.moving", "moving", "compared"),
    "all is copied and nothing is indexed": ("ledger.moving.sqlite_side", "SqliteLedgerSide", "filled"),
    "the ledger has its name": ("store.moving", "sqlite_side", "sync_file"),
}


@pytest.fixture
async def full(tmp_path: Path) -> Filled:
    return await filled(tmp_path / "state")


def there(url: str, folder: Path, keys: str = "secret.keys") -> Ledger:
    return ledger_at(address_at(url), vault=Vault((), folder / keys))


async def test_there_and_back_all_is_equal(full: Filled, database_url: str) -> None:
    """The file that is moved back, row by row; PostgreSQL by all that a process is told."""
    before = rows_of(full.folder / "ledger.db")
    assert all(before[table] for table in before), before
    async with open_ledger(full.folder / "ledger.db") as ledger:
        was = await told(ledger, full)
    before = rows_of(full.folder / "ledger.db")

    code, out, err = await move(full.folder, in_file(full.folder), database_url)

    assert code == 0, err
    assert f"moved its ledger: {len(full.entries)} notificaties, " in out
    assert rows_of(full.folder / "ledger.db") == before
    async with there(database_url, full.folder) as ledger:
        assert await told(ledger, full) == was

    code, out, err = await move(full.folder, database_url, in_file(full.folder, "back/registry.db"))

    assert code == 0, err
    after = rows_of(full.folder / "back" / "ledger.db")
    assert after == before
    assert sorted(each.name for each in (full.folder / "back").glob("*.db*")) == ["ledger.db", "registry.db"]


@pytest.mark.parametrize("chunk", [1, 3])
async def test_rows_that_are_read_few_at_once_are_all_moved(
    full: Filled, database_url: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ledger.moving.whole import move_whole
    from runtime.settings import load_settings

    for table, of in TABLES.items():
        monkeypatch.setitem(TABLES, table, replace(of, chunk=chunk))
    monkeypatch.setenv("NRC_STATE_DIR", str(full.folder))
    urls = (in_file(full.folder), database_url, in_file(full.folder, "back/registry.db"))
    here, between, back = (load_settings(database_url=url) for url in urls)
    told_rows: dict[tuple[str, str], tuple[int, int]] = {}

    def progress(doing: str, table: str, done: int, all_: int) -> None:
        told_rows[doing, table] = (done, all_)

    for source, target in ((here, between), (between, back)):
        vaults = Vault((), full.folder / "secret.keys"), Vault((), full.folder / "secret.keys")
        moved = await move_whole(source, target, vaults, with_ledger=True, progress=progress)
        assert moved.ledger is not None
        for table, count in moved.ledger.items():
            assert told_rows["copied", table][0] == told_rows["compared", table][0] == count

    assert rows_of(full.folder / "back" / "ledger.db") == rows_of(full.folder / "ledger.db")


async def test_the_moved_ledger_is_the_one_that_the_registry_noted(full: Filled, database_url: str) -> None:
    async with open_ledger(full.folder / "ledger.db") as ledger:
        instance = await ledger.instance()

    await move(full.folder, in_file(full.folder), database_url)

    vault = Vault((), full.folder / "secret.keys")
    async with (
        registry_at(address_at(database_url), vault=vault) as registry,
        there(database_url, full.folder) as ledger,
    ):
        noted = await registry.noted_ledger()
        assert await ledger.instance() == instance
        assert noted is not None and noted.instance == instance.id
        assert not older_than_noted(instance, noted)


async def test_a_moved_ledger_goes_on(full: Filled, database_url: str) -> None:
    """Outcomes find their rows, counts follow, and numbers go on."""
    first = full.abonnementen[0].uuid
    async with open_ledger(full.folder / "ledger.db") as ledger:
        of = await ledger.deliveries([entry.id for entry in full.entries])
        waits = next(each for all_ in of.values() for each in all_ if each.state is State.PENDING)
        plan = (await ledger.replays.replays(limit=1))[0].plan
        backlogs, gaps = await ledger.backlogs(), await ledger.keeping.gaps(done=False)
    await move(full.folder, in_file(full.folder), database_url)
    await move(full.folder, database_url, in_file(full.folder, "back/registry.db"))

    keys = full.folder / "secret.keys"
    back = open_ledger(full.folder / "back" / "ledger.db", keys_file=keys)
    for opened in (there(database_url, full.folder), back):
        async with opened as ledger:
            again = replace(full.entries[0], id=new_id(), received=full.entries[0].received + 7)
            await ledger.write([full.entries[1], again])
            await ledger.write([Outcome(waits.key, State.DELIVERED, waits.round, 1, waits.last_at + 1)])
            await ledger.write([GapOpened(Scope.KANAAL, "besluiten", "a test")])
            row = await ledger.delivery(waits.key)
            assert row is not None and row.state is State.DELIVERED
            found = await ledger.backlogs()
            changed = {uuid: found[uuid].count - backlogs[uuid].count for uuid in backlogs}
            assert changed == {
                uuid: 1 - (uuid == waits.key.abonnement) for uuid in (each.uuid for each in full.abonnementen)
            }
            assert (await ledger.replays.make(plan)).number == 3
            assert max(each.nr for each in await ledger.keeping.gaps(done=False)) == len(gaps) + 1
            assert await ledger.delivery(Key(again.id, first)) is not None
            assert (await ledger.keeping.facts()).size > 0


async def test_the_days_of_a_ledger_have_partitions(tmp_path: Path, database_url: str) -> None:
    """Of ids of the last months; others are in the default partition."""
    import time

    from ledger.postgresql.days import DAY, day_of, days_of
    from ledger.postgresql.writing import bytes_used
    from store.database.statements import number

    full = await filled(tmp_path)
    old = day_of(round(time.time() * 1000)) - 3
    entry = replace(full.entries[0], id=new_id(at=old * DAY / 1000 + 5), received=old * DAY + 5000)
    async with open_ledger(tmp_path / "ledger.db") as ledger:
        await ledger.write([entry])

    code, _, err = await move(tmp_path, in_file(tmp_path), database_url)

    assert code == 0, err
    async with await connect(address_at(database_url)) as connection:
        schema = address_at(database_url).schema
        await connection.execute(f'SET search_path = "{schema}"'.encode())
        assert await days_of(connection, "delivery") == [old, *range(old + 3, old + 6)]
        assert await number(connection, b"SELECT count(*) FROM delivery_%d" % old) == 2  # type: ignore[arg-type]
        assert await bytes_used(connection) > sum(len(each.body) for each in full.entries)


@pytest.mark.parametrize("when", WHEN_KILLED)
@pytest.mark.parametrize("to", ["postgresql", "sqlite"])
async def test_one_that_was_killed_leaves_nothing_and_is_begun_again(
    full: Filled, database_url: str, to: str, when: str
) -> None:
    source, target = in_file(full.folder), database_url
    if to == "sqlite":
        assert (await move(full.folder, in_file(full.folder), database_url))[0] == 0
        source, target = database_url, in_file(full.folder, "back/registry.db")
    elif when != "all is copied":
        pytest.skip("of a file only")
    module, name, attribute = WHEN_KILLED[when]
    code = KILLED.format(module=module, name=name, attribute=attribute)

    arguments = [sys.executable, "-c", code, "registry", "move", source, target, "--yes"]
    process = await asyncio.create_subprocess_exec(*arguments, env={"NRC_STATE_DIR": str(full.folder)})
    assert await process.wait() == -signal.SIGKILL

    if to == "postgresql":
        async with there(target, full.folder) as ledger:
            assert await ledger.backlogs() == {}
            assert await ledger.replays.replays(limit=9) == []
    else:
        has_name = when == "the ledger has its name"
        assert (full.folder / "back" / "ledger.db").exists() == has_name
        assert not (full.folder / "back" / "registry.db").exists()
    code, _, err = await move(full.folder, source, target)
    assert code == 0, err
    if to == "sqlite":
        back = full.folder / "back"
        assert sorted(each.name for each in back.glob("*.db*")) == ["ledger.db", "registry.db"]
        assert rows_of(back / "ledger.db") == rows_of(full.folder / "ledger.db")


async def test_a_ledger_beside_a_registry_that_fails_at_last_does_not_stay(
    full: Filled, database_url: str
) -> None:
    """The registry's name is taken while it is moved."""
    assert (await move(full.folder, in_file(full.folder), database_url))[0] == 0
    code = """
import os
from store.moving import sqlite_side
def fail(*_):
    raise OSError(28, "a test")
sqlite_side.sync_file = fail
from nrc.cli import main
main()
"""
    target = in_file(full.folder, "back/registry.db")
    arguments = [sys.executable, "-c", code, "registry", "move", database_url, target, "--yes"]
    process = await asyncio.create_subprocess_exec(*arguments, env={"NRC_STATE_DIR": str(full.folder)})
    assert await process.wait() == 3
    assert [*(full.folder / "back").iterdir()] == []


async def test_with_other_keys_the_key_of_the_hashes_is_encrypted_anew(
    full: Filled, database_url: str
) -> None:
    (full.folder / "other.keys").write_text(Fernet.generate_key().decode() + "\n")
    async with open_ledger(full.folder / "ledger.db") as ledger:
        was = await told(ledger, full)
    with closing(sqlite3.connect(full.folder / "ledger.db", isolation_level=None)) as db:
        db.execute("UPDATE attempt SET detail = 'a' || char(0) || 'b' WHERE kind = 'http_5xx'")

    options = ("--target-keys", str(full.folder / "other.keys"))
    code, _, err = await move(full.folder, in_file(full.folder), database_url, *options)

    assert code == 0, err
    async with there(database_url, full.folder, "other.keys") as ledger:
        found = await told(ledger, full)
    assert found["searches"] == was["searches"] and all(found["searches"].values())
    details = {each.detail for all_ in found["attempts"].values() for each in all_ if each.kind == "http_5xx"}
    assert details == {"a�b"}


async def test_a_row_that_is_not_the_same_is_found(full: Filled, database_url: str) -> None:
    """PostgreSQL changes what is put there, and nothing is kept: of the registry neither."""
    async with there(database_url, full.folder):
        pass
    async with await connect(address_at(database_url)) as connection:
        await connection.execute(
            f"""
            SET search_path = "{address_at(database_url).schema}";
            CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN NEW.next_at = NEW.next_at + 1; RETURN NEW; END $$;
            CREATE TRIGGER other BEFORE INSERT ON delivery FOR EACH ROW EXECUTE FUNCTION other();
            """.encode()
        )

    code, _, err = await move(full.folder, in_file(full.folder), database_url)

    assert code == 3 and "of the ledger is not the same on both sides. Nothing was changed." in err, err
    assert "`delivery`" in err
    async with registry_at(
        address_at(database_url), vault=Vault((), full.folder / "secret.keys")
    ) as registry:
        assert await registry.change_number() == 0
        assert await registry.noted_ledger() is None


async def test_a_ledger_in_the_way_is_refused(full: Filled, database_url: str) -> None:
    async with there(database_url, full.folder) as ledger:
        await ledger.write([GapOpened(Scope.KANAAL, "zaken", "a test")])

    code, _, err = await move(full.folder, in_file(full.folder), database_url)
    assert (code, "there is a ledger in" in err, "with something in gap" in err) == (2, True, True), err

    (full.folder / "other").mkdir()
    os.link(full.folder / "ledger.db", full.folder / "other" / "ledger.db")
    code, _, err = await move(full.folder, in_file(full.folder), in_file(full.folder, "other/registry.db"))
    assert (code, "there is a ledger in" in err) == (2, True), err
    assert (full.folder / "other" / "ledger.db").exists()


async def test_a_ledger_in_use_is_refused(full: Filled, database_url: str) -> None:
    async with open_ledger(full.folder / "ledger.db"):
        code, _, err = await move(full.folder, in_file(full.folder), database_url)
    assert (code, "ledger.db is in use on host" in err) == (3, True), err


async def test_what_a_process_left_is_moved_first(full: Filled, database_url: str, tmp_path: Path) -> None:
    left = full.folder / "ledger.unwritten.1"
    left.write_text("[1, null, null]")
    target = in_file(tmp_path, "elsewhere/registry.db")

    code, _, err = await move(full.folder, in_file(full.folder), target)
    assert (code, "ledger.unwritten" in err) == (2, True), err

    assert (await move(full.folder, in_file(full.folder), database_url))[0] == 0
    assert left.exists()


async def test_without_its_ledger_a_registry_is_moved_once_nothing_is_to_be_done(
    full: Filled, database_url: str
) -> None:
    options = (in_file(full.folder), database_url, "--without-ledger")
    code, _, err = await move(full.folder, *options)
    assert (code, "open deliveries" in err, "is not moved" in err) == (2, True, True), err

    (full.folder / "ledger.db").rename(full.folder / "aside.db")
    async with open_ledger(full.folder / "ledger.db") as ledger:
        await ledger.write([replace(full.entries[0], id=uuid4(), matched=())])
    code, out, err = await move(full.folder, *options)
    assert (code, "moved its ledger" in out, "a new ledger begins there" in err) == (0, False, True), err
    async with there(database_url, full.folder) as ledger:
        assert await ledger.backlogs() == {}


async def test_every_table_and_column_of_both_stores_is_moved_or_stays(
    full: Filled, database_url: str
) -> None:
    """Fails for what is added to a store and not to ledger/moving/tables.py."""
    with closing(sqlite3.connect(full.folder / "ledger.db")) as db:
        select = (
            "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'"
        )
        in_sqlite = set(db.execute(select))
    address = address_at(database_url)
    async with there(database_url, full.folder), await connect(address) as connection:
        select = (
            "SELECT c.table_name AS of, c.column_name AS name FROM information_schema.columns c "
            "JOIN pg_class p ON p.oid = format('%%I.%%I', c.table_schema, c.table_name)::regclass "
            "WHERE c.table_schema = %s AND NOT p.relispartition"
        )
        rows = await (await connection.execute(select, [address.schema])).fetchall()
        in_postgresql = {(row["of"], row["name"]) for row in rows}
    known = {(table, column) for table, of in TABLES.items() for column in of.columns}
    by_n = {
        ("body", "id"),
        ("body", "trace"),
        ("term", "id"),
    }  # a SQLite file has these by `n`, and in `trace`

    def of_ledger(found: set[tuple[str, str]]) -> set[tuple[str, str]]:
        return {(table, column) for table, column in found if table not in STAY}

    assert of_ledger(in_sqlite) - OWN == known - by_n
    assert of_ledger(in_postgresql) - OWN == known
    assert in_sqlite | in_postgresql >= OWN
    assert {table for table, _ in in_sqlite | in_postgresql} >= STAY
