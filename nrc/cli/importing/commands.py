"""`nrc import open-notificaties`: what it has, and what it still has to deliver, without losing one."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click
import yaml

from nrc.cli.connecting import (
    OpenRegistry,
    carry_out,
    new_option,
    opened_ledger,
    opened_registry,
)
from nrc.cli.importing import telling
from nrc.cli.operating import audit
from nrc.cli.setup import showing
from nrc.cli.setup.apply import do_plan, plan_of, refuse_both
from nrc.cli.terminal import parameters
from nrc.cli.terminal.output import as_json, json_option, note
from nrc.exits import Exit
from nrc.importing.deliveries import Account, Deliveries
from nrc.importing.dump import opened_dump
from nrc.importing.translating import abonnement_of, translated
from nrc.setup.checking import Checked, checked
from nrc.setup.doing import Done
from nrc.setup.faults import Fault
from nrc.setup.kinds import abonnementen
from nrc.setup.planning import Plan
from nrc.state_lock import beside_up
from operating.passwords import Passwords
from runtime.settings import Settings, load_settings
from schemas.application import Scope
from schemas.errors import UsageError

if TYPE_CHECKING:
    from nrc.importing.source import Source


TELL_EVERY = 10_000  # deliveries


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for on the command line."""

    database: str | None
    dump: Path | None
    api: str | None
    token: str
    as_setup_file: bool
    dry_run: bool
    scopes: tuple[Scope, ...]
    scopes_from_ac: bool
    owner: str | None
    check_callbacks: bool
    plan: bool
    deliveries: bool
    others_connected: bool
    new: bool
    json: bool


@click.group("import")
def import_() -> None:
    """The move from another NRC: all that it has, and all that waits there."""


@import_.command("open-notificaties")
@click.option("--database", metavar="URL", help="Its PostgreSQL: postgresql://user:password@host/database.")
@click.option(
    "--dump",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What its `manage.py dumpdata` wrote, in place of its database.",
)
@click.option(
    "--api", metavar="URL", help="Its API, in place of its database: tells no secrets, owners or deliveries."
)
@click.option(
    "--token", metavar="JWT", default="", help="For --api: of an application with all rights there."
)
@click.option(
    "--as-setup-file",
    is_flag=True,
    help="With --api: print a setup file, to complete with what the API does not tell, and do nothing.",
)
@click.option(
    "--taken-as-sql",
    is_flag=True,
    help="For the way back: print SQL that removes there what was taken here, and do nothing.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be done; exit code 4 when there is any.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="What its applications may do. Default: what its applicaties say; others nothing.",
    **parameters.SCOPE,
)
@click.option("--scopes-from-ac", is_flag=True, help="They may do what the Autorisaties API says.")
@click.option(
    "--owner", metavar="ID", type=parameters.client_id, help="Whose abonnementen without a client_id are."
)
@click.option(
    "--check-callbacks",
    is_flag=True,
    help="Send the standard's test messages to each callback first, and take no abonnement that fails.",
)
@click.option(
    "--without-deliveries", is_flag=True, help="Leave what it still has to deliver for a later import."
)
@click.option(
    "--only-deliveries",
    is_flag=True,
    help="Leave kanalen, applications and abonnementen as they are here; show what differs there.",
)
@click.option(
    "--others-connected",
    is_flag=True,
    help="Take deliveries while others use its database: they are no part of Open Notificaties.",
)
@new_option
@json_option
def open_notificaties(
    database: str | None,
    dump: Path | None,
    api: str | None,
    token: str,
    as_setup_file: bool,
    taken_as_sql: bool,
    dry_run: bool,
    scopes: tuple[Scope, ...],
    scopes_from_ac: bool,
    owner: str | None,
    check_callbacks: bool,
    without_deliveries: bool,
    only_deliveries: bool,
    others_connected: bool,
    new: bool,
    json_: bool,
) -> None:
    """Take over kanalen, applications, abonnementen and what still is to be delivered of Open Notificaties.

    Stop all of Open Notificaties but its database before you take its deliveries. It may be done again: first
    to see (--dry-run), then before the move (--without-deliveries), and then as the move
    (--only-deliveries). What is here becomes as it is there, but with --only-deliveries, and each delivery is
    taken once. It writes nothing there.
    """
    if [database, dump, api].count(None) != 2:
        raise UsageError("import from --database URL, from --dump FILE or from --api URL?")
    if (api is None) == bool(token):
        raise UsageError("--api and --token: give both, or none")
    if as_setup_file and api is None:
        raise UsageError("--as-setup-file is for --api: from a database or a dump all is taken")
    if taken_as_sql and (api is not None or dry_run or without_deliveries):
        raise UsageError("--taken-as-sql is for a database or a dump, and changes nothing anywhere")
    if only_deliveries and (api is not None or without_deliveries or taken_as_sql or check_callbacks):
        raise UsageError("--only-deliveries is for a database or a dump, and sets and tries no abonnement")
    refuse_both(scopes=scopes, scopes_from_ac=scopes_from_ac, new=new, dry_run=dry_run)
    asked = Asked(
        database=database,
        dump=dump,
        api=api,
        token=token,
        as_setup_file=as_setup_file,
        dry_run=dry_run,
        scopes=scopes,
        scopes_from_ac=scopes_from_ac,
        owner=owner,
        check_callbacks=check_callbacks,
        plan=not only_deliveries,
        deliveries=not without_deliveries,
        others_connected=others_connected,
        new=new,
        json=json_,
    )
    if as_setup_file:
        carry_out(_print_setup_file(asked))
        return
    if taken_as_sql:
        carry_out(_print_taken(load_settings(), asked))
        return
    code = carry_out(_import(beside_up(load_settings()), asked))
    if code is not Exit.OK:
        sys.exit(code)


