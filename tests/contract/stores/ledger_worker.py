"""Another process that uses the ledger, for the tests that need several; run as a script.

ledger_worker.py ADDRESS write NUMBER WORKERS COUNT  accept COUNT, one after the other, print the id of each
    once it is written, and settle every other one; worker NUMBER of WORKERS settles those of the next worker,
    whose ids follow from its number
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parents[3]))

from ledger.ledger import Ledger
from ledger.values import Entry, Key, Outcome, State
from runtime.log import configure_logging
from schemas.errors import LedgerError
from tests.contract.stores.opened import ledger_in

ABONNEMENT = UUID(int=7)
AT = 1_760_000_000_000


def entry_of(worker: int, number: int) -> Entry:
    id_ = UUID(int=AT << 80 | 7 << 76 | 2 << 62 | worker << 40 | number)
    return Entry(
        id=id_,
        received=AT,
        client=f"client {number % 7}",
        kanaal="zaken",
        resource="zaak",
        actie="create",
        hoofd_object=f"https://zaken.example.nl/{id_}",
        resource_url=f"https://zaken.example.nl/{id_}",
        kenmerken={"bron": str(number)},
        body=b"x" * 1000,
        catalogue=1,
        matched=(ABONNEMENT,),
    )


async def written(ledger: Ledger, event: Entry | Outcome) -> None:
    """Write it, again while others keep the database locked, as a process does."""
    for _ in range(60):
        with suppress(LedgerError):
            await ledger.write([event])
            return
    await ledger.write([event])


async def main(address: str, worker: int, workers: int, count: int) -> None:
    async with ledger_in(address) as ledger:
        for number in range(count):
            entry = entry_of(worker, number)
            await written(ledger, entry)
            print(entry.id, flush=True)
            if number % 2:
                # Its neighbour's: before, after, or while that one writes it.
                settled = entry_of((worker + 1) % workers, number)
                key = Key(settled.id, ABONNEMENT)
                await written(ledger, Outcome(key, State.DELIVERED, 0, 1, AT + 1, status=200))


if __name__ == "__main__":
    configure_logging(form="json", level="warning", process="worker")
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[3:])))
