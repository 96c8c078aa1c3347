"""`nrc token`: prints an Authorization header, in the present form or in that of 2019."""

from __future__ import annotations

import time

import click

from nrc.cli.connecting import carry_out, opened_registry
from nrc.cli.operating import audit
from nrc.cli.registry.application import known_application
from nrc.cli.terminal import parameters
from nrc.cli.terminal.output import note
from operating.tokens import make_token
from runtime.settings import Settings, load_settings
from schemas.application import Application, Scope


@click.command()
@click.argument("client_id", type=parameters.client_id)
@click.option(
    "--scope", "scopes", multiple=True, help="Only for this: publiceren, consumeren.", **parameters.SCOPE
)
@click.option(
    "--legacy", is_flag=True, help="The form of 2019: client_identifier in the JWT's header, zds.scopes."
)
@click.option(
    "--expires",
    type=parameters.duration,
    help="Add exp, e.g. 15m. Its age is limited by NRC_JWT_EXPIRY anyway.",
)
def token(client_id: str, scopes: tuple[Scope, ...], legacy: bool, expires: int | None) -> None:
    """Print an Authorization header for application CLIENT_ID.

    For instance: curl -H "$(nrc token zac)" http://127.0.0.1:8000/api/v1/kanaal
    """
    settings = load_settings()
    application = carry_out(_application(settings, client_id))
    if expires is not None and expires > settings.jwt_expiry:
        note(f"the gateway refuses it {settings.jwt_expiry} s from now (NRC_JWT_EXPIRY), before it expires")
    made = make_token(application, scopes=scopes, legacy=legacy, now=int(time.time()), expires=expires)
    carry_out(audit.record(settings, "token made", application=client_id, scopes=sorted(scopes) or None))
    click.echo(f"Authorization: Bearer {made}")


async def _application(settings: Settings, client_id: str) -> Application:
    async with opened_registry(settings) as opened:
        return known_application(opened.catalogue, client_id)
