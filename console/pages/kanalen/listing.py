"""All kanalen: filters, documentation, how much is published and by whom, and how many subscribe."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.page import Page, Visit
from ledger.ledger import Ledger
from ledger.values import Counts, Published
from operating.status.faults import Fault, fault_of
from schemas.errors import LedgerError
from schemas.fields import is_http_url
from schemas.kanaal import Kanaal

HOUR = 3600.0  # seconds
NEWEST = 10_000
"""Notificaties on all kanalen that are looked at to see who publishes, and what was for nobody."""


@dataclass(frozen=True, slots=True)
class Row:
    """One of the list.

    documentation: an address that can be followed; "" when there is none. accepted: in the last hour.
    publishers: of the newest notificaties. unmatched: how many of these were for nobody.
    """

    kanaal: Kanaal
    documentation: str
    accepted: int
    publishers: Sequence[Published]
    abonnementen: int

    @property
    def unmatched(self) -> int:
        """How many of the newest were for no abonnement."""
        return sum(each.unmatched for each in self.publishers)

    @property
    def per_minute(self) -> str:
        """How many in a minute, on average over the last hour."""
        return in_dutch(self.accepted / 60)


@dataclass(frozen=True, slots=True)
class Listing:
    """What the page shows. unknown: why it is not known what is published; None when it is known."""

    rows: Sequence[Row]
    total: int
    asked: str
    newest: int
    unknown: Fault | None


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of all kanalen; nothing where it can't be asked."""

    accepted: Mapping[str, int]
    published: Mapping[str, Sequence[Published]]
    ledger: Ledger | None = None
    fault: Fault | None = None


async def known_of_all(visit: Visit) -> Known:
    """What the ledger knows."""
    try:
        ledger = await visit.console.ledger.get()
        counts: Counts = await ledger.counts(since=round((visit.now - HOUR) * 1000))
        published: dict[str, list[Published]] = defaultdict(list)
        for each in sorted(await ledger.published(newest=NEWEST), key=lambda each: -each.count):
            published[each.kanaal].append(each)
    except LedgerError as error:
        return Known({}, {}, fault=fault_of(error))
    return Known(counts.accepted, published, ledger)


def row_of(visit: Visit, kanaal: Kanaal, known: Known, *, abonnementen: int) -> Row:
    """One kanaal, by what is known of it."""
    link = kanaal.documentatie_link
    return Row(
        kanaal,
        link if is_http_url(link) else "",
        known.accepted.get(kanaal.naam, 0),
        known.published.get(kanaal.naam, ()),
        abonnementen,
    )


async def show(visit: Visit) -> Listing:
    """All of them, by naam; with `zoek` those with this text in naam or filters."""
    catalogue = visit.console.catalogue
    known = await known_of_all(visit)
    users = Counter(
        naam for each in catalogue.everyone.values() for naam in {group.naam for group in each.kanalen}
    )
    asked = visit.asked("zoek")
    text = asked.casefold()
    every = sorted(catalogue.every_kanaal(), key=lambda each: each.naam)
    found = [each for each in every if any(text in one.casefold() for one in (each.naam, *each.filters))]
    rows = [row_of(visit, each, known, abonnementen=users[each.naam]) for each in found]
    return Listing(rows, len(every), asked, NEWEST, known.fault)


def in_dutch(value: float) -> str:
    """A rate: whole from ten on, else with a digit after the comma."""
    if value >= 10 or not value:
        return f"{round(value):,}".replace(",", ".")
    return f"{value:.1f}".replace(".", ",") if value >= 0.05 else "minder dan 0,1"


PAGE = Page("kanalen", "kanalen/", "Kanalen", "kanalen/listing.html", show)
