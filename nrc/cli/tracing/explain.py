"""`nrc explain`: why one abonnement got a notificatie, gets it later, or does not get it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from uuid import UUID

import click

from ledger.explaining import Clock, Reason
from ledger.values import Notificatie
from nrc.cli import ids
from nrc.cli.reaching import carry_out
from nrc.cli.showing import as_json, json_option, wide_option
from nrc.cli.tracing.account import Account, Told, opened_account
from nrc.cli.tracing.facts import facts_of, facts_of_told
from nrc.cli.tracing.laid_out import sentences, show_notificatie, show_told
from nrc.cli.tracing.trace import asked_for, what_is_missing
from nrc.exits import Exit
from runtime.settings import Settings, load_settings
from schemas.errors import UsageError


@click.command()
@click.argument("what", metavar="ID")
@click.option(
    "--abonnement", metavar="UUID", type=ids.uuid, required=True, help="Whole, or its first characters."
)
@wide_option
@json_option
def explain(what: str, abonnement: str, wide: bool, json_: bool) -> None:
    """Say why an abonnement got notificatie ID, gets it later, or does not get it.

    ID: whole, or its first characters; `nrc trace` shows it. A URL or UUID of an object will do when there is
    one notificatie of it.

    Exit code 1 when the ledger has no such notificatie.
    """
    found = carry_out(_look(load_settings(), what.strip(), abonnement))
    if isinstance(found, Reason):
        if json_:
            as_json({"code": found.code, "text": found.text, **found.facts})
        else:
            sentences(found.text, error=True)
        sys.exit(Exit.FAILED)
    notificatie, told, clock = found
    if json_:
        as_json(facts_of(notificatie) | {"deliveries": [facts_of_told(each) for each in told]})
        return
    show_notificatie(notificatie, clock)
    show_told(told, clock, wide=wide)


async def _look(
    settings: Settings, what: str, abonnement: str
) -> Reason | tuple[Notificatie, Sequence[Told], Clock]:
    """The notificatie and what there is to tell; a Reason when there is none. Raises UsageError."""
    async with opened_account(settings) as account:
        found = await asked_for(account, what, limit=ids.MAX_LISTED + 1)
        if not found:
            return await what_is_missing(account, what, at=None)
        if len(found) > 1:
            listed = ", ".join(str(each.id) for each in found[: ids.MAX_LISTED])
            raise UsageError(f"{what} may be any of these: {listed}; `nrc trace` shows each")
        whom = await _meant(account, found[0], abonnement)
        return found[0], await account.of_abonnement(found[0], whom), account.clock


async def _meant(account: Account, notificatie: Notificatie, typed: str) -> UUID:
    """The abonnement that is typed: one that there is, or that this one was for. Raises UsageError."""
    deliveries = (await account.ledger.deliveries([notificatie.id])).get(notificatie.id, ())
    known = [*account.catalogue.abonnementen, *(each.key.abonnement for each in deliveries)]
    one = ids.the_one(typed, map(str, known), what="abonnement") or typed
    if not ids.is_whole(one):
        raise UsageError(f"there is no abonnement {typed}: `nrc abonnement list` shows which there are.")
    return UUID(one)
