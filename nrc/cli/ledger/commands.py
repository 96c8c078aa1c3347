"""`nrc ledger`: the keeper's process, the state of the ledger, and gaps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import click

from nrc.cli.connecting import carry_out, opened_ledger, opened_registry
from nrc.cli.ledger.audit import ledger_audit
from nrc.cli.ledger.rebuild import ledger_rebuild
from nrc.cli.ledger.restored import ledger_restored
from nrc.cli.ledger.telling import facts_of_gap, facts_of_ledger, keeper_of, lane_of, megabytes
from nrc.cli.operating import audit
from nrc.cli.processes import run
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import Column, age, as_json, json_option, note, shown, table
from runtime.settings import Settings, load_settings
from schemas.errors import UsageError

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.keeper_ledger import Facts, Gap, InLane
    from ledger.ledger import Ledger

T = TypeVar("T")


@click.group(invoke_without_command=True)
@click.pass_context
def ledger(context: click.Context) -> None:
    """Run a keeper of the ledger: it gives back to RabbitMQ what RabbitMQ does not have.

    Several may run, one works. While none runs everything else goes on.
    """
    if context.invoked_subcommand is None:
        run("ledger")


@ledger.command()
@json_option
def status(json_: bool) -> None:
    """Show which keeper works, what waits, and what has to be looked at."""
    from ledger.opening import ledger_place

    settings = load_settings()
    facts, gaps, lane = carry_out(_with_ledger(settings, _look))
    file = ledger_place(settings)
    if json_:
        as_json(facts_of_ledger(facts, gaps, file, lane))
        return
    count, size = facts.open
    rows = [
        ("keeper", keeper_of(facts)),
        ("open", f"{count} deliveries, {megabytes(size)}"),
        ("unrouted", f"{facts.unrouted} notificaties" + (" (not in RabbitMQ yet)" if facts.unrouted else "")),
        *([("lane", waits)] if (waits := lane_of(facts, lane)) else []),
        ("returning", f"{facts.returning} deliveries"),
        ("stuck", f"{facts.stuck} deliveries" + (" (look at them)" if facts.stuck else "")),
        ("unsure", f"{facts.unsure} deliveries" + (" (`nrc ledger audit`)" if facts.unsure else "")),
        ("gaps", f"{sum(not gap.done for gap in gaps)} not given back yet"),
        ("file", f"{file}, {megabytes(facts.size)} in use"),
    ]
    for each in facts.processes:
        if not each.stopped:
            since = (facts.now - each.at) / 1000
            alive = "lives" if each.lives(facts.now) else "is gone"
            rows.append(
                ("deliverer", f"{each.name}: {alive}, heard of {age(since)} ago, {each.hands} in hand")
            )
    table([Column("WHAT"), Column("IS", least=20, folds=True)], rows, empty="")


ledger.add_command(ledger_audit)
ledger.add_command(ledger_rebuild)
ledger.add_command(ledger_restored)


@ledger.group(invoke_without_command=True)
@json_option
@click.pass_context
def gaps(context: click.Context, json_: bool) -> None:
    """Show when RabbitMQ may have lost something, and whether that was given back."""
    if context.invoked_subcommand is not None:
        return
    found = carry_out(_with_ledger(load_settings(), lambda opened: opened.keeping.gaps(done=True)))
    if json_:
        as_json([facts_of_gap(gap) for gap in found])
        return
    table(
        [
            *(Column("GAP"), Column("OF"), Column("OPENED"), Column("CLOSED"), Column("DONE")),
            Column("WHY", least=12),
        ],
        (
            [
                gap.nr,
                " ".join((gap.scope, gap.of)).strip(),
                shown(gap.opened / 1000),
                "" if gap.closed is None else shown(gap.closed / 1000),
                "yes" if gap.done else "no",
                gap.why,
            ]
            for gap in found
        ),
        empty="no gaps",
    )


@gaps.command("open")
@click.option("--everything", is_flag=True, help="All that was in RabbitMQ.")
@click.option("--kanaal", metavar="NAAM", help="What is accepted on this kanaal, from a minute ago.")
@click.option("--abonnement", "uuid", metavar="UUID", type=ids.uuid, help="What is open of this abonnement.")
def open_gap(everything: bool, kanaal: str | None, uuid: str | None) -> None:
    """Say that RabbitMQ loses something, from now until the gap is closed.

    Then all that it covers is given back; what was not lost comes twice.
    """
    from ledger.values import OPERATOR, GapOpened, Scope

    settings = load_settings()
    if sum(map(bool, (everything, kanaal, uuid))) != 1:
        raise UsageError("one of --everything, --kanaal NAAM and --abonnement UUID")
    scope = Scope.EVERYTHING if everything else Scope.KANAAL if kanaal else Scope.ABONNEMENT

    async def work(opened: Ledger) -> Gap | None:
        of = await _known(settings, kanaal, uuid)
        await opened.write([GapOpened(scope, of, OPERATOR)])
        same = [gap for gap in await opened.keeping.gaps(done=False) if (gap.scope, gap.of) == (scope, of)]
        return next((gap for gap in same if gap.closed is None), None)

    gap = carry_out(_with_ledger(settings, work))
    if gap is None:
        raise UsageError("it was closed at the same moment")
    carry_out(audit.record(settings, "gap opened", gap=gap.nr, scope=gap.scope, of=gap.of or None))
    click.echo(gap.nr)
    note(f"`nrc ledger gaps close {gap.nr}` closes it; what it covers is given back then")


@gaps.command("close")
@click.argument("number", type=int)
def close_gap(number: int) -> None:
    """Close gap NUMBER: what it covers is given back."""
    from ledger.values import GapClosed

    settings = load_settings()

    async def work(opened: Ledger) -> Gap:
        found = [gap for gap in await opened.keeping.gaps(done=True) if gap.nr == number]
        if not found:
            raise UsageError(f"there is no gap {number}: `nrc ledger gaps` shows them")
        if found[0].closed is not None:
            raise UsageError(f"gap {number} is closed already")
        await opened.write([GapClosed(found[0].scope, found[0].of)])
        return found[0]

    gap = carry_out(_with_ledger(settings, work))
    carry_out(audit.record(settings, "gap closed", gap=gap.nr, scope=gap.scope, of=gap.of or None))
    note("closed; the keeper gives back what it covers, after 10 s")


async def _known(settings: Settings, kanaal: str | None, uuid: str | None) -> str:
    """The naam or UUID that is meant. Raises UsageError when it does not exist."""
    async with opened_registry(settings) as opened:
        if kanaal is not None:
            if kanaal not in opened.catalogue.kanalen:
                raise UsageError(f"there is no kanaal {kanaal}: `nrc kanaal list` shows them")
            return kanaal
        if uuid is not None:
            return str(ids.abonnement(uuid, opened.catalogue.abonnementen))
    return ""


async def _look(opened: Ledger) -> tuple[Facts, list[Gap], Mapping[UUID, InLane]]:
    keeping = opened.keeping
    return await keeping.facts(), list(await keeping.gaps(done=False)), await keeping.in_lane()


async def _with_ledger(settings: Settings, work: Callable[[Ledger], Awaitable[T]]) -> T:
    async with opened_ledger(settings) as opened:
        return await work(opened)
