"""Numbers for clients, kanalen and abonnementen, so that a row per delivery can be small."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from sqlite_utils import Database

from ledger.tables.rows import Kind


@dataclass(slots=True)
class Known:
    """Numbers of names that are committed. A name is never removed, so these stay true."""

    clients: dict[str, int] = field(default_factory=dict)
    kanalen: dict[str, int] = field(default_factory=dict)
    abonnementen: dict[int, int] = field(default_factory=dict)  # by UUID.int, which hashes fast

    def add(self, other: Known) -> None:
        """Take over what `other` knows."""
        self.clients |= other.clients
        self.kanalen |= other.kanalen
        self.abonnementen |= other.abonnementen


class Names:
    """The numbers of names within one transaction; a name that has none gets one.

    made: those that `known` lacks. They may be added to it once this transaction is committed.
    """

    def __init__(self, db: Database, known: Known) -> None:
        self._db = db
        self._known = known
        self.made = Known()

    def client(self, text: str) -> int:
        """The number of a client."""
        found = self._known.clients.get(text) or self.made.clients.get(text)
        if found is None:
            found = self.made.clients[text] = self._number(Kind.CLIENT, text)
        return found

    def kanaal(self, text: str) -> int:
        """The number of a kanaal, by its naam."""
        found = self._known.kanalen.get(text) or self.made.kanalen.get(text)
        if found is None:
            found = self.made.kanalen[text] = self._number(Kind.KANAAL, text)
        return found

    def abonnement(self, uuid: UUID) -> int:
        """The number of an abonnement."""
        found = self._known.abonnementen.get(uuid.int) or self.made.abonnementen.get(uuid.int)
        if found is None:
            found = self.made.abonnementen[uuid.int] = self._number(Kind.ABONNEMENT, str(uuid))
        return found

    def _number(self, kind: Kind, text: str) -> int:
        found = number_of(self._db, kind, text)
        if found is None:
            select = "SELECT coalesce(max(nr), 0) + 1 FROM name WHERE kind = ?"
            found = int(self._db.execute(select, [kind]).fetchone()[0])
            self._db.execute("INSERT INTO name VALUES (?, ?, ?)", [kind, found, text])
        return found


def number_of(db: Database, kind: Kind, text: str) -> int | None:
    """The number of a name, if it has one."""
    row = db.execute("SELECT nr FROM name WHERE kind = ? AND text = ?", [kind, text]).fetchone()
    return None if row is None else int(row[0])


class Texts:
    """Names by number, cached. Used by several threads; the name of a number never changes."""

    def __init__(self) -> None:
        # By kind and number; the hash of an enum's member is slow, so a list holds the kinds.
        self._texts: list[dict[int, str]] = [{} for _ in range(max(Kind) + 1)]
        self._abonnementen: dict[int, UUID] = {}

    def text(self, db: Database, kind: Kind, number: int) -> str:
        """The name of a number in a row."""
        texts = self._texts[kind]
        found = texts.get(number)
        if found is None:
            select = "SELECT text FROM name WHERE kind = ? AND nr = ?"
            found = texts[number] = str(db.execute(select, [kind, number]).fetchone()[0])
        return found

    def abonnement(self, db: Database, number: int) -> UUID:
        """The abonnement of a number in a row."""
        found = self._abonnementen.get(number)
        if found is None:
            found = self._abonnementen[number] = UUID(self.text(db, Kind.ABONNEMENT, number))
        return found
