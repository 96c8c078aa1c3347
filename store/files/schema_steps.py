"""Carries out the schema steps (migrations) that a file lacks.

The names of the applied ones are in the file itself, so an older program sees that a newer one wrote it.
Those beside which older programs can go on are in a table of their own, `compatible_step`: a program that
does not know them, also one that is running, takes no notice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlite_utils import Database, Migrations

from store.faults import Faults

_COMPATIBLE = (
    "CREATE TABLE IF NOT EXISTS compatible_step (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL) "
    "WITHOUT ROWID"
)


def apply_steps(
    db: Database,
    file: Path,
    steps: Mapping[str, Callable[[Database], None]],
    *,
    compatible: Collection[str] = (),
    before: Callable[[set[str], Sequence[str]], None],
    faults: Faults,
) -> list[str]:
    """Do the steps that the file lacks, within the caller's transaction; returns their names.

    compatible: of those beside which a program works that does not know them. before: called first, with
    those that the file has and those that it lacks. Raises `too_new` of `faults` when the file has another
    step that is not in `steps`, and its `error` when it is another program's.
    """
    applied = {step.name for step in Migrations(faults.name).applied(db)}
    if newer := sorted(applied - steps.keys()):
        raise faults.too_new(
            f"{file} was written by a newer version of nrc (step {newer[-1]}): start that version, or "
            "restore the copy from before the upgrade."
        )
    if not applied and db.table_names():
        raise faults.error(
            f"{file} is an SQLite database of another program: point NRC_DATABASE_URL or NRC_STATE_DIR "
            "elsewhere."
        )
    applied |= _compatible_steps(db)
    pending = [key for key in steps if key not in applied]
    before(applied, pending)
    for key in pending:
        if key in compatible:
            _apply_beside(db, key, steps[key])
        else:
            one = Migrations(faults.name)
            one(name=key)(steps[key])
            one.apply(db)
    return pending


def steps_done(db: Database) -> int:
    """How many steps the file has that others must know; cheap enough for every transaction."""
    count: int = db.execute("SELECT count(*) FROM _sqlite_migrations").fetchone()[0]
    return count


def steps_in(db: Database, part: str) -> set[str]:
    """The names of all steps that a file has, also of those that others need not know. Changes nothing."""
    if "_sqlite_migrations" not in db.table_names():
        return set()
    select = "SELECT name FROM _sqlite_migrations WHERE migration_set = ?"
    return {name for (name,) in db.execute(select, [part]).fetchall()} | _compatible_steps(db)


def _compatible_steps(db: Database) -> set[str]:
    if not db["compatible_step"].exists():
        return set()
    return {name for (name,) in db.execute("SELECT name FROM compatible_step").fetchall()}


def _apply_beside(db: Database, name: str, step: Callable[[Database], None]) -> None:
    db.execute(_COMPATIBLE)
    step(db)
    db.execute("INSERT INTO compatible_step VALUES (?, ?)", [name, datetime.now(UTC).isoformat()])
