"""The table `ac_answer`: what the Autorisaties API last said of each client.

All functions run in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlite_utils import Database

from store.registry import AcAnswer

# at in Unix seconds; answer is JSON of gateway/autorisaties.
TABLE = """
    CREATE TABLE ac_answer (client_id TEXT PRIMARY KEY, at REAL NOT NULL, answer TEXT NOT NULL) WITHOUT ROWID
"""


def all_answers(db: Database) -> tuple[AcAnswer, ...]:
    """Of every client that has one."""
    return tuple(AcAnswer(*row) for row in db.execute("SELECT client_id, at, answer FROM ac_answer"))


def put_answers(db: Database, answers: Iterable[AcAnswer]) -> None:
    """Note these, where there is no later one."""
    upsert = (
        "INSERT INTO ac_answer VALUES (?, ?, ?) ON CONFLICT (client_id) DO UPDATE SET "
        "at = excluded.at, answer = excluded.answer WHERE at < excluded.at"
    )
    db.conn.executemany(upsert, [(each.client_id, each.at, each.answer) for each in answers])


def forget_answers(db: Database, client_ids: Iterable[str]) -> None:
    """Remove those of these clients."""
    db.conn.executemany("DELETE FROM ac_answer WHERE client_id = ?", [(each,) for each in client_ids])
