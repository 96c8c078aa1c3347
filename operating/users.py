"""Users of the console: made, changed and removed; and what a right or a wrong password makes of one."""

from __future__ import annotations

import time
from dataclasses import replace

from operating.acts import Log
from operating.passwords import Passwords, check_password, new_password
from schemas.errors import Conflict, UsageError
from schemas.user import Role, User, read_user_name
from store.users import Users

FIRST_USER = "admin"
FREE_FAILURES = 5
"""Wrong passwords in a row after which a user is locked out."""
FIRST_LOCK, LONGEST_LOCK = 60.0, 3600.0  # seconds; twice as long with each further wrong password


def after_failure(user: User, *, now: float) -> User:
    """The user after one more wrong password. Pure. now: Unix seconds."""
    failures = user.failures + 1
    if failures < FREE_FAILURES:
        return replace(user, failures=failures)
    seconds = min(FIRST_LOCK * 2 ** min(failures - FREE_FAILURES, 20), LONGEST_LOCK)
    return replace(user, failures=failures, locked_until=now + seconds)


def after_login(user: User, *, now: float) -> User:
    """The user after the right password. Pure."""
    return replace(user, failures=0, locked_until=0.0, logged_in=now)


async def add_user(
    users: Users, log: Log, passwords: Passwords, *, name: str, role: Role, password: str
) -> User:
    """Make a user. Raises UsageError for a wrong name or password, Conflict for a name that is taken."""
    known = read_user_name(name)
    if known is None:
        raise UsageError(
            f"{name!r} is no name of a user: 1 to 64 of a-z, 0-9, . _ @ -, the first a letter or a digit"
        )
    check_password(password, name=known)
    user = User(known, await passwords.hashed(password), role, made=time.time())
    await users.add(user)
    await log.record("user added", name=known, role=role.value)
    return user


async def make_first_user(users: Users, log: Log, passwords: Passwords) -> str | None:
    """Make an admin when there are no users at all; returns its password, which nothing else has."""
    if await users.every():
        return None
    password = new_password()
    user = User(FIRST_USER, await passwords.hashed(password), Role.ADMIN, made=time.time())
    try:
        await users.add(user, only_first=True)
    except Conflict:
        return None  # another console that started at the same time made it
    await log.record("user added", name=user.name, role=user.role.value, first=True)
    return password


async def set_password(users: Users, log: Log, passwords: Passwords, *, name: str, password: str) -> None:
    """Give a user another password, which ends its sessions and lock. Raises UsageError or Conflict."""
    check_password(password, name=name)
    hashed = await passwords.hashed(password)
    await users.change(name, lambda user: replace(user, password=hashed, failures=0, locked_until=0.0))
    await log.record("password changed", name=name)


async def set_role(users: Users, log: Log, *, name: str, role: Role) -> None:
    """Let a user do more or less, from its next request on. Raises Conflict when it is gone."""
    await users.change(name, lambda user: replace(user, role=role))
    await log.record("role changed", name=name, role=role.value)


async def remove_user(users: Users, log: Log, *, name: str) -> None:
    """Remove a user, whose sessions end. Raises Conflict when there is none."""
    if not await users.remove(name):
        raise Conflict(f"there is no user {name!r}.")
    await log.record("user removed", name=name)


async def log_out(users: Users, log: Log, *, name: str) -> int:
    """End all sessions of a user; how many these were. Raises Conflict when there is no such user."""
    if await users.user(name) is None:
        raise Conflict(f"there is no user {name!r}.")
    ended = await users.end_sessions(name)
    await log.record("user logged out everywhere", name=name, sessions=ended)
    return ended
