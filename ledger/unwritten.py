"""Files in which processes note that they have entries or outcomes in memory that the ledger lacks.

A process has its file, locked, for as long as that is so. A file without a lock is of a process that ended,
in whatever way: the keeper notes it in the ledger. All are on one host, as a ledger in a file and its
processes are.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from uuid import uuid4

import orjson

from ledger.values import Incomplete
from store.files.durable import make_folder, sync_folder

_NAME = "ledger.unwritten."


class Unwritten:
    """The file of one process in `folder`. Its methods block; any thread may call them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{_NAME}{uuid4().hex}"
        self._opened: int | None = None
        self._lock = Lock()

    def tell(self, lacking: Incomplete) -> None:
        """Write this to the file, in place of what it said, and sync it. Raises OSError.

        until: None while the process goes on: then it counts until the keeper notes it in the ledger.
        """
        with self._lock:
            make_folder(self._file.parent)
            new = self._file.with_name(f".{self._file.name}")
            opened = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                # Before it has its name: a file without a lock counts as left behind.
                fcntl.flock(opened, fcntl.LOCK_EX)
                os.write(opened, orjson.dumps([lacking.since, lacking.until, lacking.count]))
                os.fsync(opened)
                new.replace(self._file)
                sync_folder(self._file.parent)
            except OSError:
                os.close(opened)
                raise
            self._close()
            self._opened = opened

    def over(self) -> None:
        """Remove the file: the ledger has everything. Raises OSError."""
        with self._lock:
            self._file.unlink(missing_ok=True)
            self._close()

    def leave(self) -> None:
        """Leave the file behind, without its lock: the process ends."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None


class Left:
    """The file of a process that ended. lacking: what the ledger lacks of it, as far as could be read."""

    def __init__(self, file: Path, lacking: Incomplete) -> None:
        self._file = file
        self.lacking = lacking

    def remove(self) -> None:
        """Remove the file: the ledger has the note. Raises OSError."""
        self._file.unlink(missing_ok=True)


def left_behind(folder: Path) -> Generator[Left, None, None]:
    """Yield the files of processes that ended. Blocks. Raises OSError."""
    for file in sorted(folder.glob(f"{_NAME}*")):
        with suppress(FileNotFoundError, BlockingIOError):
            opened = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield Left(file, _read(opened))
            finally:
                os.close(opened)


def _read(opened: int) -> Incomplete:
    """What a file says; of a damaged one, that something is lacking since it was written."""
    written = int(os.fstat(opened).st_mtime * 1000)
    with suppress(ValueError, TypeError):
        since, until, count = orjson.loads(os.read(opened, 1000))
        return Incomplete(*(None if each is None else int(each) for each in (since, until, count)))
    return Incomplete(written)
