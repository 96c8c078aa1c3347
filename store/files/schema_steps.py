"""Carries out the schema steps (migrations) that a file lacks.

The names of the applied ones are in the file itself, so an older program sees that a newer one wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sqlite_utils import Database, Migrations

from store.faults import Faults


def apply_steps(
    db: Database,
    file: Path,
    steps: Mapping[str, Callable[[Database], None]],
    *,
    before: Callable[[set[str], Sequence[str]], None],
    faults: Faults,
) -> list[str]:
    """Do the steps that the file lacks, within the caller's transaction; returns their names.

    before: called first, with those that the file has and those that it lacks. Raises `too_new` of `faults`
    when the file has a step that is not in `steps`, and its `error` when it is another program's.
    """
    migrations = Migrations(faults.name)
    for key, step in steps.items():
        migrations(name=key)(step)
    applied = {step.name for step in migrations.applied(db)}
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
    pending = [key for key in steps if key not in applied]
    before(applied, pending)
    if pending:
        migrations.apply(db)
    return pending


def steps_done(db: Database) -> int:
    """How many steps the file has; cheap enough for every transaction."""
    count: int = db.execute("SELECT count(*) FROM _sqlite_migrations").fetchone()[0]
    return count
