"""`nrc callback-auth …`: shows and sets what a callback asks for beyond `auth` (schemas/callback_auth)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from nrc.cli.connecting import carry_out, opened_registry, tell_processes
from nrc.cli.operating import audit
from nrc.cli.terminal import ids, parameters
from nrc.cli.terminal.output import as_json, json_option, note, printable
from nrc.state_lock import beside_up
from operating import abonnementen as operating
from runtime.settings import Settings, load_settings
from schemas.abonnement import Abonnement
from schemas.callback_auth import (
    KINDS,
    CallbackAuth,
    former_secret,
    new_signing_secret,
    with_kind,
    without_secrets,
)
from schemas.callback_auth.certificates import Unusable, key_in, of_pkcs12
from schemas.errors import Conflict, UsageError, ValidationError
from schemas.fields import parse

MOST_BYTES = 64 * 1024  # of a file with certificates or a key

file_argument = click.Path(exists=True, dir_okay=False, path_type=Path)
uuid_argument = click.argument("uuid", type=ids.uuid)
client_option = click.option("--client-id", metavar="ID", required=True, help="The client id in it.")
secret_option = click.option(
    "--secret", type=parameters.secret, required=True, help="Its secret; - reads it from standard input."
)


@click.group("callback-auth")
def callback_auth() -> None:
    """What callbacks ask for beyond the Authorization header of their abonnement.

    What is set replaces what was set of the same kind; of oauth2, zgw and none there is one. The callback is
    checked first, as when an abonnement is made.
    """


@callback_auth.command()
@uuid_argument
@json_option
def show(uuid: str, json_: bool) -> None:
    """Show what one callback asks for, without secrets."""
    found = carry_out(_known(load_settings(), uuid))
    told = without_secrets(found.callback_auth)
    if json_:
        as_json({"abonnement": str(found.uuid), "auth": bool(found.auth), "callbackAuth": told})
        return
    sent = found.auth and not (found.callback_auth and found.callback_auth.replaces_auth)
    click.echo(f"Authorization: {'auth of the abonnement' if sent else _authorization(told)}")
    for kind, value in told.items():
        for each in value if isinstance(value, list) else [value]:
            pairs = each.items() if isinstance(each, Mapping) else ()
            line = ", ".join(f"{name} {printable(str(text))}" for name, text in pairs)
            click.echo(f"{kind}: {line or 'yes'}")


def _authorization(told: Mapping[str, Any]) -> str:
    return "a token" if {"oauth2", "zgw"} & told.keys() else "none"


@callback_auth.command()
@uuid_argument
@click.option("--token-url", metavar="URL", required=True, help="The token endpoint.")
@client_option
@secret_option
@click.option("--scope", metavar="TEXT", default="", help="The scope to ask for.")
@click.option("--audience", metavar="TEXT", default="", help="The audience to ask for.")
@click.option(
    "--secret-in",
    type=click.Choice(["header", "body"]),
    default="header",
    help="Where the token endpoint wants the secret: Basic (the default), or client_secret in the form.",
)
def oauth2(uuid: str, **given: str) -> None:
    """Send an access token, by OAuth2 client credentials, in place of auth."""
    _set(uuid, "oauth2", _camel(given))


@callback_auth.command()
@uuid_argument
@client_option
@secret_option
@click.option("--user-id", metavar="TEXT", default="", help="user_id in the token.")
@click.option("--user-representation", metavar="TEXT", default="", help="user_representation in the token.")
def zgw(uuid: str, **given: str) -> None:
    """Send a JWT as the ZGW APIs have it, made anew for each request, in place of auth."""
    _set(uuid, "zgw", _camel(given))


@callback_auth.command()
@uuid_argument
@click.argument("name")
@click.option(
    "--value", type=parameters.secret, required=True, help="Its value; - reads it from standard input."
)
def header(uuid: str, name: str, value: str) -> None:
    """Send an API key in header NAME too."""
    _set(uuid, "header", {"name": name, "value": value})


@callback_auth.command()
@uuid_argument
@click.option(
    "--secret",
    type=parameters.secret,
    help="Its secret, whsec_…; - reads it from standard input. Default: a new one.",
)
@click.option(
    "--keep-old",
    type=parameters.duration,
    metavar="TIME",
    help="The former secret signs too for so long, such as 24h.",
)
def signature(uuid: str, secret: str | None, keep_old: int | None) -> None:
    """Sign each request by Standard Webhooks too. A new secret is shown once, here."""
    given = secret or new_signing_secret()

    def signed(now: Mapping[str, Any]) -> dict[str, Any]:
        value: dict[str, Any] = {"secret": given}
        if keep_old:
            if "signature" not in now:
                raise UsageError("--keep-old: there is no former secret")
            value |= former_secret(now, until=int(time.time()) + keep_old)
        return with_kind(now, "signature", value)

    _change(uuid, signed)
    if secret is None:
        click.echo(f"secret: {given}")


@callback_auth.command()
@uuid_argument
@click.argument("file", type=file_argument)
@click.option(
    "--key", "key_file", type=file_argument, help="Its private key in PEM. Default: that in FILE itself."
)
@click.option(
    "--key-password",
    type=parameters.secret,
    default=None,
    help="The password of the key; - reads it from standard input.",
)
@click.option(
    "--ca",
    "ca_file",
    type=file_argument,
    help="Authorities in PEM, as of `ca`, at once: where the callback's certificate is of an own authority.",
)
@click.option("--use-for-token", is_flag=True, help="Use it for the token endpoint of oauth2 too (RFC 8705).")
def certificate(
    uuid: str,
    file: Path,
    key_file: Path | None,
    key_password: str | None,
    ca_file: Path | None,
    use_for_token: bool,
) -> None:
    """Make connections with the client certificate in FILE (mTLS).

    FILE is PEM, with the chain after the certificate, or PKCS #12 (.p12, .pfx), which has the key too.
    """
    content = _content(file)
    if b"-----BEGIN " in content:
        chain = content.decode("utf-8", "replace")
        key = key_in(chain if key_file is None else _text(key_file))
        if not key:
            raise UsageError(f"{key_file or file} has no private key in PEM; name its file with --key")
    else:
        try:
            chain, key = of_pkcs12(content, key_password or "")
        except Unusable as error:
            raise UsageError(f"{file}: {error}") from None
    value: dict[str, Any] = {"certificate": chain, "key": key, "useForToken": use_for_token}
    if key_password:
        value["keyPassword"] = key_password
    more = {} if ca_file is None else {"ca": _text(ca_file)}
    _change(uuid, lambda now: {**with_kind(now, "clientCertificate", value), **more})


@callback_auth.command()
@uuid_argument
@click.argument("file", type=file_argument)
def ca(uuid: str, file: Path) -> None:
    """Trust only the authorities in FILE (PEM) for this callback, not the system's."""
    _set(uuid, "ca", _text(file))


