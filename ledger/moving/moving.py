"""Copies every row of a ledger to an empty one, then compares all of both.

Both are open in a transaction of their own, or in a file that nobody else knows: when this raises, or its
process ends, the target has nothing (sqlite_side.py, postgresql_side.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from operator import eq

from ledger.moving.side import LedgerSide, LedgerTarget, Values
from ledger.moving.tables import TABLES
from ledger.tables.hash_key import moved, unsealed
from schemas.errors import LedgerError
from store.moving.comparing import compared
from store.secrets import Vault

Progress = Callable[[str, str, int, int], None]
"""Called with what is done ("copied", "compared"), the table, how many of its rows, and about how many."""


async def move_ledger(
    source: LedgerSide, target: LedgerTarget, vaults: tuple[Vault, Vault], *, progress: Progress
) -> Mapping[str, int]:
    """How many rows of each table were moved. Raises LedgerError when both do not say the same.

    vaults: with the keys of the source and of the target.
    """
    here, there = vaults
    await target.begin(source)
    await target.seal(moved(await source.sealed(), here, there))
    alls = {table: await source.count(table) for table in TABLES}
    counts = dict.fromkeys(TABLES, 0)
    for table in TABLES:
        async for rows in source.rows(table, nul=target.takes_nul):
            await target.put(table, rows)
            counts[table] += len(rows)
            progress("copied", table, counts[table], alls[table])
    await target.filled()
    if unsealed(await source.sealed(), here) != unsealed(await target.sealed(), there):
        raise LedgerError("after copying, the key of the hashes is not the same. Nothing was changed.")
    for table in TABLES:
        done = 0
        pieces = compared(
            source.rows(table, nul=target.takes_nul),
            target.rows(table, nul=True),
            same=eq,
            differs=partial(_other, table),
        )
        async for count in pieces:
            progress("compared", table, done := done + count, counts[table])
    await target.finish()
    return counts


def _other(table: str, row: Values) -> LedgerError:
    key = " ".join(each.hex() if isinstance(each, bytes) else str(each) for each in row[: TABLES[table].key])
    return LedgerError(
        f"after copying, `{table}` {key} of the ledger is not the same on both sides. Nothing was changed."
    )
