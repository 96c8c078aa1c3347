"""Overzicht: what needs attention first, and what waits for each abonnement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from console.page import Page, Visit
from console.pages.abonnementen.health import BADGES
from ledger.explaining.dutch import held_because, number
from ledger.values import Backlog
from schemas.abonnement import Abonnement, State
from schemas.errors import LedgerError


@dataclass(frozen=True, slots=True)
class Concern:
    """What needs attention: a sentence with what to do. bad: nothing is delivered until somebody does."""

    text: str
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """An abonnement and what is open of it. Moments are Unix seconds."""

    abonnement: Abonnement
    badge: tuple[str, str]
    waiting: int
    retrying: int
    oldest: float | None
    next_at: float | None


@dataclass(frozen=True, slots=True)
class Overzicht:
    """What the page shows. unknown: why it is not known what waits; "" when it is known."""

    concerns: Sequence[Concern]
    rows: Sequence[Row]
    abonnementen: int
    kanalen: int
    unknown: str


async def show(visit: Visit) -> Overzicht:
    """From the copy of the registry, and the ledger's figures of what is open."""
    catalogue = visit.console.catalogue
    every = [*catalogue.everyone.values()]
    backlogs: Mapping[UUID, Backlog] = {}
    unknown = ""
    try:
        backlogs = await (await visit.console.ledger.get()).backlogs()
    except LedgerError as error:
        unknown = str(error)
    rows = [_row(each, backlogs.get(each.uuid, Backlog())) for each in every]
    concerns = [concern for row in rows if (concern := _concern(row, visit.now)) is not None]
    shown = [row for row in rows if row.waiting or row.abonnement.state is not State.ACTIVE]
    shown.sort(key=lambda row: (row.oldest is None, row.oldest or 0.0))
    concerns.sort(key=lambda concern: not concern.bad)
    return Overzicht(concerns, shown, len(every), len(catalogue.kanalen), unknown)


def _row(abonnement: Abonnement, backlog: Backlog) -> Row:
    return Row(
        abonnement,
        BADGES[abonnement.state],
        backlog.count,
        backlog.retrying,
        None if backlog.oldest is None else backlog.oldest / 1000,
        None if backlog.next_at is None else backlog.next_at / 1000,
    )


def _concern(row: Row, now: float) -> Concern | None:
    each = row.abonnement
    waiting = f"{number(row.waiting)} notificaties wachten" if row.waiting != 1 else "1 notificatie wacht"
    if each.state is State.SUSPENDED:
        why = f" ({each.state_reason})" if each.state_reason else ""
        return Concern(
            f"Abonnement {each.uuid} van {each.client_id} is stilgelegd{why}; {waiting}. Spreek de afnemer, "
            "en hervat het daarna.",
            bad=True,
        )
    if each.hold is not None:
        minutes = max(1, round((now - each.hold.since) / 60))
        return Concern(
            f"De callback van abonnement {each.uuid} van {each.client_id} doet het al {number(minutes)} min "
            f"niet ({held_because(each.state_reason)}); {waiting}. Het gaat vanzelf verder zodra de "
            "callback weer antwoordt; spreek de afnemer als het lang duurt."
        )
    return None


PAGE = Page("overzicht", "", "Overzicht", "overzicht.html", show)
