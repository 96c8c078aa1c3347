"""Transactions on a PostgreSQL database: a pool of connections, and what happens when one is lost.

Owns connections, transactions, retries, and the translation of PostgreSQL's errors. Knows nothing of what the
tables mean: `Contents` has what differs between the registry and the ledger. Each transaction sets by itself
what it needs, so that PgBouncer may lend out connections by transaction.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import psycopg
from psycopg import AsyncCursor
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from runtime.log import logger
from schemas.errors import NrcError
from store.database.address import Address, Connection, connect, options
from store.database.faults import is_lost, passes, said, told
from store.database.schema_steps import After, Before, Step, apply_steps
from store.faults import Faults

PATIENCE = 5.0
"""Seconds for which a transaction waits for a lock, and is tried again when the database is away."""
PAUSE = 0.1  # seconds before the first other try; twice as long before each next one
LONGEST_PAUSE = 1.0
MARGIN = 5.0
"""Seconds after the server should have broken a statement off, at which the connection is cut here."""
STOOD_STILL = 10.0
"""Seconds after which the server ends a transaction whose process does nothing: it may hold locks."""
GONE = 2.0
"""Seconds within which the server notices that a process is gone, also while it carries out a statement."""
# A step may go through a large table, and who starts meanwhile waits for it.
_FOR_STEPS = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60 s'; "

log = logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in the database, of one kind.

    faults: its errors; their name tells its schema steps apart. steps: its tables, as steps that only go
    forward. before, after: called in the transaction of the steps. longest: seconds after which a statement
    is broken off, as a fault. most: connections at once.
    """

    faults: Faults
    steps: Mapping[str, Step]
    before: Before | None = None
    after: After | None = None
    longest: float = 30.0
    most: int = 4


