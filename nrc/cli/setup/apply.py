"""`nrc apply`: has the registry be as a setup file says. Shows what that takes, and then does it."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from nrc.cli.connecting import (
    OpenRegistry,
    carry_out,
    gateway_root,
    local_root,
    new_option,
    opened_link,
    opened_registry,
)
from nrc.cli.operating import audit
from nrc.cli.registry.condition import ledger_backlogs
from nrc.cli.registry.rights import note_if_no_ac
from nrc.cli.setup import showing
from nrc.cli.terminal import parameters
from nrc.cli.terminal.output import as_json, json_option, note
from nrc.exits import Exit
from nrc.setup.checking import Checked, checked
from nrc.setup.doing import Done, carried_out
from nrc.setup.faults import Fault
from nrc.setup.kinds.applications import Source
from nrc.setup.kinds.step import Doing
from nrc.setup.open_notificaties import is_of_open_notificaties, translated
from nrc.setup.planning import Plan, known, planned
from nrc.setup.reading import read
from nrc.state_lock import beside_up
from operating.passwords import Passwords
from runtime.settings import Settings, load_settings
from schemas.application import Scope
from schemas.errors import BrokerError, UsageError

if TYPE_CHECKING:
    from router.requests import RouterClient

STDIN = "-"
_ROUTER_KNOWS = frozenset({"kanaal", "application", "abonnement"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for on the command line."""

    dry_run: bool
    prune: bool
    keep_waiting: bool
    discard_waiting: bool
    json: bool


@click.command()
@click.argument("file", required=False, metavar="FILE")
@click.option(
    "--dry-run", is_flag=True, help="Only show what would be done; exit code 4 when that is something."
)
@click.option(
    "--prune", is_flag=True, help="Also remove what is not in FILE, of each kind for which it has a section."
)
@click.option(
    "--keep-waiting",
    is_flag=True,
    help="With --prune: keep what waits for abonnementen that are removed, as undeliverable.",
)
@click.option("--discard-waiting", is_flag=True, help="With --prune: remove what waits for them, for good.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="Of a file of Open Notificaties: what its applications may do. Default: as it is; new ones nothing.",
    **parameters.SCOPE,
)
@click.option(
    "--scopes-from-ac",
    is_flag=True,
    help="Of a file of Open Notificaties: its applications may do what the Autorisaties API says.",
)
@click.option(
    "--owner",
    metavar="ID",
    type=parameters.client_id,
    help="Of a file of Open Notificaties: whose abonnementen without auth_client_id are.",
)
@click.option("--schema", is_flag=True, help="Print the JSON schema of FILE, for editors, and do nothing.")
@new_option
@json_option
def apply(
    file: str | None,
    dry_run: bool,
    prune: bool,
    keep_waiting: bool,
    discard_waiting: bool,
    scopes: tuple[Scope, ...],
    scopes_from_ac: bool,
    owner: str | None,
    schema: bool,
    new: bool,
    json_: bool,
) -> None:
    """Have kanalen, applications, abonnementen, users and alerts be as FILE says (- is standard input).

    Shows first what is to be made, changed and removed. What is as it should be is not touched, so that a
    second time does nothing. A setup_configuration file of Open Notificaties is taken too.
    """
    if schema:
        from nrc.setup.json_schema import json_schema

        as_json(json_schema())
        return
    if file is None:
        raise UsageError("apply which FILE? (- is standard input)")
    if keep_waiting and discard_waiting:
        raise UsageError("--keep-waiting and --discard-waiting: give one of them")
    refuse_both(scopes=scopes, scopes_from_ac=scopes_from_ac, new=new, dry_run=dry_run)
    asked = Asked(dry_run, prune, keep_waiting, discard_waiting, json_)
    wanted, not_taken = _read(file, scopes=scopes, scopes_from_ac=scopes_from_ac, owner=owner, prune=prune)
    if not json_:
        showing.show_not_taken(file, not_taken)
    code = carry_out(_apply(beside_up(load_settings()), wanted, not_taken, asked, new=new))
    if code is not Exit.OK:
        sys.exit(code)


def refuse_both(*, scopes: Sequence[Scope], scopes_from_ac: bool, new: bool, dry_run: bool) -> None:
    """Raise UsageError for options of which one excludes the other."""
    if scopes and scopes_from_ac:
        raise UsageError("--scope and --scopes-from-ac: give one of them")
    if new and dry_run:
        raise UsageError("--new and --dry-run: give one of them")


