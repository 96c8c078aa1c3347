"""`nrc registry move`: a registry with some of everything, from a file to PostgreSQL and back."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet

from ledger.ids import new_id
from ledger.opening import open_ledger
from ledger.values import Entry
from schemas.abonnement import State as AbonnementState
from schemas.alert import Webhook
from schemas.application import Application, Scope
from schemas.callback_auth import CallbackAuth
from schemas.delivery_options import DeliveryOptions
from store.database.address import address_at, connect
from store.moving.tables import STAY, TABLES
from store.opening import open_registry, registry_at
from store.registry import Act, ActSearch, Registry
from store.secrets import Vault
from tests.command import nrc_process
from tests.make import a_kanaal, an_abonnement

SECRET = "never-shown-" * 3
# Runs the command, and kills its process when all is copied and nothing is compared yet.
KILLED = """
import os, signal
from store.moving import moving
moving.compared = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
from nrc.cli import main
main()
"""


@pytest.fixture
async def full(tmp_path: Path) -> Path:
    """The state folder of a registry with at least one row in every table, and no process."""
    folder = tmp_path / "state"
    async with open_registry(folder / "registry.db") as registry:
        gone, kanaal = a_kanaal("gone"), a_kanaal("zaken", "zaaktype")
        await registry.add_kanaal(gone)
        await registry.add_kanaal(kanaal)
        await registry.remove_kanaal(gone.uuid)
        abonnement = replace(an_abonnement(("zaken", {"zaaktype": "Ω"})), auth=SECRET)
        asked = CallbackAuth.model_validate({"header": {"name": "X-Key", "value": SECRET}})
        options = DeliveryOptions.model_validate({"rate": 0.5})
        abonnement = replace(abonnement, callback_auth=asked, options=options)
        await registry.add_abonnement(abonnement)
        await registry.add_abonnement(an_abonnement(("zaken", {})))
        await registry.set_state(abonnement.uuid, AbonnementState.SUSPENDED, reason="a test")
        await registry.add_application(
            Application("zac", SECRET, "Zaken", frozenset({Scope.PUBLICEREN}), old_secret=SECRET[::-1])
        )
        facts = {"abonnement": str(abonnement.uuid), "why": "a test\0"}
        await registry.note_acts(
            [Act(1.25, "abonnement suspended", "abonnement suspend", "ann", "", "h", facts)]
        )
        webhook = Webhook("https://alerts.example/", secret=SECRET)
        await registry.alerts.change_settings(lambda settings: replace(settings, webhook=webhook))
    with closing(sqlite3.connect(folder / "registry.db", isolation_level=None)) as db:
        for table in TABLES:
            if not db.execute(f"SELECT 1 FROM {table}").fetchone():
                columns = db.execute(f"PRAGMA table_info({table})").fetchall()
                values = [_any_value(kind, name) for _, name, kind, *_ in columns]
                db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)
    return folder


def _any_value(kind: str, name: str) -> object:
    return {"TEXT": f"{name} é\n", "REAL": 1700000000.1234567, "INTEGER": 1}[kind]


def in_file(folder: Path, name: str = "registry.db") -> str:
    return f"sqlite:///{folder / name}"


def everything(file: Path) -> dict[str, list[Any]]:
    """Every row of every table of a file that is not its own."""
    with closing(sqlite3.connect(file)) as db:
        names = sorted(name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        return {
            name: sorted(db.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for name in names
            if name not in STAY
        }


async def move(folder: Path, source: str, target: str, *options: str) -> tuple[int, str, str]:
    ran = await nrc_process(folder, "registry", "move", source, target, "--yes", *options)
    return ran.code, ran.out, ran.err


def vault_of(folder: Path, name: str = "secret.keys") -> Vault:
    return Vault((), folder / name)


async def test_there_and_back_all_is_equal(full: Path, database_url: str) -> None:
    """The tables of the file that is moved back, byte by byte; PostgreSQL's by what a process reads."""
    before = everything(full / "registry.db")
    assert all(before[table] for table in TABLES)

    code, out, err = await move(full, in_file(full), database_url)

    assert code == 0, err
    assert f"{sum(map(len, before.values()))} rows in all, each compared" in out
    assert f"set NRC_DATABASE_URL to {address_at(database_url).shown}" in err
    assert everything(full / "registry.db") == before
    async with (
        open_registry(full / "registry.db") as here,
        registry_at(address_at(database_url), vault=vault_of(full)) as there,
    ):
        assert await there.changes_since(0) == await here.changes_since(0)
        assert (await there.alerts.settings()) == (await here.alerts.settings())
        assert (await there.check_secrets()).faults == ()
        uuid = UUID(before["abonnement"][0][0])
        assert await there.states(uuid) == await here.states(uuid)
        found = (await there.acts(ActSearch(what="abonnement suspended"), limit=9))[0]
        by_facts = await there.acts(ActSearch(abonnement=str(found.facts["abonnement"])), limit=9)
        assert by_facts == (found,)

    assert (await move(full, database_url, in_file(full, "back/registry.db")))[0] == 0

    after = everything(full / "back" / "registry.db")
    # Besides, each move is in the audit trail of its target.
    assert [row[2] for row in after["act"]] == [row[2] for row in before["act"]] + 2 * ["registry moved"]
    assert after | {"act": after["act"][: len(before["act"])]} == before


