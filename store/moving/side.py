"""What the moving of a registry asks of a store: it is open in one transaction, with writers locked out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

Values = tuple[Any, ...]


class Side(Protocol):
    """A registry that is read. Raises RegistryError."""

    shown: str
    """Where it is, for people."""
    takes_nul: bool
    """Whether a text in it may have the character 0."""

    async def columns(self, table: str) -> tuple[str, ...]:
        """The columns of the table that are moved."""

    async def count(self, table: str) -> int:
        """How many rows it has."""

    def rows(self, table: str) -> AsyncIterator[Sequence[Values]]:
        """All rows, in the order of the code points of their keys; values as `columns` names them."""


class Target(Side, Protocol):
    """A registry with nothing in it, to be filled. What is put counts once the caller's context ends well."""

    async def put(self, table: str, rows: Sequence[Values]) -> None:
        """Insert these rows; in place of the one that a new registry has in `counter`."""
