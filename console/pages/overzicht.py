"""Overzicht: what needs attention first, the last hour, what waits for each abonnement, and what runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from console.page import Page, Visit
from console.pages.abonnementen.health import BADGES
from console.showing.charts import Chart, charts
from ledger.explaining.dutch import number
from ledger.values import State as Delivery
from operating.conditions import Condition
from operating.status.asking import ask_all
from operating.status.attention import LITTLE, NEARLY_FULL, Code
from operating.status.collecting import Status
from operating.status.dutch import Told, in_short, told
from operating.status.health import Health, Part
from operating.status.lane import Bulk
from schemas.abonnement import Abonnement, State

MOST_WAITING = 25  # abonnementen in the table

_HEALTH: Mapping[Health, tuple[str, str]] = {
    Health.OK: ("safe", "goed"),
    Health.NOT_READY: ("warning", "niet klaar"),
    Health.NOT_REACHABLE: ("danger", "niet bereikbaar"),
}
_SEE_ABOVE = "Bovenaan staat wat te doen."
_STATES = {
    Code.UNDELIVERABLE: Delivery.UNDELIVERABLE,
    Code.STUCK: Delivery.STUCK,
    Code.UNSURE: Delivery.UNSURE,
}
"""Of what is about notificaties: the state by which they are found."""
_NEARLY_FULL = ("warning", "bijna vol")
_PARTS = {"gateway": "Gateway", "broker": "RabbitMQ", "router": "Router", "registry": "Registratie"}


@dataclass(frozen=True, slots=True)
class Row:
    """An abonnement for which something waits. held: it is held or suspended."""

    condition: Condition
    badge: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Running:
    """A part of the system: its name, the kind of its badge and its text, and what there is to say of it.

    technical: what the part itself says, in English.
    """

    name: str
    badge: tuple[str, str]
    said: str
    technical: str = ""


@dataclass(frozen=True, slots=True)
class Overzicht:
    """What the page shows.

    concerns: each with the address and the text of the link to what it is about; "" where there is none.
    charts, rows: None when the ledger tells nothing. more: rows not shown. bulk: what waits in its lane,
    None when nothing does; most: for whom most of that is, None once that abonnement was removed.
    """

    at: float
    short: str
    concerns: Sequence[tuple[Told, str, str]]
    charts: Sequence[Chart] | None
    held: str
    rows: Sequence[Row] | None
    more: int
    parts: Sequence[Running]
    bulk: Bulk | None
    most: Abonnement | None


async def show(visit: Visit) -> Overzicht:
    """From the registry's copy, the ledger, and a question to each part."""
    status = await ask_all(visit.console.sources, now=visit.now, each=True)
    found, ledger = told(status), status.ledger
    waiting = sorted(
        (each for each in status.conditions if each.open), key=lambda each: each.oldest or visit.now
    )
    bulk = None if ledger is None else ledger.bulk
    rows = [Row(each, BADGES[each.abonnement.state]) for each in waiting[:MOST_WAITING]]
    return Overzicht(
        visit.now,
        in_short(found),
        [(each, *_where(each)) for each in found],
        None if ledger is None else charts(ledger.minutes, now=ledger.facts.now),
        _held(status.conditions),
        None if ledger is None else rows,
        max(len(waiting) - MOST_WAITING, 0),
        [*map(_running, status.parts), *_of_ledger(status), *_disk(status)],
        bulk,
        None if bulk is None else visit.console.sources.catalogue.everyone.get(bulk.most),
    )


def _where(told: Told) -> tuple[str, str]:
    """(address under the console's root, text of the link) of where to see what this is about."""
    of = {"abonnement": told.abonnement} if told.abonnement else {}
    if told.code in _STATES:
        return f"notificaties/?{urlencode({**of, 'toestand': _STATES[told.code].value})}", "Toon ze"
    if told.abonnement:
        return f"abonnementen/{told.abonnement}/", "Bekijk het abonnement"
    if told.code in (Code.HELD, Code.SUSPENDED, Code.WAITS_LONG, Code.QUEUE_UNREAD):
        return "abonnementen/?toestand=aandacht", "Toon de abonnementen"
    if told.code in (Code.NO_ALERTS, Code.ALERTS_NOT_SENT):
        return "waarschuwingen/", "Naar Waarschuwingen"
    return "", ""


def _held(conditions: Sequence[Condition]) -> str:
    """A sentence with what waits for callbacks that do not work, or that are suspended."""
    held = [each for each in conditions if each.abonnement.state is not State.ACTIVE]
    if not held:
        return "Geen enkel abonnement wordt vastgehouden of ligt stil."
    one, waiting = len(held) == 1, sum(each.open for each in held)
    which = "1 abonnement wordt" if one else f"{number(len(held))} abonnementen worden"
    begin = f"{which} vastgehouden of {'ligt' if one else 'liggen'} stil"
    if any(each.waiting is None for each in held):
        return f"{begin}; hoeveel daarvoor wacht, is nu niet bekend."
    what = "wacht 1 notificatie" if waiting == 1 else f"wachten {number(waiting)} notificaties"
    return f"{begin}; daarvoor {what}."


def _running(each: Part) -> Running:
    if each.health is Health.OK:
        return Running(_PARTS[each.name], _HEALTH[each.health], each.said, "; ".join(each.warnings))
    return Running(_PARTS[each.name], _HEALTH[each.health], _SEE_ABOVE, each.detail)


def _of_ledger(status: Status) -> list[Running]:
    ledger = status.ledger
    if ledger is None:
        return [Running("Grootboek", _HEALTH[Health.NOT_REACHABLE], _SEE_ABOVE, status.ledger_fault)]
    facts, living = ledger.facts, ledger.facts.living
    keeper = (
        Running("Bewaarder", ("safe", "goed"), "geeft terug wat RabbitMQ kwijtraakt")
        if facts.keeper is not None
        else Running("Bewaarder", ("danger", "werkt niet"), "wat RabbitMQ kwijtraakt, komt niet terug")
    )
    full = facts.size > NEARLY_FULL * status.ledger_budget
    deliverers = ("safe", "goed") if living else ("danger", "geen")
    in_hand = number(sum(each.hands for each in living))
    used = f"{number(facts.size / 1e6)} van {number(status.ledger_budget / 1e6)} MB"
    return [
        Running(
            "Deliverers",
            deliverers,
            f"{number(len(living))} aan het werk, {in_hand} afleveringen onderhanden",
        ),
        keeper,
        Running("Grootboek", _NEARLY_FULL if full else _HEALTH[Health.OK], used),
    ]


def _disk(status: Status) -> list[Running]:
    disk = status.disk
    if disk is None:
        return []
    free = f"{disk.free / 1e9:.1f} van {disk.total / 1e9:.1f} GB vrij".replace(".", ",")
    full = disk.free < LITTLE * disk.total
    return [Running("Schijf", _NEARLY_FULL if full else _HEALTH[Health.OK], free)]


PAGE = Page("overzicht", "", "Overzicht", "overzicht.html", show)
