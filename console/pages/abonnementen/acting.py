"""A page that asks before each act on an abonnement, and says what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from console.forms import Form
from console.page import Answer, Page, Redirect, Refused, Show, Visit
from console.pages.abonnementen import cloudevents, options
from console.pages.abonnementen.amqp import NewPassword, renewed
from console.pages.abonnementen.callback_auth import KEEP_OLD, removals_of, set_as_asked, told_of
from console.pages.abonnementen.one import PATH, acts_of, asked_for
from deliverer.http.client import CallbackClient
from extra.trying import Tried
from ledger.explaining.dutch import number
from ledger.values import Backlog
from operating import abonnementen
from schemas.abonnement import GIVEN, Abonnement
from schemas.application import Scope
from schemas.errors import Conflict, LedgerError, Overloaded, UsageError

MOST_REASON = 500  # characters


@dataclass(frozen=True, slots=True)
class Asking:
    """What the page shows.

    doen: which act. waits: what waits for it now, as a sentence. possible: whether its state allows it.
    others: applications that it can be given to. tried: what its callback answered. sent: what goes with
    each request. keep_old: what can become of a signing secret. removals: what of it can be taken away.
    made: shown once. fields: of options, with what is set. other_options: those without a field.
    events: the form about CloudEvents as it is now; events_told: the same in words; mappings, modes,
    sequences: what can be chosen in it.
    """

    abonnement: Abonnement
    doen: str
    waits: str
    possible: bool
    others: Sequence[tuple[str, str]] = ()
    tried: Tried | None = None
    sent: Sequence[str] = ()
    keep_old: Sequence[tuple[str, str]] = KEEP_OLD
    removals: Sequence[tuple[str, str]] = ()
    made: NewPassword | None = None
    fields: Sequence[options.Field] = ()
    other_options: Sequence[str] = ()
    events: Mapping[str, str] = field(default_factory=dict)
    events_told: Sequence[str] = ()
    can_edit_filters: bool = True
    mappings: Sequence[tuple[str, str]] = ()
    modes: Sequence[tuple[str, str]] = cloudevents.MODES
    sequences: Sequence[tuple[str, str]] = cloudevents.SEQUENCE


async def show(visit: Visit) -> Asking:
    """What is asked before this act."""
    return await _asking(visit)


async def _asking(visit: Visit, *, tried: Tried | None = None, made: NewPassword | None = None) -> Asking:
    abonnement, doen = asked_for(visit), visit.request.match_info["doen"]
    return Asking(
        abonnement,
        doen,
        await _waits(visit, abonnement),
        doen in {each.name for each in acts_of(abonnement)},
        _others(visit, abonnement) if doen == "overdragen" else (),
        tried,
        told_of(abonnement),
        removals=removals_of(abonnement),
        made=made,
        fields=options.fields_of(abonnement),
        other_options=options.others_of(abonnement),
        events=cloudevents.filled_in(abonnement),
        events_told=cloudevents.told_of(abonnement),
        can_edit_filters=cloudevents.can_edit_filters(abonnement),
        mappings=cloudevents.mappings_of(visit),
    )


async def _waits(visit: Visit, abonnement: Abonnement) -> str:
    try:
        ledger = await visit.console.ledger.get()
        count = (await ledger.backlogs(abonnement.uuid)).get(abonnement.uuid, Backlog()).count
    except LedgerError:
        return "Hoeveel er wacht, is nu niet bekend."
    if not count:
        return "Er wacht nu niets."
    return "Er wacht nu 1 notificatie." if count == 1 else f"Er wachten nu {number(count)} notificaties."


def _others(visit: Visit, abonnement: Abonnement) -> list[tuple[str, str]]:
    """Those that may have abonnementen, after a choice of none; empty when there are none."""
    applications = visit.console.catalogue.applications.values()
    found = [
        (each.client_id, f"{each.client_id} ({each.label})" if each.label else each.client_id)
        for each in sorted(applications, key=lambda each: each.client_id)
        if each.client_id != abonnement.client_id and each.may(Scope.CONSUMEREN)
    ]
    return [("", "Kies een applicatie"), *found] if found else []


async def suspend(visit: Visit, form: Form) -> Answer:
    """Deliver nothing any more."""
    abonnement, reason = asked_for(visit), _reason(form)
    await abonnementen.suspend(visit.console.registry, visit.log, abonnement.uuid, reason=reason)
    later = await _announced(visit)
    return _back(abonnement, f"Het abonnement ligt stil. Wat ervoor komt, blijft bewaard.{later}")


async def resume(visit: Visit, form: Form) -> Answer:
    """Deliver again."""
    abonnement = asked_for(visit)
    try:
        await abonnementen.resume(visit.console.registry, visit.log, abonnement)
    except UsageError:
        raise Refused(
            "Dit abonnement heeft geen inloggegevens meer sinds het van een andere applicatie is geworden. "
            "Die stelt ze zelf in (PATCH met auth), waarna het vanzelf verder gaat. Of stel ze in bij "
            "Inloggegevens."
        ) from None
    later = await _announced(visit, abonnement.uuid)
    return _back(abonnement, f"Het abonnement is hervat: wat wachtte, wordt nu afgeleverd.{later}")


async def probe(visit: Visit, form: Form) -> Answer:
    """Try the callback of a held one now."""
    abonnement = asked_for(visit)
    try:
        changed = await abonnementen.probe(visit.console.registry, visit.log, abonnement)
    except UsageError:
        raise Refused("De callback wordt alleen geprobeerd zolang het abonnement daarop wacht.") from None
    if not changed:
        return _back(abonnement, "De callback werd zojuist al geprobeerd. Kijk hieronder hoe het nu is.")
    later = await _announced(visit)
    said = "De callback wordt nu geprobeerd, met de notificatie die het langst wacht. Ververs de pagina zo."
    return _back(abonnement, f"{said}{later}")


async def try_callback(visit: Visit, form: Form) -> Answer:
    """Send the standard's test message."""
    abonnement, settings = asked_for(visit), visit.console.settings
    try:
        async with CallbackClient.of(settings) as callbacks:
            tried = await abonnementen.try_callback(callbacks, visit.log, abonnement, settings=settings)
    except Overloaded:
        raise Refused("Het is nu te druk om een bericht te verzenden. Probeer het zo opnieuw.") from None
    return Show(await _asking(visit, tried=tried))


