"""`nrc abonnement options`: shows and sets delivery options, whichever schemas/delivery_options/ has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from nrc.cli.connecting import carry_out, opened_registry, tell_processes
from nrc.cli.operating import audit
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import as_json, json_option, printable
from nrc.state_lock import beside_up
from operating import abonnementen as operating
from runtime.settings import Settings, load_settings
from schemas.abonnement import Abonnement
from schemas.delivery_options import DeliveryOptions, given_of
from schemas.delivery_options.options import OPTIONS
from schemas.errors import ParseError, UsageError
from schemas.fields import parse
from schemas.jsontext import read_json, write_json


def uuid_or_url(text: str) -> str:
    """A UUID or its first characters, also at the end of the abonnement's URL. A click type."""
    return ids.uuid(text.rstrip("/").rpartition("/")[2])


def told_of(options: DeliveryOptions | None) -> str:
    """What is set, in one line; "" when nothing is."""
    given = given_of(options)
    return ", ".join(f"{name}={_shown(value)}" for name, value in given.items())


@click.command()
@click.argument("uuid", metavar="UUID|URL", type=uuid_or_url)
@click.option(
    "--set", "set_", metavar="NAME=VALUE", multiple=True, help="Set an option; a VALUE with parts is JSON."
)
@click.option("--unset", metavar="NAME", multiple=True, help="Set it no longer.")
@json_option
def options(uuid: str, set_: Sequence[str], unset: Sequence[str], json_: bool) -> None:
    """Show or change how an abonnement wants to be delivered to: its rate, and more.

    What is not named stays as it is. The next delivery is made by what is set now.
    """
    settings = beside_up(load_settings())
    changes: dict[str, Any] = dict.fromkeys(map(_known, unset))
    for each in set_:
        name, equals, text = each.partition("=")
        if not equals:
            raise click.BadParameter(f"{each}: give NAME=VALUE", param_hint="--set")
        changes[_known(name)] = _value(text)
    found = carry_out(_change(settings, uuid, changes) if changes else _show(settings, uuid))
    if json_:
        as_json(given_of(found.options))
    else:
        click.echo(f"{found.uuid} {printable(told_of(found.options)) or 'no options'}")


def _known(name: str) -> str:
    if name not in OPTIONS:
        raise click.BadParameter(f"there is no option {name}; there are {', '.join(OPTIONS)}")
    return name


def _value(text: str) -> object:
    """What JSON says, or the text where it is none."""
    try:
        return read_json(text.encode())
    except ParseError:
        return text


def _shown(value: object) -> str:
    return write_json(value).decode() if isinstance(value, dict | list) else str(value)


async def _show(settings: Settings, typed: str) -> Abonnement:
    async with opened_registry(settings) as opened:
        return opened.abonnement(typed)


async def _change(settings: Settings, typed: str, changes: dict[str, Any]) -> Abonnement:
    async with opened_registry(settings) as opened:
        found = opened.abonnement(typed)
        merged = given_of(found.options) | changes
        asked = {name: value for name, value in merged.items() if value is not None}
        wanted, faults = parse(DeliveryOptions, asked)
        if wanted is None:
            raise UsageError("; ".join(f"{each.name}: {each.reason}" for each in faults))
        log = audit.log_of(settings, registry=opened.registry)
        changed = await operating.set_options(opened.registry, log, found, wanted, settings=settings)
    await tell_processes(settings, lambda router: router.announce())
    return changed
