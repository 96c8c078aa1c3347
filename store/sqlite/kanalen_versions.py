"""The table `kanalen_version`: the kanalen and filters that an abonnement had, and when.

A version is open (valid_until NULL) while its abonnement has these kanalen. All functions run in the caller's
transaction: that of the change which they record. The form of a row is store/rows.py's.
"""

from __future__ import annotations

import time

from sqlite_utils import Database

from store.registry import VERSION_AGE, VERSIONS, VERSIONS_EACH, KanalenVersion
from store.rows import Row, kanalen_of_version, kanalen_version_of


def begin_version(db: Database, abonnement: Row, *, now: float) -> None:
    """Record that the abonnement of this row has its kanalen from `now` (Unix seconds) on.

    Ends the version before; without one the abonnement is new.
    """
    before = _open_version(db, abonnement["uuid"])
    if before is not None:
        now = _end(db, before, now=now, removed=False)
    db.table("kanalen_version").insert(
        {
            "abonnement": abonnement["uuid"],
            "change": abonnement["kanalen_change"],
            "kanalen": kanalen_of_version(abonnement),
            "valid_from": now,
            "valid_until": None,
            "made_at": now if before is None else before["made_at"],
            "removed_at": None,
            "clock": now - time.monotonic(),
        }
    )
    _forget(db, now=now)


def end_versions(db: Database, uuids: list[str], *, now: float) -> None:
    """Record that these abonnementen were removed at `now` (Unix seconds)."""
    for uuid in uuids:
        if (version := _open_version(db, uuid)) is not None:
            _end(db, version, now=now, removed=True)
    _forget(db, now=now)


def versions_of(db: Database, uuid: str) -> tuple[KanalenVersion, ...]:
    """Those that are kept of one abonnement, the oldest first."""
    rows = db.table("kanalen_version").rows_where("abonnement = ?", [uuid], order_by="change")
    return tuple(map(kanalen_version_of, rows))


def _open_version(db: Database, uuid: str) -> Row | None:
    return next(
        db.query("SELECT * FROM kanalen_version WHERE abonnement = ? AND valid_until IS NULL", [uuid]), None
    )


def _end(db: Database, version: Row, *, now: float, removed: bool) -> float:
    """End an open version, not before it began, even if the clock was set back; returns when."""
    end: float = max(now, version["valid_from"])
    uuid, change = version["abonnement"], version["change"]
    db.execute(
        "UPDATE kanalen_version SET valid_until = ?, removed_at = ? WHERE abonnement = ? AND change = ?",
        [end, end if removed else None, uuid, change],
    )
    db.execute(
        "DELETE FROM kanalen_version WHERE abonnement = ? AND change <= "
        "(SELECT change FROM kanalen_version WHERE abonnement = ? AND valid_until IS NOT NULL "
        "ORDER BY change DESC LIMIT 1 OFFSET ?)",
        [uuid, uuid, VERSIONS_EACH],
    )
    return end


def _forget(db: Database, *, now: float) -> None:
    # `<`: those that ended at the same moment, with their application, go together.
    db.execute(
        "DELETE FROM kanalen_version WHERE valid_until < ? OR valid_until < "
        "(SELECT valid_until FROM kanalen_version WHERE valid_until IS NOT NULL "
        "ORDER BY valid_until DESC LIMIT 1 OFFSET ?)",
        [now - VERSION_AGE, VERSIONS],
    )
