"""A municipality's last hour in registry and ledger: abonnementen in every state, notificaties, replays.

Names, counts and the order of everything are the same each time; moments count back from `now`.
"""

from __future__ import annotations

import json
import math
import random
import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from uuid import UUID

from argon2 import PasswordHasher

from ledger.ledger import Ledger
from ledger.opening import ledger_of, ledger_place
from ledger.operating.replays import Plan, Progress
from ledger.values import Attempt, Entry, Event, Key, Outcome, Search, State
from runtime.settings import Settings
from schemas.abonnement import Abonnement, FilterGroup, Hold
from schemas.abonnement import State as Condition
from schemas.application import Application, Scope
from schemas.kanaal import Kanaal, slots_for
from schemas.user import Role, User
from store.opening import open_registry
from store.registry import LastFailure, Registry

USER, PASSWORD = "anna", "een-lang-wachtwoord-voor-plaatjes"
SECRET = "0123456789abcdef0123456789abcdef"
MINUTES = 60
REFUSED = "connection_refused: connection refused"
GONE = "callback answered 410 (gone)"
_OWN = uuid.uuid5(uuid.NAMESPACE_URL, "https://gemeente.example.nl/")

KANALEN: Mapping[str, tuple[str, ...]] = {
    "besluiten": ("verantwoordelijkeOrganisatie", "besluittype"),
    "documenten": ("bronorganisatie", "informatieobjecttype", "vertrouwelijkheidaanduiding"),
    "objecten": ("objectType",),
    "zaken": ("bronorganisatie", "zaaktype", "vertrouwelijkheidaanduiding"),
}
APPLICATIONS: Mapping[str, tuple[str, frozenset[Scope]]] = {
    "belastingen": ("Belastingapplicatie", frozenset({Scope.CONSUMEREN})),
    "edepot": ("E-depot", frozenset({Scope.CONSUMEREN})),
    "kcc": ("Klantcontactcentrum", frozenset({Scope.CONSUMEREN})),
    "meldkamer": ("Meldkamer", frozenset({Scope.CONSUMEREN})),
    "openzaak": ("Open Zaak", frozenset({Scope.PUBLICEREN})),
    "proef": ("Proefopstelling", frozenset({Scope.CONSUMEREN, Scope.PUBLICEREN})),
    "zac": ("Zaakafhandelcomponent", frozenset({Scope.CONSUMEREN})),
}
TYPES = ("Aanvraag parkeervergunning", "Bezwaar", "Melding openbare ruimte", "Subsidieaanvraag")


@dataclass(frozen=True, slots=True)
class Filled:
    """What pictures are taken of. failing: a notificatie whose delivery to the E-depot fails.

    unasked: one that the Klantcontactcentrum did not get, since its filter asks for another kenmerk.
    """

    failing: UUID
    unasked: UUID
    kcc: UUID


@dataclass(slots=True)
class _Hour:
    now: float
    of: Mapping[str, Abonnement]
    events: list[Event] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(1))


async def fill(settings: Settings, *, now: float) -> Filled:
    """Make it, in the state folder of these settings. now: Unix seconds."""
    async with open_registry(settings.registry_file) as registry:
        of = await _register(registry, now=now)
    _age(settings)
    hour = _Hour(now, of)
    for minute in range(MINUTES, 0, -1):
        # A working day's wave, with one in three minutes a little busier.
        for number in range(round(6 + 4 * math.sin(minute / 7) + minute % 3)):
            _came(hour, at=now - minute * 60 + number * 60 / 13)
    filled = _what_became_of_some(hour)
    async with ledger_of(settings) as ledger:
        await ledger.write([*hour.entries, *hour.events])
        await _replays(ledger, of, looked_at=hour.entries[0].id)
    with closing(sqlite3.connect(ledger_place(settings))) as db, db:
        db.execute("UPDATE replay SET made = made - (8 - nr) * 9000000, ended = ended - (7 - nr) * 9000000")
    return filled


