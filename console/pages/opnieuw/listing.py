"""All replays, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from console.page import Page, Visit
from console.pages.opnieuw.telling import Told, told_of
from operating.status.faults import Fault, fault_of
from schemas.errors import LedgerError

SHOWN = 50


@dataclass(frozen=True, slots=True)
class Listing:
    """What the page shows. more: whether there are older ones. unknown: why it is not known, or None."""

    rows: Sequence[Told]
    more: bool
    unknown: Fault | None = None


async def show(visit: Visit) -> Listing:
    """From the ledger."""
    try:
        ledger = await visit.console.ledger.get()
        found = await ledger.replays.replays(limit=SHOWN + 1)
    except LedgerError as error:
        return Listing((), more=False, unknown=fault_of(error))
    return Listing([told_of(visit, each) for each in found[:SHOWN]], more=len(found) > SHOWN)


PAGE = Page("opnieuw", "opnieuw/", "Opnieuw", "opnieuw/listing.html", show)