@asynccontextmanager
async def _opened_source(asked: Asked) -> AsyncIterator[Source]:
    if asked.database is not None:
        from nrc.importing.database import opened_database

        async with opened_database(asked.database) as source:
            yield source
    elif asked.api is not None:
        from nrc.importing.api import read_api

        yield await read_api(asked.api, asked.token)
    else:
        assert asked.dump is not None  # noqa: S101 - one of both
        with opened_dump(asked.dump) as source:
            yield source


async def _print_setup_file(asked: Asked) -> None:
    """What the API tells, with a variable for each `auth`, which it does not tell."""
    async with _opened_source(asked) as source:
        found = translated(
            source, scopes=asked.scopes, scopes_from_ac=asked.scopes_from_ac, owner=asked.owner
        )
    showing.show_not_taken(source.name, found.not_taken)
    value = found.document.value
    for number, abonnement in enumerate(value["abonnementen"], start=1):
        abonnement["auth"] = {"value_from": {"env": f"AUTH_{number}"}}
    click.echo(yaml.safe_dump({name: of for name, of in value.items() if of}, sort_keys=False), nl=False)
    note(f"{len(value['abonnementen'])} abonnementen: say what auth each has, and apply it with `nrc apply`")


async def _print_taken(settings: Settings, asked: Asked) -> None:
    """SQL for the database of Open Notificaties: of what it still has to deliver, what is here."""
    async with _opened_source(asked) as source, opened_registry(settings, new=False) as opened:
        if source.pending is None:
            raise UsageError(f"no deliveries: {source.why_not}")
        known_there = abonnement_of(source)
        deliveries = Deliveries(set(known_there.values()), known_there, change=opened.catalogue.number)
        async with opened_ledger(settings) as ledger:
            numbers = await deliveries.rows_there(source.pending(), ledger, opened.registry)
    click.echo(telling.as_sql(numbers), nl=False)
    note(f"{len(numbers)} of the {deliveries.account.found} deliveries that it has were taken here")


async def _import(settings: Settings, asked: Asked) -> Exit:
    async with (
        _opened_source(asked) as source,
        opened_registry(settings, new=asked.new) as opened,
        Passwords() as passwords,
    ):
        found = translated(
            source, scopes=asked.scopes, scopes_from_ac=asked.scopes_from_ac, owner=asked.owner
        )
        if asked.api is not None and (left := found.document.value.pop("abonnementen")):
            # Not even of those that are here: --owner would take them from the owner that they have.
            note(
                f"the API tells neither auth nor owner of abonnementen: {len(left)} are left alone; "
                "--as-setup-file prints them to complete"
            )
        wanted = checked(source.name, found.document, foreign=True)
        plan = await plan_of(settings, wanted, opened, passwords, waiting=None, prune=False)
        not_taken = [*found.not_taken, *plan.not_taken]
        done: list[Done] = []
        account: Account | None = None
        if not asked.json:
            if source.version:
                note(f"an Open Notificaties with the migration {source.version}")
            showing.show_not_taken(source.name, not_taken)
            showing.show_plan(plan)
            if plan.to_do and not asked.plan:
                note("--only-deliveries: all of that is left as it is here; without it, it is set as there")
        try:
            if plan.to_do and asked.plan and not asked.dry_run:
                await _do_plan(settings, source, plan, opened, passwords, asked, done)
            if asked.deliveries:
                account = await _deliver(settings, source, plan, opened, asked)
        finally:
            if asked.json:
                as_json(_facts(wanted, plan, done, not_taken, account, asked))
    if asked.dry_run:
        differs = (asked.plan and plan.to_do) or (account is not None and account.taken)
        return Exit.DIFFERS if differs else Exit.OK
    failed = any(each.fault for each in done) or (account is not None and account.missing > 0)
    return Exit.FAILED if failed else Exit.OK


