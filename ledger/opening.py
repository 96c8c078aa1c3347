"""Makes the store of the ledger: the one place that names a store. Opens nothing by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.copies.recent import Recent
from ledger.ledger import Ledger
from ledger.sqlite.ledger import SqliteLedger
from ledger.sqlite.looking import seal_of
from ledger.sqlite.schema import READERS
from ledger.tables.hash_key import Seal
from runtime.settings import Settings
from schemas.errors import LedgerError
from store.database.extra import postgresql_needed
from store.opening import registry_place
from store.secrets import KEYS_FILE, Vault

if TYPE_CHECKING:
    from store.database.address import Address

LEDGER_FILE = "ledger.db"


def open_ledger(
    file: Path,
    *,
    secret_keys: Sequence[str] = (),
    keys_file: Path | None = None,
    readers: int = READERS,
    longest_read: float | None = None,
) -> Ledger:
    """The ledger in `file`; open it with `async with`.

    readers: reads at once. longest_read: seconds after which a read is broken off with LedgerError.
    The key of its hashes is encrypted with `secret_keys`, or else with those in `keys_file` (secret.keys
    beside it).
    """
    vault = Vault(secret_keys, keys_file or file.with_name(KEYS_FILE))
    return SqliteLedger(file, vault=vault, readers=readers, longest_read=longest_read)


def ledger_at(
    address: Address,
    *,
    vault: Vault,
    clock: Callable[[], float] | None = None,
    readers: int = READERS,
    longest_read: float | None = None,
    recent: Recent | None = None,
) -> Ledger:
    """The ledger in PostgreSQL; open it with `async with`. Raises UsageError where psycopg is missing.

    clock: in place of the database's, in Unix seconds, for tests. recent: of the process that opens it again.
    The others as of `open_ledger`.
    """
    with postgresql_needed():
        from ledger.postgresql.ledger import PostgresqlLedger
    return PostgresqlLedger(
        address, vault=vault, clock=clock, readers=readers, longest_read=longest_read, recent=recent
    )


def ledger_file(settings: Settings) -> Path:
    """The SQLite file of the ledger of these settings: beside their registry."""
    return settings.registry_file.with_name(LEDGER_FILE)


def ledger_place(settings: Settings) -> str:
    """Where the ledger of these settings is, for people: its file, or the database that it shares."""
    return registry_place(settings) if settings.on_postgresql else str(ledger_file(settings).absolute())


def ledger_is_there(settings: Settings) -> bool:
    """Whether there is a ledger to open; a PostgreSQL that is named always has one. Raises OSError."""
    return settings.on_postgresql or ledger_file(settings).exists()


def ledger_of(
    settings: Settings,
    *,
    readers: int = READERS,
    longest_read: float | None = None,
    recent: Recent | None = None,
) -> Ledger:
    """The ledger of these settings, as `open_ledger` opens it; open it with `async with`.

    recent: what this process wrote to it last, where it is opened again and again (ReopenedLedger).
    """
    if settings.on_postgresql:
        with postgresql_needed():
            from store.database.address import address_of
        vault = Vault(settings.secret_keys, settings.state_dir / KEYS_FILE)
        return ledger_at(
            address_of(settings), vault=vault, readers=readers, longest_read=longest_read, recent=recent
        )
    return open_ledger(
        ledger_file(settings),
        secret_keys=settings.secret_keys,
        keys_file=settings.state_dir / KEYS_FILE,
        readers=readers,
        longest_read=longest_read,
    )


async def seal_there(settings: Settings) -> Seal | None:
    """How the key of the ledger's hashes is encrypted; None: there is none yet. Raises LedgerError."""
    vault = Vault(settings.secret_keys, settings.state_dir / KEYS_FILE)
    if settings.on_postgresql:
        with postgresql_needed():
            from ledger.postgresql.schema import seal_of as seal_at
            from store.database.address import address_of
        return await seal_at(address_of(settings), vault)
    file = ledger_file(settings)
    return seal_of(file, vault) if file.exists() else None


def ledger_there(settings: Settings) -> Ledger:
    """The same, where there is one: it is never made here, the first gateway does. Raises LedgerError."""
    if not ledger_is_there(settings):
        raise LedgerError(f"there is no ledger {ledger_place(settings)} yet: the first gateway makes it")
    return ledger_of(settings)
