"""Removes rows and bodies from the ledger: by age, and when it is over its budget in a fixed order.

Bodies before rows, only what is settled, the oldest first. What is undeliverable stays until it is sent again
or removed. Where the budget is not met otherwise, what has been undeliverable for as long as rows are kept
goes too, and the ledger notes that it lacks it. Transactions are small, so that a writer waits for one of
them at most: candidates are found in a snapshot, and checked again when they are removed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlite_utils import Database

from ledger.sqlite.writing import bytes_used
from ledger.tables.merging import MINUTE
from ledger.tables.rows import SPILL, STATES, first_n, least_id, unpack_terms
from ledger.values import Incomplete, Shed, State
from store.files.sqlite_file import SqliteFile

PIECE = 200
"""Notificaties in one transaction."""
PIECE_OVER_BUDGET = 25  # the same over the budget, so that no more goes than must
BODIES_AT_MOST = 30 * 24 * 3600  # seconds after which a body is removed, also of open deliveries
PROCESS_AGE = 24 * 3600  # seconds without a heartbeat after which a process is forgotten

_UNDELIVERABLE = STATES[State.UNDELIVERABLE]
_IS_KEPT = f"(d.open = 1 OR d.state = {_UNDELIVERABLE} OR d.last_at > :settled)"
_IS_SETTLED = (
    f"NOT EXISTS (SELECT 1 FROM delivery d WHERE d.id = m.id AND {_IS_KEPT}) "  # noqa: S608
    "AND NOT EXISTS (SELECT 1 FROM unrouted u WHERE u.id = m.id AND u.open = 1)"
)
_BODIES = (
    "SELECT m.n FROM body b CROSS JOIN notificatie m ON m.n = b.n WHERE b.n > :place AND b.n < :before "  # noqa: S608
    f"AND ((m.received <= :last AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.id = m.id AND d.state = "
    f"{_UNDELIVERABLE})) OR (m.received <= :settled AND {_IS_SETTLED})) ORDER BY b.n LIMIT :piece"
)
_ROWS = (
    "SELECT m.n, m.id, m.terms FROM notificatie m WHERE m.n > :place AND m.n < :before "  # noqa: S608
    f"AND m.received <= :settled AND {_IS_SETTLED} ORDER BY m.n LIMIT :piece"
)
_GIVEN_UP = (
    "SELECT m.n, m.id, m.terms, m.received FROM notificatie m WHERE m.n > :place AND m.n < :before "  # noqa: S608
    f"AND EXISTS (SELECT 1 FROM delivery d WHERE d.id = m.id AND d.state = {_UNDELIVERABLE}) "
    "AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.id = m.id AND (d.open = 1 OR d.last_at > :settled)) "
    "AND NOT EXISTS (SELECT 1 FROM unrouted u WHERE u.id = m.id AND u.open = 1) ORDER BY m.n LIMIT :piece"
)
# Outcomes and attempts of notificaties that never had an entry here.
_ORPHANS = (
    "SELECT DISTINCT x.id FROM %s x WHERE x.id > :place AND x.id < :before "  # noqa: S608
    "AND NOT EXISTS (SELECT 1 FROM notificatie m WHERE m.id = x.id) "
    f"AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.id = x.id AND {_IS_KEPT}) "
    "ORDER BY x.id LIMIT :piece"
)

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of removal. select: the candidates, by their place. remove: deletes them."""

    select: str
    remove: Callable[[Database, Rows], None]


async def shed(
    file: SqliteFile, *, now: int, bodies_for: float, rows_for: float, counts_for: float, budget: int
) -> Shed:
    """As `Ledger.shed`."""
    last, older = _ago(now, BODIES_AT_MOST), _ago(now, rows_for)

    async def within_budget() -> bool:
        return await file.read(bytes_used) <= budget

    async def never() -> bool:
        return False

    bodies = await _remove(file, _BODY, _by_n(_ago(now, bodies_for), last=last), until=never)
    rows = await _remove(file, _ROW, _by_n(older), until=never)
    for kind in _ORPHAN:
        await _remove(file, kind, _by_id(older), until=never)
    counts = await file.write(lambda db: _remove_counts(db, _ago(now, counts_for)))
    await file.write(lambda db: _forget(db, process=_ago(now, PROCESS_AGE), rows=older))
    # From here on of whatever age, until the budget is kept.
    any_age = _by_n(now, last=last) | {"piece": PIECE_OVER_BUDGET}
    bodies += await _remove(file, _BODY, any_age, until=within_budget)
    rows += await _remove(file, _ROW, any_age, until=within_budget)
    given_up = _GivenUp()
    kind = _Kind(_GIVEN_UP, given_up.remove)
    over = _by_n(older) | {"piece": PIECE_OVER_BUDGET}
    rows += await _remove(file, kind, over, until=within_budget)

    def note(db: Database) -> Shed:
        size = bytes_used(db)
        db.execute("INSERT OR REPLACE INTO budget VALUES (1, ?, ?)", [budget, size > budget])
        return Shed(
            bodies=bodies,
            rows=rows,
            counts=counts,
            size=size,
            full=size > budget,
            undeliverable=given_up.removed,
        )

    return await file.write(note)


