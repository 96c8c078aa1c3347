"""Applicaties: the clients of the API, their secrets and what they may do; and one of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from console.forms import Form
from console.page import Answer, Page, Redirect, Refused, Show, Visit
from gateway.autorisaties.asking import AcFailed, AskingAc, Outcome
from ledger.explaining.dutch import number
from operating import applications as operating
from operating.applications import is_still_used, new_secret, old_secret_until
from operating.removal import end_what_waits
from operating.status.dutch import lasting
from runtime.log import logger
from runtime.settings import Settings
from schemas.abonnement import Abonnement
from schemas.application import MAX_CLIENT_ID, Application, Scope, is_client_id
from schemas.errors import Conflict, LedgerError, NotFound
from store.secret_uses import SecretUse, SecretUses

SCOPES: Mapping[Scope, str] = {
    Scope.PUBLICEREN: "Publiceren: kanalen maken, en notificaties sturen",
    Scope.CONSUMEREN: "Consumeren: abonnementen nemen",
}
MAX_LABEL = 200
SOURCES: Mapping[str, str] = {
    "hier": "Hier: ze worden hieronder aangevinkt",
    "ac": "De Autorisaties API: ze staan daar, en hieronder blijft alles leeg",
}
"""Where scopes come from: what one may choose, and its text."""
LOOK_WITHIN = 2.0  # seconds that a page waits for the Autorisaties API
KEEP_OLD: Mapping[str, tuple[str, float | None]] = {
    "24u": ("Nog een dag", 24 * 3600.0),
    "1u": ("Nog een uur", 3600.0),
    "7d": ("Nog een week", 7 * 24 * 3600.0),
    "niet": ("Niet: het oude geheim vervalt meteen", None),
}
"""For how long an old secret counts: what one may choose, its text, seconds."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """An application in the list."""

    application: Application
    scopes: Sequence[str]
    abonnementen: int
    old_until: float | None
    old_used: str


@dataclass(frozen=True, slots=True)
class Made:
    """A secret that was made just now: shown once. note: a sentence beside it, or ""."""

    client_id: str
    secret: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Applicaties:
    """What the list shows. sources: empty where there is no Autorisaties API."""

    rows: Sequence[Row]
    scopes: Sequence[tuple[str, str]]
    sources: Sequence[tuple[str, str]]
    most: int
    made: Made | None = None


@dataclass(frozen=True, slots=True)
class Applicatie:
    """What the page of one shows. others: to choose from; waiting: None when it is not known.

    used, old_used: when its secrets were last used, and from where. warnings: before the old one is revoked.
    sources: empty where there is nothing to choose. told: what the Autorisaties API says of it, if asked.
    """

    application: Application
    scopes: Sequence[tuple[str, str]]
    sources: Sequence[tuple[str, str]]
    told: str
    old_until: float | None
    keep_old: Sequence[tuple[str, str]]
    abonnementen: Sequence[Abonnement]
    waiting: int | None
    others: Sequence[tuple[str, str]]
    used: str
    old_used: str
    warnings: Sequence[str]
    made: Made | None = None


async def show_all(visit: Visit) -> Applicaties:
    """Every application, by its client_id."""
    return await _list(visit)


async def _list(visit: Visit, made: Made | None = None) -> Applicaties:
    catalogue, uses = visit.console.catalogue, await visit.console.registry.secret_uses()
    owned = Counter(each.client_id for each in catalogue.everyone.values())
    found = sorted(catalogue.applications.values(), key=lambda each: each.client_id)
    rows = [
        Row(
            each,
            short(each),
            owned[each.client_id],
            until := old_secret_until(each),
            "" if until is None else _used(uses.get(each.client_id, SecretUses()).old, visit.now),
        )
        for each in found
    ]
    sources = list(SOURCES.items()) if visit.console.settings.ac_url else []
    return Applicaties(rows, list(SCOPES.items()), sources, MAX_CLIENT_ID, made)


def short(application: Application) -> list[str]:
    """Its scopes in a word each."""
    if application.scopes_from_token:
        return ["volgens token"]
    if application.scopes_from_ac:
        return ["Autorisaties API"]
    return [scope.rpartition(".")[2] for scope in sorted(application.scopes)]


async def add(visit: Visit, form: Form) -> Answer:
    """Make one, and show its secret once."""
    client_id, label = form.text("client_id"), form.text("label")
    if not is_client_id(client_id):
        raise Refused(f"Een client-id heeft 1 tot {MAX_CLIENT_ID} zichtbare tekens.")
    if len(label) > MAX_LABEL or not label.isprintable():
        raise Refused(f"Een omschrijving heeft hoogstens {MAX_LABEL} zichtbare tekens.")
    from_ac, scopes = _source(visit, form), _scopes(form)
    made = Application(client_id, new_secret(), label, scopes=scopes, scopes_from_ac=from_ac)
    try:
        await operating.add_application(visit.console.registry, visit.log, made)
    except Conflict:
        raise Refused(
            f"Er is al een applicatie {client_id}. Kies een ander client-id, of geef die een nieuw geheim."
        ) from None
    note = await visit.console.announce()
    return Show(await _list(visit, Made(client_id, made.secret, note)))


def _source(visit: Visit, form: Form, known: Application | None = None) -> bool:
    """Whether the scopes are to come from the Autorisaties API. Raises Refused."""
    before = known is not None and known.scopes_from_ac
    chosen = form.text("bron") or ("ac" if before else "hier")
    if chosen not in SOURCES:
        raise Refused("Kies waar de rechten vandaan komen.")
    if chosen == "ac" and not before and not visit.console.settings.ac_url:
        raise Refused("Er is hier geen Autorisaties API ingesteld (NRC_AC_URL).")
    if chosen == "ac" and _scopes(form):
        raise Refused("Vink geen rechten aan als ze uit de Autorisaties API komen. Er is niets veranderd.")
    return chosen == "ac"


def _scopes(form: Form) -> frozenset[Scope]:
    return frozenset(scope for scope in Scope if scope in form.every("rechten"))


async def show(visit: Visit) -> Applicatie:
    """The one that the query names."""
    return await _one(visit, _asked(visit))


def _asked(visit: Visit) -> Application:
    application = visit.console.catalogue.applications.get(visit.request.query.get("id", ""))
    if application is None:
        raise NotFound
    return application


async def _one(visit: Visit, application: Application, made: Made | None = None) -> Applicatie:
    catalogue = visit.console.catalogue
    own = [each for each in catalogue.everyone.values() if each.client_id == application.client_id]
    waiting: int | None = None
    try:
        backlogs = await (await visit.console.ledger.get()).backlogs()
        waiting = sum(backlogs[each.uuid].count for each in own if each.uuid in backlogs)
    except LedgerError as error:
        log.warning("a page could not be shown", path=visit.request.path, reason=str(error))
    uses = (await visit.console.registry.secret_uses()).get(application.client_id, SecretUses())
    return Applicatie(
        application,
        list(SCOPES.items()),
        list(SOURCES.items()) if visit.console.settings.ac_url or application.scopes_from_ac else [],
        await _told_by_ac(visit.console.settings, application),
        old_secret_until(application),
        [(key, text) for key, (text, _) in KEEP_OLD.items()],
        sorted(own, key=lambda each: each.callback_url),
        waiting,
        [
            ("", "Geen"),
            *((each, each) for each in sorted(catalogue.applications) if each != application.client_id),
        ],
        _used(uses.new, visit.now),
        _used(uses.old, visit.now),
        [*_warnings(uses, visit.now)],
        made,
    )


async def _told_by_ac(settings: Settings, application: Application) -> str:
    """What the Autorisaties API says of it now, or why it says nothing; "" where it is not asked."""
    if not application.scopes_from_ac:
        return ""
    if not settings.ac_url:
        return "er is hier geen Autorisaties API ingesteld (NRC_AC_URL); daardoor mag zij niets"
    try:
        async with asyncio.timeout(LOOK_WITHIN), AskingAc(settings) as asking:
            found = await asking.ask(application.client_id)
    except TimeoutError:
        return f"geen antwoord binnen {LOOK_WITHIN:g} seconden"
    except AcFailed as failure:
        return f"{_FAILED[failure.outcome]} ({failure})"
    if not found.known:
        return "zij staat er niet in, of zonder enige autorisatie; daardoor mag zij niets"
    scopes = ", ".join(sorted(found.scopes)) or "niets op dit component"
    return f"{scopes}, als {found.label or found.url}"


_FAILED: Mapping[Outcome, str] = {
    Outcome.REFUSED: "onze eigen client wordt geweigerd",
    Outcome.AWAY: "geen antwoord",
    Outcome.WRONG: "een onbruikbaar antwoord",
}


def _used(use: SecretUse | None, now: float) -> str:
    """`3 minuten geleden, vanaf 10.0.0.5 (agent/1.0)`."""
    if use is None:
        return "geen gebruik gezien"
    agent = f" ({use.agent})" if use.agent else ""
    return f"{lasting(now - use.at)} geleden, vanaf {use.remote or 'onbekend'}{agent}"


def _warnings(uses: SecretUses, now: float) -> Iterator[str]:
    if is_still_used(uses.old, now=now):
        yield f"Het oude geheim is nog in gebruik: {_used(uses.old, now)}."
    if uses.new is None:
        yield "Van het nieuwe geheim is nog geen gebruik gezien."


async def set_scopes(visit: Visit, form: Form) -> Answer:
    """Let it do what is checked, and nothing else."""
    known, wanted = _asked(visit), _scopes(form)
    if known.scopes_from_token:
        raise Refused("Deze applicatie heeft de rechten die in haar tokens staan.")
    from_ac = _source(visit, form, known)
    more, less = wanted - known.scopes, known.scopes - wanted
    if from_ac is not known.scopes_from_ac:
        await operating.change_source(
            *(visit.console.registry, visit.log, known.client_id),
            from_ac=from_ac,
            scopes=wanted,
            why=_why(form),
        )
        note = await visit.console.announce()
        where = "de Autorisaties API" if from_ac else "hier"
        said = f"De rechten van {known.client_id} komen nu {'uit' if from_ac else 'van'} {where}. {note}"
        return Redirect(_path(known), said=said.strip())
    if not more and not less:
        return Redirect(_path(known), said="De rechten waren al zo.")
    await operating.set_scopes(
        visit.console.registry, visit.log, known.client_id, add=more, remove=less, why=_why(form)
    )
    note = await visit.console.announce()
    return Redirect(_path(known), said=f"De rechten van {known.client_id} zijn veranderd. {note}".strip())


async def rotate(visit: Visit, form: Form) -> Answer:
    """Give it a new secret, which is shown once."""
    known, secret = _asked(visit), new_secret()
    chosen, expected = form.text("oud"), form.text("versie")
    if chosen not in KEEP_OLD or not expected.isdecimal() or len(expected) > 18:
        raise Refused("Kies hoe lang het oude geheim nog telt.")
    changed = await operating.rotate_secret(
        visit.console.registry,
        visit.log,
        known.client_id,
        secret,
        keep_old=KEEP_OLD[chosen][1],
        expected=int(expected),
        why=_why(form),
    )
    note = await visit.console.announce()
    return Show(await _one(visit, changed, Made(known.client_id, secret, note)))


async def revoke_old(visit: Visit, form: Form) -> Answer:
    """Have the old secret count no more."""
    known = _asked(visit)
    await operating.revoke_old_secret(visit.console.registry, visit.log, known.client_id, why=_why(form))
    note = await visit.console.announce()
    return Redirect(
        _path(known), said=f"Het oude geheim van {known.client_id} telt niet meer. {note}".strip()
    )


async def remove(visit: Visit, form: Form) -> Answer:
    """Remove it, when it is said what becomes of its abonnementen."""
    known, choice = _asked(visit), form.text("abonnementen")
    if form.text("bevestiging") != known.client_id.strip():
        raise Refused("Typ het client-id over om te bevestigen. Er is niets verwijderd.")
    give_to = form.as_typed("aan") if choice == "geven" else None
    away, keep = choice in ("bewaren", "weg"), choice == "bewaren"
    registry, settings = visit.console.registry, visit.console.settings
    try:
        touched = await operating.remove_application(
            *(registry, visit.log, known.client_id),
            with_abonnementen=away,
            give_to=give_to,
            keep=keep,
            why=_why(form),
        )
    except Conflict:
        raise Refused(
            "Zeg wat er met de abonnementen moet gebeuren: geef ze aan een andere applicatie, of verwijder "
            "ze. Er is niets verwijderd."
        ) from None
    notes: list[str] = []
    if away:
        waited = await end_what_waits(settings, visit.log, touched, keep=keep, tell=_left_to_keeper)
        if waited.kept or waited.discarded:
            count = number(waited.kept + waited.discarded)
            notes.append(f"Wat wachtte ({count}) is {'onbestelbaar' if keep else 'verwijderd'}.")
    notes.append(await visit.console.announce(touched if away else ()))
    return Redirect("applicaties/", said=" ".join([f"{known.client_id} is verwijderd.", *notes]).strip())


def _why(form: Form) -> str:
    """The reason, which is asked for. Raises Refused."""
    why = form.text("waarom")
    if not why or len(why) > 500:
        raise Refused("Zeg in een zin waarom; dat komt in het logboek. Er is niets veranderd.")
    return why


def _path(application: Application) -> str:
    return f"applicaties/een/?id={quote(application.client_id, safe='')}"


def _left_to_keeper(line: str) -> None:
    log.warning("what waited is left to the keeper", reason=line)


PAGE = Page(
    "applicaties", "applicaties/", "Applicaties", "applicaties.html", show_all, actions={"toevoegen": add}
)
ONE = Page(
    "applicatie",
    "applicaties/een/",
    "Applicatie",
    "applicatie.html",
    show,
    actions={"rechten": set_scopes, "geheim": rotate, "oud-geheim": revoke_old, "verwijderen": remove},
    under="applicaties",
)
