"""`nrc migrate`."""

from __future__ import annotations

import click

from nrc.cli.connecting import carry_out
from runtime.settings import Settings, load_settings
from schemas.errors import UsageError


@click.command()
@click.option(
    "--shared", is_flag=True, help="Refuse a SQLite file, which serves one host: for several hosts."
)
def migrate(shared: bool) -> None:
    """Bring the tables of registry and ledger up to date, and make those that are not there.

    Every process does so when it starts; this does it beforehand, beside what runs. Where nothing is to be
    done it changes nothing.
    """
    settings = load_settings()
    if shared and not settings.on_postgresql:
        raise UsageError(
            "NRC_DATABASE_URL is no postgresql:// URL: a SQLite file serves one host, and processes on "
            "several would each have one of their own"
        )
    carry_out(_open(settings))
    click.echo("registry and ledger are up to date")


async def _open(settings: Settings) -> None:
    """Opening does all of it, in one transaction each, while others wait."""
    from ledger.opening import ledger_of
    from store.opening import registry_of

    async with registry_of(settings), ledger_of(settings):
        pass
