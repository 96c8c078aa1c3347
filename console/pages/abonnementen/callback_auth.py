"""What the callback of an abonnement asks for beyond its `auth`: told without secrets, tried, and set."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from console.forms import Form
from console.page import Refused, Visit
from deliverer.http.client import CallbackClient
from ledger.explaining.dutch import AMSTERDAM
from operating import abonnementen
from schemas.abonnement import Abonnement
from schemas.callback_auth import CallbackAuth, former_secret, with_kind, without_secrets
from schemas.callback_auth.certificates import Facts, facts_of
from schemas.errors import Conflict, Overloaded, UsageError, ValidationError
from schemas.fields import parse

_FIELDS: Mapping[str, Sequence[str]] = {
    "oauth2": ("tokenUrl", "clientId", "secret", "scope", "audience", "secretIn"),
    "zgw": ("clientId", "secret", "userId", "userRepresentation"),
    "header": ("name", "value"),
    "signature": ("secret",),
    "noAuth": (),
    "clientCertificate": ("certificate", "key", "keyPassword", "useForToken"),
    "ca": (),
}
_KINDS = {
    "oauth2": "een OAuth2-token",
    "zgw": "een ZGW-token",
    "header": "een API-sleutel in een eigen header",
    "signature": "een handtekening (Standard Webhooks)",
    "noAuth": "geen Authorization",
    "clientCertificate": "een clientcertificaat",
    "ca": "alleen certificaten van een eigen CA worden vertrouwd",
}
_LABELS = {
    "tokenUrl": "tokenadres",
    "clientId": "client-id",
    "secretIn": "geheim in",
    "userId": "user_id",
    "userRepresentation": "user_representation",
    "name": "naam",
    "oldSecretUntil": "het vorige geheim tekent mee tot",
}
_REMOVED = {
    "oauth2": "Het OAuth2-token",
    "zgw": "Het ZGW-token",
    "header": "De API-sleutel",
    "signature": "De handtekening",
    "noAuth": "Dat er geen Authorization meegaat",
    "clientCertificate": "Het clientcertificaat",
    "ca": "De eigen CA",
}
NOTHING = "weg"
KEEP_OLD = (
    ("", "meteen ongeldig"),
    ("86400", "tekent nog een dag mee"),
    ("604800", "tekent nog een week mee"),
)


def told_of(abonnement: Abonnement) -> list[str]:
    """What goes with each request, a line for each; nothing of it is secret."""
    told = without_secrets(abonnement.callback_auth)
    lines = []
    if abonnement.auth and not (abonnement.callback_auth and abonnement.callback_auth.replaces_auth):
        lines.append("auth: ingesteld; wordt nooit getoond")
    for kind, value in told.items():
        more = _certificates_of(abonnement, kind)
        if not more and isinstance(value, Mapping):
            more = ", ".join(f"{_LABELS.get(name, name)} {text}" for name, text in value.items() if text)
        lines.append(f"{_KINDS[kind]}{f': {more}' if more else ''}")
    return lines


def _certificates_of(abonnement: Abonnement, kind: str) -> str:
    """What its certificates say of themselves; "" of another kind."""
    auth = abonnement.callback_auth
    if kind == "ca" and auth is not None:
        return "; ".join(map(_certificate, facts_of(auth.ca)))
    own = auth.client_certificate if auth is not None and kind == "clientCertificate" else None
    if own is None or own.facts is None:
        return ""
    token = "; gaat ook naar het tokenadres" if own.use_for_token else ""
    return f"{_certificate(own.facts)}{token}"


def _certificate(of: Facts) -> str:
    return (
        f"{of.subject}, uitgegeven door {of.issuer}, geldig van {_day(of.begins)} tot {_day(of.ends)}, "
        f"serienummer {of.serial}, SHA-256 {of.fingerprint}"
    )


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, AMSTERDAM).strftime("%d-%m-%Y")


def removals_of(abonnement: Abonnement) -> list[tuple[str, str]]:
    """What can be taken away: each kind that is set, and all of it at once; (value, text)."""
    kinds = abonnement.callback_auth.kinds if abonnement.callback_auth else ()
    each = [(f"{NOTHING}-{kind}", _REMOVED[kind]) for kind in kinds]
    return [*each, (NOTHING, "Alles: voortaan gaat alleen auth mee")] if kinds else []


async def set_as_asked(visit: Visit, abonnement: Abonnement, form: Form) -> None:
    """Have it as the form says, once the callback was tried with it. Raises Refused."""
    wanted, faults = parse(CallbackAuth, _asked(abonnement.callback_auth, form))
    if wanted is None:
        raise Refused(" ".join(f"{each.name}: {each.reason}" for each in faults))
    settings = visit.console.settings
    try:
        async with CallbackClient.of(settings) as callbacks:
            await abonnementen.set_callback_auth(
                visit.console.registry,
                visit.log,
                abonnement,
                wanted or None,
                callbacks=callbacks,
                settings=settings,
            )
    except ValidationError as error:
        raise Refused(" ".join(each.reason for each in error.invalid_params)) from None
    except UsageError:
        raise Refused(
            "Dit abonnement heeft geen auth: zonder dit ging er niets mee. Stel eerst iets anders in."
        ) from None
    except Conflict:
        raise Refused("Het abonnement is intussen verwijderd.") from None
    except Overloaded:
        raise Refused("Het is nu te druk om de callback te proberen. Probeer het zo opnieuw.") from None


def _asked(known: CallbackAuth | None, form: Form) -> dict[str, Any]:
    """What there is to be: what is known with one kind replaced, or nothing."""
    kind = form.text("soort")
    now = known.as_given() if known else {}
    if kind == NOTHING:
        return {}
    if kind.startswith(f"{NOTHING}-"):
        return {name: value for name, value in now.items() if name != kind.removeprefix(f"{NOTHING}-")}
    if kind not in _FIELDS:
        raise Refused("Kies wat de callback vraagt.")
    value: Any = {name: text for name in _FIELDS[kind] if (text := form.text(name))}
    if kind == "noAuth":
        value = True
    if kind == "ca":
        value = form.text("ca")
        if not value:
            raise Refused("Plak de certificaten van de CA.")
    if kind == "signature" and form.text("oud") in dict(KEEP_OLD) and form.text("oud"):
        if "signature" not in now:
            raise Refused("Er is nog geen geheim dat mee kan tekenen.")
        value |= former_secret(now, until=int(time.time()) + int(form.text("oud")))
    made = with_kind(now, kind, value)
    if kind == "clientCertificate" and form.text("ca"):
        made["ca"] = form.text("ca")
    return made
