"""The table `state_version`: the states that an abonnement had, from when until when, why, and by what.

A version is open (valid_until NULL) while its abonnement has this state; only ends are ever filled in. All
functions run in the caller's transaction: that of the change which they record.
"""

from __future__ import annotations

from sqlite_utils import Database

from schemas.abonnement import Abonnement, State
from store.registry import STATE_AGE, STATES, STATES_EACH, ChangedBy, StateVersion

_LOOK_EVERY = 100  # versions after which what is too old or too much is looked for

# Times are Unix seconds.
TABLE = """
    CREATE TABLE state_version (nr INTEGER PRIMARY KEY, abonnement TEXT NOT NULL, state TEXT NOT NULL,
        reason TEXT NOT NULL, changed_by TEXT NOT NULL, valid_from REAL NOT NULL, valid_until REAL);
    CREATE INDEX state_version_abonnement ON state_version (abonnement, nr);
    CREATE INDEX state_version_ended ON state_version (valid_until) WHERE valid_until IS NOT NULL;
"""


def begin_state(db: Database, abonnement: Abonnement, *, by: ChangedBy, now: float) -> None:
    """Record that it has its state from `now` (Unix seconds) on; ends the version before."""
    uuid = str(abonnement.uuid)
    now = _end(db, uuid, now=now)
    insert = (
        "INSERT INTO state_version (abonnement, state, reason, changed_by, valid_from) VALUES (?, ?, ?, ?, ?)"
    )
    number = db.execute(insert, [uuid, abonnement.state, abonnement.state_reason, by, now]).lastrowid
    db.execute(
        "DELETE FROM state_version WHERE abonnement = ? AND nr <= (SELECT nr FROM state_version "
        "WHERE abonnement = ? AND valid_until IS NOT NULL ORDER BY nr DESC LIMIT 1 OFFSET ?)",
        [uuid, uuid, STATES_EACH],
    )
    if number is None or number % _LOOK_EVERY == 0:
        _forget(db, now=now)


def end_states(db: Database, uuids: list[str], *, now: float) -> None:
    """Record that these abonnementen were removed at `now` (Unix seconds)."""
    for uuid in uuids:
        _end(db, uuid, now=now)
    _forget(db, now=now)


def states_of(db: Database, uuid: str) -> tuple[StateVersion, ...]:
    """Those that are kept of one abonnement, the oldest first."""
    select = (
        "SELECT state, reason, changed_by, valid_from, valid_until FROM state_version "
        "WHERE abonnement = ? ORDER BY nr"
    )
    return tuple(
        StateVersion(State(state), reason, ChangedBy(by), valid_from, valid_until)
        for state, reason, by, valid_from, valid_until in db.execute(select, [uuid])
    )


def _end(db: Database, uuid: str, *, now: float) -> float:
    """End the open version, not before it began, even if the clock was set back; returns when."""
    select = "SELECT nr, valid_from FROM state_version WHERE abonnement = ? AND valid_until IS NULL"
    row = db.execute(select, [uuid]).fetchone()
    if row is None:
        return now
    number, valid_from = row
    end: float = max(now, valid_from)
    db.execute("UPDATE state_version SET valid_until = ? WHERE nr = ?", [end, number])
    return end


def _forget(db: Database, *, now: float) -> None:
    db.execute(
        "DELETE FROM state_version WHERE valid_until < ? OR valid_until < "
        "(SELECT valid_until FROM state_version WHERE valid_until IS NOT NULL "
        "ORDER BY valid_until DESC LIMIT 1 OFFSET ?)",
        [now - STATE_AGE, STATES],
    )
