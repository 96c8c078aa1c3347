"""The disk of the power cuts: what was synced survives, and all else is lost."""

from __future__ import annotations

import mmap
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.power.disk import Disk, disk, unusable
from tests.chaos.power.model import PAGE, ROOT, Files, Loss

FILE = 0o100644

needs_fuse = pytest.mark.skipif(bool(unusable()), reason=unusable() or "-")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Disk]:
    """A disk with one folder of each model: `posix` and `journal`, both durable."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with disk(folder, ordered_below=["journal"]) as made:
        for name in ("posix", "journal"):
            (folder / name).mkdir()
        sync(folder)
        yield made


def sync(path: Path) -> None:
    """fsync(2) of a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def write(path: Path, content: bytes, *, flags: int = 0) -> Path:
    """As a program does that does not sync."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
    os.write(descriptor, content)
    os.close(descriptor)
    return path


# -- through the kernel


@needs_fuse
def test_what_was_synced_survives(mounted: Disk) -> None:
    file = write(mounted.folder / "posix" / "file", b"one" * 5000)
    sync(file)
    sync(file.parent)
    write(file, b"two")
    assert file.read_bytes().startswith(b"twoone")
    mounted.cut()
    assert file.read_bytes() == b"one" * 5000


@needs_fuse
@pytest.mark.parametrize("model", ["posix", "journal"])
def test_a_file_that_was_not_synced_is_lost(mounted: Disk, model: str) -> None:
    """The unsafe program: a check of these tests, that the disk does forget."""
    file = write(mounted.folder / model / "file", b"content")
    mounted.cut()
    assert not file.exists()


@needs_fuse
def test_a_name_whose_content_was_not_synced_is_an_empty_file(mounted: Disk) -> None:
    file = write(mounted.folder / "posix" / "file", b"content")
    sync(file.parent)
    mounted.cut()
    assert file.read_bytes() == b""


@needs_fuse
def test_posix_content_without_its_name_is_lost(mounted: Disk) -> None:
    file = write(mounted.folder / "posix" / "file", b"content")
    sync(file)
    mounted.cut()
    assert not file.exists()


@needs_fuse
def test_with_a_journal_the_sync_of_a_file_makes_its_name_durable_and_all_before(mounted: Disk) -> None:
    before = write(mounted.folder / "journal" / "before", b"content")
    file = write(mounted.folder / "journal" / "file", b"content")
    after = write(mounted.folder / "journal" / "after", b"content")
    sync(file)
    mounted.cut()
    assert file.read_bytes() == b"content"
    assert before.read_bytes() == b"", "its name came with the journal, its content was not synced"
    assert not after.exists()


@needs_fuse
def test_a_rename_is_there_when_the_folder_was_synced_and_never_half(mounted: Disk) -> None:
    folder = mounted.folder / "posix"
    for name, content in (("file", b"old"), ("new", b"new")):
        sync(write(folder / name, content))
    sync(folder)
    (folder / "new").rename(folder / "file")
    assert (folder / "file").read_bytes() == b"new"
    mounted.cut()
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == {"file": b"old", "new": b"new"}
    (folder / "new").rename(folder / "file")
    sync(folder)
    mounted.cut()
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == {"file": b"new"}


@needs_fuse
def test_a_removal_without_sync_of_the_folder_is_undone(mounted: Disk) -> None:
    file = write(mounted.folder / "posix" / "file", b"content")
    sync(file)
    sync(file.parent)
    file.unlink()
    mounted.cut()
    assert file.read_bytes() == b"content"


@needs_fuse
def test_a_link_is_another_name_of_the_same_file(mounted: Disk) -> None:
    file = write(mounted.folder / "posix" / "file", b"content")
    other = file.with_name("other")
    os.link(file, other)
    sync(file)
    sync(file.parent)
    file.unlink()
    write(other, b"CON")
    assert other.stat().st_nlink == 1
    mounted.cut()
    assert other.read_bytes() == file.read_bytes() == b"content"


@needs_fuse
def test_a_disk_that_lies_keeps_nothing_that_was_synced(tmp_path: Path) -> None:
    with disk(tmp_path, lies=True) as lying:
        file = write(tmp_path / "file", b"content", flags=os.O_SYNC)
        sync(file)
        sync(tmp_path)
        lying.cut()
        assert not file.exists()


@needs_fuse
@pytest.mark.parametrize("flags", [os.O_SYNC, os.O_DSYNC])
def test_a_synchronous_write_is_durable(mounted: Disk, flags: int) -> None:
    file = write(mounted.folder / "journal" / "file", b"content", flags=flags)
    mounted.cut()
    assert file.read_bytes() == b"content"


@needs_fuse
def test_an_open_file_without_a_name_can_be_used(mounted: Disk) -> None:
    file = write(mounted.folder / "posix" / "file", b"content")
    with file.open("r+b") as opened:
        file.unlink()
        opened.write(b"more")
        opened.flush()
        opened.seek(0)
        assert opened.read() == b"moreent"
        assert os.fstat(opened.fileno()).st_nlink == 0


@needs_fuse
def test_a_shared_mapping_is_seen_at_once_and_durable_when_synced(mounted: Disk) -> None:
    file = write(mounted.folder / "posix" / "file", bytes(PAGE))
    sync(file)
    sync(file.parent)
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), PAGE) as mapping:
        mapping[:4] = b"some"
        read = subprocess.run(["head", "-c", "4", str(file)], capture_output=True, check=True)
        assert read.stdout == b"some"
        mapping.flush()
        mapping[:4] = b"more"
    mounted.cut()
    assert file.read_bytes()[:4] == b"some"


INSERTS = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute(f"PRAGMA synchronous={sys.argv[2]}")
db.execute("CREATE TABLE IF NOT EXISTS t (n)")
for n in range(50):
    db.execute("INSERT INTO t VALUES (?)", [n])
print("committed", flush=True)
sys.stdin.read()
"""


