"""The SQL of order per hoofdObject, in the SQLite ledger: by the index of the hashes of hoofdObjecten.

Between the oldest open delivery of the abonnement and the one that is asked about, so it costs what was
accepted for this hoofdObject in that time, and not what waits for the abonnement.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlite_utils import Database

from ledger.ids import received_of
from ledger.sqlite.numbers import number_of
from ledger.sqlite.reading import delivery
from ledger.tables.rows import FOR_EVER, SPILL, STATES, Kind, Row, delivery_of, first_n
from ledger.tables.turns import BEHIND, MOST_AHEAD, Ahead, Asked, Behind, Turn
from ledger.values import Key, State

_ROUNDED = 10  # milliseconds by which an id and `received` differ at most

_OPEN = (
    "FROM notificatie m INDEXED BY notificatie_hoofd CROSS JOIN delivery d ON d.id = m.id "
    "WHERE m.hoofd = ? AND m.n >= ? AND m.n <= ? AND m.id > ? AND m.id < ? AND d.abonnement = ? "
    "AND d.replay = ? AND d.open = 1 ORDER BY m.n LIMIT ?"
)
# The first attempt of those that count: an operator may have sent it again with all its attempts.
_FIRST_FAILED = (
    "CASE WHEN d.attempts > 0 THEN (SELECT max(at) FROM attempt a WHERE a.id = d.id "
    "AND a.abonnement = d.abonnement AND a.replay = d.replay AND a.number = 1) END"
)
WAITS_FOR_TURN = (
    f"d.state = {STATES[State.RETURNING]} AND EXISTS (SELECT 1 FROM attempt a WHERE a.id = d.id "  # noqa: S608
    "AND a.abonnement = d.abonnement AND a.replay = d.replay AND a.at = d.last_at "
    f"AND a.kind = '{BEHIND}')"
)
"""Whether a delivery `d` waits in the ledger for an earlier one."""
_OLDEST = (
    "SELECT id FROM delivery INDEXED BY delivery_abonnement WHERE abonnement = ? AND open = 1 "
    "ORDER BY id, replay LIMIT 1"
)


def turn(db: Database, asked: Asked, *, now: int) -> Turn:
    """What is known of the turn of one delivery. now: milliseconds, by the database's clock."""
    key = asked.key
    own = delivery(db, key)
    found = _hoofd(db, key.notificatie)
    if found is None:
        return Turn(now, known=False, own=own)
    number = number_of(db, Kind.ABONNEMENT, str(key.abonnement))
    oldest = db.execute(_OLDEST, [number]).fetchone()
    first, last = max(oldest[0] if oldest else b"\xff", _bytes(asked.ended)), key.notificatie.bytes
    if first >= last or received_of(key.notificatie) is None:
        return Turn(now, known=True, own=own)
    before = bytes(16) if asked.ended is None else asked.ended.bytes
    place = [_n(first), _n(last) + SPILL, before, last, number, key.replay, MOST_AHEAD]
    rows = db.execute(f"SELECT d.*, {_FIRST_FAILED} {_OPEN}", [found, *place]).fetchall()
    ahead = [Ahead(delivery_of(Row._make(row[:-1]), key.abonnement), row[-1]) for row in rows]
    ahead.sort(key=lambda each: each.delivery.key.notificatie)
    return Turn(now, known=True, own=own, ahead=tuple(ahead))


def behind(db: Database, key: Key, *, limit: int) -> Sequence[Behind]:
    """As `Ledger.behind`."""
    found = _hoofd(db, key.notificatie)
    number = number_of(db, Kind.ABONNEMENT, str(key.abonnement))
    if found is None or number is None or received_of(key.notificatie) is None:
        return []
    last = key.notificatie.bytes
    place = [_n(last), first_n(FOR_EVER), last, b"\xff" * 17, number, key.replay, limit]
    rows = db.execute(f"SELECT d.*, {WAITS_FOR_TURN} {_OPEN}", [found, *place]).fetchall()
    made = [Behind(delivery_of(Row._make(row[:-1]), key.abonnement), bool(row[-1])) for row in rows]
    return sorted(made, key=lambda each: each.delivery.key.notificatie)


def _hoofd(db: Database, id_: UUID) -> int | None:
    row = db.execute("SELECT hoofd FROM notificatie WHERE id = ?", [id_.bytes]).fetchone()
    return None if row is None else int(row[0])


def _n(id_: bytes) -> int:
    """The least n of a notificatie with this id; 0 when the id says nothing of its moment."""
    received = received_of(UUID(bytes=id_))
    return 0 if received is None else first_n(received - _ROUNDED)


def _bytes(id_: UUID | None) -> bytes:
    return b"" if id_ is None else id_.bytes
