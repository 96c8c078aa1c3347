"""What `Ledger.write` does within its transaction: makes rows of events, merged with existing rows.

Events come in any order, and twice too: an outcome changes a row only when it wins (values.merge_key), and
the counts (per minute, and the backlog per abonnement) follow from the rows that changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from sqlite_utils import Database

from ledger.sqlite.numbers import Names, number_of
from ledger.tables.budget import check_budget
from ledger.tables.merging import MINUTE, About, Changes, DeliveryKey
from ledger.tables.rows import (
    PLACES,
    Counter,
    Hashes,
    Kind,
    Row,
    attempt_row,
    first_n,
    notificatie_row,
    pack_keys,
)
from ledger.values import (
    DELIVERED_ALL_THE_SAME,
    OPERATOR,
    Entry,
    Event,
    GapClosed,
    GapOpened,
    Heartbeat,
    Incomplete,
    Outcome,
    Probe,
    Unrouted,
)

AT_ONCE = 500  # values of one IN (…)

_DELIVERIES = (  # not `(id, abonnement, replay) IN (VALUES …)`, which combines each id with each abonnement
    "WITH wanted(i, a, r) AS (VALUES %s) SELECT d.* FROM wanted CROSS JOIN delivery d "
    "ON d.id = i AND d.abonnement = a AND d.replay = r"
)
_INSERT_NOTIFICATIE = "INSERT INTO notificatie VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_DELIVERY = "INSERT INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_ATTEMPT = (  # a dead letter says all of an attempt but how long it took
    "INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id, abonnement, replay, at, round, number, kind) "
    "DO UPDATE SET us = excluded.us WHERE us IS NULL"
)
_UPDATE_DELIVERY = (
    "UPDATE delivery SET open = ?, state = ?, round = ?, attempts = ?, since = ?, last_at = ?, next_at = ?, "
    "size = ?, given = ?, doubt = ?, status = ?, us = ?, again_at = ? "
    "WHERE id = ? AND abonnement = ? AND replay = ?"
)
ADD_MINUTE = (
    "INSERT INTO minute VALUES (?, ?, ?, ?) ON CONFLICT (minute, what, who) DO UPDATE SET n = n + excluded.n"
)
_ADD_TOOK = "INSERT INTO took VALUES (?, ?, ?) ON CONFLICT (minute, bucket) DO UPDATE SET n = n + excluded.n"
_ADD_FIRST = (
    "INSERT INTO first_attempt VALUES (?, ?, ?) ON CONFLICT (abonnement, minute) "
    "DO UPDATE SET since = max(since, excluded.since)"
)
ADD_BACKLOG = (
    "INSERT INTO backlog VALUES (?, ?, ?, ?) ON CONFLICT (abonnement) DO UPDATE SET n = n + excluded.n, "
    "bytes = bytes + excluded.bytes, stuck = stuck + excluded.stuck"
)

# Of several attempts that succeeded after a removal one is kept, whatever the order in which they come.
_ONLY_LAST_TAKEN = (
    "DELETE FROM attempt WHERE id = ? AND abonnement = ? AND replay = ? "  # noqa: S608
    f"AND kind = '{DELIVERED_ALL_THE_SAME}' AND (round, number, at) < (SELECT a.round, a.number, a.at "
    "FROM attempt a WHERE a.id = ? AND a.abonnement = ? AND a.replay = ? "
    f"AND a.kind = '{DELIVERED_ALL_THE_SAME}' ORDER BY a.round DESC, a.number DESC, a.at DESC LIMIT 1)"
)

_KEYS_AT_ONCE = 100


def write(db: Database, events: Sequence[Event], *, now: int, names: Names, hashes: Hashes) -> None:
    """Write these events. now: milliseconds, by the database's clock. Raises LedgerFull."""
    entries: dict[bytes, Entry] = {}
    outcomes: list[Outcome] = []
    attempts = []
    for event in events:
        if isinstance(event, Entry):
            entries.setdefault(event.id.bytes, event)
        elif isinstance(event, Outcome):
            outcomes.append(event)
        elif isinstance(event, Probe):
            abonnement = names.abonnement(event.key.abonnement)
            attempts.append(attempt_row(event.key, abonnement, 0, event.failed))
        elif isinstance(event, Unrouted):
            insert = "INSERT OR IGNORE INTO unrouted VALUES (?, 1, ?)"
            if db.execute(insert, [event.id.bytes, now]).rowcount > 0 and event.lane:
                db.execute("INSERT OR IGNORE INTO lane VALUES (?)", [event.id.bytes])
        elif isinstance(event, GapOpened):
            _open_gap(db, event, now=now)
        elif isinstance(event, GapClosed):
            _close_gap(db, event, now=now)
        elif isinstance(event, Incomplete):
            insert = "INSERT OR IGNORE INTO incomplete VALUES (?, ?, ?)"
            until = now if event.until is None else event.until
            db.execute(insert, [event.since or 0, until, event.count])
        else:
            _heartbeat(db, event, now=now)
    changes = Changes(partial(_about, db), now=now)
    if entries:
        _write_entries(db, entries, changes, names=names, hashes=hashes)
    keyed: list[tuple[DeliveryKey, Outcome]] = []
    for outcome in outcomes:
        of = outcome.key
        key = (of.notificatie.bytes, names.abonnement(of.abonnement), of.replay)
        keyed.append((key, outcome))
        if outcome.failed is not None:
            attempts.append(attempt_row(of, key[1], outcome.round, outcome.failed))
    _look_up(db, changes, dict.fromkeys(key for key, _ in keyed))
    for key, outcome in keyed:
        changes.merge(key, outcome)
    if attempts:
        db.conn.executemany(INSERT_ATTEMPT, attempts)
    _write_changes(db, changes, now=now)


