"""A process that accepts one notificatie at 1000 ms and has an outcome of 2000 ms, while its ledger is away.

`python -m tests.unit.ledger.unwritten_worker FOLDER`
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from ledger.ids import new_id
from ledger.unwritten import Unwritten
from ledger.values import Entry, Event, Key, Outcome, State
from ledger.writer import Writer
from schemas.errors import LedgerError


class Away:
    async def write(self, events: Sequence[Event]) -> None:
        raise LedgerError("locked")


async def main(folder: Path) -> None:
    writer = Writer(Away(), unwritten=Unwritten(folder))
    running = asyncio.create_task(writer.run())
    writer.note(Entry(new_id(), 1000, "bron", "zaken", "r", "a", "h", "u", {}, b"{}", 1, ()))
    writer.note(Outcome(Key(new_id(), uuid4()), State.DELIVERED, round=0, attempts=1, at=2000))
    await running


asyncio.run(main(Path(sys.argv[1])))