@callback_auth.command("none")
@uuid_argument
def no_auth(uuid: str) -> None:
    """Send no Authorization header: the callback is open, or knows us otherwise."""
    _set(uuid, "noAuth", True)


@callback_auth.command()
@uuid_argument
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS))
def remove(uuid: str, kinds: tuple[str, ...]) -> None:
    """Send these KINDS no longer; all of them when none is named."""

    def without(now: Mapping[str, Any]) -> dict[str, Any]:
        return {kind: value for kind, value in now.items() if kinds and kind not in kinds}

    _change(uuid, without)


def _text(file: Path) -> str:
    return _content(file).decode("utf-8", "replace")


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from None
    if len(content) > MOST_BYTES:
        raise UsageError(f"{file} has more than {MOST_BYTES} bytes")
    return content


def _set(uuid: str, kind: str, value: object) -> None:
    _change(uuid, lambda now: with_kind(now, kind, value))


def _change(uuid: str, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
    settings = beside_up(load_settings())
    changed = carry_out(_carry_out(settings, uuid, change))
    kinds = changed.callback_auth.kinds if changed.callback_auth else ()
    click.echo(f"{changed.uuid} {', '.join(kinds) or 'auth alone'}")
    if changed.auth and changed.callback_auth and changed.callback_auth.replaces_auth:
        note("auth of the abonnement is not sent any more, and stays for when this is removed")


async def _carry_out(
    settings: Settings, typed: str, change: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> Abonnement:
    from deliverer.http.client import CallbackClient

    async with opened_registry(settings) as opened, CallbackClient.of(settings) as callbacks:
        found = opened.abonnement(typed)
        if found.is_pull:
            raise UsageError(f"abonnement {found.uuid} is fetched by its consumer, and nothing is sent to it")
        if found.is_amqp:
            raise UsageError(
                f"abonnement {found.uuid} has no callback; `nrc amqp password` gives it a password"
            )
        now = found.callback_auth
        wanted, faults = parse(CallbackAuth, change(now.as_given() if now else {}))
        if wanted is None:
            raise UsageError("; ".join(f"{each.name}: {each.reason}" for each in faults))
        log = audit.log_of(settings, registry=opened.registry)
        try:
            changed = await operating.set_callback_auth(
                opened.registry, log, found, wanted or None, callbacks=callbacks, settings=settings
            )
        except ValidationError as error:
            raise Conflict("; ".join(each.reason for each in error.invalid_params)) from None
    await tell_processes(settings, lambda router: router.announce())
    return changed


async def _known(settings: Settings, typed: str) -> Abonnement:
    async with opened_registry(settings) as opened:
        return opened.abonnement(typed)


def _camel(given: Mapping[str, str]) -> dict[str, str]:
    """The options as the fields of the API, without those that were left out."""
    named = {"token_url": "tokenUrl", "client_id": "clientId", "secret_in": "secretIn", "user_id": "userId"}
    named["user_representation"] = "userRepresentation"
    return {named.get(name, name): text for name, text in given.items() if text}