def _write_entries(
    db: Database, entries: dict[bytes, Entry], changes: Changes, *, names: Names, hashes: Hashes
) -> None:
    """Write those that are not in the ledger yet; complete the others."""
    again = {}
    for (known,) in _in_pieces(db, "SELECT id FROM notificatie WHERE id IN (%s)", list(entries)):
        again[known] = entries.pop(known)
    if again:
        _complete(db, again, changes, names=names)
    if not entries:
        return
    _check_budget(db)
    for row in _in_pieces(db, "SELECT * FROM delivery WHERE id IN (%s)", list(entries)):
        changes.known(Row._make(row), size=len(entries[row[0]].body))
    places = Places(db)
    notificaties, bodies, traces, passed_on = [], [], [], []
    terms: list[tuple[int, int]] = []
    for id_, entry in entries.items():
        n = places.take(entry.received)
        kanaal, client = names.kanaal(entry.kanaal), names.client(entry.client)
        of = {hashes.term(name, value) for name, value in entry.kenmerken.items()}
        notificaties.append(notificatie_row(entry, n, client=client, kanaal=kanaal, terms=of, hashes=hashes))
        bodies.append((n, entry.body))
        if entry.trace:
            traces.append((n, entry.trace))
        if (passed := entry.passed_on) is not None:
            passed_on.append((id_, passed.batch, passed.correlation))
        terms += [(term, n) for term in of]
        changes.count(entry.received, Counter.ACCEPTED, kanaal)
        for abonnement in {names.abonnement(each) for each in entry.matched}:
            changes.pending(id_, abonnement, entry)
    many = db.conn.executemany
    many(_INSERT_NOTIFICATIE, notificaties)
    many("INSERT INTO body VALUES (?, ?)", bodies)
    many("INSERT INTO trace VALUES (?, ?)", traces)
    many("INSERT OR REPLACE INTO passed_on VALUES (?, ?, ?)", passed_on)
    many("INSERT INTO term VALUES (?, ?)", terms)


def _complete(db: Database, entries: dict[bytes, Entry], changes: Changes, *, names: Names) -> None:
    """Add what existing entries lack: one that the keeper made of a message is for one abonnement only.

    The gateway's own may be written later; it has the client and all abonnementen.
    """
    for row in _in_pieces(db, "SELECT * FROM delivery WHERE id IN (%s)", list(entries)):
        changes.known(Row._make(row), size=len(entries[row[0]].body))
    update = "UPDATE notificatie SET client = ?, catalogue = ? WHERE id = ? AND client = ?"
    for id_, entry in entries.items():
        for abonnement in {names.abonnement(each) for each in entry.matched}:
            if not changes.has((id_, abonnement, 0)):
                changes.pending(id_, abonnement, entry)
        nobody = number_of(db, Kind.CLIENT, "")
        if entry.client and nobody is not None:
            db.execute(update, [names.client(entry.client), entry.catalogue, id_, nobody])


