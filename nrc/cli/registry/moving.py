"""`nrc registry move`: registry and ledger from SQLite to PostgreSQL and back, while nothing runs.

With --without-ledger the ledger stays: it must have nothing to do any more, and another begins beside the
moved registry.
"""

from __future__ import annotations

import sys
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
    from ledger.moving.whole import Moved
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
@click.option(
    "--without-ledger",
    is_flag=True,
    help="Leave the ledger, which must have nothing to do any more: a new one begins at TARGET.",
)
@click.option("--yes", is_flag=True, help="Do not ask: every process of both is stopped.")
def move(
    source: str,
    target: str,
    source_keys: Path | None,
    target_keys: Path | None,
    without_ledger: bool,
    yes: bool,
) -> None:
    """Copy registry and ledger of SOURCE to TARGET, and compare every row, while nothing runs.

    Both are as NRC_DATABASE_URL takes them: sqlite:///path/to/registry.db or postgresql://…. SOURCE stays as
    it is. TARGET must have nothing in it, and has nothing when this is broken off: then begin again. What
    waits goes along, and RabbitMQ keeps what it has.
    """
    here, there = load_settings(database_url=source), load_settings(database_url=target)
    _refuse_unready(here, there, with_ledger=not without_ledger)
    if not yes:
        ask(
            "Is every process of both stopped, also on other hosts?",
            otherwise="stop every process of both, also on other hosts, and give --yes",
        )
    vaults = _vault(here, source_keys), _vault(there, target_keys)
    moved = carry_out(_move(here, there, vaults, with_ledger=not without_ledger))
    counts, rows = moved.registry, sum(moved.registry.values())
    click.echo(
        f"moved {_place(here)} to {_place(there)}: {counts['kanaal']} kanalen, "
        f"{counts['abonnement']} abonnementen, {counts['application']} applications, {counts['act']} acts; "
        f"{rows} rows in all, each compared"
    )
    if moved.ledger is not None:
        click.echo(
            f"moved its ledger: {moved.ledger['notificatie']} notificaties, {moved.ledger['delivery']} "
            f"deliveries, {moved.ledger['attempt']} attempts; {sum(moved.ledger.values())} rows in all, each "
            "compared"
        )
    note(f"next: set NRC_DATABASE_URL to {_place(there)} for every process and command, and start them")
    if target_keys is not None:
        note(f"its secrets are encrypted with the first key of {target_keys}: have it there as secret.keys")
    note(f"{_place(here)} was not changed: put it away, so that nothing is started with it")
    if moved.ledger is None:
        note(
            "a new ledger begins there; what was delivered before is in the old one, which `nrc trace` reads "
            "with the NRC_DATABASE_URL of before"
        )
    else:
        note("started again, its ledger would have delivered once more what is delivered from now on")


def _refuse_unready(source: Settings, target: Settings, *, with_ledger: bool) -> None:
    """Return when there is a registry to move, and no ledger in the way of its own. Raises UsageError.

    A ledger that stays must have nothing to do.
    """
    from ledger.copies.unfinished import unfinished
    from ledger.moving.sqlite_side import refuse_ledger
    from ledger.opening import ledger_file, ledger_place

    if _place(source) == _place(target):
        raise UsageError("SOURCE and TARGET are the same registry")
    if not source.on_postgresql and not source.registry_file.exists():
        raise UsageError(f"there is no registry {_place(source)}")
    if with_ledger:
        _refuse_unwritten(source, target)
    else:
        _refuse_unfinished(source)
    if not target.on_postgresql:
        refuse_ledger(ledger_file(target), registry=target.registry_file)
    elif carry_out(unfinished(target)).any:
        raise UsageError(
            f"there is a ledger in {ledger_place(target)} already, of another registry: move that away. "
            "Nothing was changed."
        )


def _refuse_unfinished(source: Settings) -> None:
    from ledger.copies.unfinished import unfinished
    from ledger.opening import ledger_place

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
            f"the ledger {ledger_place(source)} still has {', '.join(waiting)}, and is not moved: move it "
            "along (without --without-ledger), or stop the publishers, let all be delivered, and resend or "
            "remove what is undeliverable (`nrc undeliverable`). Nothing was changed."
        )


def _refuse_unwritten(source: Settings, target: Settings) -> None:
    """Return when no process left a note for a keeper there that one here would not find."""
    from ledger.unwritten import left_behind

    folder = source.registry_file.parent
    if folder.absolute() != target.registry_file.parent.absolute() and any(left_behind(folder)):
        raise UsageError(
            f"a process ended before all it had was in the ledger, and its note is in {folder} "
            "(ledger.unwritten.…), which no process of TARGET reads: move that file to "
            f"{target.registry_file.parent}. Nothing was changed."
        )


async def _move(
    source: Settings, target: Settings, vaults: tuple[Vault, Vault], *, with_ledger: bool
) -> Moved:
    from ledger.moving.whole import move_whole
    from nrc.cli.terminal.row_progress import row_progress

    with row_progress(terminal=sys.stderr.isatty()) as progress:
        moved = await move_whole(source, target, vaults, with_ledger=with_ledger, progress=progress)
    async with _registry(target, vaults[1]) as opened:
        await audit.record(
            target,
            "registry moved",
            registry=opened,
            source=_place(source),
            target=_place(target),
            ledger=None if moved.ledger is None else sum(moved.ledger.values()),
        )
    return moved


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
