"""The console's users and their sessions in the PostgreSQL registry: the SQL of store/users.py."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import asdict, replace

from schemas.errors import Conflict
from schemas.user import Role, Session, User
from store.database.address import Connection
from store.database.database import Database
from store.postgresql.schema import LOCK
from store.postgresql.statements import do, first, insert, rows, update
from store.rows import Row


class PostgresqlUsers:
    """The users in a registry's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, user: User, *, only_first: bool = False) -> None:
        async def work(connection: Connection) -> None:
            if only_first and await first(connection, "SELECT 1 FROM console_user LIMIT 1"):
                raise Conflict("there are users already.")
            if await _user(connection, user.name) is not None:
                raise Conflict(f"there is a user {user.name!r} already.")
            await insert(connection, "console_user", asdict(user))

        await self._database.write(work, lock=LOCK)

    async def every(self) -> tuple[User, ...]:
        async def work(connection: Connection) -> tuple[User, ...]:
            return tuple(map(_user_of, await rows(connection, "SELECT * FROM console_user ORDER BY name")))

        return await self._database.read(work)

    async def user(self, name: str) -> User | None:
        return await self._database.read(lambda connection: _user(connection, name))

    async def change(self, name: str, change: Callable[[User], User]) -> User:
        async def work(connection: Connection) -> User:
            before = await _user(connection, name)
            if before is None:
                raise Conflict(f"there is no user {name!r}.")
            changed = replace(await asyncio.to_thread(change, before), name=name)
            await update(connection, "console_user", "name", asdict(changed))
            if not hmac.compare_digest(changed.password, before.password):
                await do(connection, 'DELETE FROM console_session WHERE "user" = %s', name)
            return changed

        return await self._database.write(work, lock=LOCK)

    async def remove(self, name: str) -> bool:
        async def work(connection: Connection) -> bool:
            await do(connection, 'DELETE FROM console_session WHERE "user" = %s', name)
            return bool(await do(connection, "DELETE FROM console_user WHERE name = %s", name))

        return await self._database.write(work, lock=LOCK)

    async def begin_session(self, session: Session) -> None:
        async def work(connection: Connection) -> None:
            if await _user(connection, session.user) is None:
                raise Conflict(f"there is no user {session.user!r}.")
            await insert(connection, "console_session", asdict(session))

        await self._database.write(work, lock=LOCK)

    async def session(self, key: str) -> tuple[Session, User] | None:
        async def work(connection: Connection) -> tuple[Session, User] | None:
            row = await first(connection, "SELECT * FROM console_session WHERE key = %s", key)
            user = None if row is None else await _user(connection, row["user"])
            return None if row is None or user is None else (Session(**row), user)

        return await self._database.read(work)

    async def note_seen(self, key: str, at: float) -> None:
        async def work(connection: Connection) -> None:
            note = "UPDATE console_session SET seen = greatest(seen, %s) WHERE key = %s"
            await do(connection, note, at, key)

        await self._database.write(work, repeatable=True)

    async def count_sessions(self, *, seen_after: float, begun_after: float) -> int:
        async def work(connection: Connection) -> int:
            select = "SELECT count(*) AS count FROM console_session WHERE seen >= %s AND began >= %s"
            row = await first(connection, select, seen_after, begun_after)
            return 0 if row is None else int(row["count"])

        return await self._database.read(work)

    async def end_session(self, key: str) -> bool:
        async def work(connection: Connection) -> bool:
            return bool(await do(connection, "DELETE FROM console_session WHERE key = %s", key))

        return await self._database.write(work)

    async def end_sessions(self, name: str) -> int:
        async def work(connection: Connection) -> int:
            return await do(connection, 'DELETE FROM console_session WHERE "user" = %s', name)

        return await self._database.write(work)

    async def end_old_sessions(self, *, seen_before: float, begun_before: float) -> int:
        async def work(connection: Connection) -> int:
            end = "DELETE FROM console_session WHERE seen < %s OR began < %s"
            return await do(connection, end, seen_before, begun_before)

        return await self._database.write(work)


async def _user(connection: Connection, name: str) -> User | None:
    row = await first(connection, "SELECT * FROM console_user WHERE name = %s", name)
    return None if row is None else _user_of(row)


def _user_of(row: Row) -> User:
    return User(**{**row, "role": Role(row["role"])})
