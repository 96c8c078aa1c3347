"""Files that say what processes have in memory that the ledger lacks, for when they end with it.

A process has its file for as long as that is so, and the lock on it for as long as it lives. However it
ends, a file without a lock is left; the keeper takes it into the ledger. All are on one host, as those of a
ledger in a file are.
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
    """The file of one process in `folder`. Blocks; from one thread at a time, or several."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{_NAME}{uuid4().hex}"
        self._opened: int | None = None
        self._lock = Lock()

    def tell(self, lacking: Incomplete) -> None:
        """The file is on disk and says this, whatever it said before. Raises OSError.

        until: None for a process that goes on: then until the ledger hears of it.
        """
        with self._lock:
            make_folder(self._file.parent)
            new = self._file.with_name(f".{self._file.name}")
            opened = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                # Before it has its name: what is found without a lock is left behind.
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
        """The ledger has it all: there is no file any more. Raises OSError."""
        with self._lock:
            self._file.unlink(missing_ok=True)
            self._close()

    def leave(self) -> None:
        """The process ends: what it told last is left behind."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None


class Left:
    """What a process left behind when it ended. lacking: what it lacked, as far as that could be read."""

    def __init__(self, file: Path, lacking: Incomplete) -> None:
        self._file = file
        self.lacking = lacking

    def remove(self) -> None:
        """The ledger has it. Raises OSError."""
        self._file.unlink(missing_ok=True)


def left_behind(folder: Path) -> Generator[Left, None, None]:
    """What processes left that have ended. Blocks. Raises OSError."""
    for file in sorted(folder.glob(f"{_NAME}*")):
        with suppress(FileNotFoundError, BlockingIOError):
            opened = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield Left(file, _read(opened))
            finally:
                os.close(opened)


def _read(opened: int) -> Incomplete:
    """What it says; of one that is not whole, that something is lacking since it was written."""
    written = int(os.fstat(opened).st_mtime * 1000)
    with suppress(ValueError, TypeError):
        since, until, count = orjson.loads(os.read(opened, 1000))
        return Incomplete(*(None if each is None else int(each) for each in (since, until, count)))
    return Incomplete(written)
