"""Notificaties: what was accepted, by any combination of what is known of it; and what comes meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from console.page import Event, Live, Page, Redirect, Visit
from console.pages.notificaties.criteria import (
    AFTER,
    BEFORE,
    CHOICES,
    KENMERK,
    STATE,
    Criteria,
    read_criteria,
    with_one,
)
from console.pages.notificaties.telling import Row, account_of, rows_of
from ledger.explaining.dutch import duration
from ledger.ledger import Ledger
from ledger.values import Notificatie, Punctuality, Search
from operating.notificaties.finding import Account, what_is_missing
from operating.notificaties.newest import Newest
from schemas.abonnement import Abonnement, event_groups
from schemas.errors import LedgerError, UsageError
from schemas.fields import EVENTS, is_http_url

ON_A_PAGE = 50
MOST_TO_CHOOSE = 200
"""Kanalen that can be chosen from a list; with more their naam is typed."""
LOOK = 1.0  # seconds between two looks for what is new
AT_ONCE = 25  # rows that one look gives at most, the newest: nobody reads more in a second
LATE = 10_000
"""Milliseconds as of which a delivery counts as late, where nothing else is asked."""
DAY = 86_400_000
MOST_TOLD = 50
"""Abonnementen of which is told how it went."""
ACTIES = ("create", "update", "partial_update", "destroy")


_NEXT = (
    "Zoek een zaak met haar hele URL, of met alleen het laatste deel daarvan, meestal een UUID. Een naam of "
    "een stuk uit het midden levert niets op, en een zaaknummer alleen als de URL daarop eindigt. Op "
    "applicatie, kanaal, kenmerk en tijd zoek je onder Meer zoekvelden."
)


@dataclass(frozen=True, slots=True)
class Went:
    """How deliveries to one abonnement went. abonnement: None when it was removed. slowest: in words."""

    uuid: UUID
    abonnement: Abonnement | None
    of: Punctuality
    slowest: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What the page shows.

    kanalen: to choose from; empty when there are too many. names: of kenmerken, to complete what is typed.
    missing: what there is to tell when nothing was found. newer, older: queries; "" where there is none.
    is_first: whether these are the newest, to which what comes is added. live: the query of that; "" where
    that is not possible. went: for whom something failed or came late, the worst first, where that is asked
    for; of what was accepted `went_since`, in words; late: as of when it counts as that.
    """

    criteria: Criteria
    rows: Sequence[Row]
    choices: Sequence[tuple[str, str]]
    kanalen: Sequence[tuple[str, str]]
    names: Sequence[str]
    acties: Sequence[str]
    missing: str
    newer: str
    older: str
    is_first: bool
    live: str
    went: Sequence[Went]
    went_since: str
    late: str


@dataclass(frozen=True, slots=True)
class _Page:
    found: Sequence[Notificatie]
    newer: bool = False
    older: bool = False


async def show(visit: Visit) -> object:
    """What was found; with `als=stroom` what comes, as events."""
    catalogue = visit.console.catalogue
    query = visit.request.query
    asked = {name: query.getall(name) for name in query}
    criteria = read_criteria(asked, list(catalogue.everyone), now=visit.now)
    if visit.asked("als") == "stroom":
        return Live("pages/notificaties/row.html", _news(visit, criteria))
    ledger = await visit.console.ledger.get()
    account = account_of(visit, ledger)
    page, missing = _Page(()), ""
    if not criteria.faults:
        page = await _page(ledger, criteria.search, visit.asked(AFTER), visit.asked(BEFORE))
        one, missing = (None, "") if page.found else await _by_id(account, criteria)
        if one is not None:
            page = _Page([one])
        if criteria.is_text_only and len(page.found) == 1 and _is_of(page.found[0], criteria, one):
            return Redirect(f"notificaties/{page.found[0].id}/")
        if not page.found:
            missing = missing or await _missing(account, criteria)
    names = [each.naam for each in catalogue.every_kanaal()]
    if any(event_groups(each.options) for each in catalogue.everyone.values()):
        names.append(EVENTS)
    since = round(visit.now * 1000) - DAY if criteria.search.after is None else max(0, criteria.search.after)
    late = LATE if criteria.search.late is None else criteria.search.late
    went: Sequence[Went] = ()
    if criteria.asks_how_it_went and not criteria.faults:
        went = await _went(ledger, criteria.search, catalogue.everyone, since=since, late=late)
    return Listing(
        criteria=criteria,
        rows=await rows_of(ledger, page.found, only=criteria.search.abonnement),
        choices=CHOICES,
        kanalen=_choice(names, criteria.fields["kanaal"]),
        names=sorted({name for each in catalogue.every_kanaal() for name in each.filters}),
        acties=ACTIES,
        missing=missing,
        newer=criteria.query(**{BEFORE: str(page.found[0].id)}) if page.newer else "",
        older=criteria.query(**{AFTER: str(page.found[-1].id)}) if page.older else "",
        is_first=not visit.asked(AFTER) and not visit.asked(BEFORE),
        live=criteria.query(als="stroom") if _moves(criteria) else "",
        went=went,
        went_since=f"sinds {account.clock.bare(since)}",
        late=duration(late),
    )