async def _register(registry: Registry, *, now: float) -> Mapping[str, Abonnement]:
    hashed = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    await registry.users.add(User(USER, hashed, Role.ADMIN, made=now - 86400.0))
    for client, (label, scopes) in APPLICATIONS.items():
        await registry.add_application(Application(client, SECRET, label, scopes))
    for naam, filters in KANALEN.items():
        own = uuid.uuid5(_OWN, f"kanaal {naam}")
        link = f"https://openzaak.gemeente.example.nl/ref/kanalen/#{naam}"
        await registry.add_kanaal(Kanaal(own, naam, link, filters, slots_for(filters), client_id="openzaak"))
    of: dict[str, Abonnement] = {}

    async def subscribe(client: str, callback: str, *kanalen: FilterGroup) -> None:
        made = Abonnement(
            uuid.uuid5(_OWN, client), callback, "Token geheim" if callback else "", kanalen, client
        )
        of[client] = await registry.add_abonnement(made)

    zaken, documenten = FilterGroup("zaken"), FilterGroup("documenten")
    await subscribe("zac", "https://zac.gemeente.example.nl/notificaties", zaken, documenten)
    openbaar = FilterGroup("zaken", (("vertrouwelijkheidaanduiding", "openbaar"),))
    await subscribe("kcc", "https://kcc.gemeente.example.nl/api/callbacks", openbaar)
    await subscribe("edepot", "https://edepot.gemeente.example.nl/nrc", documenten)
    melding = FilterGroup("zaken", (("zaaktype", TYPES[2]),))
    await subscribe("meldkamer", "https://meldkamer.example.nl/hook", melding)
    await subscribe(
        "belastingen", "https://belastingen.gemeente.example.nl/callback", FilterGroup("besluiten")
    )
    held = of["meldkamer"]
    await registry.set_hold(
        held.uuid, Hold(now - 7860, 31, now + 285), REFUSED, before=None, callback_url=held.callback_url
    )
    await registry.set_state(of["belastingen"].uuid, Condition.SUSPENDED, GONE)
    await registry.note_failures(
        {
            held.uuid: LastFailure(now - 15, REFUSED),
            of["edepot"].uuid: LastFailure(now - 130, "http_status: answered 503"),
            of["belastingen"].uuid: LastFailure(now - 90000, "http_status: answered 410"),
        }
    )
    return of


def _age(settings: Settings) -> None:
    """Abonnementen were there before all that came: the registry notes when they were made, and active."""
    with closing(sqlite3.connect(settings.registry_file)) as db, db:
        db.execute("UPDATE kanalen_version SET valid_from = valid_from - 9e6, made_at = made_at - 9e6")
        db.execute("UPDATE state_version SET valid_from = valid_from - 9e6 WHERE state = 'active'")


def _came(hour: _Hour, *, at: float) -> None:
    chance = hour.chance
    kanaal = chance.choices(sorted(KANALEN), weights=(1, 4, 2, 8))[0]
    type_, number = chance.choice(TYPES), chance.randrange(20_000, 21_000)
    openness = chance.choices(("openbaar", "zaakvertrouwelijk"), weights=(2, 1))[0]
    root, resource, kenmerken = {
        "besluiten": ("besluiten/api/v1/besluiten", "besluit", {"besluittype": type_}),
        "documenten": (
            "documenten/api/v1/enkelvoudiginformatieobjecten", "enkelvoudiginformatieobject",
            {"bronorganisatie": "517439943", "vertrouwelijkheidaanduiding": openness},
        ),
        "objecten": ("objecten/api/v2/objects", "object", {"objectType": "boom"}),
        "zaken": (
            "zaken/api/v1/zaken", chance.choice(("zaak", "status", "resultaat")),
            {"bronorganisatie": "517439943", "zaaktype": type_, "vertrouwelijkheidaanduiding": openness},
        ),
    }[kanaal]  # fmt: skip
    thing = f"https://openzaak.gemeente.example.nl/{root}/{uuid.uuid5(_OWN, str(number))}"
    sent = {
        "kanaal": kanaal, "hoofdObject": thing, "resource": resource, "resourceUrl": thing,
        "actie": chance.choice(("create", "create", "update")), "aanmaakdatum": "2026-01-01T12:00:00Z",
        "kenmerken": kenmerken,
    }  # fmt: skip
    matched = [
        each.uuid
        for each in hour.of.values()
        for group in each.kanalen
        if group.naam == kanaal and all(kenmerken.get(name) == value for name, value in group.filters)
    ]
    entry = Entry(
        id=_id(at, chance), received=round(at * 1000), client="openzaak", kanaal=kanaal, resource=resource,
        actie=str(sent["actie"]), hoofd_object=thing, resource_url=thing, kenmerken=kenmerken,
        body=json.dumps(sent).encode(), catalogue=1, matched=tuple(matched),
    )  # fmt: skip
    hour.entries.append(entry)
    for client in ("zac", "kcc", "edepot"):
        if hour.of[client].uuid in matched:
            hour.events.append(_delivered(entry, hour.of[client].uuid, ms=chance.lognormvariate(3.4, 0.5)))


