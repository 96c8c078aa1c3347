"""Upgrades of the registry: from every step, with a copy, and never in part.

The tests use the steps that exist: a new one needs no change here.
"""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlite_utils import Database, Migrations

from schemas.abonnement import FilterGroup
from schemas.application import Application
from schemas.errors import RegistryTooNew
from schemas.kanaal import Kanaal
from store.files.upgrade import copy_name
from store.opening import open_registry
from store.registry import Changes, KanalenVersion
from store.secrets import Vault
from store.sqlite import schema
from tests.databases.sqlite_file import ask, content
from tests.unit.store.upgrade_worker import NEXT_STEP

WORKER = Path(__file__).with_name("upgrade_worker.py")
STEPS = [name for name in schema.STEPS if name not in schema.COMPATIBLE]
"""Those that an older program must know."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


def made_by(file: Path, steps: list[str]) -> None:
    """A registry as the program with only these steps left it."""
    connection = sqlite3.connect(file)
    db = Database(connection, execute_plugins=False)
    vault = Vault((), file.with_name("secret.keys"))
    vault.open(())
    migrations = Migrations("registry")
    for name in steps:
        migrations(name=name)(schema._with(vault, schema.STEPS[name]))
    migrations.apply(db)
    row = {"uuid": str(uuid4()), "naam": "zaken", "documentatie_link": "", "filters": "[]", "slots": "[]"}
    row |= {"change": 1} | ({"generation": 0} if "generation" in db["kanaal"].columns_dict else {})
    marks = ", ".join("?" * len(row))
    db.execute(f"INSERT INTO kanaal ({', '.join(row)}) VALUES ({marks})", [*row.values()])
    db.execute("UPDATE counter SET change = 1")
    connection.commit()
    connection.close()


def steps_of(file: Path) -> list[object]:
    assert ask(file, "PRAGMA integrity_check") == [("ok",)]
    return [name for (name,) in ask(file, "SELECT name FROM _sqlite_migrations ORDER BY id")]


async def look(file: Path) -> Changes:
    async with open_registry(file) as registry:
        return await registry.changes_since(0)


@pytest.mark.parametrize("done", range(1, len(STEPS)))
async def test_from_every_step_to_the_last(done: int, file: Path) -> None:
    made_by(file, STEPS[:done])

    found = await look(file)

    assert [kanaal.naam for kanaal in found.kanalen] == ["zaken"]
    assert steps_of(file) == STEPS
    copy = copy_name(file, STEPS[done])
    assert steps_of(copy) == STEPS[:done]
    assert ask(copy, "SELECT naam, change FROM kanaal") == [("zaken", 1)]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


@pytest.mark.parametrize("done", range(1, len(STEPS)))
async def test_an_older_program_refuses_a_newer_file_and_takes_the_copy(
    done: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by(file, STEPS[:done])
    await look(file)
    before = content(file)
    with monkeypatch.context() as older:
        older.setattr(schema, "STEPS", {name: schema.STEPS[name] for name in STEPS[:done]})

        with pytest.raises(RegistryTooNew, match=f"newer version of nrc.*{STEPS[-1]}") as refused:
            await look(file)

        assert "\n" not in str(refused.value)
        assert "restore the copy" in str(refused.value)
        assert content(file) == before
    # Older programs than this one, by their own code, would take it: it is whole, and has their steps.
    assert steps_of(copy_name(file, STEPS[done])) == STEPS[:done]


KANALEN = '[{"naam": "zaken", "filters": [["a", "1"]]}]'
VERSIONS = "0008_kanalen_versions"


@pytest.mark.parametrize("done", range(1, STEPS.index(VERSIONS) + 1))
async def test_kanalen_from_before_versions_of_them_were_kept(done: int, file: Path) -> None:
    """They are as old as the last change of their abonnement, at most; since when is not known."""
    made_by(file, STEPS[:done])
    uuid = uuid4()
    columns = "uuid, callback_url, auth, kanalen, client_id, state, state_reason, change"
    connection = sqlite3.connect(file)
    connection.execute(
        f"INSERT INTO abonnement ({columns}) VALUES (?, 'http://x/', '', ?, 'zac', 'active', '', 7)",
        [str(uuid), KANALEN],
    )
    connection.execute("UPDATE counter SET change = 9")
    connection.commit()
    connection.close()
    began = time.time()

    async with open_registry(file) as registry:
        (kept,) = (await registry.changes_since(0)).abonnementen
        (version,) = await registry.kanalen_versions(uuid)
        assert (kept.change, kept.kanalen_change) == (7, 7)
        assert began <= version.valid_from <= time.time()
        groups = (FilterGroup("zaken", (("a", "1"),)),)
        assert version == KanalenVersion(uuid, groups, 7, version.valid_from, None, None, None)
        changed = await registry.change_abonnement(uuid, lambda each: replace(each, kanalen=()))
        former, present = await registry.kanalen_versions(uuid)
    assert changed.kanalen_change == present.change == 10
    assert former == replace(version, valid_until=present.valid_from)
    assert present.made_at is None


async def test_what_was_noted_of_a_kanaal_is_not_an_abonnements(file: Path) -> None:
    made_by(file, STEPS[: STEPS.index("0012_one_exchange_per_kanaal")])
    uuid = str(uuid4())
    rows = [
        ("exchange", "nrc.kanaal.zaken", "zaken"),
        ("exchange", f"nrc.kanaal.{uuid}", uuid),
        ("exchange", f"nrc.marker.{uuid}.x", uuid),
        ("exchange", "nrc.changes", ""),
        ("queue", f"nrc.abonnement.{uuid}", uuid),
    ]
    connection = sqlite3.connect(file)
    connection.executemany("INSERT INTO declared (kind, key, owner) VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()

    async with open_registry(file) as registry:
        found = {thing.key: thing.owner for thing in await registry.declared()}

    kanalen = {"nrc.kanaal.zaken": "kanaal zaken", f"nrc.kanaal.{uuid}": f"kanaal {uuid}"}
    assert found == {key: owner for _, key, owner in rows} | kanalen


async def test_an_upgrade_under_a_program_that_runs(file: Path) -> None:
    """It would misread what the newer one writes, and the newer one what it writes."""
    async with open_registry(file) as registry:
        assert (await registry.changes_since(0)).number == 0
        out, _ = await (await worker(file, "never")).communicate()
        assert out.splitlines()[-1] == b"open 1000"

        for use in (registry.change_number, lambda: registry.add_application(Application("bron", "x"))):
            with pytest.raises(RegistryTooNew, match="restart this process"):
                await use()
    assert ask(file, "SELECT count(*) FROM application") == [(0,)]


async def worker(file: Path, moment: str, *limit: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), str(file), moment, *map(str, limit),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def a_registry_in_use(file: Path) -> None:
    async with open_registry(file) as registry:
        await registry.add_application(Application("bron", "never-shown"))
        await registry.add_kanaal(Kanaal(uuid4(), "zaken", "", (), ()))


async def as_it_was(file: Path) -> None:
    """The program from before the upgrade goes on with the file."""
    assert steps_of(file) == STEPS
    found = await look(file)
    assert (found.number, [kanaal.naam for kanaal in found.kanalen]) == (2, ["zaken"])
    assert [each.secret for each in found.applications] == ["never-shown"]


@pytest.mark.parametrize("moment", ["copy", "step"])
async def test_killed_in_the_middle_of_an_upgrade(moment: str, file: Path) -> None:
    await a_registry_in_use(file)
    process = await worker(file, moment)
    assert process.stdout
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"now\n"
    process.kill()
    await process.communicate()

    await as_it_was(file)

    # The next start of the newer program does it all, whatever the first one left.
    out, _ = await (await worker(file, "never")).communicate()
    assert out.splitlines()[-1] == b"open 1002"
    assert steps_of(file) == [*STEPS, NEXT_STEP]
    assert steps_of(copy_name(file, NEXT_STEP)) == STEPS
    assert not list(file.parent.glob("*.new*"))


@pytest.mark.parametrize(
    ("room", "said"), [(0.5, [b"nothing was changed"]), (1.2, [b"disk is full", b"its free space"])]
)
async def test_no_room_for_the_copy_or_for_the_step(room: float, said: list[bytes], file: Path) -> None:
    await a_registry_in_use(file)
    limit = int(len(content(file)) * room)

    out, _ = await (await worker(file, "never", limit)).communicate()

    assert out.startswith(b"refused")
    assert any(words in out for words in said), out
    await as_it_was(file)
