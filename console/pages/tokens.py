"""Tokens: a ready Authorization header of an application, and a curl with it, to try something out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.forms import Form
from console.page import Answer, Page, Refused, Show, Visit
from console.pages.applicaties import SCOPES
from operating.tokens import make_token
from runtime.listening import reached_at
from runtime.settings import Settings
from schemas.application import Application, Scope

LIVES: Mapping[str, tuple[str, int]] = {
    "15m": ("Een kwartier", 15 * 60),
    "1u": ("Een uur", 3600),
    "1d": ("Een dag", 24 * 3600),
}
"""How long a token may be used: what one may choose, its text, seconds."""


@dataclass(frozen=True, slots=True)
class Made:
    """A token that was made just now. limit: after how many seconds the gateway refuses it, if earlier."""

    header: str
    curl: str
    limit: int | None


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the page shows. chosen: the fields as they were, or as the query has them."""

    applications: Sequence[tuple[str, str]]
    scopes: Sequence[tuple[str, str]]
    lives: Sequence[tuple[str, str]]
    chosen: Mapping[str, object]
    made: Made | None = None


async def show(visit: Visit) -> Tokens:
    """The form."""
    return _page(visit, {"id": visit.asked("id"), "rechten": (), "leven": "1u", "vorm": "nu"})


def _page(visit: Visit, chosen: Mapping[str, object], made: Made | None = None) -> Tokens:
    found = sorted(visit.console.catalogue.applications.values(), key=lambda each: each.client_id)
    return Tokens(
        [("", "Kies"), *((each.client_id, _named(each)) for each in found)],
        list(SCOPES.items()),
        [(key, text) for key, (text, _) in LIVES.items()],
        chosen,
        made,
    )


def _named(application: Application) -> str:
    label = application.label
    return f"{application.client_id}: {label}" if label else application.client_id


async def make(visit: Visit, form: Form) -> Answer:
    """Make one. It is noted that, and not what, was made."""
    console, settings = visit.console, visit.console.settings
    application = console.catalogue.applications.get(form.as_typed("id"))
    if application is None:
        raise Refused("Kies een applicatie.")
    life = LIVES.get(form.text("leven"))
    if life is None:
        raise Refused("Kies hoe lang het token te gebruiken is.")
    scopes = [scope for scope in Scope if scope in form.every("rechten")]
    legacy, now = form.text("vorm") == "2019", int(visit.now)
    token = make_token(application, now=now, scopes=scopes, legacy=legacy, expires=life[1])
    await visit.log.record("token made", application=application.client_id, scopes=sorted(scopes) or None)
    header = f"Authorization: Bearer {token}"
    made = Made(
        header, _curl(header, settings), settings.jwt_expiry if settings.jwt_expiry < life[1] else None
    )
    chosen = {
        "id": application.client_id,
        "rechten": tuple(scopes),
        "leven": form.text("leven"),
        "vorm": "2019" if legacy else "nu",
    }
    return Show(_page(visit, chosen, made))


def _curl(header: str, settings: Settings) -> str:
    root = settings.public_url or str(reached_at(settings.gateway_listen)).rstrip("/")
    return f"curl -H '{header}' {root}/api/v1/kanaal"


PAGE = Page("tokens", "tokens/", "Tokens", "tokens.html", show, actions={"maken": make})
