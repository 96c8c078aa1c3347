"""Compares the rows of two sides of a move, both in the order of their keys. No I/O of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from itertools import zip_longest

from store.moving.side import Values


async def compared(
    source: AsyncIterator[Sequence[Values]],
    target: AsyncIterator[Sequence[Values]],
    *,
    same: Callable[[Values, Values], bool],
    differs: Callable[[Values], Exception],
) -> AsyncIterator[int]:
    """How many rows both have, piece by piece as the source gives them.

    Raises what `differs` makes of the first row that is not the same on both sides, or only on one.
    """
    held: list[Values] = []
    async for rows in source:
        while len(held) < len(rows) and (more := await anext(target, None)) is not None:
            held += more
        found, held = held[: len(rows)], held[len(rows) :]
        if len(found) < len(rows) or not all(map(same, rows, found)):
            pairs = zip_longest(rows, found)
            raise differs(next(row for row, other in pairs if other is None or not same(row, other)))
        yield len(rows)
    if not held and (more := await anext(target, None)) is not None:
        held += more
    if held:
        raise differs(held[0])
