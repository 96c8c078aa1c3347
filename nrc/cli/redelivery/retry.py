"""`nrc retry`: sends now, or drops, what waits between two attempts."""

from __future__ import annotations

from collections.abc import Sequence, Set

import click

from ledger.values import Delivery, State
from nrc.cli.connecting import carry_out
from nrc.cli.redelivery.choosing import Chosen, choose
from nrc.cli.redelivery.opening import opened_sending
from nrc.cli.redelivery.results import Told
from nrc.cli.redelivery.taking_out import take_out
from nrc.cli.terminal import ids
from nrc.cli.terminal.confirmation import ask
from nrc.cli.terminal.output import json_option
from nrc.cli.tracing.account import opened_account
from runtime.settings import Settings, load_settings


@click.group()
def retry() -> None:
    """Deliveries that wait for their next attempt: send them now, or drop them."""


@retry.command()
@click.argument("typed", metavar="[ID]...", type=ids.uuid, nargs=-1)
@ids.of_abonnement
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def now(typed: tuple[str, ...], abonnement: str | None, yes: bool, json_: bool) -> None:
    """Make the next attempt of what waits for it now. Exit code 1 when any could not be sent.

    Attempts that were made stay counted. Also for what is stuck. Asks first when no ID is given. ID and UUID:
    whole, or their first characters.
    """
    from operating.notificaties.redelivering import MAY_BE_SENT_NOW

    settings = load_settings()
    chosen = _choose(settings, typed, abonnement, MAY_BE_SENT_NOW)
    count = len(chosen.rows)
    if count and not typed and not yes:
        ask(f"send {count} now?", otherwise=f"{count} wait: --yes sends them now")
    told = Told(settings, "retry sent now")
    told.take(chosen)
    try:
        carry_out(_send(settings, chosen.rows, told))
    finally:
        told.keep()
    told.end("{} sent now", named="sent", json_=json_)


@retry.command()
@click.argument("typed", metavar="[ID]...", type=ids.uuid, nargs=-1)
@ids.of_abonnement
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def drop(typed: tuple[str, ...], abonnement: str | None, yes: bool, json_: bool) -> None:
    """Drop what waits for its next attempt: it is not delivered. Exit code 1 when any ID does not wait.

    An attempt that is under way is not broken off: it says of how many that may be, and `nrc trace` shows it.

    ID and UUID: whole, or their first characters.
    """
    from operating.notificaties.redelivering import MAY_BE_DROPPED

    settings = load_settings()
    chosen = _choose(settings, typed, abonnement, MAY_BE_DROPPED)
    count = len(chosen.rows)
    if count and not yes:
        to = len({row.key.abonnement for row in chosen.rows})
        ask(
            f"drop {count} deliveries, for {to} abonnement(en), for good?",
            otherwise=f"{count} deliveries are dropped for good: --yes drops them",
        )
    told = Told(settings, "retry dropped")
    told.take(chosen)
    try:
        carry_out(take_out(settings, chosen.rows, told, states=MAY_BE_DROPPED))
    finally:
        told.keep()
    told.end("{} dropped", named="dropped", json_=json_)


def _choose(settings: Settings, typed: Sequence[str], abonnement: str | None, states: Set[State]) -> Chosen:
    ids.some_are_meant(typed, abonnement, see="`nrc trace` shows them")

    async def look() -> Chosen:
        async with opened_account(settings) as account:
            return await choose(account, typed, abonnement, states=states)

    return carry_out(look())


async def _send(settings: Settings, rows: Sequence[Delivery], told: Told) -> None:
    if not rows:
        return
    async with (
        opened_account(settings) as account,
        opened_sending(settings, account.ledger, account.catalogue) as sending,
    ):
        await sending.send(rows, anew=False, tell=told.sent)
