"""The table `secret_use`: when the secrets of an application were last used, and from where.

A row is there once one of them was used. All functions run in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlite_utils import Database

from store.secret_uses import SecretUse, SecretUses

# at in Unix seconds; NULL of one that was not used.
TABLE = """
    CREATE TABLE secret_use (client_id TEXT PRIMARY KEY,
        new_at REAL, new_remote TEXT NOT NULL, new_agent TEXT NOT NULL,
        old_at REAL, old_remote TEXT NOT NULL, old_agent TEXT NOT NULL) WITHOUT ROWID;
"""

_Columns = tuple[float | None, str, str]


def uses_of(db: Database, client_id: str) -> SecretUses:
    """Those of one application."""
    return all_uses(db, "WHERE client_id = ?", client_id).get(client_id, SecretUses())


def all_uses(db: Database, where: str = "", *values: str) -> Mapping[str, SecretUses]:
    """By client_id, of all applications that have any."""
    rows = db.execute(f"SELECT * FROM secret_use {where}", values)  # noqa: S608
    return {row[0]: SecretUses(_use(row[1:4]), _use(row[4:7])) for row in rows}


def put_uses(db: Database, client_id: str, uses: SecretUses) -> None:
    """Replace those of one application; without any its row goes."""
    if uses == SecretUses():
        db.execute("DELETE FROM secret_use WHERE client_id = ?", [client_id])
        return
    values = [client_id, *_columns(uses.new), *_columns(uses.old)]
    db.execute("INSERT OR REPLACE INTO secret_use VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def _use(columns: _Columns) -> SecretUse | None:
    at, remote, agent = columns
    return None if at is None else SecretUse(at, remote, agent)


def _columns(use: SecretUse | None) -> _Columns:
    return (None, "", "") if use is None else (use.at, use.remote, use.agent)