async def _remove(
    file: SqliteFile, kind: _Kind, condition: dict[str, Any], *, until: Callable[[], Awaitable[bool]]
) -> int:
    """Remove piece by piece, the oldest first, what this condition allows; returns how many."""
    removed = 0
    while not await until():
        rows = await file.read(partial(_find, kind.select, condition))
        if not rows:
            break
        # Up to the last one only: what came to be settled meanwhile has its turn in the next piece.
        again = condition | {"before": _after(rows[-1][0])}

        def remove(db: Database, again: dict[str, Any] = again) -> int:
            still = _find(kind.select, again, db)
            kind.remove(db, still)
            return len(still)

        removed += await file.write(remove)
        condition = condition | {"place": rows[-1][0]}
    return removed


def _find(select: str, condition: dict[str, Any], db: Database) -> Rows:
    return db.conn.execute(select, condition).fetchall()


def _remove_bodies(db: Database, rows: Rows) -> None:
    db.conn.executemany("DELETE FROM body WHERE n = ?", rows)
    db.conn.executemany("DELETE FROM trace WHERE n = ?", rows)


def _remove_rows(db: Database, rows: Rows) -> None:
    many = db.conn.executemany
    places, ids = [(n,) for n, _, _ in rows], [(id_,) for _, id_, _ in rows]
    _remove_bodies(db, places)
    many("DELETE FROM notificatie WHERE n = ?", places)
    for table in ("unrouted", "lane", "passed_on"):
        many(f"DELETE FROM {table} WHERE id = ?", ids)  # noqa: S608
    terms = [(term, n) for n, _, packed in rows for term in unpack_terms(packed)]
    many("DELETE FROM term WHERE t = ? AND n = ?", terms)
    _remove_deliveries(db, ids)


class _GivenUp:
    """Removes undeliverable ones, and notes in the same transaction that the ledger lacks them."""

    def __init__(self) -> None:
        self.removed: Incomplete | None = None

    def remove(self, db: Database, rows: Rows) -> None:
        """Remove these notificaties; each row ends in when it was received."""
        if not rows:
            return
        received = [row[3] for row in rows]
        _remove_rows(db, [row[:3] for row in rows])
        first, last, count = min(received), max(received), len(rows)
        if (before := self.removed) is not None:
            assert before.since is not None  # noqa: S101 - made below
            assert before.until is not None  # noqa: S101
            db.execute("DELETE FROM incomplete WHERE since = ? AND until = ?", [before.since, before.until])
            first, last = min(first, before.since), max(last, before.until)
            count += before.count or 0
        db.execute("INSERT OR REPLACE INTO incomplete VALUES (?, ?, ?)", [first, last, count])
        self.removed = Incomplete(first, last, count)


def _remove_deliveries(db: Database, ids: Rows) -> None:
    db.conn.executemany("DELETE FROM delivery WHERE id = ?", ids)
    db.conn.executemany("DELETE FROM attempt WHERE id = ?", ids)


_BODY = _Kind(_BODIES, _remove_bodies)
_ROW = _Kind(_ROWS, _remove_rows)
_ORPHAN = tuple(_Kind(_ORPHANS % table, _remove_deliveries) for table in ("delivery", "attempt"))


def _remove_counts(db: Database, before: int) -> int:
    return int(db.execute("DELETE FROM minute WHERE minute < ?", [before // MINUTE]).rowcount)


def _forget(db: Database, *, process: int, rows: int) -> None:
    """Remove what nothing refers to any more, and how long deliveries took that have no rows any more."""
    db.execute("DELETE FROM process WHERE at < ?", [process])
    db.execute("DELETE FROM took WHERE minute < ?", [rows // MINUTE])
    db.execute(
        "DELETE FROM unrouted WHERE since < ? AND NOT EXISTS "
        "(SELECT 1 FROM notificatie m WHERE m.id = unrouted.id)",
        [rows],
    )


def _by_n(settled: int, *, last: int = 0) -> dict[str, Any]:
    """Parameters: settled at `settled` at the latest, or (bodies only) received at `last` at the latest."""
    before = first_n(max(settled, last)) + SPILL
    return {"place": first_n(0), "before": before, "settled": settled, "last": last, "piece": PIECE}


def _by_id(settled: int) -> dict[str, Any]:
    return {"place": b"", "before": least_id(settled), "settled": settled, "piece": PIECE}


def _after(place: Any) -> Any:
    """The first place after this one."""
    return place + 1 if isinstance(place, int) else place + b"\0"


def _ago(now: int, seconds: float) -> int:
    return now - round(seconds * 1000)
