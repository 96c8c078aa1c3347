"""The stores of the contract's tests: how each is addressed, and opened, also in another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

from ledger.ledger import Ledger
from ledger.opening import ledger_at, open_ledger
from ledger.sqlite.ledger import SqliteLedger
from store.database.address import Address, address_at
from store.opening import open_registry, registry_at
from store.registry import Registry
from store.secrets import Vault

KEY = "b0N0b2JlciBsaWdodHMgb24gdGhlIGhhcmJvdXIgMTI="


_LISTEN = "#listen="


def with_listening(url: str, behind: str) -> str:
    """The address of what is at `url`, when it is to be reached by `behind`, through which LISTEN fails."""
    schema = url.rpartition("schema=")[2]
    return f"{behind}{'&' if '?' in behind else '?'}schema={schema}{_LISTEN}{quote(url, safe='')}"


def _at(address: str) -> Address:
    url, _, listen = address.partition(_LISTEN)
    at = address_at(url)
    return replace(at, listen_url=address_at(unquote(listen)).url) if listen else at


def registry_in(address: str) -> Registry:
    """The registry at a URL of PostgreSQL's, or in a SQLite file; open it with `async with`."""
    if "://" in address:
        return registry_at(_at(address), vault=Vault([KEY], Path("/nowhere")))
    return open_registry(Path(address))


def ledger_in(address: str, *, clock: Callable[[], float] | None = None) -> Ledger:
    """The ledger at a URL of PostgreSQL's, or in a SQLite file. clock: in place of the database's."""
    if "://" in address:
        return ledger_at(_at(address), vault=Vault([KEY], Path("/nowhere")), clock=clock)
    return open_ledger(Path(address)) if clock is None else SqliteLedger(Path(address), clock=clock)
