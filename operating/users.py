"""Users of the console: made, changed and removed; and what a login, or a wrong password, makes of one."""

from __future__ import annotations

import time
from dataclasses import replace

from operating.acts import Log
from operating.passwords import Passwords, check_password, new_password
from runtime.settings import Settings
from schemas.errors import Conflict, UsageError
from schemas.user import Identity, Role, User, read_user_name
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


def may_log_in(user: User, settings: Settings) -> bool:
    """Whether this user can have a session now: its way of logging in is still there. Pure."""
    return user.issuer == settings.console_oidc_issuer if user.issuer else settings.console_password_login


async def find_user(users: Users, text: str) -> User:
    """The user of this name, else the one that is shown so. Raises Conflict for none, and for several."""
    every = await users.every()
    named = [each for each in every if each.name == (read_user_name(text) or text)]
    found = named or [each for each in every if each.issuer and text in (each.shown, each.told)]
    if not found:
        raise Conflict(f"there is no user {text!r}.")
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise Conflict(f"there are several users {text!r}; give one of their names: {names}")
    return found[0]


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


async def keep_identity(users: Users, log: Log, identity: Identity, role: Role) -> User:
    """The user that logs in with this identity, made at its first login, with the role that it has now."""

    def changed(user: User) -> User:
        return replace(user, role=role, shown=identity.shown, logged_in=time.time())

    before = await users.user(identity.name)
    if before is None:
        new = User(identity.name, "", role, made=time.time(), issuer=identity.issuer)
        try:
            await users.add(changed(new))
        except Conflict:
            before = new  # another request made it a moment ago
        else:
            await log.record("user added", name=identity.name, role=role.value)
    user = await users.change(identity.name, changed)
    if before is not None and before.role is not role:
        await log.record("role changed", name=identity.name, role=role.value)
    return user


async def end_identity(users: Users, log: Log, identity: Identity) -> None:
    """End the sessions of who may not use the console any more."""
    if ended := await users.end_sessions(identity.name):
        await log.record("user logged out everywhere", name=identity.name, sessions=ended)


def _check_has_password(user: User | None) -> None:
    if user is not None and user.issuer:
        raise UsageError(f"{user.shown} logs in by OpenID Connect: password and role come from {user.issuer}")


async def set_password(users: Users, log: Log, passwords: Passwords, *, name: str, password: str) -> None:
    """Give a user another password, which ends its sessions and lock. Raises UsageError or Conflict."""
    _check_has_password(await users.user(name))
    check_password(password, name=name)
    hashed = await passwords.hashed(password)
    await users.change(name, lambda user: replace(user, password=hashed, failures=0, locked_until=0.0))
    await log.record("password changed", name=name)


async def set_role(users: Users, log: Log, *, name: str, role: Role) -> None:
    """Let a user do more or less, from its next request on. Raises Conflict when it is gone.

    UsageError for who logs in by OpenID Connect, whose role comes from there.
    """
    _check_has_password(await users.user(name))
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
