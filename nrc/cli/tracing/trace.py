"""`nrc trace`: what became of every notificatie of an object."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import click

from ledger.explaining import Clock, Reason
from ledger.values import Notificatie
from nrc.cli.connecting import carry_out
from nrc.cli.terminal.output import as_json, json_option, note, wide_option
from nrc.cli.tracing import times
from nrc.cli.tracing.account import Told, opened_account
from nrc.cli.tracing.facts import facts_of, facts_of_told
from nrc.cli.tracing.layout import sentences, show_notificatie, show_told
from nrc.exits import Exit
from operating.notificaties.finding import asked_for, what_is_missing
from runtime.settings import Settings, load_settings


@click.command()
@click.argument("what", metavar="URL|UUID|ID")
@click.option("--at", metavar="TIME", type=times.moment, help="Only what came within 5 minutes of it: 01:46.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many, the newest."
)
@wide_option
@json_option
def trace(what: str, at: int | None, limit: int, wide: bool, json_: bool) -> None:
    """Show every notificatie of an object, to whom each went, and what became of it there.

    URL is that of the object (hoofdObject) or of the resource, UUID the last part of one. ID is that of one
    notificatie, whole or its first characters. TIME: 01:46, '28-10 01:46', 2025-10-28T01:46 or 2h (ago).

    Exit code 1 when there is none.
    """
    found = carry_out(_look(load_settings(), what.strip(), at=at, limit=limit))
    if json_:
        as_json([found.facts(each) for each in found.notificaties])
    else:
        for each in found.notificaties:
            show_notificatie(each, found.clock)
            show_told(found.told[each.id], found.clock, wide=wide)
        if found.notificaties:
            sentences("why another did not get it: nrc explain ID --abonnement UUID|APPLICATION", error=True)
    if found.missing is not None:
        sentences(found.missing.text, error=True)
        sys.exit(Exit.FAILED)
    if found.more:
        note(f"only the newest {limit} are shown: --limit {limit * 2} or --at shows others")


@dataclass(frozen=True, slots=True)
class _Found:
    """Notificaties, the oldest first, with their deliveries. more: there were others before them.

    missing: the explanation when there are none.
    """

    clock: Clock
    notificaties: Sequence[Notificatie] = ()
    told: Mapping[UUID, Sequence[Told]] = field(default_factory=dict)
    more: bool = False
    missing: Reason | None = None

    def facts(self, notificatie: Notificatie) -> dict[str, object]:
        """One of them for scripts."""
        return facts_of(notificatie) | {
            "deliveries": [facts_of_told(each) for each in self.told[notificatie.id]]
        }


async def _look(settings: Settings, what: str, *, at: int | None, limit: int) -> _Found:
    async with opened_account(settings) as account:
        notificaties = await asked_for(account, what, limit=limit + 1, at=at)
        if not notificaties:
            missing = await what_is_missing(account, what, at=at)
            return _Found(account.clock, missing=missing)
        newest = sorted(notificaties, key=lambda each: each.received)[-limit:]
        told = await account.deliveries(newest)
        return _Found(account.clock, newest, told, more=len(notificaties) > limit)
