"""`nrc abonnement …`: who wants what, for operators. Making one is the API's: it checks the callback."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import click

from nrc.cli.connecting import OpenRegistry, carry_out, opened_registry, tell_processes
from nrc.cli.operating import audit
from nrc.cli.registry.condition import Condition, conditions
from nrc.cli.registry.removal import (
    ask_about_waiting,
    end_what_waits,
    keep_option,
    remove_queues,
    what_becomes,
    yes_option,
)
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import (
    Column,
    age,
    as_json,
    json_option,
    moment,
    note,
    printable,
    table,
    wide_option,
)
from runtime.settings import Settings, load_settings
from schemas.abonnement import Abonnement, FilterGroup, State
from schemas.errors import Conflict, UsageError

if TYPE_CHECKING:
    from router.requests import RouterClient


@click.group()
def abonnement() -> None:
    """Abonnementen: which notificaties go where. They are made through the API."""


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
        as_json([each.facts() for each in found])
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
    Column("KANALEN", wide=True),
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
        each.state if wide else each.state_in_short(now),
        "?" if each.waiting is None else each.waiting,
        each.retrying or "",
        "" if oldest is None else moment(oldest) if wide else age(now - oldest),
        each.size or "",
        each.last_error,
        each.next_probe,
        ", ".join(dict.fromkeys(group.naam for group in abonnement.kanalen)),
        each.remark,
        abonnement.callback_url,
    ]


@abonnement.command()
@click.argument("uuid", type=ids.uuid)
@json_option
def show(uuid: str, json_: bool) -> None:
    """Show one abonnement; its auth is never shown. UUID: whole, or its first characters."""
    every = {each.abonnement.uuid: each for each in carry_out(conditions(load_settings()))}
    found = every[ids.abonnement(uuid, every)]
    if json_:
        as_json(found.facts())
        return
    shown = found.abonnement
    lines = {
        "uuid": str(shown.uuid),
        "application": shown.client_id,
        "callbackUrl": shown.callback_url,
        "state": found.state,
        "waiting": "" if found.waiting is None else str(found.waiting),
        "oldest": moment(found.oldest) if found.oldest else "",
        "bytes": str(found.size) if found.size else "",
        "retrying": _between_attempts(found),
        "last error": found.last_error,
        "next probe": found.next_probe,
        "remark": found.remark,
    }
    for name, text in lines.items():
        if text:
            click.echo(f"{name + ':':<13}{printable(text)}")
    for group in shown.kanalen:
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
    first = f", the first until {moment(found.next_retry)}" if found.next_retry else ""
    return f"{found.retrying}{first}" if found.retrying else ""


async def _all_known(settings: Settings, typed: tuple[str, ...]) -> list[UUID]:
    async with opened_registry(settings) as opened:
        return [each.uuid for each in _known(opened, typed)]


async def _remove(settings: Settings, uuids: Sequence[UUID], *, keep: bool) -> None:
    async with opened_registry(settings) as opened:
        _known(opened, map(str, uuids))
        for uuid in uuids:
            if await opened.registry.remove_abonnement(uuid):
                await audit.record(
                    settings,
                    "abonnement removed",
                    registry=opened.registry,
                    abonnement=uuid,
                    waiting=what_becomes(keep=keep),
                )
                click.echo(f"{uuid} removed")
    waited = await end_what_waits(settings, uuids, keep=keep)

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
        uuids = [each.uuid for each in known]
        for each in known:
            if each.state is State.ACTIVE:
                note(f"{each.uuid} is active already")
        for uuid in uuids:
            if await opened.registry.set_state(uuid, State.ACTIVE, "") is None:
                raise Conflict(f"abonnement {uuid} was just removed.")
            await audit.record(settings, "abonnement resumed", registry=opened.registry, abonnement=uuid)
            click.echo(f"{uuid} active")
    await _apply(settings, uuids)


@abonnement.command()
@click.argument("uuids", metavar="UUID...", type=ids.uuid, nargs=-1, required=True)
@click.option("--reason", metavar="TEXT", default="by an operator", help="Stands beside the state.")
def suspend(uuids: tuple[str, ...], reason: str) -> None:
    """Deliver nothing to these any more, and keep what is for them, until `resume`."""
    settings = load_settings()
    carry_out(_suspend(settings, uuids, reason))


async def _suspend(settings: Settings, typed: tuple[str, ...], reason: str) -> None:
    async with opened_registry(settings) as opened:
        for uuid in [each.uuid for each in _known(opened, typed)]:
            if await opened.registry.set_state(uuid, State.SUSPENDED, reason) is None:
                raise Conflict(f"abonnement {uuid} was just removed.")
            await audit.record(
                settings, "abonnement suspended", registry=opened.registry, abonnement=uuid, reason=reason
            )
            click.echo(f"{uuid} suspended")
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
        for each in held:
            if each.hold is None:
                raise UsageError(f"abonnement {each.uuid} is {each.state}, and only a held one is probed")
        for each in held:
            assert each.hold is not None  # noqa: S101 - looked at above
            now = replace(each.hold, next_probe=time.time())
            changed = await opened.registry.set_hold(
                each.uuid, now, each.state_reason, before=each.hold, callback_url=each.callback_url
            )
            if changed:
                await audit.record(
                    settings, "probe asked for", registry=opened.registry, abonnement=each.uuid
                )
            click.echo(f"{each.uuid} {'to be probed now' if changed else 'was probed or changed just now'}")
    await _announce(settings)


async def _announce(settings: Settings) -> None:
    async def ask(router: RouterClient) -> None:
        await router.announce()

    await tell_processes(settings, ask)


async def _apply(settings: Settings, uuids: Sequence[UUID]) -> None:
    async def ask(router: RouterClient) -> None:
        for uuid in uuids:
            await router.apply_abonnement(uuid)

    await tell_processes(settings, ask)


def _known(opened: OpenRegistry, typed: Iterable[str]) -> list[Abonnement]:
    """The abonnementen that are meant, each once. Raises Conflict and UsageError."""
    known = opened.catalogue.abonnementen
    return [known[uuid] for uuid in dict.fromkeys(ids.abonnement(each, known) for each in typed)]


def _filters(group: FilterGroup) -> str:
    pairs = ", ".join(f"{name}={value}" for name, value in group.filters)
    return f" where {printable(pairs)}" if pairs else ""
