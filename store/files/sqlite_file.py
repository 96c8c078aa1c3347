"""One SQLite file, written by one thread and read by others, on one host.

Owns the connections, their threads, the transactions, and the translation of SQLite's errors. Knows nothing
of what the tables mean: `Contents` has what differs between the registry and the ledger.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from uuid import uuid4

from sqlite_utils import Database

from runtime.log import logger
from store.faults import Faults
from store.files.durable import make_folder, sync_folder
from store.files.faults import told
from store.files.host_lease import AGE, RENEWAL, refuse_other_hosts, release, renew, shown_before_reboot
from store.files.schema_steps import steps_done
from store.files.upgrade import scrub

BUSY_TIMEOUT = 5.0
AGAIN = 1.0
"""Seconds between two tries to get the lease."""
LAST_WAIT = 0.3
"""Seconds that a process waits for the lock when it stops."""

_STEPS = 10_000  # of SQLite's virtual machine, some 0.1 ms, between two looks at the time
_REPLACED = "was removed or replaced while it was in use: restart this process."

log = logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Contents:
    """How a file is opened, read and written, by what is in it.

    faults: its errors. migrate: brings the tables up to date within the first transaction, and returns the
    steps that it did. migrated: called after that with those steps, outside a transaction. readers: how many
    reads run at once. longest_read: seconds after which a read is broken off, as a fault; None for never.
    secure_delete: overwrite removed content in unused parts of a page. cache: kB of pages that each
    connection keeps, at most.
    """

    faults: Faults
    migrate: Callable[[Database, Path], Sequence[str]]
    migrated: Callable[[Database, Path, Sequence[str]], None] | None = None
    readers: int = 1
    longest_read: float | None = None
    secure_delete: bool = True
    cache: int = 2000


class SqliteFile:
    """Transactions on one file: `read` sees one snapshot, `write` is on disk when it returns.

    Any number of processes of one host may have the file open. Raises the errors of `contents` only.
    boot: identifies this host (`store.files.host_lease.boot_id`). Times are in seconds.
    """

    def __init__(
        self,
        file: Path,
        contents: Contents,
        *,
        boot: str,
        busy_timeout: float = BUSY_TIMEOUT,
        renewal: float = RENEWAL,
    ) -> None:
        self._file = file
        self._contents = contents
        self._boot = boot
        self._renewal = renewal
        self._holder = f"{os.getpid()}-{uuid4()}"
        self._writer = _Connection(file, contents, busy_timeout=busy_timeout, task="writer")
        self._readers = [
            _Connection(file, contents, busy_timeout=busy_timeout, task=f"reader-{number}")
            for number in range(contents.readers)
        ]
        self._keeper: asyncio.Task[None] | None = None
        self._unusable = "is not open."
        self._opened: tuple[int, int] | None = None
        self._steps = 0

    async def __aenter__(self) -> Self:
        try:
            await self._writer.run(self._open_writer)
            await self._start_when_free()
            for reader in self._readers:
                await reader.run(reader.open)
        except BaseException:
            await self._close()
            raise
        self._unusable = ""
        self._opened = _inode(self._file)
        self._keeper = asyncio.create_task(self._keep_lease(), name=f"{self._contents.faults.name} lease")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        # A lease that is not released runs out by itself.
        with suppress(self._contents.faults.error):
            await self._writer.run(lambda: self._writer.wait_at_most(LAST_WAIT))
            await self.write(lambda db: release(db, holder=self._holder))
        self._unusable = "is not open."
        await self._close()

    async def read(self, work: Callable[[Database], T]) -> T:
        """Run `work` on one snapshot, and return its result; it must have fetched all rows by then."""
        self._check_usable()
        reader = min(self._readers, key=lambda each: each.waiting)

        def snapshot() -> T:
            self._refuse_replaced()
            db = reader.db
            reader.break_off_after(self._contents.longest_read)
            db.execute("BEGIN")
            try:
                self._refuse_newer(db)
                return work(db)
            finally:
                db.rollback()

        return await reader.run(snapshot)

    async def write(self, work: Callable[[Database], T]) -> T:
        """Run `work` in a write transaction, and commit; when it raises everything is rolled back."""
        self._check_usable()

        def transaction() -> T:
            with _immediate(self._writer.db) as db:
                self._refuse_replaced()
                # A host that was paused may resume after another has taken over.
                self._refuse_other_hosts(db)
                self._refuse_newer(db)
                return work(db)

        return await self._writer.run(transaction)

    def _refuse_replaced(self) -> None:
        """Raise when the file is another one now: no process opens again what would be written or read."""
        if self._was_replaced():
            raise self._contents.faults.error(f"{self._file} {_REPLACED}")

    def _was_replaced(self) -> bool:
        if _inode(self._file) == self._opened:
            return False
        if not self._unusable:
            self._unusable = _REPLACED
            log.error("database file replaced", file=str(self._file))
        return True

    async def scrub(self) -> None:
        """Remove overwritten and deleted content from the file, as far as other processes allow."""
        await self._writer.run(lambda: scrub(self._writer.db, self._file))

    async def _start_when_free(self) -> None:
        """`_start`, once this host's own lease from before a reboot has run out. Raises as `_start`."""
        shown = None
        while True:
            try:
                return await self._writer.run(self._start)
            except self._contents.faults.in_use:
                before, shown = shown, await self._writer.run(self._shown_before_reboot)
                if shown is None or before not in (None, shown):
                    raise
                if before is None:
                    log.warning(
                        "waiting for the lease of before the reboot", file=str(self._file), at_most_s=AGE
                    )
            await asyncio.sleep(AGAIN)

    def _open_writer(self) -> None:
        _create(self._file)
        self._writer.open()
        deadline = time.monotonic() + self._writer.busy_timeout
        _use_wal(self._writer.db, self._file, deadline=deadline, faults=self._contents.faults)

    def _shown_before_reboot(self) -> float | None:
        return shown_before_reboot(self._writer.db, boot=self._boot, now=time.time())

    def _start(self) -> None:
        with _immediate(self._writer.db) as db:
            done = self._contents.migrate(db, self._file)
            self._steps = steps_done(db)
            self._refuse_other_hosts(db)
            renew(db, holder=self._holder, boot=self._boot, now=time.time())
        if done and self._contents.migrated is not None:
            self._contents.migrated(self._writer.db, self._file, done)

    def _refuse_other_hosts(self, db: Database) -> None:
        error = self._contents.faults.in_use
        refuse_other_hosts(db, self._file, boot=self._boot, now=time.time(), error=error)

    def _refuse_newer(self, db: Database) -> None:
        """Raise when a newer program changed the tables: this one would misread them."""
        if steps_done(db) != self._steps:
            raise self._contents.faults.too_new(
                f"{self._file} was upgraded by a newer version of nrc while this process had it open: "
                "restart this process with that version."
            )

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self._renewal)
            if self._was_replaced():
                return
            try:
                await self.write(lambda db: renew(db, holder=self._holder, boot=self._boot, now=time.time()))
            except self._contents.faults.error as error:
                log.error("database lease not renewed", file=str(self._file), reason=str(error))

    def _check_usable(self) -> None:
        if self._unusable:
            raise self._contents.faults.error(f"{self._file} {self._unusable}")

    async def _close(self) -> None:
        for reader in self._readers:
            await reader.close()
        # The writer last, so that it checkpoints the write-ahead log into the file.
        await self._writer.close()


