"""The table `act`: what operators did (the audit trail). Append-only: triggers refuse other changes.

An act is kept for ever: it takes some 300 bytes, so a thousand a day are 0.1 GB in a year. Anyone who may
write the file can also drop the triggers: it is a record, not a proof.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlite_utils import Database

from store.registry import Act, ActSearch
from store.rows import act_of

# SQLite sets `nr`. The third trigger is for INSERT OR REPLACE, which fires no DELETE trigger.
TABLE = """
    CREATE TABLE act (nr INTEGER PRIMARY KEY, at REAL NOT NULL, act TEXT NOT NULL, command TEXT NOT NULL,
        user TEXT NOT NULL, sudo_user TEXT NOT NULL, host TEXT NOT NULL, facts TEXT NOT NULL);
    CREATE TRIGGER act_is_not_changed BEFORE UPDATE ON act
        BEGIN SELECT RAISE(ABORT, 'what operators did is only appended to'); END;
    CREATE TRIGGER act_is_not_removed BEFORE DELETE ON act
        BEGIN SELECT RAISE(ABORT, 'what operators did is only appended to'); END;
    CREATE TRIGGER act_is_not_replaced BEFORE INSERT ON act
        WHEN EXISTS (SELECT 1 FROM act WHERE nr = NEW.nr)
        BEGIN SELECT RAISE(ABORT, 'what operators did is only appended to'); END;
"""


def append_acts(db: Database, acts: Iterable[Act]) -> None:
    """Append these, in their order."""
    insert = "INSERT INTO act (at, act, command, user, sudo_user, host, facts) VALUES (?, ?, ?, ?, ?, ?, ?)"
    rows = (
        (each.at, each.act, each.command, each.user, each.sudo_user, each.host, json.dumps(dict(each.facts)))
        for each in acts
    )
    db.conn.executemany(insert, rows)


def acts_found(db: Database, search: ActSearch, *, limit: int) -> tuple[Act, ...]:
    """The newest `limit` of those found, the newest first."""
    conditions, values = ["1"], list[object]()

    def where(condition: str, *given: object) -> None:
        conditions.append(condition)
        values.extend(given)

    if search.since is not None:
        where("at >= ?", search.since)
    if search.until is not None:
        where("at < ?", search.until)
    if search.who:
        where("? IN (user, sudo_user, json_extract(facts, '$.shown'))", search.who)
    if search.what:
        where("(instr(lower(act), lower(?)) OR instr(lower(command), lower(?)))", search.what, search.what)
    if search.abonnement:
        where(
            "(json_extract(facts, '$.abonnement') = ? OR "
            "EXISTS (SELECT 1 FROM json_each(facts, '$.abonnementen') WHERE value = ?))",
            search.abonnement,
            search.abonnement,
        )
    if search.application:
        where(
            "? IN (json_extract(facts, '$.application'), json_extract(facts, '$.given_to'))",
            search.application,
        )
    if search.before is not None:
        where("nr < ?", search.before)
    if search.kanaal:
        where("json_extract(facts, '$.kanaal') = ?", search.kanaal)
    # By nr: the order in which they were noted, also when a clock was set back.
    select = f"SELECT * FROM act WHERE {' AND '.join(conditions)} ORDER BY nr DESC LIMIT ?"  # noqa: S608
    return tuple(map(act_of, db.query(select, [*values, limit])))
