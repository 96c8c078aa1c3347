"""`nrc abonnement …`: lists abonnementen and acts on them. The API makes them, and `nrc apply`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import click

from nrc.cli.connecting import OpenRegistry, carry_out, opened_registry, tell_processes
from nrc.cli.operating import audit
from nrc.cli.options.commands import options, told_of
from nrc.cli.registry import condition
from nrc.cli.registry.condition import conditions
from nrc.cli.registry.removal import (
    UNTIL_ITS_OWN_AUTH,
    ask_about_waiting,
    keep_auth_option,
    keep_option,
    yes_option,
)
from nrc.cli.terminal import ids, parameters
from nrc.cli.terminal.output import (
    Column,
    age,
    as_json,
    json_option,
    note,
    printable,
    shown,
    table,
    wide_option,
)
from nrc.exits import Exit
from nrc.state_lock import beside_up
from operating import abonnementen as operating
from operating.conditions import Condition
from operating.removal import end_what_waits, remove_queues
from runtime.settings import Settings, load_settings
from schemas.abonnement import GIVEN, Abonnement, FilterGroup, State
from schemas.errors import UsageError

if TYPE_CHECKING:
    from extra.trying import Tried
    from router.requests import RouterClient


@click.group()
def abonnement() -> None:
    """Abonnementen: which notificaties go where. They are made through the API, or by `nrc apply`."""


abonnement.add_command(options)


@abonnement.command("list")
@click.option("--client", metavar="ID", help="Only those of this application.")
@wide_option
@json_option
def list_(client: str | None, wide: bool, json_: bool) -> None:
    """List the abonnementen: state, what waits for each, last error; --wide also the next probe.

    By the ledger, also while RabbitMQ is away. WAITING: notificaties in its queue or in the hands of a
    deliverer. RETRY: those between two attempts, which are not in it. OLDEST and SIZE: of all these. REMARK:
    no kanalen, so that nothing reaches it; or the same callback and filters as another, so that all comes
    twice; or how many are stuck.
    """
    found = [
        each for each in carry_out(conditions(load_settings())) if client in (None, each.abonnement.client_id)
    ]
    found.sort(key=_by_application)
    if json_:
        as_json([condition.facts(each) for each in found])
        return
    now = time.time()
    rows = (_row(each, now=now, wide=wide) for each in found)
    table(COLUMNS, rows, empty="no abonnementen", wide=wide)


COLUMNS = (
    Column("UUID"),
    Column("APPLICATION", least=8),
    Column("STATE"),
    Column("WAITING"),
    Column("RETRY"),
    Column("OLDEST", spare=True),
    Column("SIZE", wide=True),
    Column("LAST ERROR", least=8),
    Column("NEXT PROBE", wide=True),
    Column("KANALEN", least=6, spare=True),
    Column("REMARK", least=4),
    Column("CALLBACK", least=8),
)


def _by_application(each: Condition) -> tuple[str, str, UUID]:
    abonnement = each.abonnement
    return abonnement.client_id, abonnement.callback_url, abonnement.uuid


def _row(each: Condition, *, now: float, wide: bool) -> list[object]:
    abonnement = each.abonnement
    oldest = each.oldest
    return [
        abonnement.uuid if wide else ids.short(abonnement.uuid),
        abonnement.client_id,
        condition.state_of(abonnement) if wide else condition.state_in_short(abonnement, now),
        "?" if each.waiting is None else each.waiting,
        each.retrying or "",
        "" if oldest is None else shown(oldest) if wide else age(now - oldest),
        each.size or "",
        condition.last_error(each),
        condition.next_probe(abonnement, waiting=each.waiting),
        ", ".join(dict.fromkeys(group.naam for group in abonnement.kanalen)),
        condition.remark(each),
        abonnement.callback_url or "(fetched)",
    ]


@abonnement.command()
@click.argument("uuid", type=ids.uuid)
@json_option
def show(uuid: str, json_: bool) -> None:
    """Show one abonnement; its auth is never shown. UUID: whole, or its first characters."""
    every = {each.abonnement.uuid: each for each in carry_out(conditions(load_settings()))}
    found = every[ids.abonnement(uuid, every)]
    if json_:
        as_json(condition.facts(found))
        return
    of = found.abonnement
    lines = {
        "uuid": str(of.uuid),
        "application": of.client_id,
        "callbackUrl": of.callback_url,
        "state": condition.state_of(of),
        "waiting": "" if found.waiting is None else str(found.waiting),
        "oldest": shown(found.oldest) if found.oldest else "",
        "bytes": str(found.size) if found.size else "",
        "retrying": _between_attempts(found),
        "last error": condition.last_error(found),
        "next probe": condition.next_probe(of, waiting=found.waiting),
        "remark": condition.remark(found),
        "options": told_of(of.options),
    }
    for name, text in lines.items():
        if text:
            click.echo(f"{name + ':':<13}{printable(text)}")
    for group in of.kanalen:
        click.echo(f"kanaal:      {printable(group.naam)}{_filters(group)}")


@abonnement.command()
@click.argument("uuids", metavar="UUID...", type=ids.uuid, nargs=-1, required=True)
@yes_option
@keep_option
def remove(uuids: tuple[str, ...], yes: bool, keep: bool) -> None:
    """Remove abonnementen. Asks first when notificaties wait for them, which go too, or are kept (--keep)."""
    settings = load_settings()
    meant = carry_out(_all_known(settings, uuids))
    ask_about_waiting(settings, meant, yes=yes, keep=keep)
    carry_out(_remove(settings, meant, keep=keep))


def _between_attempts(found: Condition) -> str:
    first = f", the first until {shown(found.next_retry)}" if found.next_retry else ""
    return f"{found.retrying}{first}" if found.retrying else ""


async def _all_known(settings: Settings, typed: tuple[str, ...]) -> list[UUID]:
    async with opened_registry(settings) as opened:
        return [each.uuid for each in _known(opened, typed, pulled=True)]


async def _remove(settings: Settings, uuids: Sequence[UUID], *, keep: bool) -> None:
    async with opened_registry(settings) as opened:
        _known(opened, map(str, uuids), pulled=True)
        log = audit.log_of(settings, registry=opened.registry)
        for uuid in uuids:
            if await operating.remove(opened.registry, log, uuid, keep=keep):
                click.echo(f"{uuid} removed")
    waited = await end_what_waits(settings, audit.log_of(settings), uuids, keep=keep, tell=note)

    async def ask(router: RouterClient) -> None:
        await remove_queues(router, uuids)
        await router.announce()

    await tell_processes(settings, ask)
    if text := str(waited):
        click.echo(text)


@abonnement.command()
@click.argument("uuids", metavar="UUID...", type=ids.uuid, nargs=-1, required=True)
def resume(uuids: tuple[str, ...]) -> None:
    """Deliver to suspended and held abonnementen again, with what was kept for them."""
    settings = load_settings()
    carry_out(_resume(settings, uuids))


async def _resume(settings: Settings, typed: tuple[str, ...]) -> None:
    async with opened_registry(settings) as opened:
        known = _known(opened, typed)
        log = audit.log_of(settings, registry=opened.registry)
        for each in known:
            if each.state is State.ACTIVE:
                note(f"{each.uuid} is active already")
        for each in known:
            await operating.resume(opened.registry, log, each)
            click.echo(f"{each.uuid} active")
    await _apply(settings, [each.uuid for each in known])


@abonnement.command()
@click.argument("uuids", metavar="UUID...", type=ids.uuid, nargs=-1, required=True)
@click.option("--reason", metavar="TEXT", default=operating.BY_AN_OPERATOR, help="Stands beside the state.")
def suspend(uuids: tuple[str, ...], reason: str) -> None:
    """Deliver nothing to these any more, and keep what is for them, until `resume`."""
    settings = load_settings()
    carry_out(_suspend(settings, uuids, reason))


async def _suspend(settings: Settings, typed: tuple[str, ...], reason: str) -> None:
    async with opened_registry(settings) as opened:
        log = audit.log_of(settings, registry=opened.registry)
        for each in _known(opened, typed):
            await operating.suspend(opened.registry, log, each.uuid, reason=reason)
            click.echo(f"{each.uuid} suspended")
    await _announce(settings)


@abonnement.command()
@click.argument("uuids", metavar="UUID...", type=ids.uuid, nargs=-1, required=True)
def probe(uuids: tuple[str, ...]) -> None:
    """Try the callbacks of held abonnementen now, with one notificatie each, and not at their next probe."""
    settings = load_settings()
    carry_out(_probe(settings, uuids))


async def _probe(settings: Settings, typed: tuple[str, ...]) -> None:
    async with opened_registry(settings) as opened:
        held = _known(opened, typed)
        log = audit.log_of(settings, registry=opened.registry)
        for each in held:
            if each.hold is None:
                raise UsageError(f"abonnement {each.uuid} is {each.state}, and only a held one is probed")
        for each in held:
            changed = await operating.probe(opened.registry, log, each)
            click.echo(f"{each.uuid} {'to be probed now' if changed else 'was probed or changed just now'}")
    await _announce(settings)


@abonnement.command()
@click.argument("uuid", type=ids.uuid)
@click.option("--to", metavar="ID", type=parameters.client_id, required=True, help="The application.")
@click.option("--reason", metavar="TEXT", default="", help="Stands in the audit log.")
@keep_auth_option
def give(uuid: str, to: str, reason: str, keep_auth: bool) -> None:
    """Give an abonnement to another application, which alone may change it from then on.

    It is suspended, and keeps what is for it, until that application has set an auth of its own (PATCH).
    """
    settings = load_settings()
    given = carry_out(_give(settings, uuid, to, reason, keep_auth=keep_auth))
    click.echo(f"{given.uuid} given to {to}{UNTIL_ITS_OWN_AUTH if given.state_reason == GIVEN else ''}")


async def _give(settings: Settings, typed: str, to: str, reason: str, *, keep_auth: bool) -> Abonnement:
    async with opened_registry(settings) as opened:
        (known,) = _known(opened, [typed], pulled=True)
        log = audit.log_of(settings, registry=opened.registry)
        given = await operating.give(opened.registry, log, known, to=to, reason=reason, keep_auth=keep_auth)
    await _announce(settings)
    return given


@abonnement.command()
@click.argument("uuid", type=ids.uuid)
@json_option
def test(uuid: str, json_: bool) -> None:
    """Send the standard's test message to a callback. Exit code 1 when it does not answer 2xx."""
    settings = beside_up(load_settings())
    answer = carry_out(_test(settings, uuid))
    if json_:
        as_json({"taken": answer.taken, "status": answer.status, "ms": round(answer.ms, 1)})
    else:
        said = "no answer" if answer.status is None else f"status {answer.status}"
        click.echo(f"{said} after {round(answer.ms)} ms: {'taken' if answer.taken else 'not taken'}")
    if not answer.taken:
        sys.exit(Exit.FAILED)