async def test_a_moved_registry_goes_on_with_the_next_numbers(full: Path, database_url: str) -> None:
    await move(full, in_file(full), database_url)
    async with registry_at(address_at(database_url), vault=vault_of(full)) as registry:
        number = await registry.change_number()
        abonnement = an_abonnement(("zaken", {}))
        assert (await registry.add_abonnement(abonnement)).change == number + 1
        assert [each.state for each in await registry.states(abonnement.uuid)] == [AbonnementState.ACTIVE]
    assert everything(full / "registry.db")["counter"] == [(1, number, 0)]


@pytest.mark.parametrize("to", ["postgresql", "sqlite"])
async def test_one_that_was_killed_leaves_nothing_and_is_begun_again(
    full: Path, database_url: str, to: str
) -> None:
    source, target = in_file(full), database_url
    if to == "sqlite":
        assert (await move(full, in_file(full), database_url))[0] == 0
        source, target = database_url, in_file(full, "back/registry.db")

    arguments = [sys.executable, "-c", KILLED, "registry", "move", source, target, "--yes"]
    process = await asyncio.create_subprocess_exec(*arguments, env={"NRC_STATE_DIR": str(full)})
    assert await process.wait() == -signal.SIGKILL

    if to == "postgresql":
        async with registry_at(address_at(target), vault=vault_of(full)) as registry:
            assert await registry.change_number() == 0
            assert (await registry.changes_since(0)).kanalen == ()
    else:
        assert [file.name for file in (full / "back").glob("*.db*")] != []
        assert not (full / "back" / "registry.db").exists()
    code, _, err = await move(full, source, target)
    assert code == 0, err
    if to == "sqlite":
        assert [file.name for file in (full / "back").glob("*.db*")] == ["registry.db"]


async def test_with_other_keys_every_secret_is_encrypted_anew(full: Path, database_url: str) -> None:
    (full / "other.keys").write_text(Fernet.generate_key().decode() + "\n")
    with closing(sqlite3.connect(full / "registry.db", isolation_level=None)) as db:
        db.execute("UPDATE failure SET detail = 'a' || char(0) || 'b'")

    code, _, err = await move(full, in_file(full), database_url, "--target-keys", str(full / "other.keys"))

    assert code == 0, err
    async with (
        open_registry(full / "registry.db") as here,
        registry_at(address_at(database_url), vault=vault_of(full, "other.keys")) as there,
    ):
        found = await there.check_secrets()
        assert (found.faults, [*found.in_use], sum(found.in_use.values())) == ((), [*found.keys], 6)
        assert (await there.changes_since(0)) == (await here.changes_since(0))
    async with await connect(address_at(database_url)) as connection:
        table = f'"{address_at(database_url).schema}".failure'
        row = await (await connection.execute(f"SELECT detail FROM {table}".encode())).fetchone()
        assert row == {"detail": "a�b"}
    code, _, err = await move(full, database_url, in_file(full, "back.db"))
    assert (code, "is not in" in err) == (1, True)
    assert not (full / "back.db").exists()


