"""`nrc ledger restored`: what `nrc restore` does to a copy, once pg_restore put the database back."""

from __future__ import annotations

import click

from ledger.opening import ledger_of, ledger_place
from nrc.cli.connecting import carry_out, opened_registry
from nrc.cli.operating import audit
from nrc.cli.terminal.confirmation import ask
from nrc.cli.terminal.output import note
from nrc.state_lock import only_up, shared_lock, wait_for_leftovers
from runtime.settings import Settings, load_settings
from schemas.errors import UsageError
from store.database.extra import postgresql_needed


@click.command("restored")
@click.option("--yes", is_flag=True, help="Do not ask.")
def ledger_restored(yes: bool) -> None:
    """Say that the PostgreSQL database was put back from a copy (pg_restore), before anything is started.

    The ledger notes since when it may lack something, and what is open in it is given back to RabbitMQ.
    """
    settings = load_settings()
    if not settings.on_postgresql:
        raise UsageError(
            "this is for a database that pg_restore put back: `nrc restore` does it to files itself"
        )
    place = ledger_place(settings)
    if not yes:
        ask(
            f"was {place} put back from a copy, and does nothing run that uses it?",
            otherwise="--yes says that it was, and that nothing runs that uses it",
        )
    open_ = carry_out(_make_restored(settings))
    click.echo(f"the ledger {place} is that of a restored system: {open_} open deliveries")
    if open_:
        note(
            "they are brought out once `nrc up` or `nrc ledger` runs; what was delivered after the copy "
            "was made, or is still in RabbitMQ, is sent twice, with the same webhook-id"
        )


async def _make_restored(settings: Settings) -> int:
    """How many deliveries are open in it. Raises UsageError when it is in use."""
    with postgresql_needed():
        from ledger.copies.damaged_tables import refuse_in_use
        from store.database.address import address_of
    with only_up(settings.state_dir), shared_lock(settings.state_dir) as lock:
        await wait_for_leftovers(lock, within=0, note=note)
        await refuse_in_use(address_of(settings))
        async with opened_registry(settings) as opened, ledger_of(settings) as ledger:
            instance = await ledger.make_restored(detail="restored by pg_restore")
            await opened.registry.note_ledger(instance.noted())
            count = (await ledger.keeping.facts()).open[0]
            await audit.record(settings, "ledger restored", registry=opened.registry, open=count)
    return count
