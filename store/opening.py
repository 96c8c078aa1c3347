"""Which store a registry is in: the one place that names a store. Opens nothing by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtime.settings import Settings
from store.registry import Registry
from store.secrets import KEYS_FILE, Vault
from store.sqlite import SqliteRegistry


def open_registry(file: Path, *, secret_keys: Sequence[str] = (), keys_file: Path | None = None) -> Registry:
    """The registry in `file`; open it with `async with`.

    Its secrets are encrypted with `secret_keys`, or else with those in `keys_file` (secret.keys beside it).
    """
    return SqliteRegistry(file, vault=Vault(secret_keys, keys_file or file.with_name(KEYS_FILE)))


def registry_of(settings: Settings) -> Registry:
    """The registry of these settings; open it with `async with`."""
    return open_registry(
        settings.registry_file,
        secret_keys=settings.secret_keys,
        keys_file=settings.state_dir / KEYS_FILE,
    )
