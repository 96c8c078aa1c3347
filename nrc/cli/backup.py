"""`nrc backup` and `nrc restore`: the registry and its keys, in a folder from which they can be put back.

What waits in RabbitMQ is in no backup. Each is read back, every secret of it decrypted, before it counts.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from nrc.cli import audit
from nrc.cli.reaching import carry_out, there_is_a_registry
from nrc.cli.settings import known_settings, shown
from nrc.cli.showing import moment, note
from nrc.state_lock import only_up, shared_lock, wait_for_leftovers
from runtime.settings import Settings, env_name, load_settings, origins
from schemas.errors import RegistryError, SecretsUnreadable, UsageError
from store.backup import copy_registry
from store.durable import keep, make_folder
from store.opening import open_registry
from store.secrets import KEYS_FILE

REGISTRY, ABOUT = "registry.db", "backup.json"

_NOT_IN_IT = "what waits in RabbitMQ is not in it: notificaties that are not delivered yet, or undeliverable"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def backup(folder: Path) -> None:
    """Copy the registry and its keys to FOLDER, which must be new or empty; also while everything runs.

    What waits in RabbitMQ is not in it.
    """
    settings = load_settings()
    about = carry_out(_backup(settings, folder))
    carry_out(audit.record(settings, "backup made", folder=folder.resolve()))
    click.echo(f"backup made in {folder}: {_told(about)}")
    if KEYS_FILE in about["files"]:
        note(f"{folder / KEYS_FILE} decrypts the secrets in {folder / REGISTRY}: let few read this folder")
    else:
        note("the keys are not in it, since NRC_SECRET_KEYS is set: keep those too, elsewhere")
    note(_NOT_IN_IT)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def restore(folder: Path) -> None:
    """Put back what `nrc backup` copied to FOLDER, while nothing runs and where no registry is.

    RabbitMQ is not touched: the router declares what the registry names, once it runs.
    """
    settings = load_settings()
    about = carry_out(_restore(settings, folder))
    carry_out(audit.record(settings, "backup restored", folder=folder.resolve(), made=about["made"]))
    click.echo(f"restored the backup of {about['made']}: {_told(about)}")
    for name, then in about.get("settings", {}).items():
        if then != (now := _as_shown(settings).get(name)):
            note(f"a setting is another here: {name} was {then}, and is {now or 'not set'}")
    note(_NOT_IN_IT)


async def _backup(settings: Settings, folder: Path) -> dict[str, Any]:
    there_is_a_registry(settings)
    with _new_folder(folder):
        # First the registry: of a key that is made meanwhile the copy of the keys then has one too many.
        copy_registry(settings.registry_file, folder / REGISTRY)
        keys = settings.state_dir / KEYS_FILE
        if not settings.secret_keys and keys.exists():
            keep(folder / KEYS_FILE, keys.read_bytes(), replace=False)
        about = {
            "nrc": version("nrc"),
            "made": moment(time.time()),
            "holds": await _read_back(settings, folder),
            "settings": _settings_without_secrets(settings),
            "files": {
                file.name: _digest(file) for file in (folder / REGISTRY, folder / KEYS_FILE) if file.exists()
            },
        }
        # Last: a folder without it is no backup.
        keep(folder / ABOUT, (json.dumps(about, indent=2) + "\n").encode(), replace=False)
    return about


async def _restore(settings: Settings, folder: Path) -> dict[str, Any]:
    about = _checked(folder)
    with only_up(settings.state_dir), shared_lock(settings.state_dir) as lock:
        await wait_for_leftovers(lock, within=0, note=note)
        registry, keys = settings.registry_file, settings.state_dir / KEYS_FILE
        put = [] if settings.secret_keys or KEYS_FILE not in about["files"] else [(folder / KEYS_FILE, keys)]
        put.append((folder / REGISTRY, registry))
        beside = [registry.with_name(registry.name + end) for end in ("-wal", "-shm")]
        if there := [file for file in (*(to for _, to in put), *beside) if file.exists()]:
            raise UsageError(
                f"there already: {', '.join(map(str, there))}. Stop every process, and move that away first; "
                "nothing was changed"
            )
        await _read_back(settings, folder)
        done: list[Path] = []
        try:
            make_folder(registry.parent)
            for copy, to in put:
                keep(to, copy.read_bytes(), replace=False)
                done.append(to)
        except OSError as error:
            for file in done:
                file.unlink(missing_ok=True)
            raise RegistryError(f"{error.filename}: {error.strerror}; nothing was changed") from None
    return about


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """The folder is there while the context is open; what is in it goes again when that fails."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is not empty: a backup goes to a new or an empty folder")
        make_folder(folder)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror or error}") from None
    try:
        yield
    except BaseException as error:
        for name in (REGISTRY, f"{REGISTRY}-journal", KEYS_FILE, ABOUT):
            (folder / name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UsageError(f"{error.filename or folder}: {error.strerror or error}") from None
        raise


def _checked(folder: Path) -> dict[str, Any]:
    """What a backup says of itself, its files being what they were. Raises UsageError."""
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_bytes())
        files: Mapping[str, str] = about["files"]
        changed = [name for name in {REGISTRY, *files} if _digest(folder / name) != files[name]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"{folder} holds no whole backup: `nrc backup` makes a folder with {ABOUT} and {REGISTRY}"
        ) from None
    if changed:
        raise UsageError(f"{folder / changed[0]} is not what it was when the backup was made")
    return about


async def _read_back(settings: Settings, folder: Path) -> dict[str, int]:
    """How much of each is in the registry of a backup; every secret was decrypted. Raises RegistryError.

    A copy of it is opened: the backup itself stays as it is.
    """
    with tempfile.TemporaryDirectory(prefix="nrc-") as name:
        for file in (folder / REGISTRY, folder / KEYS_FILE):
            if file.exists():
                shutil.copy(file, name)
        opened = open_registry(Path(name) / REGISTRY, secret_keys=settings.secret_keys)
        async with opened as registry:
            all_ = await registry.changes_since(0)
            if faults := (await registry.check_secrets()).faults:
                raise SecretsUnreadable(faults[0])
    return {
        "kanalen": len(all_.kanalen),
        "abonnementen": len(all_.abonnementen),
        "applications": len(all_.applications),
    }


def _settings_without_secrets(settings: Settings) -> dict[str, str]:
    """The settings that were set, as `nrc settings` shows them."""
    set_ = {env_name(field) for field, origin in origins().items() if origin != "default"}
    return {name: value for name, value in _as_shown(settings).items() if name in set_}


def _as_shown(settings: Settings) -> dict[str, str]:
    return {
        env_name(known.field): shown(getattr(settings, known.field), secret=known.secret)
        for known in known_settings()
    }


def _digest(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def _told(about: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {what}" for what, count in about["holds"].items())
