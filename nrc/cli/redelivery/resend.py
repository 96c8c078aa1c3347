"""`nrc resend`: sends one notificatie to one abonnement once more, whatever became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import click

from ledger.values import Delivery
from nrc.cli.connecting import carry_out
from nrc.cli.redelivery.choosing import of_notificatie, why_refused
from nrc.cli.redelivery.opening import opened_sending
from nrc.cli.redelivery.results import Told
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import json_option
from nrc.cli.tracing.account import opened_account
from runtime.settings import Settings, load_settings
from schemas.errors import Conflict

if TYPE_CHECKING:
    from operating.notificaties.redelivering import WhyNot


@click.command()
@click.argument("id_", metavar="ID", type=ids.uuid)
@click.option("--abonnement", type=ids.whom, metavar="UUID", required=True, help="To this one.")
@click.option("--reason", metavar="TEXT", default="", help="Stands in the audit log.")
@click.option("--unmatched", is_flag=True, help="Also when the abonnement does not ask for it.")
@json_option
def resend(id_: str, abonnement: str, reason: str, unmatched: bool, json_: bool) -> None:
    """Send a notificatie to an abonnement once more, also one that was delivered.

    It is a delivery of its own (`nrc trace` shows it as a replay), with the same `webhook-id`. ID and UUID:
    whole, or their first characters.
    """
    settings = load_settings()
    told = Told(settings, "notificatie sent once more", why=reason)
    try:
        carry_out(_resend(settings, told, id_, abonnement, reason=reason, unmatched=unmatched))
    finally:
        told.keep()
    told.end("{} sent once more", named="sent", json_=json_)


async def _resend(
    settings: Settings, told: Told, typed: str, to: str, *, reason: str, unmatched: bool
) -> None:
    from operating.notificaties import redelivering

    async with opened_account(settings) as account:
        notificatie = await account.meant(typed)
        if notificatie is None:
            raise Conflict(
                f"the ledger has no notificatie {typed}: `nrc notificaties list` and `nrc trace` show which "
                "it has."
            )
        rows = await of_notificatie(account, str(notificatie.id))
        abonnement = account.abonnement(to, {row.key.abonnement for row in rows})
        own = [row for row in rows if row.key.abonnement == abonnement]
        why = await redelivering.why_not(account, notificatie, abonnement, own)
        if why is not None and not (unmatched and why is redelivering.WhyNot.NOT_ASKED_FOR):
            raise _refused(why, notificatie.id, abonnement, own)
        async with opened_sending(settings, account.ledger, account.catalogue) as sending:
            told.sent(
                await redelivering.resend(account.ledger, sending, notificatie.id, abonnement, reason=reason)
            )


def _refused(why: WhyNot, notificatie: UUID, abonnement: UUID, own: Sequence[Delivery]) -> Conflict:
    from operating.notificaties.redelivering import WhyNot

    match why:
        case WhyNot.NO_ABONNEMENT:
            return Conflict(f"there is no abonnement {abonnement} (any more), so nothing can be sent to it.")
        case WhyNot.STILL_TO_COME:
            hint = next(why_refused(row) for row in own if row.is_open)
            return Conflict(f"it is still to be delivered to {abonnement}: {hint}.")
        case WhyNot.NOT_ASKED_FOR:
            return Conflict(
                f"abonnement {abonnement} does not ask for it (`nrc explain {ids.short(notificatie)} "
                f"--abonnement {ids.short(abonnement)}` says why): --unmatched sends it all the same."
            )
