"""The table `kanalen_version`: the kanalen and filters that an abonnement had, and when.

As store/sqlite/kanalen_versions.py. All functions run in the caller's transaction: that of the change which
they record.
"""

from __future__ import annotations

from store.database.address import Connection
from store.postgresql.statements import do, first, insert, rows
from store.registry import VERSION_AGE, VERSIONS, VERSIONS_EACH, KanalenVersion
from store.rows import Row, kanalen_of_version, kanalen_version_of


async def begin_version(connection: Connection, abonnement: Row, *, now: float) -> None:
    """Record that the abonnement of this row has its kanalen from `now` (Unix seconds) on.

    Ends the version before; without one the abonnement is new.
    """
    before = await _open_version(connection, abonnement["uuid"])
    if before is not None:
        now = await _end(connection, before, now=now, removed=False)
    row = {
        "abonnement": abonnement["uuid"],
        "change": abonnement["kanalen_change"],
        "kanalen": kanalen_of_version(abonnement),
        "valid_from": now,
        "valid_until": None,
        "made_at": now if before is None else before["made_at"],
        "removed_at": None,
        # The monotonic clock of one host says nothing on another.
        "clock": None,
    }
    await insert(connection, "kanalen_version", row)
    await _forget(connection, now=now)


async def end_versions(connection: Connection, uuids: list[str], *, now: float) -> None:
    """Record that these abonnementen were removed at `now` (Unix seconds)."""
    for uuid in uuids:
        if (version := await _open_version(connection, uuid)) is not None:
            await _end(connection, version, now=now, removed=True)
    await _forget(connection, now=now)


async def versions_of(connection: Connection, uuid: str) -> tuple[KanalenVersion, ...]:
    """Those that are kept of one abonnement, the oldest first."""
    select = "SELECT * FROM kanalen_version WHERE abonnement = %s ORDER BY change"
    return tuple(map(kanalen_version_of, await rows(connection, select, uuid)))


async def _open_version(connection: Connection, uuid: str) -> Row | None:
    select = "SELECT * FROM kanalen_version WHERE abonnement = %s AND valid_until IS NULL"
    return await first(connection, select, uuid)


async def _end(connection: Connection, version: Row, *, now: float, removed: bool) -> float:
    """End an open version, not before it began, even if the clock was set back; returns when."""
    end: float = max(now, version["valid_from"])
    uuid, change = version["abonnement"], version["change"]
    await do(
        connection,
        "UPDATE kanalen_version SET valid_until = %s, removed_at = %s WHERE abonnement = %s AND change = %s",
        end,
        end if removed else None,
        uuid,
        change,
    )
    await do(
        connection,
        "DELETE FROM kanalen_version WHERE abonnement = %s AND change <= "
        "(SELECT change FROM kanalen_version WHERE abonnement = %s AND valid_until IS NOT NULL "
        "ORDER BY change DESC LIMIT 1 OFFSET %s)",
        uuid,
        uuid,
        VERSIONS_EACH,
    )
    return end


async def _forget(connection: Connection, *, now: float) -> None:
    # `<`: those that ended at the same moment, with their application, go together.
    await do(
        connection,
        "DELETE FROM kanalen_version WHERE valid_until < %s OR valid_until < "
        "(SELECT valid_until FROM kanalen_version WHERE valid_until IS NOT NULL "
        "ORDER BY valid_until DESC LIMIT 1 OFFSET %s)",
        now - VERSION_AGE,
        VERSIONS,
    )
