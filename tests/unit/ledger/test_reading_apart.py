"""A ledger that is opened for questions: none takes too long, and it is opened anew where need be."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.ledger import Ledger
from ledger.opening import open_ledger
from ledger.reopening import ReadLedger
from ledger.sqlite.ledger import SqliteLedger
from ledger.values import Search
from schemas.errors import LedgerError
from tests.eventually import eventually

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


async def test_a_file_that_took_its_place_is_read_from_the_next_question_on(tmp_path: Path) -> None:
    file, other = tmp_path / "ledger.db", tmp_path / "other.db"
    async with open_ledger(other, keys_file=tmp_path / "secret.keys") as ledger:
        replacing = (await ledger.instance()).id

    def opening() -> Ledger:
        return SqliteLedger(file, renewal=0.05)

    async with ReadLedger(opening) as reading:
        assert (await (await reading.get()).instance()).id != replacing
        for end in ("", "-wal", "-shm"):
            file.with_name(file.name + end).unlink(missing_ok=True)
        other.rename(file)

        async def is_read() -> bool:
            return (await (await reading.get()).instance()).id == replacing

        await eventually(is_read, within=30)
        assert await reading.opened() is await reading.get(), "once more only where that is needed"
