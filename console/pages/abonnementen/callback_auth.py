"""What the callback of an abonnement asks for beyond its `auth`: told without secrets, tried, and set."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from console.forms import Form
from console.page import Refused, Visit
from deliverer.http.client import CallbackClient
from operating import abonnementen
from schemas.abonnement import Abonnement
from schemas.callback_auth import CallbackAuth, former_secret, with_kind, without_secrets
from schemas.errors import Conflict, Overloaded, UsageError, ValidationError
from schemas.fields import parse

_FIELDS: Mapping[str, Sequence[str]] = {
    "oauth2": ("tokenUrl", "clientId", "secret", "scope", "audience", "secretIn"),
    "zgw": ("clientId", "secret", "userId", "userRepresentation"),
    "header": ("name", "value"),
    "signature": ("secret",),
    "noAuth": (),
}
_KINDS = {
    "oauth2": "een OAuth2-token",
    "zgw": "een ZGW-token",
    "header": "een API-sleutel in een eigen header",
    "signature": "een handtekening (Standard Webhooks)",
    "noAuth": "geen Authorization",
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
        pairs = value.items() if isinstance(value, Mapping) else ()
        more = ", ".join(f"{name} {text}" for name, text in pairs if text)
        lines.append(f"{_KINDS[kind]}{f': {more}' if more else ''}")
    return lines


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
    if kind == NOTHING:
        return {}
    if kind not in _FIELDS:
        raise Refused("Kies wat de callback vraagt.")
    now = known.as_given() if known else {}
    value: Any = {name: text for name in _FIELDS[kind] if (text := form.text(name))}
    if kind == "noAuth":
        value = True
    if kind == "signature" and form.text("oud") in dict(KEEP_OLD) and form.text("oud"):
        if "signature" not in now:
            raise Refused("Er is nog geen geheim dat mee kan tekenen.")
        value |= former_secret(now, until=int(time.time()) + int(form.text("oud")))
    return with_kind(now, kind, value)
