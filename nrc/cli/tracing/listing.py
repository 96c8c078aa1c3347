"""`nrc notificaties …`: searches in the accepted notificaties."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from uuid import UUID

import click

from ledger.explaining import Clock
from ledger.values import OPEN, Delivery, Notificatie, Punctuality, Search, State
from nrc.cli.connecting import carry_out
from nrc.cli.terminal import ids, parameters
from nrc.cli.terminal.output import Column, as_json, json_option, note, table, took, wide_option
from nrc.cli.tracing import times
from nrc.cli.tracing.account import opened_account
from nrc.cli.tracing.facts import facts_of
from nrc.cli.tracing.search_options import what_options, when_options
from runtime.settings import Settings, load_settings

ALL_OPEN = "open"
STATES = [ALL_OPEN, *(state.value for state in State)]


@click.group()
def notificaties() -> None:
    """Notificaties that were accepted, as the ledger has them."""


@notificaties.command("list")
@what_options
@click.option("--abonnement", metavar="UUID", type=ids.whom, help="Only those that were for this abonnement.")
@click.option(
    "--state",
    "states",
    type=click.Choice(STATES),
    multiple=True,
    help="Only those with a delivery in this state; with --abonnement, of that one. Several: any of them.",
)
@click.option("--failed", is_flag=True, help="Only those of which an attempt failed, though delivered since.")
@click.option(
    "--late",
    metavar="DURATION",
    type=parameters.span,
    help="Only those delivered so long after they were accepted, or later: 200ms, 10s, 5m.",
)
@when_options
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many at most."
)
@click.option("--oldest-first", is_flag=True, help="Begin with the oldest.")
@wide_option
@json_option
def list_(
    search: Search,
    abonnement: str | None,
    states: tuple[str, ...],
    failed: bool,
    late: int | None,
    limit: int,
    oldest_first: bool,
    wide: bool,
    json_: bool,
) -> None:
    """List notificaties that have all that is asked for, the newest first.

    TIME: 01:46, '28-10 01:46', 2025-10-28T01:46, or 2h (ago). DELIVERIES: how many are in which state;
    with --abonnement only those to that one. --failed, --late and --state are of one and the same delivery.
    """
    wanted = {State(state) for state in states if state != ALL_OPEN} | (OPEN if ALL_OPEN in states else set())
    search = replace(search, states=frozenset(wanted), failed=failed, late=late)
    looked = _look(load_settings(), search, abonnement, limit=limit, oldest_first=oldest_first)
    found, deliveries, clock, empty = carry_out(looked)
    if json_:
        as_json([_facts(each, deliveries[each.id]) for each in found[:limit]])
    else:
        rows = [_row(each, deliveries[each.id], clock, wide=wide) for each in found[:limit]]
        table(COLUMNS, rows, empty=empty, wide=wide)
    if len(found) > limit:
        note(f"there are more than these {limit}: --limit, --after and --before show others")


@notificaties.command("per-abonnement")
@click.option(
    "--after",
    metavar="TIME",
    type=times.moment,
    default="1h",
    show_default=True,
    help="Of what came then or later.",
)
@click.option("--before", metavar="TIME", type=times.moment, help="Of what came earlier.")
@click.option(
    "--late",
    metavar="DURATION",
    type=parameters.span,
    default="10s",
    show_default=True,
    help="From accepted to delivered, as of which it counts as late.",
)
@wide_option
@json_option
def per_abonnement(after: int, before: int | None, late: int, wide: bool, json_: bool) -> None:
    """Tell for each abonnement how its deliveries went: how many failed or came late, the worst first.

    Of what was accepted in that time, without replays. FAILED: an attempt failed, though it may be delivered
    since. SLOWEST: from accepted to delivered. `nrc notificaties list --failed` or `--late` shows which.
    """
    found = carry_out(_punctuality(load_settings(), after=after, before=before, late=late))
    found.sort(key=lambda each: each[2].badness, reverse=True)
    if json_:
        as_json(
            [
                {"abonnement": str(uuid), "application": application} | asdict(went)
                for uuid, application, went in found
            ]
        )
        return
    rows = [
        [
            uuid if wide else ids.short(uuid),
            application,
            went.deliveries,
            went.delivered,
            went.failed,
            went.late,
            "" if went.slowest is None else took(went.slowest),
        ]
        for uuid, application, went in found
    ]
    table(PER_ABONNEMENT, rows, empty="nothing was for an abonnement in that time", wide=wide)


PER_ABONNEMENT = (
    Column("ABONNEMENT"),
    Column("APPLICATION", least=8),
    Column("DELIVERIES"),
    Column("DELIVERED"),
    Column("FAILED"),
    Column("LATE"),
    Column("SLOWEST"),
)
COLUMNS = (
    Column("CAME"),
    Column("ID"),
    Column("KANAAL", least=8),
    Column("RESOURCE", least=8),
    Column("ACTIE", least=6),
    Column("CLIENT", least=6, spare=True),
    Column("DELIVERIES", least=len("undeliverable:99"), folds=True),
)


async def _look(
    settings: Settings, search: Search, abonnement: str | None, *, limit: int, oldest_first: bool
) -> tuple[Sequence[Notificatie], Mapping[UUID, Sequence[Delivery]], Clock, str]:
    """One more than `limit` when there are more; and the text when there are none."""
    async with opened_account(settings) as account:
        if abonnement is not None:
            search = replace(search, abonnement=account.abonnement(abonnement))
        found = await account.ledger.search(search, limit=limit + 1, oldest_first=oldest_first)
        deliveries = {
            id_: [each for each in every if search.abonnement in (None, each.key.abonnement)]
            for id_, every in (await account.ledger.deliveries([each.id for each in found])).items()
        }
        empty = "the ledger is empty: no notificatie was accepted since it was made"
        if not found and (oldest := await account.oldest()) is not None:
            empty = f"no such notificaties; the oldest in the ledger came {account.clock.bare(oldest)}"
        return found, deliveries, account.clock, empty


async def _punctuality(
    settings: Settings, *, after: int, before: int | None, late: int
) -> list[tuple[UUID, str, Punctuality]]:
    """Of each abonnement: its UUID, its application ("" when it was removed), and how it went."""
    async with opened_account(settings) as account:
        went = await account.ledger.punctuality(after=after, before=before, late=late)
        known = account.catalogue.everyone
        return [
            (uuid, known[uuid].client_id if uuid in known else "(removed)", each)
            for uuid, each in went.items()
        ]


def _row(each: Notificatie, deliveries: Sequence[Delivery], clock: Clock, *, wide: bool) -> list[object]:
    counts = Counter(delivery.state.value for delivery in deliveries)
    return [
        clock.bare(each.received, "%H:%M:%S"),
        each.id if wide else ids.short(each.id),
        each.kanaal,
        each.resource,
        each.actie,
        each.client,
        " ".join(f"{state}:{count}" for state, count in sorted(counts.items())) or "none",
    ]


def _facts(each: Notificatie, deliveries: Sequence[Delivery]) -> dict[str, object]:
    return facts_of(each) | {
        "deliveries": [
            {
                "abonnement": str(delivery.key.abonnement),
                "replay": delivery.key.replay,
                "state": delivery.state.value,
            }
            for delivery in deliveries
        ]
    }
