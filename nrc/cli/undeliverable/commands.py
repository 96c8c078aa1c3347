"""`nrc undeliverable …`: lists what could not be delivered, sends it again, or removes it.

By the rows of the ledger, into which the keeper takes the messages in `nrc.undeliverable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ledger.values import OPEN, UNKNOWN, State
from nrc.cli.connecting import carry_out
from nrc.cli.redelivery.choosing import Chosen, choose, of_notificatie, of_undeliverable
from nrc.cli.redelivery.opening import opened_sending
from nrc.cli.redelivery.results import Told
from nrc.cli.redelivery.taking_out import take_out
from nrc.cli.terminal import ids
from nrc.cli.terminal.confirmation import ask
from nrc.cli.terminal.output import Column, as_json, json_option, moment, note, printable, table, wide_option
from nrc.cli.tracing.account import opened_account
from nrc.cli.undeliverable.presentation import Undelivered, in_words, look_up
from runtime.settings import Settings, load_settings
from schemas.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.values import Delivery

UNDELIVERABLE = frozenset({State.UNDELIVERABLE})


@click.group()
def undeliverable() -> None:
    """Notificaties that could not be delivered after every attempt; they stay until resent or removed."""


@undeliverable.command("list")
@click.option("--abonnement", type=ids.whom, metavar="UUID", help="Only those for this abonnement.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="How many at most.")
@wide_option
@json_option
def list_(abonnement: str | None, limit: int, wide: bool, json_: bool) -> None:
    """List them, oldest first."""
    found = carry_out(_listed(load_settings(), abonnement, limit=limit + 1))
    if len(found) > limit:
        note(f"there are more than {limit}: --limit")
        del found[limit:]
    if json_:
        as_json([item.facts() for item in found])
        return
    table(
        [
            Column("ID"),
            Column("ABONNEMENT"),
            Column("KANAAL", least=6),
            Column("ATTEMPTS"),
            Column("LAST FAILURE", least=12),
            Column("SINCE"),
        ],
        (item.cells(wide=wide) for item in found),
        empty="nothing is undeliverable",
        wide=wide,
    )


async def _listed(settings: Settings, typed: str | None, *, limit: int) -> list[Undelivered]:
    async with opened_account(settings) as account:
        of = None if typed is None else await of_undeliverable(account, typed)
        rows = await account.ledger.undeliverable(abonnement=of, limit=limit)
        if not await account.keeper_works():
            note("no keeper works: what RabbitMQ hands over is listed once `nrc ledger` runs")
        return [await look_up(account, row) for row in rows]


@undeliverable.command()
@click.argument("id_", metavar="ID", type=ids.uuid)
@json_option
def show(id_: str, json_: bool) -> None:
    """Show where notificatie ID is, with each attempt that failed; once for each abonnement it did not reach.

    Also one that waits: in the queue of an abonnement, or between two attempts. ID: whole, or its first
    characters.
    """
    found = carry_out(_found(load_settings(), id_))
    if not found:
        raise Conflict(
            f"there is no undeliverable notificatie {id_}, nor one that waits. It was delivered, was not "
            "wanted, or was removed: `nrc trace` says which."
        )
    if json_:
        as_json([item.whole_facts() for item in found])
        return
    for item in found:
        click.echo(f"id:         {item.row.key.notificatie}")
        click.echo(f"abonnement: {item.owner or 'unknown'}")
        click.echo(f"where:      {printable(item.where)}")
        if item.since:
            click.echo(f"since:      {item.since}")
        click.echo(f"attempts:   {item.row.attempts}")
        for failure in item.failures:
            click.echo(f"  {moment(failure.at / 1000)}  {in_words(failure)}")
        for line in item.body.decode(errors="replace").splitlines():
            click.echo(printable(line))


async def _found(settings: Settings, typed: str) -> list[Undelivered]:
    async with opened_account(settings) as account:
        rows = await of_notificatie(account, typed)
        return [await look_up(account, row) for row in rows if row.state in OPEN | UNDELIVERABLE]


@undeliverable.command("resend")
@click.argument("typed", metavar="[ID]...", type=ids.uuid, nargs=-1)
@ids.of_abonnement
@json_option
def resend_(typed: tuple[str, ...], abonnement: str | None, json_: bool) -> None:
    """Deliver notificaties again, with as many attempts as a new one. Exit code 1 when any could not be.

    ID and UUID: whole, or their first characters.
    """
    settings = load_settings()
    chosen = _choose(settings, typed, abonnement)
    told = Told(settings, "notificatie sent again")
    told.take(chosen)
    try:
        carry_out(_resend(settings, chosen.rows, told))
    finally:
        told.keep()
    told.end("{} sent again", named="resent", json_=json_)


@undeliverable.command("remove")
@click.argument("typed", metavar="[ID]...", type=ids.uuid, nargs=-1)
@ids.of_abonnement
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def remove_(typed: tuple[str, ...], abonnement: str | None, yes: bool, json_: bool) -> None:
    """Remove notificaties for good: they will not be delivered. Exit code 1 when any ID is not there.

    ID and UUID: whole, or their first characters.
    """
    settings = load_settings()
    chosen = _choose(settings, typed, abonnement)
    if count := 0 if yes else len(chosen.rows):
        ask(f"remove {count} for good?", otherwise=f"{count} go for good: --yes removes them")
    told = Told(settings, "undeliverable notificatie removed")
    told.take(chosen)
    try:
        carry_out(take_out(settings, chosen.rows, told, states=UNDELIVERABLE))
    finally:
        told.keep()
    told.end("{} removed", named="removed", json_=json_)


def _choose(settings: Settings, typed: Sequence[str], abonnement: str | None) -> Chosen:
    ids.some_are_meant(typed, abonnement, see="`nrc undeliverable list`")

    async def look() -> Chosen:
        async with opened_account(settings) as account:
            return await choose(account, typed, abonnement, states=UNDELIVERABLE)

    return carry_out(look())


async def _resend(settings: Settings, rows: Sequence[Delivery], told: Told) -> None:
    told.failed += [
        (row, "nothing on it says which abonnement it was for") for row in rows if _is_nobodys(row)
    ]
    meant = [row for row in rows if not _is_nobodys(row)]
    if not meant:
        return
    async with (
        opened_account(settings) as account,
        opened_sending(settings, account.ledger, account.catalogue) as sending,
    ):
        await sending.send(meant, anew=True, tell=told.sent)


def _is_nobodys(row: Delivery) -> bool:
    return row.key.abonnement == UNKNOWN
