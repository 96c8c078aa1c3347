"""Waarom (niet): why an abonnement got a notificatie, or not; each filter against each kenmerk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

from console.page import Page, Visit
from console.pages.notificaties.criteria import read_abonnement
from console.pages.notificaties.telling import Step, account_of, badge_of, name_of, notificatie_of, timeline
from ledger.explaining import Clock, Code, Comparison, Reader, compare, told_state
from ledger.explaining.account import Told
from ledger.explaining.dutch import AMSTERDAM, held_because, listed
from ledger.explaining.states import suspended_because, what_is_down
from ledger.values import Notificatie
from router.matching.filters import matches
from schemas.abonnement import WILDCARD, Abonnement, FilterGroup, State
from schemas.events.event import TYPE
from schemas.notificatie import values_of

_NOT_THERE = (Code.NOT_THERE_YET, Code.NOT_THERE_ANY_MORE)
MOST = 50  # abonnementen to choose from


@dataclass(frozen=True, slots=True)
class Line:
    """A filter beside the kenmerk that it is compared with. kind, verdict: its badge."""

    name: str
    wanted: str
    found: str | None
    kind: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Group:
    """Filters of which all must match. matches: whether they do."""

    lines: Sequence[Line]
    matches: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """One delivery, or why there is none. steps: of its timeline."""

    told: Told
    badge: tuple[str, str]
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Why:
    """What the page shows.

    typed: what was asked for. fault: why that is no abonnement. choices: abonnementen to choose from; more:
    how many others there are. answers: empty while none is chosen. groups: None when what it asked for then
    is not known, or the body is gone. elsewhere: the kanalen that it had then, when this one is not there.
    then: its state when the notificatie was accepted. is_present: what it asks for now is compared, since it
    did not exist then. then_what: of what has no delivery here: what to do about that, in sentences; again:
    the query of the page by which all of that time is sent again.
    """

    notificatie: Notificatie
    name: str
    at: float
    typed: str
    fault: str
    choices: Sequence[Abonnement]
    more: int
    whom: UUID | None
    abonnement: Abonnement | None
    now: str
    then: str
    answers: Sequence[Answer]
    groups: Sequence[Group] | None
    elsewhere: str
    is_present: bool
    then_what: Sequence[str]
    again: str


async def show(visit: Visit) -> Why:
    """The explanation for the abonnement of the query, or abonnementen to choose from."""
    ledger = await visit.console.ledger.get()
    notificatie = await notificatie_of(visit, ledger)
    catalogue = visit.console.catalogue
    typed, fault = visit.asked("abonnement"), ""
    whom: UUID | None = None
    choices: Sequence[Abonnement] = ()
    if typed:
        choices = [each for each in catalogue.everyone.values() if _is_named(visit, each, typed)]
        if len(choices) == 1:
            whom = choices[0].uuid
        elif not choices:
            try:
                whom = read_abonnement(typed, list(catalogue.everyone))
            except ValueError as error:
                fault = str(error)
    if whom is None and not choices:
        choices = sorted(catalogue.everyone.values(), key=lambda each: _first(each, notificatie))
    account = account_of(visit, ledger)
    told = [] if whom is None else await account.of_abonnement(notificatie, whom)
    known = None if whom is None else catalogue.everyone.get(whom)
    kenmerken = None if notificatie.body is None else values_of(notificatie.body)
    kanalen = told[0].explanation.kanalen if told else None
    is_present = known is not None and bool(told) and told[0].explanation.code in _NOT_THERE
    if known is not None and is_present:
        kanalen = known.routed
    return Why(
        notificatie,
        name_of(notificatie),
        notificatie.received / 1000,
        typed,
        fault,
        choices[:MOST] if whom is None else (),
        max(0, len(choices) - MOST),
        whom,
        known,
        "" if known is None else state_now(known, account.clock),
        told_state(told[0].explanation.state, account.clock) if told else "",
        [_answer(each, notificatie, account.clock.now, known) for each in told],
        _groups(kanalen, notificatie.kanaal, kenmerken),
        _elsewhere(kanalen, notificatie.kanaal),
        is_present,
        _then_what(known, notificatie, kenmerken) if told and told[0].delivery is None else (),
        _again(known, notificatie),
    )


def _then_what(
    known: Abonnement | None, notificatie: Notificatie, kenmerken: Mapping[str, str] | None
) -> list[str]:
    """What to do about a notificatie that the abonnement did not get, and whose task that is."""
    if known is None or kenmerken is None:
        return []
    if matches(known, notificatie.kanaal, kenmerken):
        return [
            "Met de filters van nu past de notificatie wel: zij kan alsnog verzonden worden, alleen of met "
            "al het andere uit die tijd."
        ]
    return [
        "Moet het abonnement dit wel krijgen? De filters wijzigt alleen de afnemer zelf "
        f"({known.client_id}), met een PATCH op zijn abonnement (docs/notificeren.md).",
        "Wat tot dan gemist is, kan daarna opnieuw verzonden worden, van de hele periode tegelijk.",
    ]


def _again(known: Abonnement | None, notificatie: Notificatie) -> str:
    if known is None:
        return ""
    since = datetime.fromtimestamp(notificatie.received // 1000, AMSTERDAM)
    asked = {"naar": known.uuid, "kanaal": notificatie.kanaal, "sinds": f"{since:%d-%m-%Y %H:%M:%S}"}
    return urlencode(asked)


def _is_named(visit: Visit, each: Abonnement, typed: str) -> bool:
    """Whether it is named by its application (client id or label) or its callback."""
    application = visit.console.catalogue.applications.get(each.client_id)
    label = "" if application is None else application.label
    named = (each.client_id.casefold(), label.casefold(), each.callback_url.casefold())
    return typed.casefold() in filter(None, named)


def _first(each: Abonnement, notificatie: Notificatie) -> tuple[bool, str, UUID]:
    """Those on its kanaal before the others."""
    return (
        all(group.naam != notificatie.kanaal for group in each.routed),
        each.client_id,
        each.uuid,
    )


def state_now(abonnement: Abonnement, clock: Clock) -> str:
    """How an abonnement is doing, and since when."""
    if abonnement.hold is not None:
        since = clock.bare(round(abonnement.hold.since * 1000))
        return f"{what_is_down(abonnement, since)} ({held_because(abonnement.state_reason)})"
    if abonnement.state is State.SUSPENDED:
        why = suspended_because(abonnement.state_reason, Reader.OPERATOR)
        return "stilgelegd" + (f" ({why})" if why else "")
    return "actief"


def _answer(told: Told, notificatie: Notificatie, now: int, known: Abonnement | None) -> Answer:
    probe = known.hold.next_probe if known is not None and known.hold is not None else None
    badge = badge_of(told)
    return Answer(told, badge, timeline(told, notificatie, now=now, probe=probe))


def _groups(
    kanalen: Sequence[FilterGroup] | None, kanaal: str, kenmerken: Mapping[str, str] | None
) -> list[Group] | None:
    if kanalen is None:
        return None
    groups = [group for group in kanalen if group.naam == kanaal]
    if kenmerken is None and any(group.filters for group in groups):
        return None
    found = []
    for group in groups:
        compared = compare(group, kenmerken or {})
        found.append(Group([_line(each) for each in compared], not any(each.differs for each in compared)))
    return found


def _line(each: Comparison) -> Line:
    if each.name == TYPE:
        kind, verdict = ("danger", "staat er niet in") if each.differs else ("safe", "staat erin")
        return Line("type", each.wanted, each.found, kind, verdict)
    if each.wanted == WILDCARD:
        return Line(each.name, each.wanted, each.found, "safe", "alles mag")
    if each.found is None:
        return Line(each.name, each.wanted, None, "neutral", "telt niet mee")
    if not each.differs:
        return Line(each.name, each.wanted, each.found, "safe", "gelijk")
    verdict = f"verschilt alleen in {listed(each.only)}" if each.only else "verschilt"
    return Line(each.name, each.wanted, each.found, "danger", verdict)


def _elsewhere(kanalen: Sequence[FilterGroup] | None, kanaal: str) -> str:
    names = list(dict.fromkeys(group.naam for group in kanalen or ()))
    return "" if kanaal in names or not names else listed(names)


PAGE = Page(
    "notificatie-waarom",
    "notificaties/{id}/waarom/",
    "Waarom (niet)",
    "notificaties/why.html",
    show,
    under="notificaties",
)
