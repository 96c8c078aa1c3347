"""The identity of a ledger, by which an older copy that was put back is recognised.

Every few seconds the keeper increments the ledger's mark, and then notes it in the registry. A ledger whose
mark is lower than the noted one is an older copy. What is open in it may have been delivered since the copy
was made: such deliveries become UNSURE, and only an operator gives them back.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlite_utils import Database

from ledger.tables.rows import STATES, Counter
from ledger.values import Scope, State
from store.registry import NotedLedger

# One row. made, marked, unsure_until: milliseconds, by the database's clock.
TABLE = """
    CREATE TABLE instance (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, made INTEGER NOT NULL,
        mark INTEGER NOT NULL, marked INTEGER NOT NULL, unsure_until INTEGER NOT NULL);
"""

_SWEPT = tuple(STATES[state] for state in (State.PENDING, State.RETURNING, State.RETRYING))
_UNSURE = STATES[State.UNSURE]
_OLD_ROWS = (
    "abonnement IN (SELECT abonnement FROM backlog WHERE n > 0) AND open = 1 "  # noqa: S608
    f"AND state IN {_SWEPT} AND last_at <= ?"
)


@dataclass(frozen=True, slots=True)
class Instance:
    """Which ledger this is.

    id: new for each ledger that is made, and for one that `nrc restore` puts back. made: when. mark: grows
    with each marking; marked: when it was last. unsure_until: what is open and was received until then may
    have been delivered, since an older copy was put back; 0 when none ever was. Times are milliseconds.
    """

    id: UUID
    made: int
    mark: int
    marked: int
    unsure_until: int = 0

    def noted(self) -> NotedLedger:
        """What the registry notes of it."""
        return NotedLedger(self.id, self.mark, max(self.marked, self.made))


def older_than_noted(instance: Instance, noted: NotedLedger | None) -> bool:
    """Whether the ledger is a copy from before what the registry noted. Pure.

    With the same id: when its mark is lower. With another id: when it was made before the note. One that was
    made after the note replaces a lost ledger, and has nothing old in it.
    """
    if noted is None:
        return False
    if noted.instance == instance.id:
        return instance.mark < noted.mark
    return instance.made <= noted.at


def make_instance(db: Database, *, now: int) -> None:
    """Give this ledger a new id. now: milliseconds."""
    db.execute("INSERT OR REPLACE INTO instance VALUES (1, ?, ?, 0, ?, 0)", [str(uuid4()), now, now])


def instance_of(db: Database) -> Instance:
    """Which ledger this is."""
    columns = "id, made, mark, marked, unsure_until"
    id_, *numbers = db.execute(f"SELECT {columns} FROM instance").fetchone()  # noqa: S608
    return Instance(UUID(id_), *numbers)


def mark(db: Database, *, above: int, now: int) -> Instance:
    """Increment its mark, to a number greater than `above`."""
    db.execute("UPDATE instance SET mark = max(mark, ?) + 1, marked = ?", [above, now])
    return instance_of(db)


def mark_unsure(db: Database, *, until: int, now: int) -> int:
    """Make UNSURE the open deliveries whose last outcome is of `until` or before; returns how many.

    STUCK ones stay so: they are not given back either.
    """
    minute = now // 60_000
    db.execute(
        "INSERT INTO minute SELECT ?, ?, abonnement, count(*) FROM delivery "  # noqa: S608
        f"WHERE {_OLD_ROWS} GROUP BY abonnement "
        "ON CONFLICT (minute, what, who) DO UPDATE SET n = n + excluded.n",
        [minute, Counter.STATE + _UNSURE, until],
    )
    update = f"UPDATE delivery SET state = ?, next_at = NULL WHERE {_OLD_ROWS}"  # noqa: S608
    count = db.execute(update, [_UNSURE, until]).rowcount
    db.execute("UPDATE instance SET unsure_until = max(unsure_until, ?)", [until])
    return count


def make_restored(db: Database, *, detail: str, now: int) -> Instance:
    """Make this copy the ledger of a restored system, whose RabbitMQ has none of its open deliveries.

    It gets a new id, so that another copy in its place is recognised. A gap over everything is opened: once
    the router has declared all it closes that, and what is open is given back. What it was last marked
    before may be lacking. No process may use the copy yet. detail: a line for people.
    """
    copy = instance_of(db)
    make_instance(db, now=now)
    db.execute("UPDATE instance SET unsure_until = ?", [copy.unsure_until])
    db.execute("INSERT OR IGNORE INTO incomplete VALUES (?, ?, NULL)", [copy.marked, now])
    db.execute("DELETE FROM process")
    db.execute("UPDATE keeper SET until = 0")
    gap = "INSERT INTO gap (kind, scope, opened, closed, detail) VALUES (?, ?, ?, NULL, ?)"
    db.execute(gap, [Scope.EVERYTHING, "", now, detail])
    return instance_of(db)
