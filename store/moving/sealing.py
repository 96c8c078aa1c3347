"""The encrypted columns of rows that go from one store to another. Pure, but for the keys."""

from __future__ import annotations

from store.moving.side import Values
from store.moving.tables import TABLES
from store.rows import ENCRYPTED
from store.secrets import Vault, key_of, place

_COLUMNS = frozenset((table, column) for table, _, column in ENCRYPTED)


class Sealing:
    """Rows as the target has them. Both vaults are open. Raises SecretsUnreadable.

    A value under the first key of the target goes as it is; any other is encrypted anew, with that key. A
    text gets a mark in the place of a character 0 that the target does not take.
    """

    def __init__(self, source: Vault, target: Vault, *, takes_nul: bool) -> None:
        self._source = source
        self._target = target
        self._takes_nul = takes_nul

    def moved(self, table: str, columns: tuple[str, ...], row: Values) -> Values:
        """The row to put in the target."""
        fitted = self._fitted(row)
        return tuple(
            self._sealed(value, *self._places(table, name, columns, row, fitted))
            if (table, name) in _COLUMNS
            else value
            for name, value in zip(columns, fitted, strict=True)
        )

    def are_same(self, table: str, columns: tuple[str, ...], given: Values, found: Values) -> bool:
        """Whether the row `found` in the target says the same as that of the source, secrets decrypted."""
        fitted = self._fitted(given)
        for name, one, other in zip(columns, fitted, found, strict=True):
            if (table, name) in _COLUMNS:
                here, there = self._places(table, name, columns, given, found)
                if self._source.unseal(one, here) != self._target.unseal(other, there):
                    return False
            elif one != other or type(one) is not type(other):
                return False
        return True

    def _sealed(self, value: str, here: str, there: str) -> str:
        plain = self._source.unseal(value, here)
        if here == there and key_of(value) == self._target.key_ids[0]:
            return value
        return self._target.seal(plain, there)

    def _fitted(self, row: Values) -> Values:
        if self._takes_nul:
            return row
        return tuple(
            value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
            for value in row
        )

    @staticmethod
    def _places(
        table: str, column: str, columns: tuple[str, ...], here: Values, there: Values
    ) -> tuple[str, str]:
        """The place that a value is bound to, in the source and in the target."""
        (key,) = TABLES[table]
        at = columns.index(key)
        return place(table, column, here[at]), place(table, column, there[at])