def _id(at: float, chance: random.Random) -> UUID:
    """As new_id makes them, of this chance."""
    value = round(at * 1000) << 80 | chance.getrandbits(80)
    return UUID(int=value & ~(0xF << 76 | 0x3 << 62) | 7 << 76 | 2 << 62)


def _delivered(entry: Entry, to: UUID, *, ms: float) -> Outcome:
    at = entry.received + round(4 + ms)
    return Outcome(Key(entry.id, to), State.DELIVERED, 0, 1, at, status=204, ms=round(ms, 1))


def _what_became_of_some(hour: _Hour) -> Filled:
    """The E-depot fails for some minutes, and two became undeliverable; each gets its own outcome."""
    edepot = hour.of["edepot"].uuid
    own = [each for each in hour.entries if edepot in each.matched]
    retrying, undeliverable = own[-5:], own[2:4]
    gone = {(each.id, edepot) for each in (*retrying, *undeliverable)}
    hour.events = [
        each
        for each in hour.events
        if not (isinstance(each, Outcome) and (each.key.notificatie, each.key.abonnement) in gone)
    ]
    for entry in retrying:
        for number, after in ((1, 40), (2, 5_100), (3, 30_300)):
            failed = _failed(entry.received + after, number)
            hour.events.append(
                Outcome(
                    Key(entry.id, edepot), State.RETRYING, 0, number, failed.at, wait=600.0, failed=failed
                )
            )
    for entry in undeliverable:
        failed = _failed(entry.received + 1_800_000, 9)
        hour.events.append(
            Outcome(Key(entry.id, edepot), State.UNDELIVERABLE, 0, 9, failed.at, failed=failed)
        )
    kcc = hour.of["kcc"].uuid
    unasked = [each for each in hour.entries if each.kanaal == "zaken" and kcc not in each.matched]
    return Filled(retrying[-1].id, unasked[-1].id, kcc)


def _failed(at: int, number: int) -> Attempt:
    return Attempt(at, number, "http_status", "answered 503", 503, 212.0)


async def _replays(ledger: Ledger, of: Mapping[str, Abonnement], *, looked_at: UUID) -> None:
    """Three, of which the last one is paused at a third; the keeper carries none of them out meanwhile."""
    plans = (
        ("edepot", "De opslag van het E-depot was vol", "documenten", 214, 214, Progress.DONE),
        ("kcc", "Verkeerde filters tot 1 maart", "zaken", 1_310, 402, Progress.STOPPED),
        ("meldkamer", "Storing bij de meldkamer, wijziging 2231", "zaken", 486, 162, Progress.PAUSED),
    )
    for client, reason, kanaal, total, done, progress in plans:
        search = Search(kanaal=kanaal, states=frozenset({State.UNDELIVERABLE}))
        made = await ledger.replays.make(Plan(of[client].uuid, search, reason, 5.0, total))
        epoch = await ledger.keeping.take_lease("filling", seconds=5.0)
        if epoch is not None:
            last = None if progress is Progress.DONE else looked_at
            await ledger.replays.advance(epoch, made.number, sends=[], skipped=done, last=last)
            await ledger.keeping.release_lease("filling")
        if progress is not Progress.DONE:
            await ledger.replays.change(made.number, progress)
