"""A new replay: what and to whom; how many that are, with some of them; and then why and how fast."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from console.forms import Form
from console.page import Answer, Page, Redirect, Refused, Visit
from console.pages.notificaties.criteria import read_abonnement, read_kenmerken
from console.pages.notificaties.telling import STATES, Row, rows_of
from console.pages.opnieuw.telling import name_of
from ledger.explaining.dutch import number
from ledger.ledger import Ledger
from ledger.operating.replays import Plan
from ledger.values import Search, State
from operating.moments import read_moment
from operating.notificaties import replays
from operating.notificaties.replays import LEAST_RATE, MOST_RATE, RATE, Counted
from schemas.abonnement import Abonnement
from schemas.errors import UsageError

SHOWN = 8  # of the sample
MOST = 200_000
"""Notificaties of one replay that is made here: counting them keeps one waiting."""
MOST_TO_CHOOSE = 200
"""Abonnementen and kanalen that can be chosen from a list; with more they are typed."""
MOST_REASON = 500  # characters
COUNTING = 5.0
"""Seconds in which it is found out how many of these would be sent."""
FIELDS = ("naar", "kanaal", "hoofdobject", "kenmerk", "van", "sinds", "tot")
CHOICES = (State.UNDELIVERABLE, State.REMOVED, State.NOT_WANTED, State.DELIVERED)
"""States that can be asked for: what is still to come comes by itself."""


@dataclass(frozen=True, slots=True)
class New:
    """What the page shows.

    asked: the fields, as typed. states: those chosen. unmatched: also what is not asked for now. faults: by
    field. lacking: only what it has not got yet. to: the abonnement in words. counted: None until there is
    something to count. before: the moment up to which was counted, in milliseconds. sample: some of those
    that were found.
    """

    asked: Mapping[str, str]
    states: Sequence[str]
    unmatched: bool
    lacking: bool
    faults: Mapping[str, str]
    abonnementen: Sequence[tuple[str, str]]
    kanalen: Sequence[tuple[str, str]]
    choices: Sequence[tuple[str, str]]
    to: str
    counted: Counted | None
    before: int
    sample: Sequence[tuple[Row, bool]] = ()
    rate: float = RATE
    most_rate: float = MOST_RATE


@dataclass(frozen=True, slots=True)
class _Asked:
    to: Abonnement | None
    search: Search
    unmatched: bool
    lacking: bool
    faults: Mapping[str, str]


async def show(visit: Visit) -> New:
    """The form; and how many there are, once it says what is meant."""
    asked = _read(visit)
    counted, faults = None, dict(asked.faults)
    sample: Sequence[tuple[Row, bool]] = ()
    if asked.to is not None and not faults:
        ledger = await visit.console.ledger.get()
        try:
            counted = await _count(ledger, asked, asked.to, now=round(visit.now * 1000), within=COUNTING)
            first = counted.sample[:SHOWN]
            rows = await rows_of(ledger, [each for each, _ in first], only=asked.to.uuid)
            sample = [*zip(rows, (is_sent for _, is_sent in first), strict=True)]
        except UsageError:
            faults["tot"] = (
                f"Dit zijn er meer dan {number(MOST)}. Vraag met sinds en tot om minder tegelijk, of gebruik "
                "nrc replay start."
            )
    return New(
        {field: visit.asked(field) for field in FIELDS},
        visit.request.query.getall("toestand", []),
        asked.unmatched,
        asked.lacking,
        faults if _is_asked(visit) else {},
        _abonnementen(visit),
        _kanalen(visit),
        [(state.value, STATES[state][1]) for state in CHOICES],
        "" if asked.to is None else name_of(visit, asked.to.uuid),
        counted,
        round(visit.now * 1000),
        sample,
    )


async def begin(visit: Visit, form: Form) -> Answer:
    """Make the replay that was counted."""
    asked = _read(visit)
    if asked.to is None or asked.faults:
        raise Refused("Er is niet meer te zien wat opnieuw moet. Vul het formulier opnieuw in.")
    reason = form.text("waarom")
    if not reason or len(reason) > MOST_REASON:
        raise Refused(f"Vul in waarom, in ten hoogste {MOST_REASON} tekens. Er is nog niets gedaan.")
    rate, before = _rate(form.text("tempo")), form.text("voor")
    if not (before.isascii() and before.isdecimal() and len(before) < 15):
        raise Refused("Tel eerst om hoeveel het gaat. Er is nog niets gedaan.")
    ledger = await visit.console.ledger.get()
    now = min(int(before), round(visit.now * 1000))
    counted = await _count(ledger, asked, asked.to, now=now)
    if not counted.total:
        raise Refused("Er is niets meer dat hieraan voldoet. Er is niets gedaan.")
    plan = Plan(
        *(asked.to.uuid, counted.search, reason, rate, counted.total),
        unmatched=asked.unmatched,
        lacking=asked.lacking,
    )
    made = await replays.begin(ledger, visit.log, plan)
    return Redirect(f"opnieuw/{made.number}/", said=f"Herhaling {made.number} is begonnen.")


async def _count(ledger: Ledger, asked: _Asked, to: Abonnement, *, now: int, within: float = 0.0) -> Counted:
    return await replays.count(
        *(ledger, to, asked.search),
        unmatched=asked.unmatched,
        lacking=asked.lacking,
        now=now,
        most=MOST,
        within=within,
    )


def _rate(text: str) -> float:
    try:
        rate = float(text.replace(",", "."))
    except ValueError:
        rate = math.nan
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise Refused(
            f"Vul een tempo in van 0,1 tot en met {MOST_RATE:g} per seconde. Er is nog niets gedaan."
        )
    return rate


def _is_asked(visit: Visit) -> bool:
    """Whether the form was filled in at all."""
    return "tellen" in visit.request.query


def _read(visit: Visit) -> _Asked:
    """What the query asks for."""
    faults: dict[str, str] = {}
    to = _target(visit, faults)
    of = None
    if text := visit.asked("van"):
        try:
            of = read_abonnement(text, list(visit.console.catalogue.everyone))
        except ValueError as error:
            faults["van"] = str(error)
    moments: dict[str, int | None] = {"sinds": None, "tot": None}
    for name in moments:
        if text := visit.asked(name):
            try:
                moments[name] = read_moment(text, now=visit.now)
            except ValueError:
                faults[name] = (
                    "Dit is geen tijdstip. Schrijf het als 01:46, 28-10 01:46, 2026-10-28T01:46 of 2h."
                )
    if None not in moments.values() and moments["sinds"] >= moments["tot"]:  # type: ignore[operator]
        faults["tot"] = "'Sinds' ligt niet voor 'tot', dus hier kan niets tussen liggen. Draai ze om."
    states = visit.request.query.getall("toestand", [])
    known = {state.value: state for state in CHOICES}
    if any(each not in known for each in states):
        faults["toestand"] = "Kies uit de toestanden hieronder."
    typed = [each.strip() for each in visit.asked("kenmerk").split(",") if each.strip()]
    search = Search(
        kanaal=visit.asked("kanaal") or None,
        hoofd_object=visit.asked("hoofdobject") or None,
        kenmerken=read_kenmerken(typed, faults),
        abonnement=of,
        states=frozenset(known[each] for each in states if each in known),
        after=moments["sinds"],
        before=moments["tot"],
    )
    if search == Search() and not faults:
        faults["kanaal"] = (
            "Zeg welke: een kanaal, een object, een kenmerk, een tijd, een toestand, of wat voor een ander "
            "abonnement was."
        )
    query = visit.request.query
    # What it has is left out, unless the form was sent without that.
    lacking = "gemist" in query or "tellen" not in query
    return _Asked(to, search, "ongevraagd" in query, lacking, faults)


def _target(visit: Visit, faults: dict[str, str]) -> Abonnement | None:
    try:
        found = visit.console.catalogue.everyone.get(UUID(visit.asked("naar")))
    except ValueError:
        found = None
    if found is None:
        faults["naar"] = "Kies het abonnement dat de notificaties krijgt."
    return found


def _abonnementen(visit: Visit) -> list[tuple[str, str]]:
    every = visit.console.catalogue.everyone.values()
    if len(every) > MOST_TO_CHOOSE:
        return []
    told = sorted((name_of(visit, each.uuid), str(each.uuid)) for each in every)
    return [("", "kies een abonnement"), *((uuid, name) for name, uuid in told)]


def _kanalen(visit: Visit) -> list[tuple[str, str]]:
    names = sorted(
        {*(each.naam for each in visit.console.catalogue.every_kanaal()), visit.asked("kanaal")} - {""}
    )
    return [] if len(names) > MOST_TO_CHOOSE else [("", "alle kanalen"), *((name, name) for name in names)]


PAGE = Page(
    "herhaling-nieuw",
    "opnieuw/nieuw/",
    "Opnieuw verzenden",
    "opnieuw/new.html",
    show,
    actions={"beginnen": begin},
    under="opnieuw",
    several=("toestand",),
)
