"""The stores of the contract's tests: how each is addressed, and opened, also in another process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ledger.ledger import Ledger
from ledger.opening import ledger_at, open_ledger
from ledger.sqlite.ledger import SqliteLedger
from store.database.address import address_at
from store.opening import open_registry, registry_at
from store.registry import Registry
from store.secrets import Vault

KEY = "b0N0b2JlciBsaWdodHMgb24gdGhlIGhhcmJvdXIgMTI="


def registry_in(address: str) -> Registry:
    """The registry at a URL of PostgreSQL's, or in a SQLite file; open it with `async with`."""
    if "://" in address:
        return registry_at(address_at(address), vault=Vault([KEY], Path("/nowhere")))
    return open_registry(Path(address))


def ledger_in(address: str, *, clock: Callable[[], float] | None = None) -> Ledger:
    """The ledger at a URL of PostgreSQL's, or in a SQLite file. clock: in place of the database's."""
    if "://" in address:
        return ledger_at(address_at(address), vault=Vault([KEY], Path("/nowhere")), clock=clock)
    return open_ledger(Path(address)) if clock is None else SqliteLedger(Path(address), clock=clock)