async def test_a_row_that_is_not_the_same_is_found(full: Path, database_url: str) -> None:
    """PostgreSQL changes what is put there, and nothing is kept."""
    async with registry_at(address_at(database_url), vault=vault_of(full)):
        pass
    async with await connect(address_at(database_url)) as connection:
        schema = address_at(database_url).schema
        await connection.execute(
            f"""
            SET search_path = "{schema}";
            CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN NEW.at = NEW.at + 1e-6; RETURN NEW; END $$;
            CREATE TRIGGER other BEFORE INSERT ON failure FOR EACH ROW EXECUTE FUNCTION other();
            """.encode()
        )

    code, _, err = await move(full, in_file(full), database_url)

    assert code == 3 and "is not the same on both sides. Nothing was changed." in err
    async with registry_at(address_at(database_url), vault=vault_of(full)) as registry:
        assert await registry.change_number() == 0


async def test_a_target_that_has_something_is_refused(full: Path, database_url: str) -> None:
    async with registry_at(address_at(database_url), vault=vault_of(full)) as there:
        await there.add_kanaal(a_kanaal("other"))

    code, _, err = await move(full, in_file(full), database_url)
    assert (code, "has a registry already, with something in kanaal, counter" in err) == (2, True), err

    code, _, err = await move(full, database_url, in_file(full))
    assert (code, "is there already" in err) == (2, True), err
    async with registry_at(address_at(database_url), vault=vault_of(full)) as there:
        assert len((await there.changes_since(0)).kanalen) == 1


async def test_a_registry_in_use_is_refused(full: Path, database_url: str) -> None:
    async with open_registry(full / "registry.db"):
        code, _, err = await move(full, in_file(full), database_url)
        assert (code, "stop every process first" in err) == (3, True), err

    async with registry_at(address_at(database_url), vault=vault_of(full)) as running:
        waiting = asyncio.create_task(_wait_again_and_again(running))
        try:
            await _listens(database_url)
            for source, target in ((in_file(full), database_url), (database_url, in_file(full, "new.db"))):
                code, _, err = await move(full, source, target)
                assert (code, "is in use by 1 process(es)" in err) == (3, True), err
        finally:
            waiting.cancel()


async def _wait_again_and_again(registry: Registry) -> None:
    while True:
        await registry.wait_for_change(60)


async def _listens(url: str) -> None:
    address = address_at(url)
    async with await connect(address) as connection:
        while True:
            select = "SELECT 1 FROM pg_stat_activity WHERE query = %s AND state = 'idle'"
            if (await connection.execute(select, [f'LISTEN "{address.schema}.registry"'])).rowcount:
                return


async def test_a_ledger_with_something_to_do_is_not_left(full: Path, database_url: str) -> None:
    abonnement, id_ = uuid4(), new_id()
    zaak = "https://zaken.example.nl/zaken/1"
    entry = Entry(
        id_, 1, "zac", "zaken", "zaak", "create", zaak, zaak, {}, b"{}", catalogue=1, matched=(abonnement,)
    )
    async with open_ledger(full / "ledger.db") as ledger:
        await ledger.write([entry])

    code, _, err = await move(full, in_file(full), database_url, "--without-ledger")

    assert (code, "still has 1 open deliveries" in err) == (2, True), err


async def test_every_table_of_both_stores_is_moved_or_stays(full: Path, database_url: str) -> None:
    """Fails for a table that is added to a store and not to store/moving/tables.py."""
    with closing(sqlite3.connect(full / "registry.db")) as db:
        in_sqlite = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    address = address_at(database_url)
    async with registry_at(address, vault=vault_of(full)), await connect(address) as connection:
        select = "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = %s"
        rows = await (await connection.execute(select, [address.schema])).fetchall()
    assert in_sqlite - STAY == {row["name"] for row in rows} - STAY == {*TABLES}
