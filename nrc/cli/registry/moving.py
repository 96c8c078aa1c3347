"""`nrc registry move`: the registry from SQLite to PostgreSQL and back, while nothing runs.

The ledger stays: it must have nothing to do any more, and another begins beside the moved registry.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nrc.cli.connecting import carry_out
from nrc.cli.operating import audit
from nrc.cli.terminal.confirmation import ask
from nrc.cli.terminal.output import note
from runtime.settings import Settings, load_settings
from schemas.errors import UsageError
from store.database.extra import postgresql_needed

if TYPE_CHECKING:
    from store.moving.side import Side, Target
    from store.registry import Registry
    from store.secrets import Vault

_keys = click.Path(dir_okay=False, path_type=Path)


@click.group()
def registry() -> None:
    """The registry as a whole: move it to another store."""


@registry.command()
@click.argument("source")
@click.argument("target")
@click.option("--source-keys", type=_keys, metavar="FILE", help="Its keys, where those here are others.")
@click.option(
    "--target-keys",
    type=_keys,
    metavar="FILE",
    help="The keys to encrypt secrets with there, where those here are others; made when it is not there.",
)
@click.option("--yes", is_flag=True, help="Do not ask: every process of both is stopped.")
def move(source: str, target: str, source_keys: Path | None, target_keys: Path | None, yes: bool) -> None:
    """Copy the registry of SOURCE to TARGET, and compare every row, while nothing runs.

    Both are as NRC_DATABASE_URL takes them: sqlite:///path/to/registry.db or postgresql://…. SOURCE stays as
    it is. TARGET must have nothing in it, and has nothing when this is broken off: then begin again. The
    ledger is not moved, so everything must be delivered first.
    """
    here, there = load_settings(database_url=source), load_settings(database_url=target)
    _refuse_unready(here, there)
    if not yes:
        ask(
            "Is every process of both stopped, also on other hosts?",
            otherwise="stop every process of both, also on other hosts, and give --yes",
        )
    vaults = _vault(here, source_keys), _vault(there, target_keys)
    counts = carry_out(_move(here, there, vaults))
    rows = sum(counts.values())
    click.echo(
        f"moved {_place(here)} to {_place(there)}: {counts['kanaal']} kanalen, "
        f"{counts['abonnement']} abonnementen, {counts['application']} applications, {counts['act']} acts; "
        f"{rows} rows in all, each compared"
    )
    note(f"next: set NRC_DATABASE_URL to {_place(there)} for every process and command, and start them")
    if target_keys is not None:
        note(f"its secrets are encrypted with the first key of {target_keys}: have it there as secret.keys")
    note(f"{_place(here)} was not changed: put it away, so that nothing is started with it")
    note(
        "a new ledger begins there; what was delivered before is in the old one, which `nrc trace` reads "
        "with the NRC_DATABASE_URL of before"
    )


def _refuse_unready(source: Settings, target: Settings) -> None:
    """Return when the ledger of the source has nothing to do, and the target has none. Raises UsageError."""
    from ledger.copies.unfinished import unfinished
    from ledger.opening import ledger_file, ledger_place

    if _place(source) == _place(target):
        raise UsageError("SOURCE and TARGET are the same registry")
    if not source.on_postgresql and not source.registry_file.exists():
        raise UsageError(f"there is no registry {_place(source)}")
    left = carry_out(unfinished(source))
    waiting = [
        f"{count} {what}"
        for count, what in (
            (left.open, "open deliveries"),
            (left.undeliverable, "undeliverable"),
            (left.unrouted, "notificaties that RabbitMQ has not taken"),
        )
        if count
    ]
    if waiting:
        raise UsageError(
            f"the ledger {ledger_place(source)} still has {', '.join(waiting)}, and is not moved: stop the "
            "publishers, let all be delivered, and resend or remove what is undeliverable "
            "(`nrc undeliverable`). Nothing was changed."
        )
    there = carry_out(unfinished(target)).any if target.on_postgresql else ledger_file(target).exists()
    if there:
        raise UsageError(
            f"there is a ledger in {ledger_place(target)} already, of another registry: move that away. "
            "Nothing was changed."
        )


async def _move(source: Settings, target: Settings, vaults: tuple[Vault, Vault]) -> Mapping[str, int]:
    from nrc.cli.terminal.progress_bar import progress_bar
    from store.moving.moving import move_rows
    from store.moving.sealing import Sealing

    with progress_bar("rows copied and compared", shown=sys.stderr.isatty()) as bar:
        task = bar.add_task("")
        async with _source(source, vaults[0]) as here, _target(target, vaults[1]) as there:
            sealing = Sealing(*vaults, takes_nul=there.takes_nul)
            counts = await move_rows(
                here, there, sealing, progress=lambda done, all_: bar.update(task, completed=done, total=all_)
            )
    async with _registry(target, vaults[1]) as moved:
        await audit.record(
            target, "registry moved", registry=moved, source=_place(source), target=_place(target)
        )
    return counts


def _source(settings: Settings, vault: Vault) -> AbstractAsyncContextManager[Side]:
    if not settings.on_postgresql:
        from store.moving.sqlite_side import sqlite_source

        return sqlite_source(settings.registry_file, vault)
    with postgresql_needed():
        from store.database.address import address_of
        from store.moving.postgresql_side import postgresql_source
    return postgresql_source(address_of(settings), vault)


def _target(settings: Settings, vault: Vault) -> AbstractAsyncContextManager[Target]:
    if not settings.on_postgresql:
        from store.moving.sqlite_side import sqlite_target

        return sqlite_target(settings.registry_file, vault)
    with postgresql_needed():
        from store.database.address import address_of
        from store.moving.postgresql_side import postgresql_target
    return postgresql_target(address_of(settings), vault)


def _registry(settings: Settings, vault: Vault) -> Registry:
    """The same store, opened as any process opens it."""
    if not settings.on_postgresql:
        from store.sqlite.registry import SqliteRegistry

        return SqliteRegistry(settings.registry_file, vault=vault)
    with postgresql_needed():
        from store.database.address import address_of
    from store.opening import registry_at

    return registry_at(address_of(settings), vault=vault)


def _vault(settings: Settings, keys: Path | None) -> Vault:
    from store.secrets import KEYS_FILE, Vault

    if keys is not None:
        return Vault((), keys)
    return Vault(settings.secret_keys, settings.state_dir / KEYS_FILE)


def _place(settings: Settings) -> str:
    from store.opening import registry_place

    return registry_place(settings)
