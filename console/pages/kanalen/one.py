"""One kanaal: who publishes on it, who subscribes with which filters, and what was for nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from console.page import Page, Visit
from console.pages.abonnementen.health import BADGES
from console.pages.kanalen.listing import NEWEST, Row, known_of_all, row_of
from ledger.values import Notificatie
from operating.status.faults import Fault, fault_of
from schemas.abonnement import Abonnement
from schemas.errors import LedgerError, NotFound
from schemas.fields import normalise
from schemas.kanaal import Kanaal

SHOWN = 50
"""Notificaties for nobody, and abonnementen at once."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """An abonnement on the kanaal. groups: the filters of each group on it. unknown: filters it has not."""

    abonnement: Abonnement
    badge: tuple[str, str]
    groups: Sequence[Sequence[tuple[str, str]]]
    unknown: Sequence[str]


@dataclass(frozen=True, slots=True)
class One:
    """What the page shows. more: subscribers that are not shown."""

    row: Row
    subscribers: Sequence[Subscriber]
    more: int
    unmatched: Sequence[Notificatie]
    newest: int
    unknown: Fault | None


async def show(visit: Visit) -> One:
    """From the registry's copy and the ledger."""
    catalogue = visit.console.catalogue
    kanaal = catalogue.kanaal_by_uuid(UUID(visit.request.match_info["uuid"]))
    if kanaal is None:
        raise NotFound("Dit kanaal is er niet (meer).")
    subscribers = [
        _subscriber(each, kanaal)
        for each in catalogue.everyone.values()
        if any(group.naam == kanaal.naam for group in each.kanalen)
    ]
    subscribers.sort(key=lambda each: (each.abonnement.client_id, each.abonnement.callback_url))
    known = await known_of_all(visit)
    unmatched: Sequence[Notificatie] = ()
    fault = known.fault
    if known.ledger is not None:
        try:
            unmatched = await known.ledger.unmatched(kanaal.naam, newest=NEWEST, limit=SHOWN)
        except LedgerError as error:
            fault = fault_of(error)
    return One(
        row_of(visit, kanaal, known, abonnementen=len(subscribers)),
        subscribers[:SHOWN],
        max(0, len(subscribers) - SHOWN),
        unmatched,
        NEWEST,
        fault,
    )


def _subscriber(abonnement: Abonnement, kanaal: Kanaal) -> Subscriber:
    groups = [group.filters for group in abonnement.kanalen if group.naam == kanaal.naam]
    known = set(map(normalise, kanaal.filters))
    names = {name for filters in groups for name, _ in filters}
    return Subscriber(
        abonnement,
        BADGES[abonnement.state],
        groups,
        sorted(name for name in names if normalise(name) not in known),
    )


PAGE = Page(
    "kanaal",
    "kanalen/{uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}}/",
    "Kanaal",
    "kanalen/one.html",
    show,
    under="kanalen",
)
