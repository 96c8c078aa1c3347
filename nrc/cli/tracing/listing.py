"""`nrc notificaties …`: searches in the accepted notificaties."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import click

from ledger.explaining import Clock
from ledger.values import OPEN, Delivery, Notificatie, Search, State
from nrc.cli.connecting import carry_out
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import Column, as_json, json_option, note, table, wide_option
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
@click.option("--abonnement", metavar="UUID", type=ids.uuid, help="Only those that were for this abonnement.")
@click.option(
    "--state",
    "states",
    type=click.Choice(STATES),
    multiple=True,
    help="Only those with a delivery in this state; with --abonnement, of that one. Several: any of them.",
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
    limit: int,
    oldest_first: bool,
    wide: bool,
    json_: bool,
) -> None:
    """List notificaties that have all that is asked for, the newest first.

    TIME: 01:46, '28-10 01:46', 2025-10-28T01:46, or 2h (ago). DELIVERIES: how many are in which state;
    with --abonnement only those to that one.
    """
    wanted = {State(state) for state in states if state != ALL_OPEN} | (OPEN if ALL_OPEN in states else set())
    search = replace(search, states=frozenset(wanted))
    looked = _look(load_settings(), search, abonnement, limit=limit, oldest_first=oldest_first)
    found, deliveries, clock, empty = carry_out(looked)
    if json_:
        as_json([_facts(each, deliveries[each.id]) for each in found[:limit]])
    else:
        rows = [_row(each, deliveries[each.id], clock, wide=wide) for each in found[:limit]]
        table(COLUMNS, rows, empty=empty, wide=wide)
    if len(found) > limit:
        note(f"there are more than these {limit}: --limit, --after and --before show others")


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
