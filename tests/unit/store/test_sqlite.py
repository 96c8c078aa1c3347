"""What is specific to the registry in SQLite: the file, its steps, the lease, and its errors."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlite_utils import Database

from schemas.abonnement import Abonnement, FilterGroup, State
from schemas.application import Application
from schemas.errors import Conflict, RegistryError, RegistryInUse, RegistryTooNew
from schemas.kanaal import Kanaal
from store.faults import REGISTRY
from store.files import host_lease
from store.files.faults import told
from store.files.sqlite_file import SqliteFile
from store.registry import STATE_AGE, TOMBSTONE_AGE, VERSION_AGE, Act, ActSearch
from store.secrets import Vault
from store.sqlite import kanalen_versions, schema, state_versions
from store.sqlite.registry import SqliteRegistry
from tests.databases.sqlite_file import ask, content, damage
from tests.eventually import eventually

WORKER = Path(__file__).parents[2] / "contract" / "stores" / "registry_worker.py"
DAY = 24 * 3600.0
STEPS = [name for name in schema.STEPS if name not in schema.COMPATIBLE]
"""Those that an older program must know."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "registry.db"


def a_kanaal(naam: str = "zaken") -> Kanaal:
    return Kanaal(uuid4(), naam, "", (), ())


def a_vault(file: Path) -> Vault:
    return Vault((), file.with_name("secret.keys"))


def move(file: Path) -> None:
    file.rename(file.with_name("moved.db"))


# The file


