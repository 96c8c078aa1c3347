"""Keeps a copy of a file before its schema steps, and removes secrets from unused parts of it after them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from runtime.log import logger
from schemas.errors import RegistryError
from store.files.durable import sync_folder

log = logger(__name__)


def copy_name(file: Path, step: str) -> Path:
    """The copy that is kept from before `step`."""
    return file.with_name(f"{file.name}.before-{step}")


def keep_copy(file: Path, step: str) -> Path:
    """Make a copy of the file as last committed, synced and for its owner only. Raises RegistryError.

    The file must be locked for writing. An earlier copy from before the same step is replaced.
    """
    copy = copy_name(file, step)
    new = copy.with_name(f"{copy.name}.new")
    try:
        try:
            new.unlink(missing_ok=True)
            os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(new)) as target:
                source.backup(target)
            descriptor = os.open(new, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            new.replace(copy)
            sync_folder(copy.parent)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RegistryError(
            f"{file} must be upgraded, and the copy to keep of it, {copy.name}, cannot be made beside it: "
            f"{reason}. Make room for it, or write access to the folder; nothing was changed."
        ) from error
    return copy


def scrub(db: Database, file: Path) -> None:
    """Remove overwritten and deleted content from the file where possible; outside a transaction."""
    try:
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        log.warning("unused parts of the file may hold old values", file=str(file), reason=str(error))
