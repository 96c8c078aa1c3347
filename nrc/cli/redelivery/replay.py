"""`nrc replay`: has the keeper send past notificaties to one abonnement again, at a rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ledger.explaining import Clock
from ledger.values import Search, State
from nrc.cli.connecting import carry_out
from nrc.cli.operating import audit
from nrc.cli.redelivery.replay_progress import watch
from nrc.cli.terminal import ids
from nrc.cli.terminal.confirmation import ask
from nrc.cli.terminal.output import Column, as_json, json_option, note, printable, shown, table, wide_option
from nrc.cli.tracing.account import opened_account
from nrc.cli.tracing.search_options import what_options, when_options
from operating.notificaties import replays
from runtime.settings import Settings, load_settings
from schemas.errors import Conflict, UsageError

if TYPE_CHECKING:
    from ledger.operating.replays import Plan, Progress, Replay
    from operating.notificaties.replays import Counted

COUNTING = 5.0
"""Seconds in which it is found out how many would be sent; after that the first ones have to do."""
SHOWN = 5  # of the sample


@click.group()
def replay() -> None:
    """Notificaties of the past to one abonnement again, as deliveries of their own."""


@replay.command()
@click.option(
    "--to", metavar="UUID", type=ids.whom, required=True, help=f"The abonnement that gets them: {ids.WHOM}."
)
@click.option(
    "--of",
    metavar="UUID",
    type=ids.whom,
    help="Only what was for this abonnement, also one that was removed.",
)
@what_options
@click.option(
    "--state",
    "states",
    type=click.Choice([state.value for state in State]),
    multiple=True,
    help="Only those with a delivery in this state; with --of, of that one. Several: any of them.",
)
@when_options
@click.option("--unmatched", is_flag=True, help="Also those that the abonnement does not ask for now.")
@click.option("--lacking", is_flag=True, help="Only what the abonnement has not got yet.")
@click.option("--reason", metavar="TEXT", required=True, help="Why; it stands beside the replay.")
@click.option(
    "--rate",
    type=click.FloatRange(replays.LEAST_RATE, replays.MOST_RATE),
    default=replays.RATE,
    show_default=True,
    help="How many in a second, at most.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def start(
    search: Search,
    to: str,
    of: str | None,
    states: tuple[str, ...],
    unmatched: bool,
    lacking: bool,
    reason: str,
    rate: float,
    yes: bool,
    json_: bool,
) -> None:
    """Send notificaties that came in the past to one abonnement, the oldest first.

    Says how many and shows some, and asks. The keeper (`nrc ledger`) sends them; Ctrl-C does not stop it.
    Only what the abonnement asks for now, and nothing that is still to be delivered to it. TIME: 01:46,
    '28-10 01:46', 2025-10-28T01:46, or 2h (ago).
    """
    search = replace(search, states=frozenset(map(State, states)))
    if search == Search() and of is None:
        raise UsageError("which notificaties? Give --of, --kanaal, --after or another of its options")
    settings = load_settings()
    plan, counted = carry_out(
        _plan(settings, search, to=to, of=of, unmatched=unmatched, lacking=lacking, reason=reason, rate=rate)
    )
    if not plan.total:
        raise Conflict("there are no such notificaties in the ledger.")
    _show_plan(counted)
    if not yes:
        ask(
            f"send these to {ids.short(plan.abonnement)}, at most {rate:g} a second?",
            otherwise=f"{plan.total} notificaties: --yes begins to send them",
        )
    made = carry_out(_make(settings, plan))
    if json_:
        as_json(_facts(made))
        return
    click.echo(f"replay {made.number} begun")
    carry_out(watch(settings, made.number))


@replay.command("list")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many at most, the newest."
)
@wide_option
@json_option
def list_(limit: int, wide: bool, json_: bool) -> None:
    """List replays, the newest first."""

    async def look() -> Sequence[Replay]:
        async with opened_account(load_settings()) as account:
            return await account.ledger.replays.replays(limit=limit)

    found = carry_out(look())
    if json_:
        as_json([_facts(each) for each in found])
        return
    table(COLUMNS, (_row(each, wide=wide) for each in found), empty="no replays", wide=wide)


COLUMNS = (
    Column("NR"),
    Column("STATE"),
    Column("TO"),
    Column("SENT"),
    Column("SKIPPED"),
    Column("OF"),
    Column("MADE"),
    Column("REASON", least=8),
)


def _row(each: Replay, *, wide: bool) -> list[object]:
    to = each.plan.abonnement
    return [
        each.number,
        each.progress,
        to if wide else ids.short(to),
        each.sent,
        each.skipped,
        each.plan.total,
        shown(each.made / 1000),
        each.plan.reason,
    ]


@replay.command()
@click.argument("number", metavar="NR", type=int)
@json_option
def show(number: int, json_: bool) -> None:
    """Show how far a replay is; on a terminal until it ends, or Ctrl-C, which does not stop it."""
    settings = load_settings()
    found = carry_out(_one(settings, number))
    if json_:
        as_json(_facts(found))
        return
    facts = _facts(found) | {"made": shown(found.made / 1000)}
    if found.ended is not None:
        facts["ended"] = shown(found.ended / 1000)
    facts["filter"] = ", ".join(_in_words(found.plan.search)) or "none: everything"
    for name, value in facts.items():
        if value is not None:
            click.echo(f"{name + ':':<13} {printable(str(value))}")
    carry_out(watch(settings, number))


@replay.command()
@click.argument("number", metavar="NR", type=int)
def pause(number: int) -> None:
    """Send no more of a replay, until `resume`."""
    from ledger.operating.replays import Progress

    carry_out(_change(number, Progress.PAUSED))


@replay.command()
@click.argument("number", metavar="NR", type=int)
def resume(number: int) -> None:
    """Go on with a replay that is paused, where it was."""
    from ledger.operating.replays import Progress

    carry_out(_change(number, Progress.RUNNING))


@replay.command()
@click.argument("number", metavar="NR", type=int)
def stop(number: int) -> None:
    """End a replay. What is in the queue of its abonnement already is delivered."""
    from ledger.operating.replays import Progress

    carry_out(_change(number, Progress.STOPPED))


async def _plan(
    settings: Settings,
    search: Search,
    *,
    to: str,
    of: str | None,
    unmatched: bool,
    lacking: bool,
    reason: str,
    rate: float,
) -> tuple[Plan, Counted]:
    """The plan, and what it would send."""
    from ledger.operating.replays import Plan

    async with opened_account(settings) as account:
        uuid = account.abonnement(to)
        abonnement = account.catalogue.everyone.get(uuid)
        if abonnement is None:
            raise Conflict(f"there is no abonnement {uuid} (any more), so nothing can be sent to it.")
        if of is not None:
            search = replace(search, abonnement=account.abonnement(of))
        counted = await replays.count(
            account.ledger,
            abonnement,
            search,
            unmatched=unmatched,
            lacking=lacking,
            now=account.clock.now,
            within=COUNTING,
        )
        total = counted.total
        plan = Plan(uuid, counted.search, reason, rate, total, unmatched=unmatched, lacking=lacking)
        return plan, counted


def _show_plan(counted: Counted) -> None:
    sample = counted.sample
    of = "" if counted.looked_at == counted.total else f"the first {counted.looked_at} of "
    note(f"it would send {counted.sent} of {of}{counted.total} notificaties that were found:")
    for each, is_sent in sample[:SHOWN]:
        mark = "would be sent" if is_sent else "skipped      "
        what = f"{each.kanaal}, {each.resource}, {each.actie}"
        note(printable(f"  {mark}  {shown(each.received / 1000)}  {ids.short(each.id)}  {what}"))
    if len(sample) > SHOWN:
        note("  …")


async def _make(settings: Settings, plan: Plan) -> Replay:
    async with opened_account(settings) as account:
        log = audit.log_of(settings)
        made = await replays.begin(account.ledger, log, plan)
        if not await account.keeper_works():
            note("no keeper works now: it begins when one does (`nrc ledger`)")
        return made


async def _one(settings: Settings, number: int) -> Replay:
    async with opened_account(settings) as account:
        found = await account.ledger.replays.replay(number)
        if found is None:
            raise Conflict(f"there is no replay {number}: `nrc replay list` shows which there are.")
        return found


async def _change(number: int, progress: Progress) -> None:
    settings = load_settings()
    found = await _one(settings, number)
    async with opened_account(settings) as account:
        log = audit.log_of(settings)
        await replays.change(account.ledger, log, found, progress)
    click.echo(f"replay {number} {progress}")


def _facts(each: Replay) -> dict[str, object]:
    plan = each.plan
    return {
        "number": each.number,
        "state": each.progress,
        "abonnement": str(plan.abonnement),
        "reason": plan.reason,
        "notificaties": plan.total,
        "sent": each.sent,
        "skipped": each.skipped,
        "rate": plan.rate,
        "unmatched": plan.unmatched,
        "made": Clock.utc(each.made),
        "ended": None if each.ended is None else Clock.utc(each.ended),
        "filter": _filter(plan.search),
    }


def _filter(search: Search) -> Mapping[str, object]:
    every: dict[str, object] = {
        "object": search.text,
        "hoofdObject": search.hoofd_object,
        "resourceUrl": search.resource_url,
        "kanaal": search.kanaal,
        "actie": search.actie,
        "resource": search.resource,
        "client": search.client,
        "kenmerken": dict(search.kenmerken) or None,
        "of": str(search.abonnement) if search.abonnement else None,
        "states": sorted(search.states) or None,
        "failed": search.failed or None,
        "late": search.late,
        "after": None if search.after is None else Clock.utc(search.after),
        "before": None if search.before is None else Clock.utc(search.before),
    }
    return {name: value for name, value in every.items() if value is not None}


def _in_words(search: Search) -> Iterator[str]:
    """The same for people: `kanaal zaken`, `kenmerk zaaktype=…`; moments are in UTC."""
    for name, value in _filter(search).items():
        if isinstance(value, Mapping):
            yield from (f"kenmerk {kenmerk}={text}" for kenmerk, text in value.items())
        elif isinstance(value, list):
            yield f"{name} {' or '.join(value)}"
        else:
            yield f"{name} {value}"
