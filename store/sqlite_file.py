"""One SQLite file, written by one thread and read by another, on one host.

Owns the connections, their threads, the transactions, and the way from SQLite's errors to RegistryError.
Knows nothing of what the tables mean.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from uuid import uuid4

from sqlite_utils import Database

from runtime.log import logger
from schemas.errors import Conflict, RegistryError, RegistryTooNew
from store.durable import make_folder, sync_folder
from store.lease import RENEWAL, refuse_other_hosts, release, renew
from store.schema import ENCRYPTED, STEPS, migrate, steps_done
from store.secrets import Vault
from store.upgrade import copy_name, scrub

BUSY_TIMEOUT = 5.0
LAST_WAIT = 0.3
"""Seconds for which a process that stops waits for the lock."""

_LOCKED = "another process keeps it locked (`fuser` on the file shows which); stop that, or try again"
_ADVICE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: "its disk is full; free some space",
    sqlite3.SQLITE_IOERR: "reading or writing it failed; check its disk, its free space and its quota",
    sqlite3.SQLITE_READONLY: "it cannot be written; give this user write access to it and to its folder",
    sqlite3.SQLITE_PERM: "access is denied; give this user read and write access to it and to its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; it must be a file in a folder that this user may write to",
    sqlite3.SQLITE_NOTADB: "it is not an SQLite database; point NRC_DATABASE_URL or NRC_STATE_DIR elsewhere",
    sqlite3.SQLITE_CORRUPT: "it is damaged; stop every process and restore a copy",
}

log = logger(__name__)
T = TypeVar("T")


class SqliteFile:
    """Transactions on one file: `read` sees one snapshot, `write` is on disk when it returns.

    Any number of processes of one host may have the file open. Raises RegistryError and its subclasses only.
    vault: opened with the file. boot: what tells this host from others (`store.lease.boot_id`). Times are in
    seconds.
    """

    def __init__(
        self,
        file: Path,
        *,
        vault: Vault,
        boot: str,
        busy_timeout: float = BUSY_TIMEOUT,
        renewal: float = RENEWAL,
    ) -> None:
        self._file = file
        self._vault = vault
        self._boot = boot
        self._renewal = renewal
        self._holder = f"{os.getpid()}-{uuid4()}"
        self._writer = _Connection(file, busy_timeout=busy_timeout, name="registry-writer")
        self._reader = _Connection(file, busy_timeout=busy_timeout, name="registry-reader")
        self._keeper: asyncio.Task[None] | None = None
        self._unusable = "is not open."
        self._steps = 0

    async def __aenter__(self) -> Self:
        try:
            await self._writer.run(self._open_writer)
            await self._reader.run(self._reader.open)
        except BaseException:
            await self._close()
            raise
        self._unusable = ""
        self._keeper = asyncio.create_task(self._keep_lease(), name="registry lease")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        # A lease that stays behind runs out by itself.
        with suppress(RegistryError):
            await self._writer.run(lambda: self._writer.wait_at_most(LAST_WAIT))
            await self.write(lambda db: release(db, holder=self._holder))
        self._unusable = "is not open."
        await self._close()

    async def read(self, work: Callable[[Database], T]) -> T:
        """What `work` makes of one snapshot; it must have fetched all that it needs when it returns."""
        self._check_usable()

        def snapshot() -> T:
            db = self._reader.db
            db.execute("BEGIN")
            try:
                self._refuse_newer(db)
                return work(db)
            finally:
                db.rollback()

        return await self._reader.run(snapshot)

    async def write(self, work: Callable[[Database], T]) -> T:
        """Run `work` while no one else writes the file, and commit; what it raises rolls all of it back."""
        self._check_usable()

        def transaction() -> T:
            with _immediate(self._writer.db) as db:
                # A host that was paused may wake up when another has taken over.
                refuse_other_hosts(db, self._file, boot=self._boot, now=time.time())
                self._refuse_newer(db)
                return work(db)

        return await self._writer.run(transaction)

    async def scrub(self) -> None:
        """Leave nothing in the file of what was overwritten or removed, as far as other processes let us."""
        await self._writer.run(lambda: scrub(self._writer.db, self._file))

    def _open_writer(self) -> None:
        _create(self._file)
        self._writer.open()
        _use_wal(self._writer.db, self._file, deadline=time.monotonic() + self._writer.busy_timeout)
        now = time.time()
        with _immediate(self._writer.db) as db:
            done = migrate(db, self._file, self._vault)
            self._steps = steps_done(db)
            refuse_other_hosts(db, self._file, boot=self._boot, now=now)
            renew(db, holder=self._holder, boot=self._boot, now=now)
        if done and len(done) < len(STEPS):
            copy = copy_name(self._file, done[0])
            log.info("registry upgraded", file=str(self._file), steps=done, copy=str(copy))
            if ENCRYPTED in done:
                scrub(self._writer.db, self._file)
                log.warning("the copy holds secrets in plain text; remove it once all works", copy=str(copy))

    def _refuse_newer(self, db: Database) -> None:
        """What a newer program made of the tables, this one would misread."""
        if steps_done(db) != self._steps:
            raise RegistryTooNew(
                f"{self._file} was upgraded by a newer version of nrc while this process had it open: "
                "restart this process with that version."
            )

    async def _keep_lease(self) -> None:
        opened = _inode(self._file)
        while True:
            await asyncio.sleep(self._renewal)
            if _inode(self._file) != opened:
                # What is written from here on would be in no file that anyone opens again.
                self._unusable = "was removed or replaced while it was in use: restart this process."
                log.error("registry file replaced", file=str(self._file))
                return
            try:
                await self.write(lambda db: renew(db, holder=self._holder, boot=self._boot, now=time.time()))
            except RegistryError as error:
                log.error("registry lease not renewed", reason=str(error))

    def _check_usable(self) -> None:
        if self._unusable:
            raise RegistryError(f"{self._file} {self._unusable}")

    async def _close(self) -> None:
        await self._reader.close()
        # Last, so that it is the one that moves the write-ahead log into the file.
        await self._writer.close()


class _Connection:
    """A connection and the one thread that uses it."""

    def __init__(self, file: Path, *, busy_timeout: float, name: str) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._db: Database | None = None
        self.busy_timeout = busy_timeout

    @property
    def db(self) -> Database:
        assert self._db is not None, "used before it was opened"  # noqa: S101
        return self._db

    def open(self) -> None:
        # Transactions are ours: the module's own habit of opening them would make them DEFERRED.
        connection = sqlite3.connect(self._file, timeout=self.busy_timeout, isolation_level=None)
        self._db = Database(connection, execute_plugins=False)
        # In WAL mode anything less leaves the last commits to the operating system's good fortune.
        self._db.execute("PRAGMA synchronous=FULL")
        # What is overwritten or removed does not stay behind in unused parts of a page.
        self._db.execute("PRAGMA secure_delete=ON")

    def wait_at_most(self, seconds: float) -> None:
        self.db.execute(f"PRAGMA busy_timeout={seconds * 1000:.0f}")

    async def run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            raise registry_error(self._file, error) from error

    async def close(self) -> None:
        def close() -> None:
            if self._db is not None:
                self._db.close()
                self._db = None

        await self.run(close)
        self._thread.shutdown(wait=False)


def registry_error(file: Path, error: sqlite3.Error | OSError) -> RegistryError:
    """What SQLite or the file system said, in words that say what to do."""
    if isinstance(error, OSError):
        return RegistryError(
            f"the registry {file}: {error.strerror or error}; set NRC_STATE_DIR to a folder that this user "
            "may write to."
        )
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return Conflict(f"that is taken already ({error}).")
    advice = _ADVICE.get(primary) if primary is not None else None
    return RegistryError(
        f"the registry {file}: {advice} ({error})." if advice else f"the registry {file}: {error}."
    )


@contextmanager
def _immediate(db: Database) -> Generator[Database, None, None]:
    # IMMEDIATE: a transaction that reads first and writes later fails at once, whatever the busy timeout,
    # when another process wrote in between.
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


_creating = threading.Lock()


def _create(file: Path) -> None:
    """Make the file, for its owner only, when it is not there."""
    make_folder(file.parent)
    # One at a time: closing any descriptor of a file drops the locks that this process has on it, also those
    # of a connection that another thread opened meanwhile.
    with _creating:
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return
        sync_folder(file.parent)


def _use_wal(db: Database, file: Path, *, deadline: float) -> None:
    """Write-ahead logging, so that readers and the writer don't wait for each other."""
    while True:
        try:
            mode = db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            # SQLite does not wait out the busy timeout here when several processes open a new file at once.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    if mode != "wal":
        raise RegistryError(
            f"{file}: its file system cannot share memory; put NRC_STATE_DIR on a local disk."
        )


def _inode(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
