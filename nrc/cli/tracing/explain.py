"""`nrc explain`: why one abonnement got a notificatie, gets it later, or does not get it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from ledger.explaining import Clock, Reason, told_state
from ledger.values import Notificatie
from nrc.cli.connecting import carry_out
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import as_json, json_option, wide_option
from nrc.cli.tracing import times
from nrc.cli.tracing.account import Told, opened_account
from nrc.cli.tracing.facts import facts_of, facts_of_told
from nrc.cli.tracing.layout import sentences, show_notificatie, show_told
from nrc.exits import Exit
from operating.notificaties.finding import asked_for, what_is_missing
from runtime.settings import Settings, load_settings
from schemas.errors import UsageError

MOST = 50


@click.command()
@click.argument("what", metavar="ID|URL|UUID")
@click.option("--abonnement", metavar="UUID", type=ids.whom, required=True, help=f"{ids.WHOM}.")
@click.option("--at", metavar="TIME", type=times.moment, help="Only what came within 5 minutes of it: 01:46.")
@wide_option
@json_option
def explain(what: str, abonnement: str, at: int | None, wide: bool, json_: bool) -> None:
    """Say why an abonnement got notificatie ID, gets it later, or does not get it.

    ID: whole, or its first characters; `nrc trace` shows it. With the URL of an object, or the UUID at its
    end, every notificatie of it is explained. TIME: 01:46, '28-10 01:46', 2025-10-28T01:46 or 2h (ago).

    Exit code 1 when the ledger has no such notificatie.
    """
    found = carry_out(_look(load_settings(), what.strip(), abonnement, at=at))
    if isinstance(found, Reason):
        if json_:
            as_json([])
        sentences(found.text, error=True)
        sys.exit(Exit.FAILED)
    explained, clock = found
    if json_:
        as_json([facts_of(each) | {"deliveries": list(map(facts_of_told, told))} for each, told in explained])
        return
    for each, told in explained:
        show_notificatie(each, clock)
        show_told(told, clock, wide=wide)
        if told and (state := told[0].explanation.state) is not None:
            sentences(f"Toestand van het abonnement toen: {told_state(state, clock)}.", indent=4)
    _show_next(explained)


def _show_next(explained: Sequence[tuple[Notificatie, Sequence[Told]]]) -> None:
    """What to do when the last of these was not for the abonnement, and was not sent to it later."""
    notificatie, told = explained[-1]
    if len(told) != 1 or told[0].delivery is not None:
        return
    to = ids.short(told[0].abonnement)
    sentences(
        f"next: when its filters are wrong, the consumer changes them (PATCH /api/v1/abonnement/"
        f"{told[0].abonnement}, with a token of its own: docs/notificeren.md). Then all that it missed: "
        f"nrc replay start --to {to} --kanaal {notificatie.kanaal} --after TIME --reason TEXT. "
        f"Or this one alone: nrc resend {ids.short(notificatie.id)} --abonnement {to} --unmatched",
        error=True,
    )


async def _look(
    settings: Settings, what: str, abonnement: str, *, at: int | None
) -> Reason | tuple[Sequence[tuple[Notificatie, Sequence[Told]]], Clock]:
    """Each notificatie, the oldest first, with its explanations; a Reason when there is none.

    Raises UsageError.
    """
    async with opened_account(settings) as account:
        found = await asked_for(account, what, limit=MOST + 1, at=at)
        if not found:
            return await what_is_missing(account, what, at=at)
        if len(found) > MOST:
            raise UsageError(f"{what} has more than {MOST} notificaties: --at TIME, or the id of one")
        explained = []
        for each in sorted(found, key=lambda each: each.received):
            deliveries = (await account.ledger.deliveries([each.id])).get(each.id, ())
            others = [delivery.key.abonnement for delivery in deliveries]
            whom = account.abonnement(abonnement, others, kanaal=each.kanaal)
            explained.append((each, await account.of_abonnement(each, whom)))
        return explained, account.clock
