"""Hashes of passwords (argon2id), made and compared by a bounded number of threads.

Each hash takes 19 MiB and some hundredths of a second of a core on purpose. So few are computed at once, and
whoever asks for one more than may wait is refused: a flood of logins costs neither memory nor the other
pages.
"""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from schemas.errors import Overloaded, UsageError
from schemas.user import LEAST_PASSWORD, MAX_PASSWORD

THREADS = 2
MOST_WAITING = 20
_READABLE = "".join(each for each in string.ascii_lowercase + string.digits if each not in "01ilo")
_GROUPS, _GROUP = 5, 4
LEAST_NAME = 4  # characters of a name that may not stand in the password

# What OWASP asks of argon2id at least: 19 MiB, two passes.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
T = TypeVar("T")


def new_password() -> str:
    """A password that nobody guesses (99 bits), in five groups to read aloud and to type."""
    groups = ("".join(secrets.choice(_READABLE) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)


class PasswordRefused(UsageError):
    """A new password is not taken. dutch: the same for the console."""

    def __init__(self, text: str, dutch: str) -> None:
        super().__init__(text)
        self.dutch = dutch


def check_password(text: str, *, name: str) -> None:
    """Raise PasswordRefused for a password that this user may not have."""
    if len(text) < LEAST_PASSWORD:
        raise PasswordRefused(
            f"a password has at least {LEAST_PASSWORD} characters",
            f"Kies een wachtwoord van ten minste {LEAST_PASSWORD} tekens.",
        )
    if len(text) > MAX_PASSWORD:
        raise PasswordRefused(
            f"a password has at most {MAX_PASSWORD} characters",
            f"Kies een wachtwoord van ten hoogste {MAX_PASSWORD} tekens.",
        )
    if len(set(text)) < 5 or (len(name) >= LEAST_NAME and name in text.lower()):
        raise PasswordRefused(
            "this password is easy to guess: give one with other characters, and without the name",
            "Dit wachtwoord is te raden. Kies er een met meer verschillende tekens, en zonder de naam.",
        )


class Passwords:
    """A context manager over the threads that hash. Its methods raise Overloaded when too many wait."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._waiting = 0
        self._nobodys: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hashed(self, password: str) -> str:
        """What is kept of a password."""
        return await self._in_thread(lambda: _HASHER.hash(password))

    async def fits(self, hashed: str | None, password: str) -> bool:
        """Whether this is the password. hashed: None for a user that is not there, which takes as long."""
        if hashed is None:
            if self._nobodys is None:
                self._nobodys = await self.hashed(secrets.token_urlsafe())
            await self._in_thread(lambda: _is(self._nobodys or "", password))
            return False
        return await self._in_thread(lambda: _is(hashed, password))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise Overloaded("too many passwords are being compared; try again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _is(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password[:MAX_PASSWORD])
    except (VerificationError, InvalidHashError):
        return False
