"""`nrc backup` and `nrc restore` on real registry files."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet

from ledger.ids import new_id
from ledger.opening import open_ledger
from ledger.values import Entry, Key, Outcome, State
from nrc.state_lock import only_up, shared_lock
from tests.command import nrc

SECRET = "never-shown-" * 3


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    assert nrc(folder, "application", "add", "zac", "--new", "--secret", SECRET).code == 0
    return folder


def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "new"
    folder.mkdir()
    return folder


def test_what_was_backed_up_is_there_again(state: Path, tmp_path: Path) -> None:
    copy, new = tmp_path / "copies" / "today", empty(tmp_path)
    password = {"NRC_AMQP_URL": "amqp://nrc:hush@localhost/"}

    ran = nrc(state, "backup", str(copy), env=password)

    assert (ran.code, ran.out) == (
        0,
        f"backup made in {copy}: 0 kanalen, 0 abonnementen, 1 applications\n",
    )
    assert "there is no ledger in it, and what waits in RabbitMQ is not in it either" in ran.err
    assert sorted(file.name for file in copy.iterdir()) == ["backup.json", "registry.db", "secret.keys"]
    assert copy.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in copy.iterdir())
    about = (copy / "backup.json").read_text()
    assert json.loads(about)["settings"]["NRC_AMQP_URL"] == "amqp://nrc:***@localhost/"
    assert "hush" not in about

    ran = nrc(new, "restore", str(copy))

    assert ran.code == 0, ran.err
    assert (
        "a setting is another here: NRC_AMQP_URL was amqp://nrc:***@localhost/, and is not set\n" in ran.err
    )
    assert ran.err.count("a setting is another here") == 2  # and NRC_STATE_DIR
    assert "1 applications" in ran.out
    assert (new / "registry.db").stat().st_mode & 0o777 == 0o600
    assert [row["clientId"] for row in nrc(new, "application", "list", "--json").json()] == ["zac"]
    assert nrc(new, "secrets", "check", "--json").json()["faults"] == []
    assert nrc(new, "token", "zac").code == 0


def test_a_registry_in_use_is_copied_as_last_committed(state: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(state / "registry.db")) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM application").fetchall()
        assert nrc(state, "application", "add", "late", "--secret", SECRET).code == 0
        assert (state / "registry.db-wal").stat().st_size
        assert "2 applications" in nrc(state, "backup", str(tmp_path / "copy")).out
    with closing(sqlite3.connect(tmp_path / "copy" / "registry.db")) as copy:
        assert copy.execute("SELECT count(*) FROM lease").fetchone() == (0,)


def accepted(folder: Path, *matched: UUID, settled: bool = False) -> UUID:
    """A notificatie in the ledger of this folder, for these abonnementen."""
    id_ = new_id()
    zaak = "https://zaken.example.nl/zaken/1"
    entry = Entry(
        id_, 1, "zac", "zaken", "zaak", "create", zaak, zaak, {}, b"{}", catalogue=1, matched=matched
    )
    done = [Outcome(Key(id_, each), State.DELIVERED, 0, 1, at=2) for each in matched if settled]

    async def write() -> None:
        async with open_ledger(folder / "ledger.db") as ledger:
            await ledger.write([entry, *done])

    asyncio.run(write())
    return id_


def ask(file: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute(sql).fetchall()


def test_what_was_open_is_there_again_elsewhere(state: Path, tmp_path: Path) -> None:
    first, second = uuid4(), uuid4()
    open_, _ = accepted(state, first, second), accepted(state, first, settled=True)
    copy, new = tmp_path / "copy", empty(tmp_path)
    (before,) = ask(state / "ledger.db", "SELECT id FROM instance")

    ran = nrc(state, "backup", str(copy))

    assert ran.code == 0, ran.err
    assert ran.out.endswith("1 applications, 2 notificaties, 2 open deliveries\n")
    assert "RabbitMQ" not in ran.err
    names = ["backup.json", "ledger.db", "registry.db", "secret.keys"]
    assert sorted(file.name for file in copy.iterdir()) == names
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in copy.iterdir())
    made = json.loads((copy / "backup.json").read_text())["made"]
    late = accepted(state, first)

    ran = nrc(new, "restore", str(copy))

    assert ran.code == 0, ran.err
    assert ran.out == f"restored the backup of {made}: 0 kanalen, 0 abonnementen, 1 applications, " + (
        "2 notificaties, 2 open deliveries\n"
    )
    assert (
        f"2 open deliveries are brought out once `nrc up` or `nrc ledger` runs; what was delivered after "
        f"{made}, or is still in RabbitMQ, is sent twice" in ran.err
    )
    left = {file.name for file in new.iterdir()} - {"operator.log", "registry.db-wal", "registry.db-shm"}
    assert left >= {"ledger.db", "registry.db", "secret.keys"}
    assert not [name for name in left if "restoring" in name or name == "ledger.db-wal"]
    assert (new / "ledger.db").stat().st_mode & 0o777 == 0o600
    gap = "SELECT kind, scope, closed, detail FROM gap"
    assert ask(new / "ledger.db", gap) == [("everything", "", None, f"restored from the backup of {made}")]
    assert ask(copy / "ledger.db", gap) == [], "the backup stays as it is"
    ((after, at),) = ask(new / "ledger.db", "SELECT id, made FROM instance")
    assert after != before[0], "a ledger of its own"
    assert ask(new / "registry.db", "SELECT instance, mark, at FROM ledger") == [(after, 0, at)]

    async def look() -> None:
        async with open_ledger(new / "ledger.db") as ledger:
            assert {uuid: each.count for uuid, each in (await ledger.backlogs()).items()} == {
                first: 1,
                second: 1,
            }
            assert (found := await ledger.notificatie(open_)) is not None
            assert found.body == b"{}"
            assert await ledger.notificatie(late) is None

    asyncio.run(look())
    assert nrc(new, "trace", str(open_), "--json").code == 0


def test_a_ledger_that_is_here_is_not_overwritten(state: Path, tmp_path: Path) -> None:
    copy, new = tmp_path / "copy", empty(tmp_path)
    accepted(state, uuid4())
    assert nrc(state, "backup", str(copy)).code == 0
    (new / "ledger.db").write_bytes(b"today's")
    ran = nrc(new, "restore", str(copy))
    assert (ran.code, f"there already: {new / 'ledger.db'}" in ran.err) == (2, True)
    assert [file.name for file in new.iterdir() if file.suffix != ".lock"] == ["ledger.db"]

    ran = nrc(new, "restore", str(copy), "--without-ledger")

    assert ran.code == 0, ran.err
    assert "the ledger of the backup was not put back" in ran.err
    assert (new / "ledger.db").read_bytes() == b"today's"
    assert nrc(new, "token", "zac").code == 0


@pytest.mark.parametrize("fault", ["damaged", "of another program", "another key"])
def test_a_ledger_that_cannot_be_read_back_makes_no_backup(state: Path, tmp_path: Path, fault: str) -> None:
    accepted(state, uuid4())
    match fault:
        case "damaged":
            (state / "ledger.db").write_bytes(b"x" * 8192)
        case "of another program":
            (state / "ledger.db").unlink()
            ask(state / "ledger.db", "CREATE TABLE other (n)")
        case "another key":
            other = tmp_path / "other"
            other.mkdir()
            accepted(other, uuid4())
            (other / "ledger.db").replace(state / "ledger.db")
    ran = nrc(state, "backup", str(tmp_path / "copy"))
    assert ran.code in (1, 3), ran.err
    assert "ledger" in ran.err
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_disk_that_is_full_leaves_nothing_of_a_restore(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, new = tmp_path / "copy", empty(tmp_path)
    accepted(state, uuid4())
    assert nrc(state, "backup", str(copy)).code == 0

    copied = shutil.copyfile

    def full(source: Path, target: Path, **how: bool) -> object:
        if not str(target).endswith(".restoring"):
            return copied(source, target, **how)
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    ran = nrc(new, "restore", str(copy))
    assert ran.code != 0
    assert "No space left on device; nothing was changed" in ran.err
    assert not [*new.glob("*.db*"), *new.glob("secret.keys")]


def test_keys_of_the_environment_stay_there(state: Path, tmp_path: Path) -> None:
    key = {"NRC_SECRET_KEYS": (state / "secret.keys").read_text().splitlines()[-1]}
    copy, new = tmp_path / "copy", empty(tmp_path)
    ran = nrc(state, "backup", str(copy), env=key)
    assert "the keys are not in it" in ran.err
    assert not (copy / "secret.keys").exists()
    assert key["NRC_SECRET_KEYS"] not in (copy / "backup.json").read_text()

    ran = nrc(new, "restore", str(copy))
    assert ran.code == 1
    assert "the key is gone" in ran.err
    other = {"NRC_SECRET_KEYS": Fernet.generate_key().decode()}
    assert nrc(new, "restore", str(copy), env=other).code == 1
    assert not (new / "registry.db").exists()
    assert nrc(new, "restore", str(copy), env=key).code == 0
    assert not (new / "secret.keys").exists()


def test_a_backup_goes_to_an_empty_folder_only(state: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target in (state, tmp_path / "file"):
        ran = nrc(state, "backup", str(target))
        assert (ran.code, ran.err) == (
            2,
            f"nrc: {target} is not empty: a backup goes to a new or an empty folder\n",
        )
    assert nrc(state, "backup", str(tmp_path / "file" / "below")).code == 2


def test_without_a_registry_nothing_is_made(tmp_path: Path) -> None:
    ran = nrc(tmp_path, "backup", "copy")
    assert (ran.code, "there is no registry" in ran.err) == (2, True)
    assert [*tmp_path.iterdir()] == []


def test_a_backup_that_cannot_be_read_back_is_none(state: Path, tmp_path: Path) -> None:
    (state / "secret.keys").write_text(Fernet.generate_key().decode() + "\n")
    ran = nrc(state, "backup", str(tmp_path / "copy"))
    assert ran.code == 1
    assert "registry holds secrets under key" in ran.err
    assert list((tmp_path / "copy").iterdir()) == []


def test_nothing_is_restored_over_a_registry(state: Path, tmp_path: Path) -> None:
    nrc(state, "backup", str(tmp_path / "copy"))
    before = (state / "registry.db").read_bytes()
    ran = nrc(state, "restore", str(tmp_path / "copy"))
    assert ran.code == 2
    assert f"there already: {state / 'secret.keys'}, {state / 'registry.db'}" in ran.err
    assert (state / "registry.db").read_bytes() == before


def test_nothing_is_restored_beside_what_runs(state: Path, tmp_path: Path) -> None:
    copy, new = tmp_path / "copy", empty(tmp_path)
    nrc(state, "backup", str(copy))
    with only_up(new):
        ran = nrc(new, "restore", str(copy))
    assert (ran.code, "`nrc up` already runs" in ran.err) == (2, True)
    assert not (new / "registry.db").exists()


@pytest.mark.parametrize("fault", ["none", "no note", "no registry", "changed", "not a note"])
def test_what_is_no_whole_backup_is_refused(state: Path, tmp_path: Path, fault: str) -> None:
    copy, new = tmp_path / "copy", empty(tmp_path)
    if fault != "none":
        nrc(state, "backup", str(copy))
    match fault:
        case "no note":
            (copy / "backup.json").unlink()
        case "no registry":
            (copy / "registry.db").unlink()
        case "changed":
            with (copy / "registry.db").open("ab") as file:
                file.write(b"x")
        case "not a note":
            (copy / "backup.json").write_text("[]")
    ran = nrc(new, "restore", str(copy))
    assert ran.code == 2
    assert ("is not what it was" if fault == "changed" else "holds no whole backup") in ran.err
    assert not any(new.glob("registry.db*"))


def test_an_exclusive_lock_of_leftovers_is_seen(state: Path, tmp_path: Path) -> None:
    """Processes that outlive a killed `nrc up` hold its shared file locked."""
    copy, new = tmp_path / "copy", empty(tmp_path)
    nrc(state, "backup", str(copy))
    with shared_lock(new) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ran = nrc(new, "restore", str(copy))
    assert (ran.code, "do not stop" in ran.err) == (2, True)