@needs_fuse
@pytest.mark.parametrize(("synchronous", "kept"), [("FULL", 50), ("OFF", 0)])
def test_sqlite_keeps_what_it_synced_and_loses_it_with_synchronous_off(
    mounted: Disk, synchronous: str, kept: int
) -> None:
    """OFF is the check that the disk does forget: an unsafe database is caught."""
    file = write(mounted.folder / "posix" / "some.db", b"")
    sync(file)
    sync(file.parent)
    with subprocess.Popen(
        [sys.executable, "-c", INSERTS, str(file), synchronous],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"committed\n"
        mounted.freeze()
        process.kill()
        mounted.cut()
    db = sqlite3.connect(file)
    try:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = db.execute("SELECT count(*) FROM t").fetchone()[0]
    except sqlite3.OperationalError:
        found = 0  # not even the table
    db.close()
    assert found == kept


# -- the model by itself


def durable(files: Files, name: bytes) -> bytes:
    """What a file has after a cut."""
    files.cut()
    return bytes(files.lookup(ROOT, name).content)


@pytest.mark.parametrize("seed", range(20))
def test_by_chance_any_page_survives_and_what_was_synced_always_does(seed: int) -> None:
    files = Files(loss=Loss.SCATTER, seed=seed)
    number = files.make(ROOT, b"file", FILE).number
    files.write(number, 0, b"a" * 4 * PAGE)
    files.fsync(number)
    files.fsync(ROOT)
    files.write(number, PAGE, b"b" * 7 * PAGE)
    found = durable(files, b"file")
    assert len(found) >= 4 * PAGE
    assert found[:PAGE] == b"a" * PAGE
    assert set(found[PAGE : 4 * PAGE]) <= set(b"ab")
    assert set(found[4 * PAGE :]) <= set(b"b\0")


def test_by_chance_pages_survive_in_any_order_and_some_are_torn() -> None:
    seen = set()
    for seed in range(100):
        files = Files(loss=Loss.SCATTER, seed=seed)
        number = files.make(ROOT, b"file", FILE).number
        files.write(number, 0, b"a" * 2 * PAGE)
        files.fsync(number)
        files.fsync(ROOT)
        files.write(number, 0, b"b" * 2 * PAGE)
        found = durable(files, b"file")
        pages = found[:PAGE], found[PAGE:]
        seen.add("".join("t" if len(set(page)) > 1 else chr(page[0]) for page in pages))
    assert {"aa", "ab", "ba", "bb"} < seen
    assert any("t" in each for each in seen)


def test_by_chance_the_first_names_of_a_journal_survive() -> None:
    seen = set()
    for seed in range(50):
        files = Files(loss=Loss.SCATTER, seed=seed)
        for name in (b"a", b"b", b"c"):
            files.make(ROOT, name, FILE)
        files.cut()
        seen.add(b"".join(sorted(files.inode(ROOT).names)))
    assert seen == {b"", b"a", b"ab", b"abc"}


def test_a_truncation_that_was_not_synced_is_undone_but_not_after_the_journal() -> None:
    for synced, found in ((False, b"content"), (True, b"con")):
        files = Files(ordered_below=[b"d"])
        folder = files.make(ROOT, b"d", 0o040755).number
        files.fsync(ROOT)
        number = files.make(folder, b"file", FILE).number
        files.write(number, 0, b"content")
        files.fsync(number)
        files.truncate(number, 3)
        if synced:
            files.fsync(files.make(folder, b"other", FILE).number)
        files.cut()
        assert bytes(files.lookup(folder, b"file").content) == found


def test_a_sync_of_data_alone_commits_a_new_name_but_not_a_time() -> None:
    files = Files(ordered_below=[b"d"])
    folder = files.make(ROOT, b"d", 0o040755).number
    files.fsync(ROOT)
    number = files.make(folder, b"file", FILE).number
    files.write(number, 0, b"content")
    files.fsync(number, only_data=True)
    files.make(folder, b"other", FILE)
    files.write(number, 0, b"CON")
    files.fsync(number, only_data=True)
    files.cut()
    assert files.inode(folder).names.keys() == {b"file"}
    assert bytes(files.lookup(folder, b"file").content) == b"CONtent"


def test_everything_is_durable_after_sync() -> None:
    files = Files(ordered_below=[b"d"])
    for folder in (files.make(ROOT, b"d", 0o040755), files.make(ROOT, b"p", 0o040755)):
        files.write(files.make(folder.number, b"file", FILE).number, 0, b"content")
    files.sync()
    files.cut()
    for name in (b"d", b"p"):
        assert bytes(files.lookup(files.lookup(ROOT, name).number, b"file").content) == b"content"


def test_a_folder_with_something_in_it_is_not_removed() -> None:
    files = Files()
    folder = files.make(ROOT, b"d", 0o040755).number
    files.make(folder, b"file", FILE)
    with pytest.raises(OSError, match="not empty"):
        files.rmdir(ROOT, b"d")
    files.unlink(folder, b"file")
    files.rmdir(ROOT, b"d")
    assert not files.inode(ROOT).names
