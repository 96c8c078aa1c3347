"""The table `state_version`: the states that an abonnement had, from when until when, why, and by what.

As store/sqlite/state_versions.py, in the caller's transaction: that of the change which they
record.
"""

from __future__ import annotations

from schemas.abonnement import Abonnement, State
from store.database.address import Connection
from store.postgresql.statements import do, first, rows
from store.registry import STATE_AGE, STATES, STATES_EACH, ChangedBy, StateVersion


async def begin_state(connection: Connection, abonnement: Abonnement, *, by: ChangedBy, now: float) -> None:
    """Record that it has its state from `now` (Unix seconds) on; ends the version before."""
    uuid = str(abonnement.uuid)
    now = await _end(connection, uuid, now=now)
    insert = (
        "INSERT INTO state_version (abonnement, state, reason, changed_by, valid_from) "
        "VALUES (%s, %s, %s, %s, %s)"
    )
    await do(connection, insert, uuid, abonnement.state.value, abonnement.state_reason, by.value, now)
    await do(
        connection,
        "DELETE FROM state_version WHERE abonnement = %s AND nr <= (SELECT nr FROM state_version "
        "WHERE abonnement = %s AND valid_until IS NOT NULL ORDER BY nr DESC LIMIT 1 OFFSET %s)",
        uuid,
        uuid,
        STATES_EACH,
    )
    await _forget(connection, now=now)


async def end_states(connection: Connection, uuids: list[str], *, now: float) -> None:
    """Record that these abonnementen were removed at `now` (Unix seconds)."""
    for uuid in uuids:
        await _end(connection, uuid, now=now)
    await _forget(connection, now=now)


async def states_of(connection: Connection, uuid: str) -> tuple[StateVersion, ...]:
    """Those that are kept of one abonnement, the oldest first."""
    select = "SELECT * FROM state_version WHERE abonnement = %s ORDER BY nr"
    return tuple(
        StateVersion(
            State(row["state"]),
            row["reason"],
            ChangedBy(row["changed_by"]),
            row["valid_from"],
            row["valid_until"],
        )
        for row in await rows(connection, select, uuid)
    )


async def _end(connection: Connection, uuid: str, *, now: float) -> float:
    """End the open version, not before it began, even if the clock was set back; returns when."""
    row = await first(
        connection,
        "UPDATE state_version SET valid_until = greatest(%s, valid_from) "
        "WHERE abonnement = %s AND valid_until IS NULL RETURNING valid_until",
        now,
        uuid,
    )
    return now if row is None else float(row["valid_until"])


async def _forget(connection: Connection, *, now: float) -> None:
    await do(
        connection,
        "DELETE FROM state_version WHERE valid_until < %s OR valid_until < "
        "(SELECT valid_until FROM state_version WHERE valid_until IS NOT NULL "
        "ORDER BY valid_until DESC LIMIT 1 OFFSET %s)",
        now - STATE_AGE,
        STATES,
    )