class Database:
    """Transactions: `read` sees one snapshot, `write` is on the server's disk when it returns.

    Any number of processes of any number of hosts may use the database. While it is away, as in a failover,
    a transaction is tried again for `patience` seconds. Raises the errors of `contents` only.
    """

    def __init__(self, address: Address, contents: Contents, *, patience: float = PATIENCE) -> None:
        self.address = address
        self._contents = contents
        self._patience = patience
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._found_out = ""
        self._turn = asyncio.Lock()
        self._away = False

    async def __aenter__(self) -> Self:
        done = await self._persist(self._start, loses_nothing=True)
        pool = AsyncConnectionPool[Connection](
            # As text in no line of a log: the pool is given the options at each connection.
            kwargs=self._options,
            min_size=1,
            max_size=self._contents.most,
            # Afterwards each transaction that needs one asks for a connection again, without a pause.
            reconnect_timeout=1.0,
            name=self._contents.faults.name,
            open=False,
        )
        await pool.open()
        self._pool = pool
        if done:
            log.info("database tables made or changed", database=self.address.shown, steps=done)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()

    async def read(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` on one snapshot, and return its result. It may be called again after a fault."""
        begin = f"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {self._settings}{self._found_out}"
        return await self._persist(lambda: self._once(begin, work), loses_nothing=True)

    async def write(
        self, work: Callable[[Connection], Awaitable[T]], *, lock: str = "", repeatable: bool = False
    ) -> T:
        """Run `work` in a transaction, and commit; when it raises everything is rolled back.

        It may be called again after a fault that passes. Not when the connection was lost at the commit, so
        that nobody knows whether that was done, unless it is `repeatable`. lock: a statement without
        parameters that is carried out first, in the same round trip.
        """
        begin = f"BEGIN ISOLATION LEVEL READ COMMITTED; {self._settings}{self._found_out}{lock}"
        # One of this process at a time waits for the lock: the others would keep connections from reads.
        async with self._turn if lock else nullcontext():
            return await self._persist(lambda: self._once(begin, work), loses_nothing=repeatable)

    async def write_knowing(
        self,
        question: str,
        work: Callable[[Connection, DictRow], Awaitable[T]],
        *,
        repeatable: bool = False,
    ) -> T:
        """As `write`, with the one row that `question` gives, which is asked in the first round trip.

        question: a query without parameters; statements may stand before it. As with a lock, one of this
        process at a time.
        """
        begin = f"BEGIN ISOLATION LEVEL READ COMMITTED; {self._settings}{self._found_out}{question}"

        async def knowing(connection: Connection, begun: AsyncCursor[DictRow]) -> T:
            while begun.nextset():
                pass
            row = await begun.fetchone()
            assert row is not None  # noqa: S101 - it gives one row
            return await work(connection, row)

        async with self._turn:
            return await self._persist(lambda: self._carry_out(begin, knowing), loses_nothing=repeatable)

    @property
    def _settings(self) -> str:
        """What is set for one transaction. The schema's name is plain: runtime/settings.py checks it."""
        milliseconds = {
            "statement_timeout": self._contents.longest,
            "lock_timeout": self._patience,
            "idle_in_transaction_session_timeout": STOOD_STILL,
        }
        limits = "".join(f"SET LOCAL {name} = {at * 1000:.0f}; " for name, at in milliseconds.items())
        return f'SET LOCAL search_path = "{self.address.schema}"; {limits}'

    def _options(self) -> dict[str, object]:
        return options(self.address) | {
            "autocommit": True,
            "prepare_threshold": None,
            "row_factory": dict_row,
        }

    async def _persist(self, attempt: Callable[[], Awaitable[T]], *, loses_nothing: bool) -> T:
        """`attempt`, and again while the database is away, for as long as our patience lasts."""
        until = time.monotonic() + self._patience
        pause = PAUSE
        while True:
            try:
                result = await attempt()
            except _Unknown as error:
                if not loses_nothing:
                    raise self._unknown(error.cause) from error.cause
                fault: psycopg.Error | OSError = error.cause
            except (psycopg.Error, OSError) as error:
                if not passes(error):
                    raise told(self._contents.faults, self.address, error) from error
                fault = error
            else:
                if self._away:
                    self._away = False
                    log.info("database is back", database=self.address.shown)
                return result
            if not self._away:
                self._away = True
                log.warning("database is away", database=self.address.shown, reason=said(fault))
            if time.monotonic() + pause > until:
                raise told(self._contents.faults, self.address, await self._cause(fault)) from fault
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _once(self, begin: str, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._carry_out(begin, lambda connection, _: work(connection))

    async def _carry_out(
        self, begin: str, work: Callable[[Connection, AsyncCursor[DictRow]], Awaitable[T]]
    ) -> T:
        connection = await self._connection()
        committing = False
        # A server that answers nothing, though its host lives, would be waited for without an end.
        cut = asyncio.get_running_loop().call_later(self._contents.longest + MARGIN, _cut, connection)
        try:
            begun = await connection.execute(begin)
            result = await work(connection, begun)
            committing = True
            ended = await connection.execute("COMMIT")
            if ended.statusmessage != "COMMIT":
                # `work` went on after a fault of a statement: nothing was written.
                raise psycopg.InternalError(f"the transaction ended with {ended.statusmessage}")
            return result
        except (psycopg.Error, OSError) as error:
            if committing and is_lost(error):
                raise _Unknown(error) from error
            raise
        finally:
            await self._give_back(connection)
            cut.cancel()

    async def _connection(self) -> Connection:
        if self._pool is None:
            raise self._contents.faults.error(
                f"the {self._contents.faults.name} {self.address.shown} is not open."
            )
        return await self._pool.getconn(timeout=self._patience)

    async def _give_back(self, connection: Connection) -> None:
        with suppress(psycopg.Error, OSError):
            if connection.info.transaction_status != TransactionStatus.IDLE:
                await connection.rollback()
        if self._pool is None:
            await connection.close()
        else:
            await self._pool.putconn(connection)

    async def _start(self) -> list[str]:
        """Do the schema steps, on a connection of its own: so that it says why there is none."""
        connection = await connect(self.address)
        try:
            async with connection.transaction():
                await connection.execute(self._settings + _FOR_STEPS)
                done = await apply_steps(
                    connection,
                    self.address,
                    self._contents.steps,
                    before=self._contents.before,
                    after=self._contents.after,
                    faults=self._contents.faults,
                )
            self._found_out = await self._find_out(connection)
        finally:
            await connection.close()
        return done

    async def _find_out(self, connection: Connection) -> str:
        """What is set for one transaction too, by how this server is set and what it can do."""
        row = await (
            await connection.execute(
                "SELECT current_setting('synchronous_commit') AS commits, current_setting('fsync') AS syncs"
            )
        ).fetchone()
        assert row is not None  # noqa: S101 - it has no condition
        if row["syncs"] == "off":
            log.warning("database may lose commits", database=self.address.shown, setting="fsync is off")
        # Every commit is synced; what is stricter than that stays as it is.
        found = "SET LOCAL synchronous_commit = on; " if row["commits"] == "off" else ""
        # A transaction ends with its connection, also while a statement runs: it may hold locks. A server
        # that is not on Linux may not be able to.
        check = f"SET LOCAL client_connection_check_interval = {GONE * 1000:.0f}; "
        with suppress(psycopg.Error):
            await connection.execute(f"BEGIN; {check} COMMIT")
            found += check
        return found

    def _unknown(self, error: BaseException) -> NrcError:
        return self._contents.faults.error(
            f"the {self._contents.faults.name} {self.address.shown}: the connection was lost at the commit, "
            f"so nobody knows whether this was written ({said(error)}); look, and try again."
        )

    async def _cause(self, fault: psycopg.Error | OSError) -> psycopg.Error | OSError:
        """Why no connection could be had: the pool does not say."""
        if isinstance(fault, PoolTimeout):
            try:
                await (await connect(self.address)).close()
            except (psycopg.Error, OSError) as error:
                return error
            return PoolTimeout(f"all {self._contents.most} connections of this process are in use")
        return fault


class _Unknown(Exception):
    """The connection was lost at a commit."""

    def __init__(self, cause: psycopg.Error | OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _cut(connection: Connection) -> None:
    """End the connection under whoever waits for an answer on it."""
    with suppress(psycopg.Error, OSError), socket.socket(fileno=socket.dup(connection.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)
