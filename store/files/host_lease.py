"""The lease on a SQLite file: it says which host uses it, so that processes on another host refuse to.

SQLite's locks, and the memory that its WAL mode shares, work between processes of one host only.
"""

from __future__ import annotations

import socket
from pathlib import Path

from sqlite_utils import Database

from schemas.errors import NrcError

RENEWAL = 10.0
AGE = 30.0


def boot_id() -> str:
    """Identifies this host: the kernel's boot id (which containers on it share), else its name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def refuse_other_hosts(db: Database, file: Path, *, boot: str, now: float, error: type[NrcError]) -> None:
    """Raise `error` when another host held the file less than 30 s ago (`now`: Unix seconds)."""
    for row in db.query("SELECT host, at FROM lease WHERE boot != ? ORDER BY at DESC", [boot]):
        # In both directions: a lease from far ahead was written by a wrong clock, and must not last so long.
        if abs(now - row["at"]) < AGE:
            raise error(
                f"{file} is in use on host {row['host']}, and one SQLite file serves one host: "
                f"run every process there, or stop those and wait {AGE:.0f} s."
            )


def shown_before_reboot(db: Database, *, boot: str, now: float) -> float | None:
    """When this host last renewed its lease before a reboot (Unix seconds); None when it did not.

    Recognised by the same name with another boot id. Another host of the same name that still runs looks the
    same, except that it renews its lease within RENEWAL. None as well when a host of another name has the
    file too.
    """
    held = [
        row
        for row in db.query("SELECT host, at FROM lease WHERE boot != ?", [boot])
        if abs(now - row["at"]) < AGE
    ]
    if not held or any(row["host"] != socket.gethostname() for row in held):
        return None
    return float(max(row["at"] for row in held))


def renew(db: Database, *, holder: str, boot: str, now: float) -> None:
    """Renew the lease of `holder` (one open file) on host `boot`; remove those that have run out."""
    db.execute("DELETE FROM lease WHERE abs(? - at) >= ?", [now, AGE])
    db.execute("INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?)", [holder, boot, socket.gethostname(), now])


def release(db: Database, *, holder: str) -> None:
    """Give up the lease of `holder`, so that another host need not wait for it to run out."""
    db.execute("DELETE FROM lease WHERE holder = ?", [holder])
