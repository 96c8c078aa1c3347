"""What the moving of a ledger asks of a store: it is open in one transaction, with writers locked out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

Values = tuple[Any, ...]


class LedgerSide(Protocol):
    """A ledger that is read. Raises LedgerError."""

    shown: str
    """Where it is, for people."""
    takes_nul: bool
    """Whether a text in it may have the character 0."""

    async def count(self, table: str) -> int:
        """How many rows it has, about."""

    def rows(self, table: str, *, nul: bool) -> AsyncIterator[Sequence[Values]]:
        """All rows as in tables.py, in the order of their keys.

        nul: else each character 0 in a text is a mark.
        """

    async def sealed(self) -> str:
        """The key of its hashes, encrypted."""

    async def first_from(self, id_: bytes) -> bytes | None:
        """The least id of a notificatie from this one on."""


class LedgerTarget(LedgerSide, Protocol):
    """A ledger with nothing in it, to be filled: in this order. It counts once the caller's context ends."""

    async def begin(self, source: LedgerSide) -> None:
        """Make room for what is in `source`. Raises UsageError when something is in this one."""

    async def seal(self, sealed: str) -> None:
        """Have this as the key of the hashes, encrypted."""

    async def put(self, table: str, rows: Sequence[Values]) -> None:
        """Insert these rows, in the order in which another side gives them."""

    async def filled(self) -> None:
        """All is put: make what follows from it. From here on it is read."""

    async def finish(self) -> None:
        """All was compared."""
