"""What a store guarantees of the console's users and their sessions (tests/contract/stores/test_users.py).

The methods are as those of store/registry.py: coroutines, atomic, durable, for several processes at once.
None of them is a change of the registry. They raise RegistryError and nothing of the database's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from schemas.user import Session, User


class Users(Protocol):
    """Users by name, and sessions by key."""

    async def add(self, user: User, *, only_first: bool = False) -> None:
        """Keep a new user; Conflict when the name is taken, or with only_first when there is any user."""

    async def every(self) -> tuple[User, ...]:
        """All users, by name."""

    async def user(self, name: str) -> User | None:
        """The user of that name."""

    async def change(self, name: str, change: Callable[[User], User]) -> User:
        """Keep what `change` makes of the user as it is at that moment, but for the name; Conflict when it is
        gone.

        change: called in another thread. With another password all sessions of the user end.
        """

    async def remove(self, name: str) -> bool:
        """Remove the user and its sessions; False when it was gone already."""

    async def begin_session(self, session: Session) -> None:
        """Keep a new session; Conflict when its user is gone."""

    async def session(self, key: str) -> tuple[Session, User] | None:
        """The session and its user as it is now."""

    async def note_seen(self, key: str, at: float) -> None:
        """Note that a session was used at `at` (Unix seconds)."""

    async def count_sessions(self, *, seen_after: float, begun_after: float) -> int:
        """How many sessions were last used, and began, at these moments (Unix seconds) or later."""

    async def end_session(self, key: str) -> bool:
        """End one session; False when it had ended already."""

    async def end_sessions(self, name: str) -> int:
        """End all sessions of a user, everywhere; how many these were."""

    async def end_old_sessions(self, *, seen_before: float, begun_before: float) -> int:
        """End those that were last used, or that began, before these moments (Unix seconds); how many."""
