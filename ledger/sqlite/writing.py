"""What `Ledger.write` does within its transaction: makes rows of events, merged with existing rows.

Events come in any order, and twice too: an outcome changes a row only when it wins (values.merge_key), and
the counts (per minute, and the backlog per abonnement) follow from the rows that changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlite_utils import Database

from ledger.durations import bucket_of
from ledger.sqlite.numbers import Names, number_of
from ledger.sqlite.rows import (
    PLACES,
    STATES,
    Counter,
    Hashes,
    Kind,
    Row,
    attempt_row,
    count_open,
    first_n,
    key_of_row,
    notificatie_row,
    outcome_row,
    pack_keys,
    pending_row,
)
from ledger.values import (
    DELIVERED_ALL_THE_SAME,
    OPERATOR,
    Attempt,
    Entry,
    Event,
    GapClosed,
    GapOpened,
    Heartbeat,
    Incomplete,
    Outcome,
    Probe,
    State,
    Unrouted,
)
from schemas.errors import LedgerFull

AT_ONCE = 500  # values of one IN (…)
MINUTE = 60_000  # milliseconds
OVER = 1.1  # times its budget: how far a ledger may grow before its keeper looks at it

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

DeliveryKey = tuple[bytes, int, int]

_KEYS_AT_ONCE = 100
_PENDING = STATES[State.PENDING]
_DELIVERED, _REMOVED = STATES[State.DELIVERED], STATES[State.REMOVED]
_TIMED = 7  # the version of a UUID that begins with a moment in milliseconds
_MATCHED, _STATE = int(Counter.MATCHED), int(Counter.STATE)


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
            db.execute("INSERT OR IGNORE INTO unrouted VALUES (?, 1, ?)", [event.id.bytes, now])
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
    changes = _Changes(db, now=now)
    if entries:
        _write_entries(db, entries, changes, names=names, hashes=hashes)
    keyed: list[tuple[DeliveryKey, Outcome]] = []
    for outcome in outcomes:
        of = outcome.key
        key = (of.notificatie.bytes, names.abonnement(of.abonnement), of.replay)
        keyed.append((key, outcome))
        if outcome.failed is not None:
            attempts.append(attempt_row(of, key[1], outcome.round, outcome.failed))
    changes.look_up(dict.fromkeys(key for key, _ in keyed))
    for key, outcome in keyed:
        changes.merge(key, outcome)
    if attempts:
        db.conn.executemany(INSERT_ATTEMPT, attempts)
    changes.write()


def _write_entries(
    db: Database, entries: dict[bytes, Entry], changes: _Changes, *, names: Names, hashes: Hashes
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
    places = _Places(db)
    notificaties, bodies, traces = [], [], []
    terms: list[tuple[int, int]] = []
    for id_, entry in entries.items():
        n = places.take(entry.received)
        kanaal, client = names.kanaal(entry.kanaal), names.client(entry.client)
        of = {hashes.term(name, value) for name, value in entry.kenmerken.items()}
        notificaties.append(notificatie_row(entry, n, client=client, kanaal=kanaal, terms=of, hashes=hashes))
        bodies.append((n, entry.body))
        if entry.trace:
            traces.append((n, entry.trace))
        terms += [(term, n) for term in of]
        changes.count(entry.received, Counter.ACCEPTED, kanaal)
        for abonnement in {names.abonnement(each) for each in entry.matched}:
            changes.pending(id_, abonnement, entry)
    many = db.conn.executemany
    many(_INSERT_NOTIFICATIE, notificaties)
    many("INSERT INTO body VALUES (?, ?)", bodies)
    many("INSERT INTO trace VALUES (?, ?)", traces)
    many("INSERT INTO term VALUES (?, ?)", terms)


def _complete(db: Database, entries: dict[bytes, Entry], changes: _Changes, *, names: Names) -> None:
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


class _Changes:
    """The deliveries that a transaction changes, and what is counted for that."""

    def __init__(self, db: Database, *, now: int) -> None:
        self._db = db
        self._now = now
        self._before: dict[DeliveryKey, Row | None] = {}
        self._after: dict[DeliveryKey, Row] = {}
        self._minutes: dict[tuple[int, int, int], int] = {}
        self._took: dict[tuple[int, int], int] = {}
        self._firsts: dict[int, int] = {}
        self._taken: list[tuple[Any, ...]] = []  # rows of `attempt`: delivered, though removed

    def count(self, at: int, what: int, who: int) -> None:
        """Count one more of this in the minute of this moment."""
        key = (at // MINUTE, what, who)
        self._minutes[key] = self._minutes.get(key, 0) + 1

    def known(self, row: Row, *, size: int) -> None:
        """A delivery whose outcome came before its entry; the entry has the size of its body."""
        key = row[:3]
        self._before[key] = row
        self._after[key] = row._replace(size=size)

    def has(self, key: DeliveryKey) -> bool:
        """Whether this delivery is there; of those that were looked up."""
        return key in self._after

    def pending(self, id_: bytes, abonnement: int, entry: Entry) -> None:
        """Add the delivery of an entry to this abonnement."""
        received = entry.received
        row = pending_row(id_, abonnement, received=received, size=len(entry.body), now=self._now)
        key = (id_, abonnement, 0)
        old = self._after.get(key)
        if old is None:
            self._before[key] = None
        if old is None or key_of_row(row) > key_of_row(old):
            self._after[key] = row
        self.count(received, _MATCHED, abonnement)

    def look_up(self, keys: Iterable[DeliveryKey]) -> None:
        """Read the rows of these deliveries, where they exist."""
        wanted = [key for key in keys if key not in self._after]
        for start in range(0, len(wanted), _KEYS_AT_ONCE):
            piece = wanted[start : start + _KEYS_AT_ONCE]
            select = _DELIVERIES % ", ".join(["(?, ?, ?)"] * len(piece))
            for found in self._db.execute(select, [value for key in piece for value in key]):
                self._before[found[:3]] = self._after[found[:3]] = Row._make(found)

    def merge(self, key: DeliveryKey, outcome: Outcome) -> None:
        """Apply an outcome when it wins; its key must have been read by `look_up`."""
        old = self._after.get(key)
        if outcome.kanalen_change is not None and not self._is_final(outcome, key, old):
            return
        new = outcome_row(outcome, key[1], old=old, now=self._now)
        if old is None:
            self._before[key] = None
            new = new._replace(size=self._size(key[0]))
        elif _is_both(old, new):
            self._tell_both(outcome, old if old.state == _DELIVERED else new)
            if key_of_row(new) <= key_of_row(old):
                return
        elif key_of_row(new) <= key_of_row(old):
            return
        elif old.state == _PENDING and new.attempts > old.attempts == 0 and new.round == old.round:
            # The former `since`: the new one of a retry is when it is due, after this attempt.
            self._firsts[key[1]] = max(self._firsts.get(key[1], 0), old.since)
        self._after[key] = new
        self.count(outcome.at, _STATE + new.state, key[1])
        if new.state == _DELIVERED and new.status is not None and not new.replay:
            self._count_took(key[0], outcome.at)

    def _count_took(self, id_: bytes, at: int) -> None:
        """Count how long this delivery took, when its id says when it was accepted (ids.received_of)."""
        if id_[6] >> 4 == _TIMED:
            of = (at // MINUTE, bucket_of(at - int.from_bytes(id_[:6])))
            self._took[of] = self._took.get(of, 0) + 1

    def _tell_both(self, outcome: Outcome, delivered: Row) -> None:
        """An operator removed it, and it was delivered: REMOVED wins, and the other is kept as an attempt."""
        ms = None if delivered.us is None else delivered.us / 1000
        taken = Attempt(
            delivered.last_at,
            delivered.attempts,
            DELIVERED_ALL_THE_SAME,
            "the callback took it",
            delivered.status,
            ms,
        )
        self._taken.append(attempt_row(outcome.key, delivered.abonnement, delivered.round, taken))

    def _is_final(self, outcome: Outcome, key: DeliveryKey, old: Row | None) -> bool:
        """Whether NOT_WANTED ends a delivery; if not, its row stays open, in doubt.

        One without a row was never for this abonnement: bindings may be wider than the filters. One that was
        matched with the kanalen of now is wanted, and was dropped by some fault.
        """
        if old is None:
            return False
        select = "SELECT catalogue FROM notificatie WHERE id = ?"
        found = self._db.execute(select, [key[0]]).fetchone()
        if found is None or found[0] < (outcome.kanalen_change or 0):
            return True
        in_doubt = old._replace(doubt=1) if old.open and outcome.round >= old.round else old
        if in_doubt != old:
            self.count(outcome.at, Counter.IN_VAIN, key[1])
        self._after[key] = in_doubt
        return False

    def write(self) -> None:
        """Write the rows that changed, and the counts."""
        inserts: list[Row] = []
        updates: list[tuple[Any, ...]] = []
        backlog: dict[int, list[int]] = {}
        before = self._before
        for key, row in self._after.items():
            old = before[key]
            if old is None:
                inserts.append(row)
            elif row != old:
                updates.append(row[3:] + key)
            else:
                continue
            of = backlog.get(row[1])
            if of is None:
                of = backlog[row[1]] = [0, 0, 0]
            if old is not None:
                count_open(old, of, -1)
            count_open(row, of, 1)
        many = self._db.conn.executemany
        if inserts:
            many(_INSERT_DELIVERY, inserts)
        if updates:
            many(_UPDATE_DELIVERY, updates)
        if self._taken:
            many(INSERT_ATTEMPT, self._taken)
            many(_ONLY_LAST_TAKEN, [(*row[:3], *row[:3]) for row in self._taken])
        many(ADD_BACKLOG, [(abonnement, *by) for abonnement, by in backlog.items() if any(by)])
        minute = self._now // MINUTE
        many(_ADD_FIRST, [(abonnement, minute, since) for abonnement, since in self._firsts.items()])
        many(_ADD_TOOK, [(*key, n) for key, n in self._took.items()])
        if self._minutes:
            many(ADD_MINUTE, [(*key, n) for key, n in self._minutes.items()])

    def _size(self, id_: bytes) -> int:
        row = self._db.execute("SELECT size FROM notificatie WHERE id = ?", [id_]).fetchone()
        return 0 if row is None else int(row[0])


def _is_both(old: Row, new: Row) -> bool:
    return {old.state, new.state} == {_DELIVERED, _REMOVED}


class _Places:
    """Free values of `n`, in the order of `received`."""

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
    used = bytes_used(db)
    if used > budget * OVER or (full and used > budget):
        raise LedgerFull(
            f"the ledger has {used} bytes, its budget is {budget}, and what it keeps is still needed: give "
            "it more, or deliver or remove what waits (`nrc abonnement list` shows it)."
        )


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