async def give(visit: Visit, form: Form) -> Answer:
    """Make it that of another application."""
    abonnement, to, reason = asked_for(visit), form.text("aan"), _reason(form)
    if not to or to not in dict(_others(visit, abonnement)):
        raise Refused("Kies de applicatie die het abonnement krijgt.")
    try:
        given = await abonnementen.give(
            *(visit.console.registry, visit.log, abonnement),
            to=to,
            reason=reason,
            keep_auth="ja" in form.every("meegeven"),
        )
    except Conflict as error:
        raise Refused("De applicatie of het abonnement is intussen verwijderd.") from error
    later = await _announced(visit)
    said = f"Het abonnement is nu van {to}; alleen {to} kan het wijzigen."
    if given.state_reason == GIVEN:
        said += " Het ligt stil, en bewaart wat ervoor komt, tot die eigen inloggegevens instelt."
    return _back(abonnement, f"{said}{later}")


async def set_callback_auth(visit: Visit, form: Form) -> Answer:
    """Have its callback get what it asks for beyond `auth`."""
    abonnement = asked_for(visit)
    await set_as_asked(visit, abonnement, form)
    later = await _announced(visit, abonnement.uuid)
    said = "De callback nam het testbericht aan; vanaf nu gaat het zo naar de callback."
    return _back(abonnement, f"{said}{later}")


async def set_options(visit: Visit, form: Form) -> Answer:
    """Have it delivered to as it wants."""
    abonnement = asked_for(visit)
    await options.set_as_asked(visit, abonnement, form)
    later = await _announced(visit)
    return _back(abonnement, f"De afleveropties gelden vanaf de volgende aflevering.{later}")


async def set_cloudevents(visit: Visit, form: Form) -> Answer:
    """Have it get CloudEvents in some form, or notificaties."""
    abonnement = asked_for(visit)
    await cloudevents.set_as_asked(visit, abonnement, form)
    later = await _announced(visit, abonnement.uuid)
    return _back(abonnement, f"Vanaf nu gaat het zo naar de callback, ook wat al wachtte.{later}")


async def renew_password(visit: Visit, form: Form) -> Answer:
    """Another password for the user of its consumer in RabbitMQ, shown on the page that follows."""
    made = await renewed(visit, asked_for(visit))
    return Show(await _asking(visit, made=made))


def _reason(form: Form) -> str:
    reason = form.text("waarom")
    if not reason:
        raise Refused("Vul in waarom. Dat staat daarna in het logboek.")
    return reason[:MOST_REASON]


def _back(abonnement: Abonnement, said: str) -> Redirect:
    return Redirect(f"abonnementen/{abonnement.uuid}/", said=said)


async def _announced(visit: Visit, *uuids: UUID) -> str:
    """Have the processes take the change at once; a sentence more when they can't be told."""
    later = await visit.console.announce(uuids)
    return f" {later}" if later else ""


ACTIONS = {
    "stilleggen": suspend,
    "hervatten": resume,
    "proberen": probe,
    "testbericht": try_callback,
    "overdragen": give,
    "inloggegevens": set_callback_auth,
    "afleveropties": set_options,
    "wachtwoord": renew_password,
    "cloudevents": set_cloudevents,
}

PAGE = Page(
    "abonnement-handeling",
    PATH + "{doen:" + "|".join(ACTIONS) + "}/",
    "Abonnement",
    "abonnementen/acting.html",
    show,
    actions=ACTIONS,
    under="abonnementen",
)
