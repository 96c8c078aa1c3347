"""Copies every row of a registry to an empty one, then compares all of both.

Both are open in a transaction of their own, which the caller ends (sqlite_side.py, postgresql_side.py): when
this raises, or its process ends, the target has nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from schemas.errors import RegistryError
from store.moving.comparing import compared
from store.moving.sealing import Sealing
from store.moving.side import Side, Target, Values
from store.moving.tables import TABLES

Progress = Callable[[int, int], None]


async def move_rows(
    source: Side, target: Target, sealing: Sealing, *, progress: Progress
) -> Mapping[str, int]:
    """How many rows of each table were moved. Raises RegistryError when both do not say the same.

    progress: called with (done, all); each row counts twice, as it is copied and as it is compared.
    """
    counts = {table: await source.count(table) for table in TABLES}
    done, all_ = 0, 2 * sum(counts.values())
    for table in TABLES:
        columns = await source.columns(table)
        if columns != await target.columns(table):
            raise RegistryError(f"{source.shown} and {target.shown} have other columns in `{table}`.")
        async for rows in source.rows(table):
            await target.put(table, [sealing.moved(table, columns, row) for row in rows])
            progress(done := done + len(rows), all_)
    for table in TABLES:
        columns = await source.columns(table)
        pieces = compared(
            source.rows(table),
            target.rows(table),
            same=partial(sealing.are_same, table, columns),
            differs=partial(_other, table, columns),
        )
        async for count in pieces:
            progress(done := done + count, all_)
    return counts


def _other(table: str, columns: tuple[str, ...], row: Values) -> RegistryError:
    key = " ".join(str(row[columns.index(name)]) for name in TABLES[table])
    return RegistryError(
        f"after copying, `{table}` {key} is not the same on both sides. Nothing was changed."
    )
