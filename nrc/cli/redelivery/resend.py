"""`nrc resend`: sends one notificatie to one abonnement once more, whatever became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import click

from ledger.values import Delivery, Search
from nrc.cli.connecting import carry_out
from nrc.cli.redelivery.choosing import of_notificatie, why_refused
from nrc.cli.redelivery.opening import opened_sending
from nrc.cli.redelivery.results import Told
from nrc.cli.terminal import ids
from nrc.cli.terminal.output import json_option
from nrc.cli.tracing.account import Account, opened_account
from runtime.settings import Settings, load_settings
from schemas.errors import Conflict
from schemas.notificatie import kenmerken_of

if TYPE_CHECKING:
    from ledger.values import Notificatie


@click.command()
@click.argument("id_", metavar="ID", type=ids.uuid)
@click.option("--abonnement", type=ids.uuid, metavar="UUID", required=True, help="To this one.")
@click.option("--reason", metavar="TEXT", default="", help="Stands in the audit log.")
@click.option("--unmatched", is_flag=True, help="Also when the abonnement does not ask for it.")
@json_option
def resend(id_: str, abonnement: str, reason: str, unmatched: bool, json_: bool) -> None:
    """Send a notificatie to an abonnement once more, also one that was delivered.

    It is a delivery of its own (`nrc trace` shows it as a replay), with the same `webhook-id`. ID and UUID:
    whole, or their first characters.
    """
    settings = load_settings()
    told = Told(settings, "notificatie sent once more")
    try:
        carry_out(_resend(settings, told, id_, abonnement, reason=reason, unmatched=unmatched))
    finally:
        told.keep()
    told.end("{} sent once more", named="sent", json_=json_)


async def _resend(
    settings: Settings, told: Told, typed: str, to: str, *, reason: str, unmatched: bool
) -> None:
    from ledger.operating.replays import Plan, Progress

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
        await _check(account, notificatie, abonnement, own, unmatched=unmatched)
        async with opened_sending(settings, account.ledger, account.catalogue) as sending:
            plan = Plan(abonnement, Search(text=str(notificatie.id)), reason, rate=1, total=1)
            replay = await account.ledger.replays.make(plan, progress=Progress.DONE)
            told.sent(await sending.replay(notificatie.id, abonnement, number=replay.number))


async def _check(
    account: Account, notificatie: Notificatie, abonnement: UUID, rows: list[Delivery], *, unmatched: bool
) -> None:
    """Raise Conflict where sending it makes no sense."""
    known = account.catalogue.everyone.get(abonnement)
    if known is None:
        raise Conflict(f"there is no abonnement {abonnement} (any more), so nothing can be sent to it.")
    for row in rows:
        if row.is_open:
            raise Conflict(f"it is still to be delivered to {abonnement}: {why_refused(row)}.")
    if unmatched:
        return
    from router.matching.filters import matches

    whole = await account.ledger.notificatie(notificatie.id)
    kenmerken = kenmerken_of(whole.body) if whole is not None and whole.body is not None else None
    if kenmerken is not None and not matches(known, notificatie.kanaal, kenmerken):
        raise Conflict(
            f"abonnement {abonnement} does not ask for it (`nrc explain {ids.short(notificatie.id)} "
            f"--abonnement {ids.short(abonnement)}` says why): --unmatched sends it all the same."
        )
