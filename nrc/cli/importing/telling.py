"""Tells what became of the deliveries that another NRC still had to make."""

from __future__ import annotations

import click

from nrc.cli.terminal.output import note, printable
from nrc.importing.deliveries import Account


def show(account: Account, *, dry_run: bool) -> None:
    """The account: what was found, and what became of each."""
    verb = "to take" if dry_run else "taken"
    click.echo(
        f"deliveries: {account.found} found, {account.taken} {verb}, {account.there} already here, "
        f"{account.twice} the same again, {account.not_taken.total()} not taken"
    )
    for why, count in account.not_taken.items():
        note(f"not taken: {count} deliveries: {why}")
    for abonnement, count in sorted(account.abonnementen.items()):
        note(f"not taken: {count} deliveries of abonnement {printable(abonnement)}")
    if account.under_way:
        note(
            f"{account.under_way} of them were under way when Open Notificaties stopped: its consumer may "
            "have got them already, and gets them again"
        )
    if account.missing:
        note(f"{account.missing} deliveries are not in the ledger though they were written: import again")
