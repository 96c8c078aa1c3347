"""`nrc application …`: the clients of the API, their secrets and scopes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import click

from nrc.cli.connecting import carry_out, new_option, opened_registry, tell_processes
from nrc.cli.operating import audit
from nrc.cli.registry import secret_uses
from nrc.cli.registry.removal import (
    UNTIL_ITS_OWN_AUTH,
    abonnementen_of,
    ask_about_waiting,
    keep_auth_option,
    keep_option,
    yes_option,
)
from nrc.cli.registry.rights import note_if_no_ac, rights, scopes_from
from nrc.cli.terminal import parameters
from nrc.cli.terminal.output import Column, as_json, json_option, moment, note, printable, table, wide_option
from operating import applications as operating
from operating.applications import LEAST_SECRET, new_secret, old_secret_until
from operating.removal import Waited, end_what_waits, remove_queues
from runtime.settings import Settings, load_settings
from schemas.application import Application, Scope
from schemas.errors import Conflict, UsageError
from store.secret_uses import SecretUses

if TYPE_CHECKING:
    from router.catalogue import Catalogue
    from router.requests import RouterClient


@click.group()
def application() -> None:
    """Applications: the clients of the API, their secrets and what they may do."""


@application.command()
@click.argument("client_id", metavar="ID", type=parameters.client_id)
@click.option(
    "--secret", type=parameters.secret, help="Its secret; - reads it from standard input. Default: a new one."
)
@click.option("--label", default="", help="What it is, for people.")
@click.option(
    "--scope", "scopes", multiple=True, help="What it may do: publiceren, consumeren.", **parameters.SCOPE
)
@click.option("--scopes-from-token", is_flag=True, help="It may do what its tokens say (the 2019 way).")
@click.option("--scopes-from-ac", is_flag=True, help="It may do what the Autorisaties API says (NRC_AC_URL).")
@new_option
@json_option
def add(
    client_id: str,
    secret: str | None,
    label: str,
    scopes: tuple[Scope, ...],
    scopes_from_token: bool,
    scopes_from_ac: bool,
    new: bool,
    json_: bool,
) -> None:
    """Register application ID. A new secret is shown once, here."""
    settings = load_settings()
    if bool(scopes) + scopes_from_token + scopes_from_ac > 1:
        raise UsageError("--scope, --scopes-from-token and --scopes-from-ac: give one of them")
    if not label.isprintable():
        raise UsageError("--label: printable characters only")
    application = Application(
        client_id=client_id,
        secret=secret or new_secret(),
        label=label,
        scopes=frozenset(scopes),
        scopes_from_token=scopes_from_token,
        scopes_from_ac=scopes_from_ac,
    )
    carry_out(add_application(settings, application, new=new))
    _show_secret(application, given=secret is not None, json_=json_)
    if scopes_from_ac:
        note_if_no_ac(settings)
    elif not scopes and not scopes_from_token:
        note(f"{client_id} may do nothing yet: `nrc application grant {client_id} publiceren|consumeren`")


async def add_application(settings: Settings, application: Application, *, new: bool | None = None) -> None:
    """Register it, note the act, and tell processes. new: as of `opened_registry`. Raises Conflict."""
    async with opened_registry(settings, new=new) as opened:
        try:
            log = audit.log_of(settings, registry=opened.registry)
            await operating.add_application(opened.registry, log, application)
        except Conflict as error:
            again = f"`nrc application rotate {application.client_id}`"
            raise Conflict(f"{error} A new secret: {again}.") from error
    await tell_processes(settings, lambda router: router.announce())


def _show_secret(application: Application, *, given: bool, json_: bool) -> None:
    """Print a secret that was made here, not one that was given."""
    if given and len(application.secret.encode()) < LEAST_SECRET:
        note(
            f"the secret is shorter than {LEAST_SECRET} bytes, which HS256 asks for; it works, but is weaker"
        )
    if json_:
        shown = {"clientId": application.client_id, **_facts(application)}
        as_json(shown if given else {**shown, "secret": application.secret})
        return
    click.echo(f"client_id: {application.client_id}")
    if not given:
        click.echo(f"secret:    {application.secret}")
    click.echo(f"scopes:    {_scopes(application)}")


@application.command("list")
@wide_option
@json_option
def list_(wide: bool, json_: bool) -> None:
    """List the applications, without their secrets."""
    settings = load_settings()
    catalogue = carry_out(_load(settings))
    owned = Counter(abonnement.client_id for abonnement in catalogue.everyone.values())
    found = sorted(catalogue.applications.values(), key=lambda application: application.client_id)
    if json_:
        as_json(
            [
                {"clientId": each.client_id, **_facts(each), "abonnementen": owned[each.client_id]}
                for each in found
            ]
        )
        return
    table(
        [
            Column("CLIENT_ID"),
            Column("LABEL", least=5),
            Column("SCOPES", least=10),
            Column("ABONNEMENTEN"),
            Column("OLD SECRET UNTIL", wide=True),
        ],
        (
            [
                each.client_id,
                each.label,
                _scopes(each) if wide else _scopes(each).replace("notificaties.", ""),
                owned[each.client_id],
                _old_until(each) or "",
            ]
            for each in found
        ),
        empty="no applications yet: `nrc application add ID --scope …`",
        wide=wide,
    )


@application.command()
@click.argument("client_id", metavar="ID", type=parameters.client_id)
@json_option
def show(client_id: str, json_: bool) -> None:
    """Show application ID without its secrets, and when each of these was last used, and from where.

    Gateways note the use of a secret once a minute.
    """
    found, uses, owned = carry_out(_look(load_settings(), client_id))
    if json_:
        used = {"secretUsed": secret_uses.facts(uses.new), "oldSecretUsed": secret_uses.facts(uses.old)}
        as_json({"clientId": found.client_id, **_facts(found), "abonnementen": owned, **used})
        return
    rows = [
        ("client_id", found.client_id),
        ("label", found.label or "none"),
        ("scopes", _scopes(found)),
        ("abonnementen", str(owned)),
        ("secret", f"last used {secret_uses.told(uses.new)}" if uses.new else "no use seen"),
    ]
    if (until := _old_until(found)) is not None:
        used_old = f"last used {secret_uses.told(uses.old)}" if uses.old else "no use seen"
        rows.append(("old secret", f"counts until {until}; {used_old}"))
    for name, text in rows:
        click.echo(f"{name + ':':<14}{printable(text)}")


async def _look(settings: Settings, client_id: str) -> tuple[Application, SecretUses, int]:
    """(the application, its secrets' uses, how many abonnementen it has)."""
    async with opened_registry(settings) as opened:
        found = known_application(opened.catalogue, client_id)
        owned = sum(each.client_id == client_id for each in opened.catalogue.everyone.values())
        return found, (await opened.registry.secret_uses()).get(client_id, SecretUses()), owned


@application.command()
@click.argument("client_id", metavar="ID", type=parameters.client_id)
@click.argument("scopes", metavar="SCOPE...", nargs=-1, required=True, **parameters.SCOPE)
def grant(client_id: str, scopes: tuple[Scope, ...]) -> None:
    """Let application ID do more: publiceren, consumeren."""
    settings = load_settings()
    carry_out(_set_scopes(settings, client_id, add=scopes))


@application.command()
@click.argument("client_id", metavar="ID", type=parameters.client_id)
@click.argument("scopes", metavar="SCOPE...", nargs=-1, required=True, **parameters.SCOPE)
def revoke(client_id: str, scopes: tuple[Scope, ...]) -> None:
    """Let application ID do less; its abonnementen stay."""
    settings = load_settings()
    carry_out(_set_scopes(settings, client_id, remove=scopes))


async def _set_scopes(
    settings: Settings, client_id: str, *, add: Iterable[Scope] = (), remove: Iterable[Scope] = ()
) -> None:
    async with opened_registry(settings) as opened:
        known_application(opened.catalogue, client_id)
        log = audit.log_of(settings, registry=opened.registry)
        changed = await operating.set_scopes(opened.registry, log, client_id, add=add, remove=remove)
    await tell_processes(settings, lambda router: router.announce())
    click.echo(f"{client_id}: {_scopes(changed)}")


@application.command()
@click.argument("client_id", metavar="ID", type=parameters.client_id)
@click.option(
    "--with-abonnementen", is_flag=True, help="Remove its abonnementen too, and what waits for them."
)
@click.option(
    "--give-to", type=parameters.client_id, metavar="ID", help="Give its abonnementen to this application."
)
@keep_auth_option
@yes_option
@keep_option
def remove(
    client_id: str, with_abonnementen: bool, give_to: str | None, keep_auth: bool, yes: bool, keep: bool
) -> None:
    """Remove application ID. Refused while it owns abonnementen, unless told what to do with them.

    With its abonnementen it asks first when notificaties wait for these, which go too, or are kept (--keep).
    Those that are given away are suspended until their new owner has set an auth of its own.
    """
    settings = load_settings()
    if keep_auth and give_to is None:
        raise UsageError("--keep-auth is of abonnementen that are given away (--give-to)")
    if with_abonnementen and give_to is not None:
        raise UsageError("--with-abonnementen and --give-to: give one of them")
    if with_abonnementen:
        ask_about_waiting(settings, abonnementen_of(settings, client_id), yes=yes, keep=keep)
    removal = remove_application(
        settings,
        client_id,
        with_abonnementen=with_abonnementen,
        give_to=give_to,
        keep_auth=keep_auth,
        keep=keep,
    )
    touched, waited = carry_out(removal)
    what = "removed"
    if give_to is not None:
        what = f"given to {give_to}" + ("" if keep_auth else UNTIL_ITS_OWN_AUTH)
    click.echo(f"{client_id} removed" + (f"; {len(touched)} abonnement(en) {what}" if touched else ""))
    if text := str(waited):
        click.echo(text)


async def remove_application(
    settings: Settings,
    client_id: str,
    *,
    with_abonnementen: bool,
    give_to: str | None = None,
    keep_auth: bool = False,
    keep: bool = False,
) -> tuple[Sequence[UUID], Waited]:
    """(the abonnementen that went, or were given away; what waited for those that went). Notes the act.

    keep: what waits becomes undeliverable, and is not removed. Raises UsageError, Conflict.
    """
    async with opened_registry(settings) as opened:
        owned = [each for each in opened.catalogue.everyone.values() if each.client_id == client_id]
        try:
            touched = await operating.remove_application(
                opened.registry,
                audit.log_of(settings, registry=opened.registry),
                client_id,
                with_abonnementen=with_abonnementen,
                give_to=give_to,
                keep_auth=keep_auth,
                keep=keep,
            )
        except Conflict as error:
            advice = " Add --with-abonnementen, or --give-to ID."
            undecided = owned and not with_abonnementen and give_to is None
            raise Conflict(f"{error}{advice if undecided else ''}") from error
    gone = touched if with_abonnementen else ()
    waited = await end_what_waits(settings, audit.log_of(settings), gone, keep=keep, tell=note)

    async def ask(router: RouterClient) -> None:
        await remove_queues(router, gone)
        await router.announce()

    await tell_processes(settings, ask)
    return touched, waited


@application.command()
@click.argument("client_id", metavar="ID", type=parameters.client_id)
@click.option(
    "--secret",
    type=parameters.secret,
    help="The new secret; - reads it from standard input. Default: made here.",
)
@click.option(
    "--keep-old", type=parameters.duration, help="How long the old secret counts too, e.g. 24h. Default: not."
)
@json_option
def rotate(client_id: str, secret: str | None, keep_old: int | None, json_: bool) -> None:
    """Give application ID another secret. A new secret is shown once, here."""
    settings = load_settings()
    changed = carry_out(_rotate(settings, client_id, secret or new_secret(), keep_old))
    _show_secret(changed, given=secret is not None, json_=json_)
    if (until := _old_until(changed)) is not None:
        note(f"the old secret counts until {until}")


async def _rotate(settings: Settings, client_id: str, secret: str, keep_old: int | None) -> Application:
    async with opened_registry(settings) as opened:
        known_application(opened.catalogue, client_id)
        log = audit.log_of(settings, registry=opened.registry)
        changed = await operating.rotate_secret(opened.registry, log, client_id, secret, keep_old=keep_old)
    await tell_processes(settings, lambda router: router.announce())
    return changed


@application.command("revoke-old")
@click.argument("client_id", metavar="ID", type=parameters.client_id)
@click.option("--yes", is_flag=True, help="Do not ask, although it was used in the last day.")
def revoke_old(client_id: str, yes: bool) -> None:
    """Have the old secret of application ID count no more, before its time.

    It asks first when that secret was used in the last day.
    """
    settings = load_settings()
    found, uses, _ = carry_out(_look(settings, client_id))
    if _old_until(found) is None:
        raise UsageError(f"{client_id} has no old secret that counts")
    secret_uses.ask_before_revoking(client_id, uses, yes=yes)
    carry_out(_revoke_old(settings, client_id))
    click.echo(f"{client_id}: only its own secret counts now")


async def _revoke_old(settings: Settings, client_id: str) -> None:
    async with opened_registry(settings) as opened:
        log = audit.log_of(settings, registry=opened.registry)
        await operating.revoke_old_secret(opened.registry, log, client_id)
    await tell_processes(settings, lambda router: router.announce())


application.add_command(rights)
application.add_command(scopes_from)


async def _load(settings: Settings) -> Catalogue:
    async with opened_registry(settings) as opened:
        return opened.catalogue


def known_application(catalogue: Catalogue, client_id: str) -> Application:
    """The application with this client_id. Raises UsageError, which lists them."""
    known = catalogue.applications.get(client_id)
    if known is None:
        others = ", ".join(sorted(catalogue.applications)) or "none yet"
        raise UsageError(f"there is no application {client_id!r} (there are: {others})")
    return known


def _facts(application: Application) -> dict[str, object]:
    return {
        "label": application.label,
        "scopes": sorted(application.scopes),
        "scopesFromToken": application.scopes_from_token,
        "scopesFromAc": application.scopes_from_ac,
        "oldSecretUntil": _old_until(application),
    }


def _scopes(application: Application) -> str:
    if application.scopes_from_token:
        return "from its tokens"
    if application.scopes_from_ac:
        return "from the Autorisaties API"
    return ", ".join(sorted(application.scopes)) or "none"


def _old_until(application: Application) -> str | None:
    """Until when the old secret is valid; None when no old secret is."""
    until = old_secret_until(application)
    return None if until is None else moment(until)
