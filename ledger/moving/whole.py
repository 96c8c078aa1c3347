"""A registry and its ledger from one store to another: both are moved, or neither.

The registry of the target counts last. In a database both are in one transaction; a ledger in a file has its
name by then, and loses it again when the registry does not get its own (sqlite_side.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ledger.moving.moving import Progress, move_ledger
from ledger.moving.side import LedgerSide, LedgerTarget
from ledger.moving.sqlite_side import sqlite_ledger_source, sqlite_ledger_target
from ledger.opening import ledger_file
from runtime.settings import Settings
from store.database.extra import postgresql_needed
from store.moving.moving import move_rows
from store.moving.sealing import Sealing
from store.moving.side import Side, Target
from store.moving.sqlite_side import sqlite_source, sqlite_target
from store.secrets import Vault

if TYPE_CHECKING:
    from store.moving.postgresql_side import PostgresqlSide


@dataclass(frozen=True, slots=True)
class Moved:
    """How many rows of each table were moved. ledger: None where there was none, or it was left."""

    registry: Mapping[str, int]
    ledger: Mapping[str, int] | None


async def move_whole(
    source: Settings,
    target: Settings,
    vaults: tuple[Vault, Vault],
    *,
    with_ledger: bool,
    progress: Progress,
) -> Moved:
    """Copy registry and ledger and compare every row. Raises RegistryError, LedgerError and UsageError.

    vaults: with the keys of the source and of the target.
    """
    async with AsyncExitStack() as opened:
        here = await opened.enter_async_context(_source(source, vaults[0]))
        ledger = await opened.enter_async_context(_ledger(source, here)) if with_ledger else None
        new = None
        if ledger is not None and not target.on_postgresql:
            # Outside of the registry's context, in which the registry gets its name.
            new = await opened.enter_async_context(
                sqlite_ledger_target(ledger_file(target), vaults[1], registry=target.registry_file)
            )
        there = await opened.enter_async_context(_target(target, vaults[1], with_ledger=ledger is not None))
        sealing = Sealing(*vaults, takes_nul=there.takes_nul)

        def of_registry(done: int, all_: int) -> None:
            progress("copied and compared", "registry", done, all_)

        registry = await move_rows(here, there, sealing, progress=of_registry)
        counts = None
        if ledger is not None:
            to = new if new is not None else _beside(there)
            counts = await move_ledger(ledger, to, vaults, progress=progress)
    return Moved(registry, counts)


def _source(settings: Settings, vault: Vault) -> AbstractAsyncContextManager[Side]:
    if not settings.on_postgresql:
        return sqlite_source(settings.registry_file, vault)
    with postgresql_needed():
        from store.database.address import address_of
        from store.moving.postgresql_side import postgresql_source
    return postgresql_source(address_of(settings), vault)


@asynccontextmanager
async def _ledger(settings: Settings, registry: Side) -> AsyncIterator[LedgerSide | None]:
    if settings.on_postgresql:
        from ledger.moving.postgresql_side import postgresql_ledger_source

        yield await postgresql_ledger_source(cast("PostgresqlSide", registry))
    elif ledger_file(settings).exists():
        async with sqlite_ledger_source(ledger_file(settings)) as side:
            yield side
    else:
        yield None


@asynccontextmanager
async def _target(settings: Settings, vault: Vault, *, with_ledger: bool) -> AsyncIterator[Target]:
    if not settings.on_postgresql:
        async with sqlite_target(settings.registry_file, vault) as file:
            yield file
        return
    with postgresql_needed():
        from ledger.moving.postgresql_side import make_postgresql_ledger
        from store.database.address import address_of
        from store.moving.postgresql_side import postgresql_target
    address = address_of(settings)
    if with_ledger:
        await make_postgresql_ledger(address, vault)
    async with postgresql_target(address, vault) as side:
        yield side


def _beside(registry: Target) -> LedgerTarget:
    from ledger.moving.postgresql_side import PostgresqlLedgerSide

    side = cast("PostgresqlSide", registry)
    return PostgresqlLedgerSide(side.address, side.connection)
