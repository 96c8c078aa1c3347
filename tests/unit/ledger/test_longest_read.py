"""A ledger that is opened for questions: none takes longer than it may."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.ledger import Ledger
from ledger.opening import open_ledger
from ledger.sqlite.ledger import SqliteLedger
from ledger.values import Search
from schemas.errors import LedgerError

WITHOUT_END = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


async def without_end(ledger: Ledger) -> None:
    assert isinstance(ledger, SqliteLedger)
    await ledger._file.read(lambda db: db.execute(WITHOUT_END).fetchone())


async def test_a_read_that_takes_too_long_is_broken_off_and_the_next_is_not(tmp_path: Path) -> None:
    async with open_ledger(tmp_path / "ledger.db", readers=1, longest_read=0.1) as ledger:
        for _ in range(2):
            with pytest.raises(LedgerError, match="took too long and was broken off"):
                await without_end(ledger)
            assert await ledger.search(Search(), limit=1) == []
