"""A new replay: what and to whom; how many that are, with some of them; and then why and how fast."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from console.forms import Form
from console.page import Answer, Page, Redirect, Refused, Visit
from console.pages.notificaties.telling import STATES
from console.pages.opnieuw.telling import name_of
from ledger.explaining.dutch import number
from ledger.ledger import Ledger
from ledger.operating.replays import Plan
from ledger.values import Notificatie, Search, State
from operating import replays
from operating.moments import read_moment
from operating.replays import LEAST_RATE, MOST_RATE, RATE, Counted
from schemas.abonnement import Abonnement
from schemas.errors import UsageError

SHOWN = 8  # of the sample
MOST = 200_000
"""Notificaties of one replay that is made here: counting them keeps one waiting."""
MOST_TO_CHOOSE = 200
"""Abonnementen and kanalen that can be chosen from a list; with more they are typed."""
MOST_REASON = 500  # characters
FIELDS = ("naar", "kanaal", "van", "sinds", "tot")
CHOICES = (State.UNDELIVERABLE, State.REMOVED, State.NOT_WANTED, State.DELIVERED)
"""States that can be asked for: what is still to come comes by itself."""


@dataclass(frozen=True, slots=True)
class New:
    """What the page shows.

    asked: the fields, as typed. states: those chosen. unmatched: also what is not asked for now. faults: by
    field. to: the abonnement in words. counted: None until there is something to count. before: the moment
    up to which was counted, in milliseconds.
    """

    asked: Mapping[str, str]
    states: Sequence[str]
    unmatched: bool
    faults: Mapping[str, str]
    abonnementen: Sequence[tuple[str, str]]
    kanalen: Sequence[tuple[str, str]]
    choices: Sequence[tuple[str, str]]
    to: str
    counted: Counted | None
    before: int
    rate: float = RATE
    most_rate: float = MOST_RATE

    @property
    def sample(self) -> Sequence[tuple[Notificatie, bool]]:
        """Some of those that were found."""
        return () if self.counted is None else self.counted.sample[:SHOWN]


@dataclass(frozen=True, slots=True)
class _Asked:
    to: Abonnement | None
    search: Search
    unmatched: bool
    faults: Mapping[str, str]


async def show(visit: Visit) -> New:
    """The form; and how many there are, once it says what is meant."""
    asked = _read(visit)
    counted, faults = None, dict(asked.faults)
    if asked.to is not None and not faults:
        ledger = await visit.console.ledger.get()
        try:
            counted = await _count(ledger, asked, asked.to, now=round(visit.now * 1000))
        except UsageError:
            faults["tot"] = (
                f"Dit zijn er meer dan {number(MOST)}. Vraag met sinds en tot om minder tegelijk, of gebruik "
                "nrc replay start."
            )
    return New(
        {field: visit.asked(field) for field in FIELDS},
        visit.request.query.getall("toestand", []),
        asked.unmatched,
        faults if _is_asked(visit) else {},
        _abonnementen(visit),
        _kanalen(visit),
        [(state.value, STATES[state][1]) for state in CHOICES],
        "" if asked.to is None else name_of(visit, asked.to.uuid),
        counted,
        round(visit.now * 1000),
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
    plan = Plan(asked.to.uuid, counted.search, reason, rate, counted.total, unmatched=asked.unmatched)
    made = await replays.begin(ledger, visit.log, plan)
    return Redirect(f"opnieuw/{made.number}/", said=f"Herhaling {made.number} is begonnen.")


async def _count(ledger: Ledger, asked: _Asked, to: Abonnement, *, now: int) -> Counted:
    return await replays.count(ledger, to, asked.search, unmatched=asked.unmatched, now=now, most=MOST)


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
            of = UUID(text)
        except ValueError:
            faults["van"] = "Vul het hele id van een abonnement in, of laat dit leeg."
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
    search = Search(
        kanaal=visit.asked("kanaal") or None,
        abonnement=of,
        states=frozenset(known[each] for each in states if each in known),
        after=moments["sinds"],
        before=moments["tot"],
    )
    if search == Search() and not faults:
        faults["kanaal"] = (
            "Zeg welke: een kanaal, een tijd, een toestand, of wat voor een ander abonnement was."
        )
    return _Asked(to, search, "ongevraagd" in visit.request.query, faults)


def _target(visit: Visit, faults: dict[str, str]) -> Abonnement | None:
    try:
        found = visit.console.catalogue.abonnementen.get(UUID(visit.asked("naar")))
    except ValueError:
        found = None
    if found is None:
        faults["naar"] = "Kies het abonnement dat de notificaties krijgt."
    return found


def _abonnementen(visit: Visit) -> list[tuple[str, str]]:
    every = visit.console.catalogue.every_abonnement()
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
)