async def _went(
    ledger: Ledger, search: Search, known: Mapping[UUID, Abonnement], *, since: int, late: int
) -> list[Went]:
    """For whom something failed or came late, the worst first."""
    found = await ledger.punctuality(after=since, before=search.before, late=late)
    went = [
        Went(uuid, known.get(uuid), of, "" if of.slowest is None else duration(of.slowest))
        for uuid, of in found.items()
        if (of.failed or of.late) and search.abonnement in (None, uuid)
    ]
    went.sort(key=lambda each: each.of.badness, reverse=True)
    return went[:MOST_TOLD]


def _moves(criteria: Criteria) -> bool:
    """Whether the list can be followed: not where it depends on what becomes of a notificatie much later."""
    return not criteria.faults and not criteria.asks_how_it_went


def _choice(names: Sequence[str], chosen: str) -> list[tuple[str, str]]:
    """The kanalen to choose from; what was asked for is there, whatever it is."""
    if len(names) > MOST_TO_CHOOSE:
        return []
    return [("", "alle kanalen"), *((name, name) for name in sorted({*names, *filter(None, [chosen])}))]


async def _page(ledger: Ledger, search: Search, after: str, before: str) -> _Page:
    """One page of what was found, the newest first."""
    if (place := _place(before)) is not None:
        found = await ledger.search(search, limit=ON_A_PAGE + 1, after=place, oldest_first=True)
        return _Page(found[ON_A_PAGE - 1 :: -1], newer=len(found) > ON_A_PAGE, older=bool(found))
    place = _place(after)
    found = await ledger.search(search, limit=ON_A_PAGE + 1, after=place)
    return _Page(found[:ON_A_PAGE], newer=place is not None and bool(found), older=len(found) > ON_A_PAGE)


def _place(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


async def _by_id(account: Account, criteria: Criteria) -> tuple[Notificatie | None, str]:
    """The one whose id begins with what was typed, when it is also all else that is asked for.

    Or a sentence that says what to do, when several begin so.
    """
    typed = criteria.fields["zoek"]
    if not typed or is_http_url(typed):
        return None, ""
    try:
        one = await account.meant(typed)
    except UsageError:
        return None, f"Er beginnen meer notificaties met {typed}. Geef meer tekens."
    if one is None:
        return None, ""
    found = await account.ledger.search(with_one(criteria.search, one.id), limit=1)
    return (found[0] if found else None), ""


def _is_of(found: Notificatie, criteria: Criteria, one: Notificatie | None) -> bool:
    """Whether it is the id that was typed, and not an object."""
    return one is not None or str(found.id) == criteria.fields["zoek"].lower()


async def _missing(account: Account, criteria: Criteria) -> str:
    """Why nothing was found, as far as that is known."""
    if criteria.is_text_only:
        text = (await what_is_missing(account, criteria.fields["zoek"], at=None)).text
        return f"{text} {_NEXT}"
    catalogue, search = account.catalogue, criteria.search
    told = ["Er is geen notificatie die aan dit alles voldoet."]
    if search.kanaal is not None and search.kanaal not in catalogue.kanalen:
        told.append(f"Kanaal {search.kanaal} is hier niet (meer).")
    if search.client is not None and search.client not in catalogue.applications:
        told.append(f"Applicatie {search.client} is hier niet (meer).")
    if search.abonnement is not None and search.abonnement not in catalogue.everyone:
        told.append(f"Abonnement {search.abonnement} is hier niet (meer).")
    oldest = await account.oldest()
    if oldest is None:
        return "Het grootboek is leeg: sinds het gemaakt is, is er geen notificatie aangenomen."
    told.append(f"De oudste notificatie in het grootboek kwam {account.clock.at(oldest)}.")
    return " ".join(told)


async def _news(visit: Visit, criteria: Criteria) -> AsyncIterator[Event]:
    """A row for each notificatie that comes, and again when something became of it."""
    if not _moves(criteria):
        return
    # What it is shown by stands in the search; from now on, so no time is asked for.
    search, began = replace(criteria.search, after=None, before=None), round(visit.now * 1000)
    newest: Newest | None = None
    while True:
        try:
            ledger = await visit.console.ledger.get()
            newest = newest or Newest(ledger, search, since=began, shown=ON_A_PAGE)
            fresh = await newest.news(now=round(time.time() * 1000), most=AT_ONCE)
            for row in await rows_of(ledger, fresh, only=search.abonnement):
                yield Event("row", row)
        except LedgerError:
            pass  # tried again
        yield Event("tick")
        await asyncio.sleep(LOOK)


PAGE = Page(
    *("notificaties", "notificaties/", "Notificaties", "notificaties/listing.html", show),
    several=(STATE, KENMERK),
)
