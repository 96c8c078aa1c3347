"""Logboek: what operators did, by whom, when, from where and why; as a list, and as a file."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

from console.page import Download, Page, Visit
from console.pages.notificaties.criteria import NOT_A_MOMENT, read_abonnement
from ledger.explaining.dutch import AMSTERDAM
from operating.acts import SHOWN, facts_of, who_did
from operating.moments import read_moment
from operating.plain_text import moment
from store.registry import Act, ActSearch, Registry

ON_A_PAGE = 50
_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}-\d{1,2}(-\d{4})?")
AT_ONCE = 1000
"""Acts that are read from the registry together for a file."""

ACTS: Mapping[str, str] = {
    "abonnement added": "abonnement gemaakt",
    "abonnement changed": "abonnement veranderd",
    "callback auth changed": "wat de callback vraagt veranderd",
    "delivery options changed": "afleveropties veranderd",
    "amqp password changed": "wachtwoord voor RabbitMQ vernieuwd",
    "event mapping set": "mapping naar CloudEvents ingesteld",
    "event mapping removed": "mapping naar CloudEvents verwijderd",
    "abonnement removed": "abonnement verwijderd",
    "abonnement resumed": "abonnement hervat",
    "abonnement suspended": "abonnement stilgelegd",
    "abonnement given": "abonnement aan een andere applicatie gegeven",
    "probe asked for": "callback opnieuw geprobeerd",
    "test message sent": "testbericht verzonden",
    "what waited was taken away": "wachtende notificaties weggehaald",
    "application added": "applicatie gemaakt",
    "application changed": "applicatie veranderd",
    "application removed": "applicatie verwijderd",
    "scopes granted": "rechten gegeven",
    "scopes revoked": "rechten ingetrokken",
    "source of scopes changed": "herkomst van rechten veranderd",
    "secret rotated": "geheim vervangen",
    "old secret revoked": "oud geheim ingetrokken",
    "token made": "token gemaakt",
    "kanaal added": "kanaal gemaakt",
    "kanaal changed": "kanaal veranderd",
    "kanaal removed": "kanaal verwijderd",
    "retry sent now": "poging nu gedaan",
    "retry dropped": "aflevering geschrapt",
    "notificatie sent once more": "notificatie nog eens verzonden",
    "notificatie sent again": "onbestelbare notificatie opnieuw verzonden",
    "undeliverable notificatie removed": "onbestelbare aflevering geschrapt",
    "replay begun": "herhaling begonnen",
    "replay paused": "herhaling gepauzeerd",
    "replay resumed": "herhaling hervat",
    "replay stopped": "herhaling gestopt",
    "unsure given back": "onzekere notificaties opnieuw verzonden",
    "unsure taken as delivered": "onzekere notificaties als afgeleverd aangemerkt",
    "gap opened": "gat gemeld",
    "gap closed": "gat gesloten",
    "ledger rebuilt": "grootboek opnieuw opgebouwd",
    "ledger restored": "database teruggezet uit een kopie",
    "import of deliveries begun": "overname van wachtende afleveringen begonnen",
    "deliveries imported": "wachtende afleveringen overgenomen",
    "backup made": "back-up gemaakt",
    "backup restored": "back-up teruggezet",
    "registry moved": "register verhuisd",
    "secrets encrypted again": "geheimen opnieuw versleuteld",
    "alert rules changed": "regels voor waarschuwingen veranderd",
    "alert pace changed": "tempo van waarschuwingen veranderd",
    "alert webhook changed": "webhook voor waarschuwingen veranderd",
    "alert mail changed": "mail voor waarschuwingen veranderd",
    "alert destination removed": "bestemming van waarschuwingen vergeten",
    "alert tested": "waarschuwing als test verzonden",
    "user added": "gebruiker gemaakt",
    "user removed": "gebruiker verwijderd",
    "role changed": "rol veranderd",
    "password changed": "wachtwoord veranderd",
    "user logged in": "ingelogd",
    "user logged out everywhere": "overal uitgelogd",
    "user locked out": "gebruiker geblokkeerd",
}
"""How an act is told. One that is not here is told as it is noted."""

FACTS: Mapping[str, str] = {
    "application": "applicatie",
    "given_to": "gegeven aan",
    "auth": "inloggegevens",
    "scopes": "rechten",
    "now": "nu",
    "old_one_counts_until": "oud geheim telt tot",
    "waiting": "wat wachtte",
    "reason": "reden",
    "why": "reden",
    "name": "gebruiker",
    "role": "rol",
    "sessions": "sessies",
    "seconds": "seconden",
    "count": "aantal",
    "found": "gevonden",
    "moment": "moment",
    "since": "sinds",
    "until": "tot",
    "address": "vanaf",
    "removed": "verwijderd",
    "undeliverable": "onbestelbaar",
    "replay": "herhaling",
    "folder": "map",
    "file": "bestand",
    "changed": "veranderd",
    "source": "van",
    "target": "naar",
    "registry": "register",
    "first": "eerste",
}
"""How the name of a fact is told; one that is not here as it is noted."""
_OF_THEIR_OWN = ("why", "address", SHOWN)
_COLUMNS = ("tijd", "gebruiker", "sudo", "handeling", "act", "opdracht", "host", "vanaf", "abonnement")
_MORE_COLUMNS = ("applicatie", "kanaal", "waarom", "feiten")


@dataclass(frozen=True, slots=True)
class Row:
    """An act as the page tells it. by: such as `anna (console)`. facts: (name, value)."""

    at: float
    by: str
    told: str
    facts: Sequence[tuple[str, str]]
    why: str
    place: str


@dataclass(frozen=True, slots=True)
class Logboek:
    """What the page shows. asked: the search, by field. fault: why it found nothing, of a wrong moment.

    earlier: the query of the page with older acts; "" when there are none. files: (name, query).
    """

    rows: Sequence[Row]
    asked: Mapping[str, str]
    acts: Sequence[tuple[str, str]]
    fault: str
    earlier: str
    newest: str
    files: Sequence[tuple[str, str]]


FIELDS = ("sinds", "tot", "wie", "wat", "abonnement", "applicatie", "kanaal")


async def show(visit: Visit) -> Logboek | Download:
    """The acts that the query asks for, the newest first; with `als=csv` or `als=json` all, as a file."""
    asked = {field: visit.asked(field) for field in FIELDS}
    search, fault = _search(asked, visit)
    registry = visit.console.registry
    if (form := visit.asked("als")) in _FILES and not fault:
        name = f"nrc-logboek-{datetime.fromtimestamp(visit.now, AMSTERDAM):%Y-%m-%d}.{form}"
        media_type, lines = _FILES[form]
        return Download(name, media_type, lines(_every(registry, search)))
    before = visit.asked("voor")
    if before.isdecimal() and len(before) < 18:
        search = replace(search, before=int(before))
    found = () if fault else await registry.acts(search, limit=ON_A_PAGE + 1)
    shown = found[:ON_A_PAGE]
    given = {name: value for name, value in asked.items() if value}
    earlier = urlencode({**given, "voor": shown[-1].nr}) if len(found) > ON_A_PAGE else ""
    return Logboek(
        [_row(act) for act in shown],
        asked,
        [("", "Alles"), *sorted(ACTS.items(), key=lambda pair: pair[1])],
        fault,
        earlier,
        urlencode(given) if search.before is not None else "",
        [(form.upper(), urlencode({**given, "als": form})) for form in _FILES],
    )


def _search(asked: Mapping[str, str], visit: Visit) -> tuple[ActSearch, str]:
    """What is asked for, and a Dutch sentence when a moment or an abonnement can't be read."""
    moments: dict[str, float | None] = {}
    for field in ("sinds", "tot"):
        try:
            moments[field] = _moment(asked[field], now=visit.now, whole_day=field == "tot")
        except ValueError:
            return ActSearch(), NOT_A_MOMENT.format(f"'{asked[field]}'")
    abonnement = asked["abonnement"]
    if abonnement:
        try:
            abonnement = str(read_abonnement(abonnement, list(visit.console.catalogue.everyone)))
        except ValueError as error:
            return ActSearch(), str(error)
    search = ActSearch(
        since=moments["sinds"],
        until=moments["tot"],
        who=asked["wie"] or None,
        what=asked["wat"] or None,
        abonnement=abonnement or None,
        application=asked["applicatie"] or None,
        kanaal=asked["kanaal"] or None,
    )
    return search, ""


