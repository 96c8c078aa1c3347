"""All abonnementen, those that need attention first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode
from uuid import UUID

from console.page import Page, Visit
from console.pages.abonnementen.health import Health, Rank, last_hour_of, note_of, rank_of
from ledger.ledger import Ledger
from ledger.values import Backlog, Counts
from operating.conditions import conditions_of
from operating.status.faults import Fault, fault_of
from schemas.abonnement import Abonnement
from schemas.errors import LedgerError
from store.state_since import state_since

ON_A_PAGE = 50
HOUR = 3600.0  # seconds
CHOICES = (
    ("", "alle toestanden"),
    ("aandacht", "vraagt aandacht"),
    ("held", "vastgehouden"),
    ("suspended", "stilgelegd"),
    ("active", "actief"),
)
FIELDS = ("zoek", "toestand", "kanaal")
MOST_TO_CHOOSE = 200
"""Kanalen that can be chosen from a list; with more their naam is typed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One of the list. note: beside its badge. delivered: when it last got something, Unix seconds."""

    health: Health
    rank: Rank
    note: str
    delivered: float | None = None

    @property
    def alarming(self) -> bool:
        """Whether somebody should look at it."""
        return self.rank < Rank.FAILING


@dataclass(frozen=True, slots=True)
class Listing:
    """What the page shows.

    asked: the search, by field. total: of all that there are; found: by the search. summary: (how many,
    kind and text of a badge). unknown: why it is not known what waits; None when it is known. earlier, later:
    queries of the pages beside this one. attention: those that somebody should look at; retrying: others of
    which something is tried again by itself.
    """

    rows: Sequence[Row]
    asked: Mapping[str, str]
    choices: Sequence[tuple[str, str]]
    kanalen: Sequence[tuple[str, str]]
    total: int
    found: int
    attention: int
    retrying: int
    unknown: Fault | None
    place: str
    earlier: str
    later: str


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of all; nothing where it can't be asked."""

    backlogs: Mapping[UUID, Backlog] | None = None
    counts: Counts = Counts()  # noqa: RUF009 - frozen
    undeliverable: Mapping[UUID, int] | None = None
    ledger: Ledger | None = None
    fault: Fault | None = None


async def known_of_all(visit: Visit) -> Known:
    """What the ledger knows."""
    try:
        ledger = await visit.console.ledger.get()
        backlogs, counts, undeliverable = await asyncio.gather(
            ledger.backlogs(),
            ledger.counts(since=round((visit.now - HOUR) * 1000)),
            ledger.undeliverable_counts(),
        )
    except LedgerError as error:
        return Known(fault=fault_of(error))
    return Known(backlogs, counts, undeliverable, ledger)


async def health_of(visit: Visit, abonnementen: Sequence[Abonnement], known: Known) -> list[Health]:
    """How each of these is doing."""
    failures = await visit.console.registry.last_failures()
    found = conditions_of(abonnementen, failures, known.backlogs)
    return [
        Health(
            each,
            last_hour_of(known.counts.came_to.get(each.abonnement.uuid, {})),
            (known.undeliverable or {}).get(each.abonnement.uuid, 0),
        )
        for each in found
    ]


async def show(visit: Visit) -> Listing:
    """One page of the list."""
    catalogue = visit.console.catalogue
    asked = {field: visit.asked(field) for field in FIELDS}
    every = [*catalogue.everyone.values()]
    known = await known_of_all(visit)
    rows = [_row(each, visit.now) for each in await health_of(visit, every, known)]
    rows.sort(key=_order)
    labels = {client: each.label for client, each in catalogue.applications.items()}
    found = [row for row in rows if _fits(row, asked, labels)]
    page = _page(visit.asked("blad"), len(found))
    begin = (page - 1) * ON_A_PAGE
    shown = await asyncio.gather(
        *(_whole(visit, row, known.ledger) for row in found[begin : begin + ON_A_PAGE])
    )
    given = {name: value for name, value in asked.items() if value}
    last = begin + len(shown)
    return Listing(
        shown,
        asked,
        CHOICES,
        kanalen_to_choose(visit, asked["kanaal"]),
        len(rows),
        len(found),
        sum(row.alarming for row in rows),
        sum(row.rank is Rank.FAILING for row in rows),
        known.fault,
        f"{begin + 1} tot en met {last} van {len(found)}" if shown else "",
        urlencode({**given, "blad": page - 1}) if page > 1 else "",
        urlencode({**given, "blad": page + 1}) if last < len(found) else "",
    )


def kanalen_to_choose(visit: Visit, chosen: str) -> list[tuple[str, str]]:
    """The kanalen as choices, with what was asked for, whatever it is; none when there are too many."""
    names = {each.naam for each in visit.console.catalogue.every_kanaal()}
    if len(names) > MOST_TO_CHOOSE:
        return []
    return [("", "alle kanalen"), *((name, name) for name in sorted({*names, *filter(None, [chosen])}))]


def _row(health: Health, now: float) -> Row:
    rank = rank_of(health, now=now)
    return Row(health, rank, note_of(health, rank))


def _order(row: Row) -> tuple[int, float, str, str]:
    each = row.health.condition
    oldest = each.oldest if each.oldest is not None else float("inf")
    return row.rank, oldest, each.abonnement.client_id, str(each.abonnement.uuid)


def _fits(row: Row, asked: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    each = row.health.abonnement
    if asked["kanaal"] and asked["kanaal"] not in {group.naam for group in each.kanalen}:
        return False
    state = asked["toestand"]
    if state and not (row.alarming if state == "aandacht" else each.state == state):
        return False
    text = asked["zoek"].casefold()
    named = (each.client_id, labels.get(each.client_id, ""), each.callback_url, str(each.uuid))
    return any(text in part.casefold() for part in named)


def _page(text: str, found: int) -> int:
    last = max(1, -(-found // ON_A_PAGE))
    return min(max(int(text), 1), last) if text.isascii() and text.isdecimal() and len(text) < 8 else 1


async def _whole(visit: Visit, row: Row, ledger: Ledger | None) -> Row:
    """The row with what is looked up for each that is shown."""
    condition = row.health.condition
    since = await state_since(visit.console.registry, condition.abonnement, condition.last_failure)
    return replace(
        row,
        health=replace(row.health, since=since),
        delivered=await last_delivered(ledger, condition.abonnement.uuid),
    )


async def last_delivered(ledger: Ledger | None, uuid: UUID) -> float | None:
    """When it last got something, in Unix seconds."""
    at = None if ledger is None else await ledger.last_delivered(uuid)
    return None if at is None else at / 1000


PAGE = Page("abonnementen", "abonnementen/", "Abonnementen", "abonnementen/listing.html", show)
