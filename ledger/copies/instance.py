"""Which ledger this is, so that yesterday's copy of it is told from it.

The keeper marks the ledger (a number that grows) every few seconds, and then notes that in the registry. A
ledger with a lower mark than was noted is an older copy that was put back. What is open in it may have been
delivered since: such rows become UNSURE, and nothing gives them back but an operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlite_utils import Database

from ledger.sqlite.rows import STATES, Counter
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

    id: another for each ledger that is made, and for one that `nrc restore` puts back. made: when. mark: how
    often it was marked; marked: when last. unsure_until: what was received until then and is open may have
    been delivered since, as an older copy was put back; 0 when that never was. Times are milliseconds.
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

    The same ledger when its mark is lower. Another one when it was made before the note: one that was made
    after it took the place of a ledger that was lost, and has nothing old in it.
    """
    if noted is None:
        return False
    if noted.instance == instance.id:
        return instance.mark < noted.mark
    return instance.made <= noted.at


def make_instance(db: Database, *, now: int) -> None:
    """This is a ledger of its own from now on (milliseconds)."""
    db.execute("INSERT OR REPLACE INTO instance VALUES (1, ?, ?, 0, ?, 0)", [str(uuid4()), now, now])


def instance_of(db: Database) -> Instance:
    """Which ledger this is."""
    columns = "id, made, mark, marked, unsure_until"
    id_, *numbers = db.execute(f"SELECT {columns} FROM instance").fetchone()  # noqa: S608
    return Instance(UUID(id_), *numbers)


def mark(db: Database, *, above: int, now: int) -> Instance:
    """Mark it once more, with a number greater than `above`."""
    db.execute("UPDATE instance SET mark = max(mark, ?) + 1, marked = ?", [above, now])
    return instance_of(db)


def doubt(db: Database, *, until: int, now: int) -> int:
    """Make UNSURE what is open with its last account of `until` or before; returns how many.

    One that is STUCK stays so: nothing gives it back either.
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
    """Make a copy the ledger of a system that begins with it: RabbitMQ has nothing of what is open in it.

    A ledger of its own, so that one that is put back in its place is told from it. A gap over everything
    brings out what is open: the router closes it once all stands. Nobody works with it yet. detail: a line
    for people.
    """
    unsure_until = instance_of(db).unsure_until
    make_instance(db, now=now)
    db.execute("UPDATE instance SET unsure_until = ?", [unsure_until])
    db.execute("DELETE FROM process")
    db.execute("UPDATE keeper SET until = 0")
    gap = "INSERT INTO gap (kind, scope, opened, closed, detail) VALUES (?, ?, ?, NULL, ?)"
    db.execute(gap, [Scope.EVERYTHING, "", now, detail])
    return instance_of(db)