async def _do_plan(
    settings: Settings,
    source: Source,
    plan: Plan,
    opened: OpenRegistry,
    passwords: Passwords,
    asked: Asked,
    done: list[Done],
) -> None:
    if not asked.check_callbacks:
        # Consumers at work would get test messages, and one that is away would lose its abonnement.
        settings = settings.model_copy(update={"callback_check": "off"})
    await do_plan(
        settings, source.name, plan, opened, passwords, done, keep_waiting=True, told=not asked.json
    )


async def _deliver(
    settings: Settings, source: Source, plan: Plan, opened: OpenRegistry, asked: Asked
) -> Account | None:
    """Take over what is to be delivered, or look at it; None where it can't be known what that is."""
    if source.pending is None:
        note(f"no deliveries: {source.why_not}")
        return None
    if source.others and not asked.others_connected:
        text = (
            f"{source.others} others are connected to the database: stop Open Notificaties (API, workers and "
            "beat) first, or its deliveries are made twice; --others-connected when they are something else"
        )
        if not asked.dry_run:
            raise UsageError(f"no deliveries were taken: {text}")
        note(text)
    known_there = abonnement_of(source)
    if asked.dry_run:
        planned = plan.steps if asked.plan else ()
        to_be = {UUID(step.name) for step in planned if step.kind == abonnementen.KIND}
        here = to_be | opened.catalogue.everyone.keys()
        looking = Deliveries(here, known_there, change=opened.catalogue.number)
        await _look(settings, source, opened, looking)
        deliveries = looking
    else:
        await opened.catalogue.refresh()
        deliveries = Deliveries(opened.catalogue.everyone, known_there, change=opened.catalogue.number)
        await _take(settings, source, opened, deliveries, told=not asked.json)
    if not asked.json:
        telling.show(deliveries.account, dry_run=asked.dry_run)
    return deliveries.account


def _telling() -> Callable[[Account], None]:
    """Notes how far it is, now and then."""
    next_ = TELL_EVERY

    def tell(account: Account) -> None:
        nonlocal next_
        if account.found >= next_:
            next_ = account.found + TELL_EVERY
            note(f"{account.found} deliveries read, {account.taken} taken")

    return tell


async def _look(settings: Settings, source: Source, opened: OpenRegistry, deliveries: Deliveries) -> None:
    from ledger.opening import ledger_is_there

    assert source.pending is not None  # noqa: S101 - of the caller
    if not ledger_is_there(settings):
        await deliveries.look(source.pending(), None, None)
        return
    async with opened_ledger(settings) as ledger:
        await deliveries.look(source.pending(), ledger, opened.registry)


async def _take(
    settings: Settings, source: Source, opened: OpenRegistry, deliveries: Deliveries, *, told: bool
) -> None:
    assert source.pending is not None  # noqa: S101 - of the caller
    log = audit.log_of(settings, registry=opened.registry)
    async with opened_ledger(settings) as ledger:
        try:
            await deliveries.take(
                source.pending(),
                ledger,
                opened.registry,
                log,
                source=source.name,
                tell=_telling() if told else lambda _: None,
            )
        except BaseException:
            note(
                f"broken off after {deliveries.account.taken} deliveries were taken: import again, and the "
                "rest is taken"
            )
            raise
        facts = await ledger.keeping.facts()
    if told and deliveries.account.taken:
        if facts.keeper is None:
            note("no keeper works (`nrc ledger`): what was taken is delivered once one does")
        else:
            note("the keeper puts what was taken into its queues now: `nrc status` shows what waits")


def _facts(
    wanted: Checked,
    plan: Plan,
    done: Sequence[Done],
    not_taken: Sequence[Fault],
    account: Account | None,
    asked: Asked,
) -> Mapping[str, object]:
    facts = showing.facts(plan, done, not_taken, file=wanted.name, dry_run=asked.dry_run)
    return {**facts, "deliveries": None if account is None else account.facts()}
