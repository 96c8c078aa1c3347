"""Rows of a store as rows of tables.py, in the order of their keys. Pure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from ledger.moving.side import Values
from ledger.moving.tables import TABLES, kind_of_who
from ledger.tables.rows import Kind
from schemas.errors import LedgerError

Texts = Mapping[tuple[int, int], str]
"""Names by kind and number."""
Numbers = Callable[[Kind, str], int]
"""The number of a name."""


async def in_order(
    table: str, chunks: AsyncIterator[Sequence[Values]], texts: Texts, *, nul: bool
) -> AsyncIterator[Sequence[Values]]:
    """Rows with names for numbers, all in the order of their keys; each list not empty.

    chunks: in the order of the first columns (`ordered`). Raises LedgerError for a number without a name.
    """
    of = TABLES[table]
    told = _telling(table, texts)

    def by_key(row: Values) -> Values:
        return row[: of.key]

    held: list[Values] = []
    async for chunk in chunks:
        held += [told(row) if nul else _without_nul(told(row)) for row in chunk]
        if of.ordered:
            # The last ones may go on in the next chunk.
            last, cut = held[-1][: of.ordered], len(held)
            while cut and held[cut - 1][: of.ordered] == last:
                cut -= 1
            ready, held = held[:cut], held[cut:]
            if ready:
                yield sorted(ready, key=by_key)
    if table == "name":
        held = [*dict.fromkeys(held)]  # two of them may be alike without the character 0
    if held:
        yield sorted(held, key=by_key)


def numbered(table: str, rows: Sequence[Values], number: Numbers) -> list[Values]:
    """Rows of tables.py with numbers for names again."""
    if table == "minute":
        return [(minute, what, _number(what, who, number), n) for minute, what, who, n in rows]
    places = _places(table)
    if not places:
        return [*rows]
    found = []
    for row in rows:
        values = list(row)
        for place, kind in places:
            values[place] = number(kind, values[place])
        found.append(tuple(values))
    return found


def _telling(table: str, texts: Texts) -> Callable[[Values], Values]:
    places = _places(table)

    def text(kind: Kind, number: int) -> str:
        try:
            return texts[kind, number]
        except KeyError:
            raise LedgerError(
                f"the ledger has no name for {kind.name.lower()} {number}, which is in its table `{table}`. "
                "Nothing was changed."
            ) from None

    def told(row: Values) -> Values:
        values = list(row)
        for place, kind in places:
            values[place] = text(kind, values[place])
        return tuple(values)

    def told_minute(row: Values) -> Values:
        minute, what, who, n = row
        kind = kind_of_who(what)
        return (minute, what, who if kind is None else text(kind, who), n)

    if table == "minute":
        return told_minute
    return told if places else tuple


def _places(table: str) -> list[tuple[int, Kind]]:
    of = TABLES[table]
    return [(of.columns.index(name), kind) for name, kind in of.named.items()]


def _number(what: int, who: str | int, number: Numbers) -> int:
    kind = kind_of_who(what)
    return int(who) if kind is None else number(kind, str(who))


def _without_nul(row: Values) -> Values:
    return tuple(
        value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value for value in row
    )
