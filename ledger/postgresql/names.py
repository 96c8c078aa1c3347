"""Numbers for clients, kanalen and abonnementen, so that rows are small.

A number follows from its name, so it is the same in a standby that lacks the last commits: none is ever given
to another name. The names themselves are in a table, to be read by number.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from time import monotonic
from uuid import UUID

from ledger.tables.rows import Kind
from ledger.values import UNKNOWN
from store.database.address import Connection
from store.database.statements import do, no_nul, rows

AGAIN = 60.0
"""Seconds after which a name is written again: a standby that took over may lack it."""
MOST = 100_000  # names that are remembered

Name = tuple[Kind, str]
_INSERT = (
    "INSERT INTO name SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::text[]) ON CONFLICT DO NOTHING"
)
_SELECT = (
    "SELECT kind, nr, text FROM name JOIN unnest(%s::smallint[], %s::bigint[]) AS w (k, n) "
    "ON kind = k AND nr = n"
)


class Names:
    """Names and their numbers, as far as this process has seen them."""

    def __init__(self) -> None:
        self._numbers: dict[Name, int] = {}
        self._texts: dict[tuple[int, int], str] = {}
        self._abonnementen: dict[int, UUID] = {}
        self._written: dict[Name, float] = {}

    def number(self, kind: Kind, text: str) -> int:
        """The number of a name, whether it is in the ledger or not."""
        name = (kind, text)
        found = self._numbers.get(name)
        if found is None:
            if len(self._numbers) >= MOST:
                self._numbers.clear()
            hashed = blake2b(no_nul(text).encode(), digest_size=8, person=kind.name.encode()).digest()
            found = self._numbers[name] = int.from_bytes(hashed) >> 1
        return found

    def abonnement_number(self, uuid: UUID) -> int:
        """The number of an abonnement."""
        return self.number(Kind.ABONNEMENT, str(uuid))

    async def write(self, connection: Connection, names: Iterable[Name]) -> list[Name]:
        """Write those that may not be in the ledger; returns these, for `written` after the commit."""
        since = monotonic() - AGAIN
        new = sorted(name for name in set(names) if self._written.get(name, since) <= since)
        if new:
            kinds, texts = [int(kind) for kind, _ in new], [no_nul(text) for _, text in new]
            await do(connection, _INSERT, kinds, [self.number(*name) for name in new], texts)
        return new

    def written(self, names: Iterable[Name]) -> None:
        """These are committed."""
        now = monotonic()
        if len(self._written) >= MOST:
            self._written.clear()
        self._written.update(dict.fromkeys(names, now))

    def forget_written(self) -> None:
        """Any of them may be lacking."""
        self._written.clear()

    async def read(self, connection: Connection, kind: Kind, numbers: Iterable[int]) -> None:
        """Read the names of these numbers, for `text` and `abonnement`."""
        new = [nr for nr in set(numbers) if (kind, nr) not in self._texts]
        if new:
            if len(self._texts) >= MOST:
                self._texts.clear()
                self._abonnementen.clear()
                new = [*numbers]
            for _, nr, text in await rows(connection, _SELECT, [int(kind)] * len(new), new):
                self._texts[kind, nr] = text
                if kind is Kind.ABONNEMENT:
                    self._abonnementen[nr] = UUID(text)

    def text(self, kind: Kind, number: int) -> str:
        """The name of a number that was read; "" when the ledger lacks it."""
        return self._texts.get((kind, number), "")

    def abonnement(self, number: int) -> UUID:
        """The abonnement of a number that was read; UNKNOWN when the ledger lacks it."""
        return self._abonnementen.get(number, UNKNOWN)
