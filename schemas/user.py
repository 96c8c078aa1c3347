"""User: a person who may use the console, and the session that began when they logged in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

LEAST_PASSWORD = 12
MAX_PASSWORD = 1000
"""Characters of a password: the least, and the most that are hashed."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


class Role(StrEnum):
    """What a user may do. Each may do all that the one before it may."""

    LEZER = "lezer"
    BEHEERDER = "beheerder"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether who has this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


def read_user_name(text: str) -> str | None:
    """A name as it is kept, in lower case; None when it is none.

    1 to 64 of a-z, 0-9, `.`, `_`, `@` and `-`, the first a letter or a digit.
    """
    name = text.strip().lower()
    return name if _NAME.fullmatch(name) else None


@dataclass(frozen=True, slots=True)
class User:
    """A person who may use the console.

    password: its argon2 hash. Times are Unix seconds; locked_until: until when no password is accepted.
    failures: wrong passwords since the last right one. logged_in: when they last did, else None.
    """

    name: str
    password: str = field(repr=False)
    role: Role
    made: float
    failures: int = 0
    locked_until: float = 0.0
    logged_in: float | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """What began when a user logged in.

    key: a hash of what the cookie has, so that who reads the registry cannot use it. began, seen: Unix
    seconds of the login and of a recent request. address: from where it began.
    """

    key: str = field(repr=False)
    user: str
    began: float
    seen: float
    address: str = ""
