"""Writes small files whole, synced and for their owner only, or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4


def make_folder(folder: Path) -> None:
    """Make the folder and those above it, synced; a new one is for its owner only.

    Raises OSError.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)


def keep(file: Path, content: bytes, *, replace: bool, mode: int = 0o600) -> None:
    """Write `file` with this content. Raises OSError; FileExistsError when it exists, unless `replace`."""
    new = file.with_name(f".{file.name}.{uuid4().hex}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(descriptor)
        if replace:
            new.replace(file)
        else:
            # A link, not an empty file that is filled later: no process reads half a key.
            os.link(new, file)
    finally:
        new.unlink(missing_ok=True)
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Sync what was made or renamed in the folder, so that it survives a power cut. Raises OSError."""
    sync_file(folder)


def sync_file(file: Path) -> None:
    """Sync what was written to a file, or a folder's list of what is in it. Raises OSError."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
