"""`nrc backup` and `nrc restore`: copies registry, ledger and keys to a folder, and puts them back.

What RabbitMQ has is not copied: open deliveries are in the ledger, and are given back from there. A copy is
read back, and every secret in it decrypted, before the backup counts as made.

The ledger is copied first, then the registry, then the keys. So each abonnement with a delivery in the copy
of the ledger is in that of the registry, or its tombstone is; each notificatie was matched with a state that
is not newer than the registry's copy; and every key is there that something is encrypted with. What is
accepted between the first two copies is not in the backup, nor is what is accepted after it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from ledger.copies.copying import copy_ledger, look_at
from ledger.copies.instance import Instance
from ledger.opening import LEDGER_FILE, ledger_file, open_ledger
from nrc.cli.connecting import carry_out, refuse_postgresql, there_is_a_registry
from nrc.cli.operating import audit
from nrc.cli.operating.settings import known_settings, shown
from nrc.cli.terminal.output import moment, note
from nrc.state_lock import only_up, shared_lock, wait_for_leftovers
from runtime.settings import Settings, env_name, load_settings, origins
from schemas.errors import LedgerError, RegistryError, SecretsUnreadable, UsageError
from store.files.durable import keep, make_folder, sync_folder
from store.opening import open_registry, registry_of
from store.secrets import KEYS_FILE
from store.sqlite.backup import copy_registry

REGISTRY, LEDGER, ABOUT = "registry.db", LEDGER_FILE, "backup.json"
_OPEN = "open deliveries"

_NOT_IN_IT = (
    "there is no ledger in it, and what waits in RabbitMQ is not in it either: notificaties that are not "
    "delivered yet, or undeliverable"
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def backup(folder: Path) -> None:
    """Copy registry, ledger and keys to FOLDER, which must be new or empty; also while everything runs.

    What RabbitMQ has is not in it; what is not delivered yet is, in the ledger.
    """
    settings = load_settings()
    refuse_postgresql(settings, otherwise="copy the database with pg_dump, and secret.keys beside it")
    about = carry_out(_backup(settings, folder))
    carry_out(audit.record(settings, "backup made", folder=folder.resolve()))
    click.echo(f"backup made in {folder}: {_told(about)}")
    if KEYS_FILE in about["files"]:
        note(f"{folder / KEYS_FILE} decrypts the secrets in {folder / REGISTRY}: let few read this folder")
    else:
        note("the keys are not in it, since NRC_SECRET_KEYS is set: keep those too, elsewhere")
    if LEDGER not in about["files"]:
        note(_NOT_IN_IT)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--without-ledger",
    is_flag=True,
    help="Put back the registry and its keys only: the ledger that is here stays, or a new one is made.",
)
def restore(folder: Path, without_ledger: bool) -> None:
    """Put back what `nrc backup` copied to FOLDER, while nothing runs and where no registry is.

    RabbitMQ is not touched: the router declares what the registry names, once it runs, and the keeper brings
    out what was open in the ledger then.
    """
    settings = load_settings()
    refuse_postgresql(
        settings,
        otherwise="put the database back with pg_restore, and secret.keys; then `nrc ledger restored`",
    )
    about = carry_out(_restore(settings, folder, with_ledger=not without_ledger))
    carry_out(audit.record(settings, "backup restored", folder=folder.resolve(), made=about["made"]))
    click.echo(f"restored the backup of {about['made']}: {_told(about)}")
    for name, then in about.get("settings", {}).items():
        if then != (now := _as_shown(settings).get(name)):
            note(f"a setting is another here: {name} was {then}, and is {now or 'not set'}")
    if LEDGER not in about["files"]:
        note(_NOT_IN_IT)
    elif without_ledger:
        note("the ledger of the backup was not put back")
    elif count := about["holds"].get(_OPEN, 0):
        note(
            f"{count} {_OPEN} are brought out once `nrc up` or `nrc ledger` runs; what was delivered after "
            f"{about['made']}, or is still in RabbitMQ, is sent twice, with the same webhook-id"
        )


async def _backup(settings: Settings, folder: Path) -> dict[str, Any]:
    there_is_a_registry(settings)
    with _new_folder(folder):
        if (ledger := ledger_file(settings)).exists():
            copy_ledger(ledger, folder / LEDGER)
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
                file.name: _digest(file)
                for file in (folder / REGISTRY, folder / LEDGER, folder / KEYS_FILE)
                if file.exists()
            },
        }
        # Last: a folder without it does not count as a backup.
        keep(folder / ABOUT, (json.dumps(about, indent=2) + "\n").encode(), replace=False)
    return about


async def _restore(settings: Settings, folder: Path, *, with_ledger: bool) -> dict[str, Any]:
    about = _checked(folder)
    with only_up(settings.state_dir), shared_lock(settings.state_dir) as lock:
        await wait_for_leftovers(lock, within=0, note=note)
        registry, keys = settings.registry_file, settings.state_dir / KEYS_FILE
        ledger = ledger_file(settings) if with_ledger and LEDGER in about["files"] else None
        put = [] if settings.secret_keys or KEYS_FILE not in about["files"] else [(folder / KEYS_FILE, keys)]
        put.append((folder / REGISTRY, registry))
        databases = [registry, *([ledger] if ledger else [])]
        beside = [file.with_name(file.name + end) for file in databases for end in ("-wal", "-shm")]
        beside += [ledger] if ledger else []
        if there := [file for file in (*(to for _, to in put), *beside) if file.exists()]:
            raise UsageError(
                f"there already: {', '.join(map(str, there))}. Stop every process, and move that away first; "
                "nothing was changed"
            )
        await _read_back(settings, folder)
        done: list[Path] = []
        try:
            make_folder(registry.parent)
            for copy, to in put[:-1]:
                keep(to, copy.read_bytes(), replace=False)
                done.append(to)
            if ledger:
                detail = f"restored from the backup of {about['made']}"
                instance = await _put_ledger(settings, folder / LEDGER, ledger, detail=detail)
                done.append(ledger)
            # The registry last: without it the command can be repeated.
            copy, to = put[-1]
            keep(to, copy.read_bytes(), replace=False)
        except OSError as error:
            _unlink(done)
            raise RegistryError(f"{error.filename}: {error.strerror}; nothing was changed") from None
        except BaseException:
            _unlink(done)
            raise
        if ledger:
            # Else the ledger that the registry's copy noted may seem newer, when clocks differ.
            async with registry_of(settings) as opened:
                await opened.note_ledger(instance.noted())
    return about


async def _put_ledger(settings: Settings, copy: Path, to: Path, *, detail: str) -> Instance:
    """Make the ledger of a backup that of the restored system. Raises LedgerError and OSError."""
    new = to.with_name(f"{to.name}.restoring")
    try:
        _unlink([new])
        shutil.copyfile(copy, new)
        new.chmod(0o600)
        opened = open_ledger(new, secret_keys=settings.secret_keys, keys_file=settings.state_dir / KEYS_FILE)
        async with opened as ledger:
            instance = await ledger.make_restored(detail=detail)
        if (log := new.with_name(f"{new.name}-wal")).exists() and log.stat().st_size:
            raise LedgerError(f"{log} was not taken into {new}: is that file in use? Nothing was changed")
        descriptor = os.open(new, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(new, to)
        sync_folder(to.parent)
    finally:
        _unlink([new])
    return instance


def _unlink(files: Iterable[Path]) -> None:
    """Remove these, and SQLite's files beside them."""
    for file in files:
        for end in ("", "-wal", "-shm", "-journal"):
            file.with_name(file.name + end).unlink(missing_ok=True)


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Make the folder for the context; when that fails, remove what was put in it."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is not empty: a backup goes to a new or an empty folder")
        make_folder(folder)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror or error}") from None
    try:
        yield
    except BaseException as error:
        _unlink(folder / name for name in (REGISTRY, LEDGER, KEYS_FILE, ABOUT))
        if isinstance(error, OSError):
            raise UsageError(f"{error.filename or folder}: {error.strerror or error}") from None
        raise


def _checked(folder: Path) -> dict[str, Any]:
    """The description of a backup, after a check that its files are unchanged. Raises UsageError."""
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
    """Decrypt every secret of a backup, and count what is in it. Raises RegistryError and LedgerError.

    A copy of the registry is opened, so that the backup itself does not change.
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
    held = {
        "kanalen": len(all_.kanalen),
        "abonnementen": len(all_.abonnementen),
        "applications": len(all_.applications),
    }
    if (ledger := folder / LEDGER).exists():
        found = look_at(ledger, secret_keys=settings.secret_keys, keys_file=folder / KEYS_FILE)
        held |= {"notificaties": found.notificaties, _OPEN: found.open}
    return held


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
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()


def _told(about: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {what}" for what, count in about["holds"].items())
