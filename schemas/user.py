"""User: a person who may use the console, who that is at an OpenID provider, and the session of a login."""

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


def by_openid(shown: str) -> str:
    """How who logs in by OpenID Connect is named to people: never as a user with a password is."""
    return f"{shown} (OpenID Connect)"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is at an OpenID provider: `subject` of `issuer`, which never become somebody else's.

    shown: how people know them, such as an e-mail address. It may change, and may be the same of two.
    """

    issuer: str
    subject: str
    shown: str

    @property
    def name(self) -> str:
        """The name of the user that this is. No user with a password can have it: it has a `:` and a `#`."""
        return f"{self.issuer}#{self.subject}"


@dataclass(frozen=True, slots=True)
class User:
    """A person who may use the console.

    password: its argon2 hash; "" of who logs in by OpenID Connect. Times are Unix seconds; locked_until:
    until when no password is accepted. failures: wrong passwords since the last right one. logged_in: when
    they last did, else None. issuer, shown: as of an Identity; "" of who logs in with a password.
    """

    name: str
    password: str = field(repr=False)
    role: Role
    made: float
    failures: int = 0
    locked_until: float = 0.0
    logged_in: float | None = None
    issuer: str = ""
    shown: str = ""

    @property
    def told(self) -> str:
        """How this user is named to people."""
        return by_openid(self.shown) if self.issuer else self.name


@dataclass(frozen=True, slots=True)
class Session:
    """What began when a user logged in.

    key: a hash of what the cookie has, so that who reads the registry cannot use it. began, seen: Unix
    seconds of the login and of a recent request. address: from where it began. id_token: by which the OpenID
    provider knows what to log out of; "" where there is none.
    """

    key: str = field(repr=False)
    user: str
    began: float
    seen: float
    address: str = ""
    id_token: str = field(default="", repr=False)
