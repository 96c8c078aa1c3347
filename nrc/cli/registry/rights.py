"""`nrc application rights` and `scopes-from`: scopes from the Autorisaties API, seen and chosen.

`rights` asks the Autorisaties API itself, by the client of the gateway.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from nrc.cli.connecting import carry_out, opened_registry, tell_processes
from nrc.cli.operating import audit
from nrc.cli.terminal import parameters
from nrc.cli.terminal.output import as_json, json_option, note, printable
from operating import applications as operating
from runtime.settings import Settings, load_settings
from schemas.application import Application, Scope
from schemas.errors import UsageError

if TYPE_CHECKING:
    from gateway.autorisaties.answers import Found
    from gateway.autorisaties.asking import AcFailed

AC, HERE = "ac", "here"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What came of a question: what it found or why not, and the seconds that it took."""

    found: Found | None
    failure: AcFailed | None
    seconds: float


@click.command("rights")
@click.argument("client_id", metavar="[ID]", type=parameters.client_id, required=False)
@json_option
def rights(client_id: str | None, json_: bool) -> None:
    """Ask the Autorisaties API what application ID may do here; without ID, about our own client there.

    Exit code 1 when it does not tell.
    """
    settings = load_settings()
    if not settings.ac_url:
        raise UsageError("there is no Autorisaties API: NRC_AC_URL is not set")
    asked_for = client_id or settings.ac_client_id
    local, asked = carry_out(_ask(settings, asked_for))
    if json_:
        as_json(_facts(settings, asked_for, local, asked))
    else:
        for name, text in _lines(settings, asked_for, local, asked, own=client_id is None):
            click.echo(f"{name + ':':<19}{printable(text)}")
    if asked.failure is not None:
        raise SystemExit(1)


async def _ask(settings: Settings, client_id: str) -> tuple[Application | None, _Asked]:
    from gateway.autorisaties.asking import AcFailed, AskingAc
    from store.opening import registry_is_there

    local = None
    if registry_is_there(settings):
        async with opened_registry(settings) as opened:
            local = opened.catalogue.applications.get(client_id)
    async with AskingAc(settings) as asking:
        began = time.monotonic()
        try:
            found, failure = await asking.ask(client_id), None
        except AcFailed as error:
            found, failure = None, error
        return local, _Asked(found, failure, time.monotonic() - began)


def _facts(settings: Settings, client_id: str, local: Application | None, asked: _Asked) -> dict[str, object]:
    found = asked.found
    return {
        "url": settings.ac_url,
        "clientId": client_id,
        "registered": local is not None,
        "scopesFromAc": local is not None and local.scopes_from_ac,
        "outcome": "found" if found and found.known else "unknown" if found else asked.failure.outcome.value,  # type: ignore[union-attr]
        "reason": None if asked.failure is None else str(asked.failure),
        "seconds": round(asked.seconds, 3),
        "applicatie": found.url if found and found.known else None,
        "label": found.label if found and found.known else None,
        "allRights": found is not None and found.all_rights,
        "scopes": sorted(found.scopes) if found else None,
    }


def _lines(
    settings: Settings, client_id: str, local: Application | None, asked: _Asked, *, own: bool
) -> list[tuple[str, str]]:
    rows = [
        ("Autorisaties API", f"{settings.ac_url}, as {settings.ac_client_id}"),
        ("asked for", client_id + (" (our own client)" if own else "")),
    ]
    if (found := asked.found) is None:
        assert asked.failure is not None  # noqa: S101 - one of the two
        rows.append(("answer", f"none: {asked.failure.outcome}: {asked.failure}"))
        rows.append(("then", _ADVICE[asked.failure.outcome.value]))
    elif not found.known:
        rows.append(("answer", "it knows no applicatie with this client id, or one without any autorisatie"))
    else:
        rows.append(("answer", f"applicatie {found.label!r} {found.url} in {asked.seconds * 1000:.0f} ms"))
        scopes = ", ".join(sorted(found.scopes)) or "none"
        rows.append(("scopes", scopes + (" (heeftAlleAutorisaties)" if found.all_rights else "")))
    if not own:
        rows.append(("here", _here(local)))
    return rows


_ADVICE = {
    "away": "see that it runs, and that this host reaches it; gateways go on by what they know, for a day",
    "refused": "give the client NRC_AC_CLIENT_ID the scope autorisaties.lezen there, and compare the secret",
    "wrong": "NRC_AC_URL must be the root of an Autorisaties API; status 500: look in its log, where two "
    "applicaties may have this client id",
}


def _here(local: Application | None) -> str:
    if local is None:
        return "not registered: no token of it is accepted (`nrc application add … --scopes-from-ac`)"
    if local.scopes_from_ac:
        return "takes its scopes from the Autorisaties API"
    scopes = "from its tokens" if local.scopes_from_token else ", ".join(sorted(local.scopes)) or "none"
    return f"has its scopes here, whatever the Autorisaties API says: {scopes}"


@click.command("scopes-from")
@click.argument("client_id", metavar="ID", type=parameters.client_id)
@click.argument("source", metavar="ac|here", type=click.Choice([AC, HERE]))
@click.option(
    "--scope", "scopes", multiple=True, help="With here: what it may do from then on.", **parameters.SCOPE
)
def scopes_from(client_id: str, source: str, scopes: tuple[Scope, ...]) -> None:
    """Have application ID take its scopes from the Autorisaties API (ac), or have them granted here.

    Its secret and its abonnementen stay.
    """
    settings = load_settings()
    if source == AC and scopes:
        raise UsageError("--scope goes with here: the Autorisaties API has the scopes of this application")
    changed = carry_out(_scopes_from(settings, client_id, from_ac=source == AC, scopes=scopes))
    if not changed.scopes_from_ac:
        click.echo(f"{client_id}: {', '.join(sorted(changed.scopes)) or 'none'}")
        return
    click.echo(f"{client_id}: from the Autorisaties API")
    note_if_no_ac(settings)


def note_if_no_ac(settings: Settings) -> None:
    """Say that an application may do nothing as long as no Autorisaties API is set."""
    if not settings.ac_url:
        note("it may do nothing until NRC_AC_URL is set for the gateways")


async def _scopes_from(
    settings: Settings, client_id: str, *, from_ac: bool, scopes: tuple[Scope, ...]
) -> Application:
    from nrc.cli.registry.application import known_application

    async with opened_registry(settings) as opened:
        known_application(opened.catalogue, client_id)
        log = audit.log_of(settings, registry=opened.registry)
        changed = await operating.change_source(
            opened.registry, log, client_id, from_ac=from_ac, scopes=scopes
        )
    await tell_processes(settings, lambda router: router.announce())
    return changed
