"""Copies a database's file into one complete file, while processes use it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from store.faults import REGISTRY, Faults
from store.files.durable import sync_folder
from store.files.faults import told


def copy_registry(file: Path, copy: Path) -> None:
    """Copy what was last committed in `file` to `copy`, which must not exist; synced, for its owner only.

    Raises RegistryError.
    """
    copy_file(file, copy, faults=REGISTRY)


def copy_file(file: Path, copy: Path, *, faults: Faults) -> None:
    """The same for any file with a lease; raises the error of `faults`."""
    try:
        descriptor = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True)) as source:
                source.execute("VACUUM INTO ?", [str(copy)])
            with closing(sqlite3.connect(copy)) as made:
                # The leases on the file do not apply to the copy.
                made.execute("DELETE FROM lease")
                made.commit()
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(copy.parent)
    except sqlite3.Error as error:
        raise told(faults, file, error) from error
    except OSError as error:
        raise faults.error(f"{copy} cannot be written: {error.strerror or error}") from None