def _read(
    name: str, *, scopes: Sequence[Scope], scopes_from_ac: bool, owner: str | None, prune: bool
) -> tuple[Checked, Sequence[Fault]]:
    """(the file, what is not taken of it). Raises UsageError."""
    folder = Path() if name == STDIN else Path(name).parent
    try:
        content = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text: {error.reason}, at byte {error.start}") from None
    document = read(text, environment=os.environ, folder=folder)
    if not is_of_open_notificaties(document):
        if scopes or scopes_from_ac or owner is not None:
            raise UsageError(
                "--scope, --scopes-from-ac and --owner are for files of Open Notificaties; "
                "this file has its own"
            )
        return checked(name, document), ()
    if prune:
        raise UsageError("--prune is not for a file of Open Notificaties, of which not everything is taken")
    found = translated(document, scopes=scopes, scopes_from_ac=scopes_from_ac, owner=owner)
    return checked(name, found.document, foreign=True), found.not_taken


async def _apply(
    settings: Settings, wanted: Checked, not_taken: Sequence[Fault], asked: Asked, *, new: bool
) -> Exit:
    prunes = asked.prune and wanted.file.abonnementen is not None
    backlogs = await ledger_backlogs(settings) if prunes else {}
    waiting = None if backlogs is None else {uuid: each.count for uuid, each in backlogs.items()}
    async with opened_registry(settings, new=new) as opened, Passwords() as passwords:
        plan = await plan_of(settings, wanted, opened, passwords, waiting=waiting, prune=asked.prune)
        not_taken = [*not_taken, *plan.not_taken]
        if not asked.json:
            showing.show_not_taken(wanted.name, plan.not_taken)
            showing.show_plan(plan)
        if not asked.dry_run and plan.waiting != 0 and not (asked.keep_waiting or asked.discard_waiting):
            many = "an unknown number of" if plan.waiting is None else str(plan.waiting)
            raise UsageError(
                f"{many} notificaties wait for abonnementen that --prune would remove: --keep-waiting keeps "
                "them, as undeliverable, --discard-waiting removes them for good. Nothing was done."
            )
        done: list[Done] = []
        try:
            if not asked.dry_run and plan.to_do:
                await do_plan(
                    settings,
                    wanted.name,
                    plan,
                    opened,
                    passwords,
                    done,
                    keep_waiting=not asked.discard_waiting,
                    told=not asked.json,
                )
        finally:
            if asked.json:
                as_json(showing.facts(plan, done, not_taken, file=wanted.name, dry_run=asked.dry_run))
    if asked.dry_run:
        return Exit.DIFFERS if plan.to_do else Exit.OK
    return Exit.FAILED if any(each.fault for each in done) else Exit.OK


async def plan_of(
    settings: Settings,
    wanted: Checked,
    opened: OpenRegistry,
    passwords: Passwords,
    *,
    waiting: Mapping[UUID, int] | None,
    prune: bool,
) -> Plan:
    """The plan for this registry. waiting: as of `known`. Raises Faults."""
    return await planned(
        wanted,
        await known(opened.registry, opened.catalogue, waiting),
        settings=settings,
        prune=prune,
        roots=[gateway_root(settings), local_root(settings)],
        passwords=passwords,
    )


async def do_plan(
    settings: Settings,
    name: str,
    plan: Plan,
    opened: OpenRegistry,
    passwords: Passwords,
    done: list[Done],
    *,
    keep_waiting: bool,
    told: bool,
) -> None:
    """Carry the plan out; `done` gets each step once it is. name: of the file, for the audit log.

    told: whether each step is told as it is done.
    """
    from deliverer.http.client import CallbackClient

    needs_router = any(step.kind in _ROUTER_KNOWS for step in plan.to_do)
    async with (
        CallbackClient.of(settings) as callbacks,
        _router(settings, needed=needs_router) as (router, no_router),
    ):
        doing = Doing(
            settings,
            opened.registry,
            audit.log_of(settings, registry=opened.registry, file=name),
            callbacks,
            passwords,
            keep_waiting=keep_waiting,
            tell=note,
            asked=router,
            no_router=no_router,
        )
        async for each in carried_out(plan, doing):
            done.append(each)
            if told:
                showing.show_done(each)
    if any(each.after == Source.AC for step in plan.to_do for each in step.differences):
        note_if_no_ac(settings)
    failed = sum(bool(each.fault) for each in done)
    if failed:
        note(f"{failed} of {len(done)} failed; apply the file again once they can be done")


@asynccontextmanager
async def _router(settings: Settings, *, needed: bool) -> AsyncIterator[tuple[RouterClient | None, str]]:
    """(a router that answers, "") or (None, why there is none), which is told."""
    from router.requests import RouterClient

    if not needed:
        yield None, ""
        return
    async with AsyncExitStack() as stack:
        try:
            client = RouterClient(await stack.enter_async_context(opened_link(settings)))
            await client.at_work()
        except BrokerError as error:
            yield None, _without(str(error))
        else:
            yield client, ""


def _without(reason: str) -> str:
    note(
        f"no router answers: {reason}. Abonnementen with a callback can't be made or changed now; of other "
        "changes processes hear within NRC_REFRESH_INTERVAL"
    )
    return f"no router answers: {reason}"
