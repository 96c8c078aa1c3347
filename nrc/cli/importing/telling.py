"""Tells what became of the deliveries that another NRC still had to make, to people and to its database."""

from __future__ import annotations

from collections.abc import Sequence

import click

from nrc.cli.terminal.output import note, printable
from nrc.importing.deliveries import Account
from nrc.importing.source import PENDING

ROWS = 500  # in one statement


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


def as_sql(numbers: Sequence[int]) -> str:
    """A transaction that removes these rows there, all or none."""
    pieces = (numbers[first : first + ROWS] for first in range(0, len(numbers), ROWS))
    deletes = [f"DELETE FROM {PENDING} WHERE id IN ({', '.join(map(str, piece))});" for piece in pieces]  # noqa: S608
    return "".join(f"{line}\n" for line in ("BEGIN;", *deletes, "COMMIT;"))