async def test_the_file_is_its_owners_only(file: Path) -> None:
    async with SqliteRegistry(file) as registry:
        await registry.add_application(Application("zac", "geheim"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    assert set(modes) == {"registry.db", "registry.db-wal", "registry.db-shm", "secret.keys"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_closing_leaves_one_file_to_copy(file: Path) -> None:
    async with SqliteRegistry(file) as registry:
        await registry.add_kanaal(a_kanaal())
    assert {path.name for path in file.parent.iterdir()} == {"registry.db", "secret.keys"}
    assert ask(file, "SELECT naam FROM kanaal") == [("zaken",)]


async def test_commits_wait_for_the_disk(file: Path) -> None:
    async with SqliteFile(file, schema.contents(a_vault(file)), boot="here") as opened:
        journal, synchronous = await opened.write(
            lambda db: [
                db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
            ]
        )
    assert journal == "wal"
    assert synchronous == 2, "FULL"


async def test_a_failed_write_leaves_nothing(file: Path) -> None:
    def half(db: Database) -> None:
        db.execute("UPDATE counter SET change = 7")
        raise Conflict("half way")

    async with (
        SqliteRegistry(file) as registry,
        SqliteFile(file, schema.contents(a_vault(file)), boot=host_lease.boot_id()) as opened,
    ):
        with pytest.raises(Conflict, match="half way"):
            await opened.write(half)
        assert await registry.change_number() == 0
        await registry.add_kanaal(a_kanaal())


# Steps


async def test_the_steps_are_noted_in_the_file(file: Path) -> None:
    for _ in range(2):
        async with SqliteRegistry(file) as registry:
            assert await registry.change_number() == 0
        assert [name for (name,) in ask(file, "SELECT name FROM _sqlite_migrations")] == STEPS


async def test_an_older_file_is_brought_up_to_date(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SqliteRegistry(file) as registry:
        kanaal = await registry.add_kanaal(a_kanaal())
    ask(file, "DROP TABLE declared")
    ask(file, "DELETE FROM _sqlite_migrations WHERE name = '0002_declared'")
    async with SqliteRegistry(file) as registry:
        assert (await registry.changes_since(0)).kanalen == (kanaal,)
        assert await registry.declared() == ()
    assert len(ask(file, "SELECT name FROM _sqlite_migrations")) == len(STEPS)


async def test_a_step_that_fails_takes_all_with_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(db: Database, _: Vault) -> None:
        db.execute("CREATE TABLE half (id)")
        db.execute("SELECT * FROM nowhere")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "STEPS", schema.STEPS | {"9999_broken": broken})
        with pytest.raises(RegistryError, match="nowhere"):
            await SqliteRegistry(file).__aenter__()
    assert ask(file, "SELECT name FROM sqlite_master") == []
    async with SqliteRegistry(file) as registry:
        assert await registry.change_number() == 0


async def test_a_newer_file_is_left_alone(file: Path) -> None:
    async with SqliteRegistry(file) as registry:
        await registry.add_kanaal(a_kanaal())
    ask(file, "INSERT INTO _sqlite_migrations VALUES (99, 'registry', '0099_from_the_future', '')")
    before = content(file)
    with pytest.raises(RegistryTooNew, match=r"newer version of nrc .*0099_from_the_future"):
        await SqliteRegistry(file).__aenter__()
    assert content(file) == before


async def test_a_file_that_a_newer_program_made_is_left_alone(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(db: Database, _: Vault) -> None:
        db.execute("ALTER TABLE kanaal ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'")

    async with SqliteRegistry(file) as registry:
        kanaal = await registry.add_kanaal(a_kanaal())
    with monkeypatch.context() as newer:
        newer.setattr(schema, "STEPS", schema.STEPS | {"0099_colour": step})
        async with SqliteRegistry(file) as registry:
            assert await registry.change_number() == 1
    before = content(file)
    with pytest.raises(RegistryTooNew, match="0099_colour") as refused:
        await SqliteRegistry(file).__aenter__()
    assert "\n" not in str(refused.value)
    assert content(file) == before

    # The way back that the message names.
    file.with_name("registry.db.before-0099_colour").replace(file)
    async with SqliteRegistry(file) as registry:
        assert (await registry.changes_since(0)).kanalen == (kanaal,)


async def test_a_process_of_before_never_meets_an_abonnement_without_a_callback(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would declare a queue for it; it runs on while a newer one has the registry's file upgraded."""
    before = {name: step for name, step in schema.STEPS.items() if name < "0018_pulled"}
    with monkeypatch.context() as older:
        older.setattr(schema, "STEPS", before)
        running = await SqliteRegistry(file).__aenter__()
    try:
        async with SqliteRegistry(file) as newer:
            await newer.add_abonnement(Abonnement(uuid4(), "", "", (), "fetches"))
            with pytest.raises(RegistryTooNew, match="restart this process"):
                await running.changes_since(0)
            with monkeypatch.context() as older, pytest.raises(RegistryTooNew, match="newer version"):
                older.setattr(schema, "STEPS", before)
                await SqliteRegistry(file).__aenter__()
    finally:
        await running.__aexit__(None, None, None)


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "theirs.db"
    ask(file, "CREATE TABLE theirs (id)")
    with pytest.raises(RegistryError, match="another program"):
        await SqliteRegistry(file).__aenter__()
    assert ask(file, "SELECT name FROM sqlite_master") == [("theirs",)]


async def test_four_processes_open_a_fresh_file_at_once(file: Path) -> None:
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable, str(WORKER), str(file), "add", f"k{n}", stdout=asyncio.subprocess.PIPE
        )
        for n in range(4)
    ]
    outputs = [(await worker.communicate())[0].strip() for worker in workers]
    assert sorted(outputs) == [b"1", b"2", b"3", b"4"]
    assert len(ask(file, "SELECT name FROM _sqlite_migrations")) == len(STEPS)


async def test_many_threads_open_a_fresh_file_at_once(file: Path) -> None:
    registries = [SqliteRegistry(file) for _ in range(8)]
    await asyncio.gather(*(registry.__aenter__() for registry in registries))
    await asyncio.gather(*(registry.add_kanaal(a_kanaal(f"k{n}")) for n, registry in enumerate(registries)))
    assert [await registry.change_number() for registry in registries] == [8] * 8
    await asyncio.gather(*(registry.__aexit__(None, None, None) for registry in registries))
    assert {path.name for path in file.parent.iterdir()} == {"registry.db", "secret.keys"}


# One host


async def test_another_host_stops_with_one_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SqliteRegistry(file, boot="here"), SqliteRegistry(file, boot="here") as second:
        monkeypatch.setattr("socket.gethostname", lambda: "another")
        with pytest.raises(RegistryInUse, match="in use on host") as refused:
            await SqliteRegistry(file, boot="elsewhere").__aenter__()
        assert "\n" not in str(refused.value)
        await second.add_kanaal(a_kanaal())


async def test_a_host_that_stopped_cleanly_need_not_be_waited_for(file: Path) -> None:
    async with SqliteRegistry(file, boot="here"):
        pass
    async with SqliteRegistry(file, boot="elsewhere") as registry:
        await registry.add_kanaal(a_kanaal())


async def test_a_host_waits_for_the_lease_that_it_had_before_a_reboot(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("store.files.sqlite_file.AGAIN", 0.01)
    async with SqliteRegistry(file, boot="first"):
        rows = ask(file, "SELECT boot, host, at FROM lease")
    ask(file, "INSERT INTO lease VALUES ('killed', ?, ?, ?)", *rows[0])  # as a cut of the power leaves it
    opening = asyncio.create_task(SqliteRegistry(file, boot="second").__aenter__())
    await eventually(lambda: "waiting for the lease" in capsys.readouterr().out)
    ask(file, "UPDATE lease SET at = at - 31")
    await (await opening).__aexit__(None, None, None)


async def test_a_host_of_the_same_name_that_still_runs_is_not_waited_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.files.sqlite_file.AGAIN", 0.01)
    async with SqliteRegistry(file, boot="here", renewal=0.05):
        with pytest.raises(RegistryInUse, match="in use on host"):
            await SqliteRegistry(file, boot="elsewhere").__aenter__()


def refused_elsewhere(db: Database, now: float) -> None:
    host_lease.refuse_other_hosts(db, Path("registry.db"), boot="elsewhere", now=now, error=RegistryInUse)


@pytest.mark.parametrize("age, refused", [(29.0, True), (31.0, False), (-29.0, True), (-1e7, False)])
def test_a_lease_runs_out(age: float, refused: bool, file: Path) -> None:
    with closing(Database(memory=True)) as db:
        schema.migrate(db, Path("registry.db"), a_vault(file))
        now = 1_700_000_000.0
        host_lease.renew(db, holder="a", boot="here", now=now - age)
        host_lease.refuse_other_hosts(db, Path("registry.db"), boot="here", now=now, error=RegistryInUse)
        if refused:
            with pytest.raises(RegistryInUse):
                refused_elsewhere(db, now)
        else:
            refused_elsewhere(db, now)
            host_lease.renew(db, holder="b", boot="elsewhere", now=now)
            assert [row["holder"] for row in db.table("lease").rows] == ["b"]


async def test_the_lease_is_renewed_without_a_change(file: Path) -> None:
    started = time.time()
    async with SqliteRegistry(file, renewal=0.02) as registry:
        ask(file, "UPDATE lease SET at = 0")
        await eventually(lambda: ask(file, "SELECT at FROM lease")[0][0] >= started)
        assert await registry.change_number() == 0
    assert ask(file, "SELECT * FROM lease") == []


async def test_a_host_that_was_paused_writes_no_more_when_another_took_over(file: Path) -> None:
    async with SqliteRegistry(file, boot="here") as paused:
        ask(file, "UPDATE lease SET at = 0")
        async with SqliteRegistry(file, boot="elsewhere") as other:
            with pytest.raises(RegistryInUse):
                await paused.add_kanaal(a_kanaal())
            await other.add_kanaal(a_kanaal())
        assert await paused.change_number() == 1


def test_the_boot_id_is_the_kernels() -> None:
    assert host_lease.boot_id() == host_lease.boot_id() != ""


# Tombstones


async def test_tombstones_are_kept_for_thirty_days(file: Path) -> None:
    now = [1_700_000_000.0]
    async with SqliteRegistry(file, clock=lambda: now[0]) as registry:
        kanalen = [await registry.add_kanaal(a_kanaal(f"k{n}")) for n in range(4)]
        await registry.remove_kanaal(kanalen[0].uuid)
        now[0] += TOMBSTONE_AGE - DAY
        await registry.remove_kanaal(kanalen[1].uuid)
        assert len((await registry.changes_since(4)).gone_kanalen) == 2
        now[0] += 2 * DAY
        await registry.remove_kanaal(kanalen[2].uuid)

        behind = await registry.changes_since(4)
        assert behind.whole
        assert behind.kanalen == (kanalen[3],)
        assert behind.gone_kanalen == {kanalen[1].uuid, kanalen[2].uuid}
        in_time = await registry.changes_since(5)
        assert not in_time.whole
        assert in_time.gone_kanalen == {kanalen[1].uuid, kanalen[2].uuid}
    assert TOMBSTONE_AGE >= 30 * DAY


# Versions of kanalen


def an_abonnement() -> Abonnement:
    return Abonnement(uuid4(), "http://consumer/", "", (FilterGroup("zaken", (("a", "0"),)),), "zac")


async def asks(registry: SqliteRegistry, abonnement: Abonnement, *values: int) -> None:
    """Its kanalen change to ask each of these in turn."""
    for value in values:
        groups = (FilterGroup("zaken", (("a", str(value)),)),)
        await registry.change_abonnement(abonnement.uuid, lambda each, new=groups: replace(each, kanalen=new))


async def test_former_kanalen_are_kept_for_thirty_days_and_present_ones_always(file: Path) -> None:
    now = [1_700_000_000.0]
    async with SqliteRegistry(file, clock=lambda: now[0]) as registry:
        await registry.add_kanaal(a_kanaal())
        one, gone, quiet = [await registry.add_abonnement(an_abonnement()) for _ in range(3)]
        await asks(registry, one, 1)
        await registry.remove_abonnement(gone.uuid)
        now[0] += VERSION_AGE - DAY
        await asks(registry, one, 2)
        assert [each.change for each in await registry.kanalen_versions(one.uuid)] == [2, 5, 7]
        assert len(await registry.kanalen_versions(gone.uuid)) == 1
        now[0] += 2 * DAY
        await asks(registry, one, 3)
        assert [each.change for each in await registry.kanalen_versions(one.uuid)] == [5, 7, 8]
        assert {each.made_at for each in await registry.kanalen_versions(one.uuid)} == {1_700_000_000.0}
        assert await registry.kanalen_versions(gone.uuid) == ()
        assert len(await registry.kanalen_versions(quiet.uuid)) == 1
    assert VERSION_AGE >= 30 * DAY


async def test_so_many_versions_of_kanalen_are_kept_and_no_more(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kanalen_versions, "VERSIONS_EACH", 3)
    monkeypatch.setattr(kanalen_versions, "VERSIONS", 5)
    now = [1_700_000_000.0]
    async with SqliteRegistry(file, clock=lambda: now[0]) as registry:
        await registry.add_kanaal(a_kanaal())
        busy, other, third = [await registry.add_abonnement(an_abonnement()) for _ in range(3)]
        await asks(registry, other, 1, 2)
        now[0] += 1
        await asks(registry, busy, *range(1, 10))
        assert [each.kanalen[0].filters[0][1] for each in await registry.kanalen_versions(busy.uuid)] == [
            "6", "7", "8", "9",
        ]  # fmt: skip
        assert len(await registry.kanalen_versions(other.uuid)) == 3, (
            "one that changes a lot costs others nothing"
        )
        now[0] += 1
        await asks(registry, third, 1)
        # The two of `other` ended at the same moment; the sixth of all is one of them.
        assert len(ask(file, "SELECT * FROM kanalen_version WHERE valid_until IS NOT NULL")) == 6
        now[0] += 1
        await asks(registry, third, 2, 3)
        assert len(await registry.kanalen_versions(other.uuid)) == 1


async def test_former_states_are_kept_for_thirty_days_and_so_many_and_present_ones_always(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_versions, "STATES_EACH", 3)
    monkeypatch.setattr(state_versions, "_LOOK_EVERY", 1)
    now = [1_700_000_000.0]
    async with SqliteRegistry(file, clock=lambda: now[0]) as registry:
        await registry.add_kanaal(a_kanaal())
        one, quiet, gone = [await registry.add_abonnement(an_abonnement()) for _ in range(3)]

        async def is_(*reasons: str) -> None:
            for reason in reasons:
                now[0] += 1
                await registry.set_state(one.uuid, State.SUSPENDED, reason)

        async def kept() -> list[str]:
            return [each.reason for each in await registry.states(one.uuid)]

        await registry.remove_abonnement(gone.uuid)
        await is_("1", "2")
        assert await kept() == ["", "1", "2"]
        await is_("3", "4", "5")
        assert await kept() == ["2", "3", "4", "5"]
        assert len(await registry.states(gone.uuid)) == 1
        now[0] += STATE_AGE
        await is_("6")
        assert await kept() == ["5", "6"], "the state of thirty days ago is known"
        assert await registry.states(gone.uuid) == ()
        assert len(await registry.states(quiet.uuid)) == 1
        monkeypatch.setattr(state_versions, "STATES", 1)
        await is_("7", "8")
        assert await kept() == ["6", "7", "8"]
        now[0] -= 60
        await is_("9")
        *_, before, last = await registry.states(one.uuid)
        assert before.valid_until == before.valid_from == last.valid_from, "the clock was set back"
    assert STATE_AGE >= 30 * DAY


async def test_a_clock_that_was_set_back(file: Path) -> None:
    now = [1_700_000_000.0]
    async with SqliteRegistry(file, clock=lambda: now[0]) as registry:
        await registry.add_kanaal(a_kanaal())
        one = await registry.add_abonnement(an_abonnement())
        now[0] -= 60
        await asks(registry, one, 1)
        await registry.remove_abonnement(one.uuid)
        first, second = await registry.kanalen_versions(one.uuid)
    assert first.valid_from == first.valid_until == second.valid_from == second.removed_at == 1_700_000_000.0


# What can be wrong with it


async def test_so_many_tombstones_are_kept_and_no_more(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a client that makes and removes abonnementen all day makes every start slower."""
    monkeypatch.setattr("store.sqlite.registry.TOMBSTONES", 3)
    async with SqliteRegistry(file) as registry:
        kanalen = [await registry.add_kanaal(a_kanaal(f"kanaal-{number}")) for number in range(6)]
        numbers = []
        for kanaal in kanalen:
            numbers.append((await registry.changes_since(0)).number)
            await registry.remove_kanaal(kanaal.uuid)
        assert len(ask(file, "SELECT * FROM removed")) == 3
        old, young = await registry.changes_since(numbers[2]), await registry.changes_since(numbers[3])
    assert old.whole
    assert not young.whole
    assert young.gone_kanalen == {kanaal.uuid for kanaal in kanalen[3:]}


async def test_a_locked_file_is_a_fault_of_writers_only(file: Path) -> None:
    async with SqliteRegistry(file, busy_timeout=0.05) as registry:
        await registry.add_kanaal(a_kanaal())
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RegistryError, match="keeps it locked"):
            await registry.add_kanaal(a_kanaal("besluiten"))
        assert len((await registry.changes_since(0)).kanalen) == 1
        other.execute("ROLLBACK")
        other.close()
        await registry.add_kanaal(a_kanaal("besluiten"))


async def test_a_file_locked_at_the_start(file: Path) -> None:
    async with SqliteRegistry(file):
        pass
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RegistryError, match="keeps it locked"):
        await SqliteRegistry(file, busy_timeout=0.05).__aenter__()
    other.close()
    async with SqliteRegistry(file) as registry:
        await registry.add_kanaal(a_kanaal())


async def test_what_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to be looked at " * 100)
    with pytest.raises(RegistryError, match="not an SQLite database"):
        await SqliteRegistry(file).__aenter__()
    assert file.read_text().startswith("not a database")


async def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="must be a file"):
        await SqliteRegistry(tmp_path).__aenter__()


async def test_a_state_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(RegistryError, match="NRC_STATE_DIR"):
        await SqliteRegistry(tmp_path / "state" / "registry.db").__aenter__()


async def test_a_damaged_file(file: Path) -> None:
    async with SqliteRegistry(file) as registry:
        for n in range(200):
            await registry.add_kanaal(a_kanaal(f"k{n}"))
    damage(file)
    with pytest.raises(RegistryError, match="damaged"):
        async with SqliteRegistry(file) as registry:
            await registry.changes_since(0)


async def test_a_disk_that_takes_no_more(file: Path) -> None:
    """In a process of its own: the limit is a process's, and it is the one thing to fill without a mount."""
    script = """
import asyncio, resource, signal, sys
from pathlib import Path
from uuid import uuid4
from schemas.errors import RegistryError
from schemas.kanaal import Kanaal
from store.sqlite.registry import SqliteRegistry

async def main():
    async with SqliteRegistry(Path(sys.argv[1])) as registry:
        await registry.add_kanaal(Kanaal(uuid4(), "before", "", (), ()))
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
        added = 1
        try:
            for n in range(1000):
                await registry.add_kanaal(Kanaal(uuid4(), f"k{n}", "x" * 1000, (), ()))
                added += 1
        except RegistryError as error:
            print(error)
        number = await registry.change_number()
        assert number == added, (number, added)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await registry.add_kanaal(Kanaal(uuid4(), "after", "", (), ()))

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(file),
        cwd=Path(__file__).parents[3], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert b"its disk is full" in output or b"writing it failed" in output
    assert ask(file, "SELECT naam FROM kanaal WHERE naam IN ('before', 'after') ORDER BY naam") == [
        ("after",),
        ("before",),
    ]


async def test_a_file_that_was_replaced_is_not_written_any_more(file: Path) -> None:
    async with SqliteRegistry(file, renewal=0.02) as registry:
        await registry.add_kanaal(a_kanaal())
        move(file)

        async def refused() -> bool:
            try:
                await registry.change_number()
            except RegistryError as error:
                return "replaced" in str(error)
            return False

        await eventually(refused)
        with pytest.raises(RegistryError, match="restart"):
            await registry.add_kanaal(a_kanaal("besluiten"))
    async with SqliteRegistry(file) as registry:
        assert await registry.change_number() == 0


async def test_a_file_that_was_replaced_is_not_read_any_more_from_that_moment(file: Path) -> None:
    # Else who reads the former one and writes to the new one acts on what is no more.
    async with SqliteRegistry(file, renewal=3600) as registry:
        await registry.add_kanaal(a_kanaal())
        move(file)
        with pytest.raises(RegistryError, match="replaced"):
            await registry.change_number()


@pytest.mark.parametrize(
    "code, advice",
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "keeps it locked"),
        (sqlite3.SQLITE_FULL, "free some space"),
        (sqlite3.SQLITE_IOERR_WRITE, "check its disk"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "write access"),
        (sqlite3.SQLITE_PERM, "write access"),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, "folder that this user may write to"),
        (sqlite3.SQLITE_CORRUPT, "restore a copy"),
        (sqlite3.SQLITE_NOTADB, "elsewhere"),
        (None, "what sqlite said"),
    ],
)
def test_every_fault_says_what_to_do(code: int | None, advice: str) -> None:
    error = sqlite3.OperationalError("what sqlite said")
    if code is not None:
        error.sqlite_errorcode = code
    file = Path("/srv/registry.db")
    raised = told(REGISTRY, file, error)
    assert type(raised) is RegistryError
    assert advice in str(raised)
    assert "/srv/registry.db" in str(raised)
    assert "\n" not in str(raised)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE act SET user = 'nobody'",
        "DELETE FROM act",
        "INSERT OR REPLACE INTO act SELECT nr, at, act, command, 'nobody', '', host, facts FROM act",
    ],
)
async def test_what_operators_did_is_only_appended_to(file: Path, statement: str) -> None:
    act = Act(10.0, "kanaal added", "kanaal add", "nrc", "jan", "host", {"kanaal": "zaken"})
    async with SqliteRegistry(file) as registry:
        await registry.note_acts([act])
        with closing(sqlite3.connect(file)) as other, pytest.raises(sqlite3.Error, match="only appended to"):
            other.execute(statement)
        await registry.note_acts([act])
        assert await registry.acts(ActSearch(), limit=9) == (act, act)
