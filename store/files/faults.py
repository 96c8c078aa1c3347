"""SQLite's and the file system's errors, as errors that say what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from schemas.errors import NrcError
from store.faults import Faults

_LOCKED = "another process keeps it locked (`fuser` on the file shows which); stop that, or try again"
_ADVICE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: "its disk is full; free some space",
    sqlite3.SQLITE_IOERR: "reading or writing it failed; check its disk, its free space and its quota",
    sqlite3.SQLITE_READONLY: "it cannot be written; give this user write access to it and to its folder",
    sqlite3.SQLITE_PERM: "access is denied; give this user read and write access to it and to its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; it must be a file in a folder that this user may write to",
    sqlite3.SQLITE_NOTADB: "it is not an SQLite database; point NRC_DATABASE_URL or NRC_STATE_DIR elsewhere",
    sqlite3.SQLITE_INTERRUPT: "a read took too long and was broken off; ask for less",
    sqlite3.SQLITE_CORRUPT: "it is damaged; stop every process and restore a copy",
}


def told(faults: Faults, file: Path, error: sqlite3.Error | OSError) -> NrcError:
    """The error to raise for an error of SQLite or the file system; it says what to do."""
    what = f"the {faults.name} {file}"
    if isinstance(error, OSError):
        return faults.error(
            f"{what}: {error.strerror or error}; set NRC_STATE_DIR to a folder that this user may write to."
        )
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return faults.taken(f"that is taken already ({error}).")
    advice = _ADVICE.get(primary) if primary is not None else None
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        advice = faults.damaged or advice
    kind = faults.full if primary == sqlite3.SQLITE_FULL else faults.error
    return kind(f"{what}: {advice} ({error})." if advice else f"{what}: {error}.")