def _look_up(db: Database, changes: Changes, keys: Iterable[DeliveryKey]) -> None:
    """Read the rows of these deliveries, where they exist."""
    wanted = [key for key in keys if not changes.has(key)]
    for start in range(0, len(wanted), _KEYS_AT_ONCE):
        piece = wanted[start : start + _KEYS_AT_ONCE]
        select = _DELIVERIES % ", ".join(["(?, ?, ?)"] * len(piece))
        for found in db.execute(select, [value for key in piece for value in key]):
            changes.read(Row._make(found))


def _write_changes(db: Database, changes: Changes, *, now: int) -> None:
    """Write the rows that changed, and the counts."""
    inserts: list[Row] = []
    updates: list[tuple[Any, ...]] = []
    for old, row in changes.changed():
        if old is None:
            inserts.append(row)
        else:
            updates.append(row[3:] + row[:3])
    many = db.conn.executemany
    if inserts:
        many(_INSERT_DELIVERY, inserts)
    if updates:
        many(_UPDATE_DELIVERY, updates)
    if changes.taken:
        many(INSERT_ATTEMPT, changes.taken)
        many(_ONLY_LAST_TAKEN, [(*row[:3], *row[:3]) for row in changes.taken])
    many(ADD_BACKLOG, [(abonnement, *by) for abonnement, by in changes.backlog().items()])
    minute = now // MINUTE
    many(_ADD_FIRST, [(abonnement, minute, since) for abonnement, since in changes.firsts.items()])
    many(_ADD_TOOK, [(*key, n) for key, n in changes.took.items()])
    if changes.minutes:
        many(ADD_MINUTE, [(*key, n) for key, n in changes.minutes.items()])


def _about(db: Database, id_: bytes) -> About | None:
    row = db.execute("SELECT size, catalogue FROM notificatie WHERE id = ?", [id_]).fetchone()
    return None if row is None else About(*row)


class Places:
    """Free values of `n`, in the order of `received`. Remembers each moment that it was asked for."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._next: dict[int, int] = {}

    def take(self, received: int) -> int:
        """A free one of this moment; where its ten milliseconds are full, of the next that are not."""
        first = first_n(received)
        while True:
            free = self._next.get(first)
            if free is None:
                select = "SELECT max(n) FROM notificatie WHERE n >= ? AND n < ?"
                (last,) = self._db.execute(select, [first, first + PLACES]).fetchone()
                free = first if last is None else last + 1
            self._next[first] = free + 1
            if free < first + PLACES:
                return free
            first += PLACES


def _check_budget(db: Database) -> None:
    """Raise LedgerFull when no more entries may come in."""
    row = db.execute("SELECT bytes, full FROM budget").fetchone()
    if row is None:
        return
    budget, full = row
    check_budget(bytes_used(db), budget, full=bool(full))


def bytes_used(db: Database) -> int:
    """Bytes of the file that hold something; the rest of it is free for what comes."""
    pages, free, size = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _open_gap(db: Database, gap: GapOpened, *, now: int) -> None:
    db.execute(
        "INSERT INTO gap (kind, scope, opened, closed, detail) SELECT ?, ?, ?, NULL, ? WHERE NOT EXISTS "
        "(SELECT 1 FROM gap WHERE kind = ? AND scope = ? AND closed IS NULL)",
        [gap.scope, gap.of, now, gap.why, gap.scope, gap.of],
    )


def _close_gap(db: Database, gap: GapClosed, *, now: int) -> None:
    if gap.scope is None:
        update = "UPDATE gap SET closed = ? WHERE closed IS NULL AND detail != ?"
        db.execute(update, [now, OPERATOR])
    else:
        update = "UPDATE gap SET closed = ? WHERE closed IS NULL AND kind = ? AND scope = ?"
        db.execute(update, [now, gap.scope, gap.of])


def _heartbeat(db: Database, beat: Heartbeat, *, now: int) -> None:
    db.execute(
        "INSERT INTO process VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at, "
        "flushed_until = max(flushed_until, excluded.flushed_until), hands = excluded.hands, "
        "stopped = excluded.stopped",
        [
            beat.process,
            now,
            now if beat.all_flushed else 0,
            b"" if beat.stopped else pack_keys(beat.hands),
            int(beat.stopped),
        ],
    )


def _in_pieces(db: Database, select: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """The rows of a SELECT with `IN (%s)`, for any number of values."""
    for start in range(0, len(values), AT_ONCE):
        piece = values[start : start + AT_ONCE]
        yield from db.execute(select % ", ".join("?" * len(piece)), piece).fetchall()
