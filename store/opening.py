"""Makes the store of the registry: the one place that names a store. Opens nothing by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.settings import Settings
from store.database.extra import postgresql_needed
from store.files.sqlite_file import BUSY_TIMEOUT
from store.registry import Registry
from store.secrets import KEYS_FILE, Vault
from store.sqlite.registry import SqliteRegistry

if TYPE_CHECKING:
    from store.database.address import Address


def open_registry(
    file: Path,
    *,
    secret_keys: Sequence[str] = (),
    keys_file: Path | None = None,
    patience: float = BUSY_TIMEOUT,
) -> Registry:
    """The registry in the SQLite `file`; open it with `async with`.

    Its secrets are encrypted with `secret_keys`, or else with those in `keys_file` (secret.keys beside it).
    patience: seconds that a write waits for other processes' writes.
    """
    vault = Vault(secret_keys, keys_file or file.with_name(KEYS_FILE))
    return SqliteRegistry(file, vault=vault, busy_timeout=patience)


def registry_at(address: Address, *, vault: Vault, patience: float = BUSY_TIMEOUT) -> Registry:
    """The registry in PostgreSQL; open it with `async with`. Raises UsageError where psycopg is missing."""
    with postgresql_needed():
        from store.postgresql.registry import PostgresqlRegistry
    return PostgresqlRegistry(address, vault=vault, patience=patience)


def registry_place(settings: Settings) -> str:
    """Where the registry of these settings is, for people: its file, or its URL without user and password."""
    if settings.on_postgresql:
        with postgresql_needed():
            from store.database.address import address_of
        return address_of(settings).shown
    return str(settings.registry_file.absolute())


def registry_is_there(settings: Settings) -> bool:
    """Whether there is a registry to open; of a PostgreSQL that is named the tables are made when need be."""
    try:
        return settings.on_postgresql or settings.registry_file.exists()
    except OSError:
        return True  # opening it reports what is wrong


def registry_of(settings: Settings, *, patience: float = BUSY_TIMEOUT) -> Registry:
    """The registry of these settings; open it with `async with`. patience: as of `open_registry`."""
    keys_file = settings.state_dir / KEYS_FILE
    if settings.on_postgresql:
        with postgresql_needed():
            from store.database.address import address_of
        return registry_at(
            address_of(settings), vault=Vault(settings.secret_keys, keys_file), patience=patience
        )
    return open_registry(
        settings.registry_file, secret_keys=settings.secret_keys, keys_file=keys_file, patience=patience
    )