async def _test(settings: Settings, typed: str) -> Tried:
    from deliverer.http.client import CallbackClient

    async with opened_registry(settings) as opened, CallbackClient.of(settings) as callbacks:
        (known,) = _known(opened, [typed])
        if known.is_amqp:
            raise UsageError(f"abonnement {known.uuid} has no callback: its consumer reads RabbitMQ")
        log = audit.log_of(settings, registry=opened.registry)
        return await operating.try_callback(callbacks, log, known, settings=settings)


async def _announce(settings: Settings) -> None:
    async def ask(router: RouterClient) -> None:
        await router.announce()

    await tell_processes(settings, ask)


async def _apply(settings: Settings, uuids: Sequence[UUID]) -> None:
    async def ask(router: RouterClient) -> None:
        for uuid in uuids:
            await router.apply_abonnement(uuid)

    await tell_processes(settings, ask)


def _known(opened: OpenRegistry, typed: Iterable[str], *, pulled: bool = False) -> list[Abonnement]:
    """The abonnementen that were typed, each once. Raises Conflict and UsageError.

    pulled: also those whose consumers fetch, which are neither held nor suspended.
    """
    found = [*{each.uuid: each for each in map(opened.abonnement, typed)}.values()]
    for each in found:
        if each.is_pull and not pulled:
            raise UsageError(f"abonnement {each.uuid} is fetched by its consumer, and nothing is sent to it")
    return found


def _filters(group: FilterGroup) -> str:
    pairs = ", ".join(f"{name}={value}" for name, value in group.filters)
    return f" where {printable(pairs)}" if pairs else ""
