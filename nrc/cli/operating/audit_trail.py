"""`nrc audit-trail`: what operators did, who, and when, from the registry's table of acts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ledger.explaining import Clock
from nrc.cli.connecting import carry_out, there_is_a_registry
from nrc.cli.terminal import ids, parameters
from nrc.cli.terminal.output import Column, as_json, json_option, note, table, wide_option
from nrc.cli.tracing import times
from runtime.settings import Settings, load_settings

if TYPE_CHECKING:
    from store.registry import Act, ActSearch

_MOST_WITH_PART = 1_000_000  # acts that are read to find an abonnement of which a part was typed
_COLUMNS = (
    Column("WHEN"),
    Column("WHO", least=6),
    Column("ACT", least=12),
    Column("FACTS", least=20),
    Column("COMMAND", wide=True),
    Column("HOST", wide=True),
)


@click.command("audit-trail")
@click.option("--since", metavar="TIME", type=times.moment, help="Only what was done then or later.")
@click.option("--until", metavar="TIME", type=times.moment, help="Only what was done earlier.")
@click.option("--who", metavar="USER", help="Only what this user did, or who called sudo.")
@click.option("--what", metavar="TEXT", help="Only acts or commands with this text, such as remove.")
@click.option("--abonnement", metavar="UUID", type=ids.uuid, help="Only what was done to this abonnement.")
@click.option(
    "--application", metavar="ID", type=parameters.client_id, help="Only what was done to this application."
)
@click.option("--kanaal", metavar="NAAM", help="Only what was done to this kanaal.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many at most."
)
@wide_option
@json_option
def audit_trail(
    since: int | None,
    until: int | None,
    who: str | None,
    what: str | None,
    abonnement: str | None,
    application: str | None,
    kanaal: str | None,
    limit: int,
    wide: bool,
    json_: bool,
) -> None:
    """List what operators did with `nrc`, the newest first: who, what, on which thing, and when.

    TIME: 01:46, '28-10 01:46', 2025-10-28T01:46, or 2h (ago). UUID: whole, or its first characters.
    """
    from operating.acts import facts_of
    from store.registry import ActSearch

    search = ActSearch(
        since=None if since is None else since / 1000,
        until=None if until is None else until / 1000,
        who=who,
        what=what,
        abonnement=abonnement,
        application=application,
        kanaal=kanaal,
    )
    found = carry_out(_look(load_settings(), search, limit=limit + 1))
    shown = found[:limit]
    if json_:
        as_json(list(map(facts_of, shown)))
    else:
        clock = Clock(times.now())
        rows = (_row(each, clock, wide=wide) for each in shown)
        table(_COLUMNS, rows, empty="nothing was noted", wide=wide)
    if len(found) > limit:
        note(f"there are more than these {limit}: --limit, --since and --until show others")


async def _look(settings: Settings, search: ActSearch, *, limit: int) -> Sequence[Act]:
    from dataclasses import replace

    from store.opening import registry_of

    there_is_a_registry(settings)
    async with registry_of(settings) as registry:
        if search.abonnement is not None and not ids.is_whole(search.abonnement):
            every = await registry.acts(replace(search, abonnement=None), limit=_MOST_WITH_PART)
            known = {uuid for act in every for uuid in _abonnementen(act)}
            whole = ids.the_one(search.abonnement, known, what="abonnement")
            search = replace(search, abonnement=whole or search.abonnement)
        return await registry.acts(search, limit=limit)


def _abonnementen(act: Act) -> Sequence[str]:
    one, more = act.facts.get("abonnement"), act.facts.get("abonnementen")
    return [*([one] if isinstance(one, str) else []), *(map(str, more) if isinstance(more, list) else [])]


def _row(act: Act, clock: Clock, *, wide: bool) -> Sequence[object]:
    from operating.acts import SHOWN, who_did

    when = clock.bare(round(act.at * 1000), "%H:%M:%S")
    who = f"{act.sudo_user} (as {act.user})" if act.sudo_user else who_did(act)
    told = {name: value for name, value in act.facts.items() if name != SHOWN}
    if who_did(act) != act.user:
        told["user"] = act.user
    facts = "  ".join(f"{name}: {_text(value, wide=wide)}" for name, value in told.items())
    return when, who, act.act, facts, act.command, act.host


def _text(value: object, *, wide: bool) -> str:
    if isinstance(value, list):
        return ", ".join(_text(each, wide=wide) for each in value) or "none"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if wide else ids.short(text).removeprefix("notificaties.")