def _moment(text: str, *, now: float, whole_day: bool) -> float | None:
    """Unix seconds of what stands in a field, as on the other pages. Raises ValueError.

    whole_day: of a date without a time its end is meant.
    """
    if not text:
        return None
    at = read_moment(text, now=now) / 1000
    if not whole_day or not _DATE.fullmatch(text):
        return at
    try:
        return (datetime.fromtimestamp(at, AMSTERDAM) + timedelta(days=1)).timestamp()
    except OverflowError:
        raise ValueError from None


def _row(act: Act) -> Row:
    from_console = act.command.partition(" ")[0] == "console"
    by = f"{act.sudo_user} (als {act.user})" if act.sudo_user else who_did(act) or "de console zelf"
    address = act.facts.get("address")
    place = f"console, vanaf {address}" if address else "console" if from_console else f"nrc op {act.host}"
    facts = [
        (FACTS.get(name, name), _told(value))
        for name, value in act.facts.items()
        if name not in _OF_THEIR_OWN
    ]
    if by != act.user and SHOWN in act.facts:
        facts.append(("bij de inlogdienst", act.user))
    return Row(act.at, by, ACTS.get(act.act, act.act), facts, _told(act.facts.get("why", "")), place)


def _told(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_told, value)) or "geen"
    if isinstance(value, bool):
        return "ja" if value else "nee"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


async def _every(registry: Registry, search: ActSearch) -> AsyncIterator[Act]:
    while acts := await registry.acts(search, limit=AT_ONCE):
        for act in acts:
            yield act
        search = replace(search, before=acts[-1].nr)


async def _csv(acts: AsyncIterator[Act]) -> AsyncIterator[str]:
    # With the mark by which spreadsheets know UTF-8.
    yield "\N{ZERO WIDTH NO-BREAK SPACE}" + _line((*_COLUMNS, *_MORE_COLUMNS))
    async for act in acts:
        facts = act.facts
        one, several = facts.get("abonnement"), facts.get("abonnementen")
        yield _line(
            (
                *(moment(act.at), act.user, act.sudo_user, ACTS.get(act.act, act.act), act.act),
                *(act.command, act.host, facts.get("address", "")),
                one if isinstance(one, str) else _told(several) if several else "",
                *(facts.get("application", ""), facts.get("kanaal", ""), facts.get("why", "")),
                json.dumps(facts, ensure_ascii=False),
            )
        )


def _line(cells: Sequence[object]) -> str:
    """A line of CSV. What a spreadsheet would take for a formula gets a quotation mark before it."""
    texts = [_told(cell) for cell in cells]
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(
        f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text for text in texts
    )
    return out.getvalue()


async def _json(acts: AsyncIterator[Act]) -> AsyncIterator[str]:
    separator = "[\n"
    async for act in acts:
        yield separator + json.dumps(facts_of(act), ensure_ascii=False)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


_FILES = {"csv": ("text/csv", _csv), "json": ("application/json", _json)}

PAGE = Page("logboek", "logboek/", "Logboek", "logboek.html", show)
