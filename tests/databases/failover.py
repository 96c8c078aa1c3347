"""Two PostgreSQL servers, of which the one that takes writes is killed, and a standby that takes over."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from tests.databases.postgresql import PrivateServer
from tests.eventually import eventually


class Pair:
    """A primary, and a standby once `attach` made it. url: of both, for NRC_DATABASE_URL."""

    def __init__(self, primary: PrivateServer, other: PrivateServer) -> None:
        self.primary = primary
        self._other = other
        self.url = (
            f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{other.port}/postgres"
            "?target_session_attrs=read-write"
        )

    async def attach(self, *, synchronous: bool = False) -> None:
        """The other is a standby of the primary, whatever it was, and has all that this has.

        synchronous: from now on the primary confirms what the standby has too.
        """
        await asyncio.to_thread(self._other.follow, self.primary)
        await self._other.start()

        async def streams() -> bool:
            return bool(await self._ask("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"))

        await eventually(streams, within=30)
        names = "'*'" if synchronous else "''"
        await self._ask(f"ALTER SYSTEM SET synchronous_standby_names = {names}")
        await self._ask("SELECT pg_reload_conf()")
        if synchronous:
            query = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"

            async def is_synchronous() -> bool:
                return bool(await self._ask(query))

            await eventually(is_synchronous, within=30)

    async def stop_sending(self) -> None:
        """From now on the standby gets nothing of what the primary commits."""
        for (pid,) in await self._ask("SELECT pid FROM pg_stat_replication"):
            os.kill(pid, signal.SIGSTOP)

    async def fail_over(self, *, after: float) -> None:
        """The primary is killed; so many seconds later the standby takes writes, and is the primary."""
        await self.primary.kill()
        await asyncio.sleep(after)
        await self.promote()

    async def promote(self) -> None:
        """The primary is gone: the standby takes writes, and is the primary."""
        self.primary, self._other = self._other, self.primary
        # It was a synchronous standby's own: nobody follows it.
        await self._ask("ALTER SYSTEM SET synchronous_standby_names = ''")
        await self._ask("SELECT pg_reload_conf()")
        await self.primary.promote()

    async def _ask(self, statement: str) -> list[tuple[int, ...]]:
        url = self.primary.url
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            cursor = await connection.execute(statement)  # type: ignore[call-overload]
            return await cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """A primary that runs; both are gone afterwards."""
    primary, other = PrivateServer(), PrivateServer()
    try:
        await asyncio.to_thread(primary.make)
        await primary.start()
        yield Pair(primary, other)
    finally:
        await primary.remove()
        await other.remove()