class _Connection:
    """A connection and the one thread that uses it. waiting: calls that are not done yet."""

    def __init__(self, file: Path, contents: Contents, *, busy_timeout: float, task: str) -> None:
        self._file = file
        self._contents = contents
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{contents.faults.name}-{task}")
        self._db: Database | None = None
        self.busy_timeout = busy_timeout
        self.waiting = 0

    @property
    def db(self) -> Database:
        assert self._db is not None, "used before it was opened"  # noqa: S101
        return self._db

    def open(self) -> None:
        # Autocommit: transactions are begun here; those that the module begins itself are DEFERRED.
        connection = sqlite3.connect(self._file, timeout=self.busy_timeout, isolation_level=None)
        self._db = Database(connection, execute_plugins=False)
        # In WAL mode anything less may lose the last commits in a power cut.
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(f"PRAGMA secure_delete={'ON' if self._contents.secure_delete else 'OFF'}")
        self._db.execute(f"PRAGMA cache_size=-{self._contents.cache}")

    def wait_at_most(self, seconds: float) -> None:
        self.db.execute(f"PRAGMA busy_timeout={seconds * 1000:.0f}")

    def break_off_after(self, seconds: float | None) -> None:
        """From now on statements are interrupted that go on for longer than so many seconds from now."""
        if seconds is not None:
            until = time.monotonic() + seconds
            self.db.conn.set_progress_handler(lambda: time.monotonic() > until, _STEPS)

    async def run(self, work: Callable[[], T]) -> T:
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            raise told(self._contents.faults, self._file, error) from error
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        def close() -> None:
            if self._db is not None:
                self._db.close()
                self._db = None

        await self.run(close)
        self._thread.shutdown(wait=False)


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
    # One at a time: closing any descriptor of a file drops all locks of this process on it, also those of a
    # connection that another thread opened meanwhile.
    with _creating:
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return
        sync_folder(file.parent)


def _use_wal(db: Database, file: Path, *, deadline: float, faults: Faults) -> None:
    """Write-ahead logging, so that readers and the writer don't wait for each other."""
    while True:
        try:
            mode = db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            # SQLite ignores the busy timeout here when several processes open a new file at once.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    if mode != "wal":
        raise faults.error(f"{file}: its file system cannot share memory; put NRC_STATE_DIR on a local disk.")


def _inode(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
