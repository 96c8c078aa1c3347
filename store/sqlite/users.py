"""The console's users and their sessions in the SQLite registry: the SQL of store/users.py."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import asdict, replace

from sqlite_utils import Database

from schemas.errors import Conflict
from schemas.user import Role, Session, User
from store.files.sqlite_file import SqliteFile
from store.rows import Row

# Times are Unix seconds. `password` is an argon2 hash, `key` a SHA-256: neither can be used as it stands.
TABLES = """
    CREATE TABLE console_user (name TEXT PRIMARY KEY, password TEXT NOT NULL, role TEXT NOT NULL,
        made REAL NOT NULL, failures INTEGER NOT NULL, locked_until REAL NOT NULL, logged_in REAL);
    CREATE TABLE console_session (key TEXT PRIMARY KEY, user TEXT NOT NULL, began REAL NOT NULL,
        seen REAL NOT NULL, address TEXT NOT NULL);
    CREATE INDEX console_session_user ON console_session (user);
"""


class SqliteUsers:
    """The users in a registry's file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def add(self, user: User, *, only_first: bool = False) -> None:
        def work(db: Database) -> None:
            if only_first and db.table("console_user").count:
                raise Conflict("there are users already.")
            if _user(db, user.name) is not None:
                raise Conflict(f"there is a user {user.name!r} already.")
            db.table("console_user").insert(asdict(user))

        await self._file.write(work)

    async def every(self) -> tuple[User, ...]:
        select = "SELECT * FROM console_user ORDER BY name"
        return await self._file.read(lambda db: tuple(map(_user_of, db.query(select))))

    async def user(self, name: str) -> User | None:
        return await self._file.read(lambda db: _user(db, name))

    async def change(self, name: str, change: Callable[[User], User]) -> User:
        def work(db: Database) -> User:
            before = _user(db, name)
            if before is None:
                raise Conflict(f"there is no user {name!r}.")
            changed = replace(change(before), name=name)
            db.table("console_user").update(name, asdict(changed))
            if not hmac.compare_digest(changed.password, before.password):
                _end(db, "user = ?", name)
            return changed

        return await self._file.write(work)

    async def remove(self, name: str) -> bool:
        def work(db: Database) -> bool:
            _end(db, "user = ?", name)
            return bool(db.execute("DELETE FROM console_user WHERE name = ?", [name]).rowcount)

        return await self._file.write(work)

    async def begin_session(self, session: Session) -> None:
        def work(db: Database) -> None:
            if _user(db, session.user) is None:
                raise Conflict(f"there is no user {session.user!r}.")
            db.table("console_session").insert(asdict(session))

        await self._file.write(work)

    async def session(self, key: str) -> tuple[Session, User] | None:
        def work(db: Database) -> tuple[Session, User] | None:
            for row in db.query("SELECT * FROM console_session WHERE key = ?", [key]):
                user = _user(db, row["user"])
                return None if user is None else (Session(**row), user)
            return None

        return await self._file.read(work)

    async def note_seen(self, key: str, at: float) -> None:
        update = "UPDATE console_session SET seen = max(seen, ?) WHERE key = ?"
        await self._file.write(lambda db: db.execute(update, [at, key]).rowcount)

    async def count_sessions(self, *, seen_after: float, begun_after: float) -> int:
        select = "SELECT count(*) FROM console_session WHERE seen >= ? AND began >= ?"
        times = [seen_after, begun_after]
        return int(await self._file.read(lambda db: db.execute(select, times).fetchone()[0]))

    async def end_session(self, key: str) -> bool:
        return bool(await self._file.write(lambda db: _end(db, "key = ?", key)))

    async def end_sessions(self, name: str) -> int:
        return await self._file.write(lambda db: _end(db, "user = ?", name))

    async def end_old_sessions(self, *, seen_before: float, begun_before: float) -> int:
        condition = "seen < ? OR began < ?"
        return await self._file.write(lambda db: _end(db, condition, seen_before, begun_before))


def _user(db: Database, name: str) -> User | None:
    for row in db.query("SELECT * FROM console_user WHERE name = ?", [name]):
        return _user_of(row)
    return None


def _user_of(row: Row) -> User:
    return User(**{**row, "role": Role(row["role"])})


def _end(db: Database, condition: str, *values: object) -> int:
    return int(db.execute(f"DELETE FROM console_session WHERE {condition}", [*values]).rowcount)  # noqa: S608
