"""The table `act`: what operators did (the audit trail). Append-only: a trigger refuses other changes.

The owner of the table can drop the trigger: it is a record, not a proof.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import LiteralString

from psycopg import sql

from store.database.address import Connection
from store.postgresql.statements import first, many, rows
from store.registry import Act, ActSearch
from store.rows import act_of

_FOUND_BY = ("abonnement", "abonnementen", "application", "given_to", "kanaal", "shown")
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


async def append_acts(connection: Connection, acts: Iterable[Act]) -> None:
    """Append these, in their order; whoever writes waits for this transaction, so numbers have no gaps."""
    last = await first(connection, "SELECT coalesce(max(nr), 0) AS nr FROM act")
    assert last is not None  # noqa: S101 - an aggregate
    insert = (
        'INSERT INTO act (nr, at, act, command, "user", sudo_user, host, facts, about) '
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
    )
    await many(
        connection,
        insert,
        [
            (
                nr,
                each.at,
                each.act,
                each.command,
                each.user,
                each.sudo_user,
                each.host,
                json.dumps(dict(each.facts)),
                about_facts(each.facts),
            )
            for nr, each in enumerate(acts, last["nr"] + 1)
        ],
    )


async def acts_found(connection: Connection, search: ActSearch, *, limit: int) -> tuple[Act, ...]:
    """The newest `limit` of those found, the newest first."""
    conditions, values = list[LiteralString](["true"]), list[object]()

    def where(condition: LiteralString, *given: object) -> None:
        conditions.append(condition)
        values.extend(given)

    if search.since is not None:
        where("at >= %s", search.since)
    if search.until is not None:
        where("at < %s", search.until)
    if search.who:
        where("%s IN (\"user\", sudo_user, about ->> 'shown')", search.who)
    if search.what:
        part = "strpos(lower({}), lower(%s)) > 0"
        where(f"({part.format('act')} OR {part.format('command')})", search.what, search.what)
    if search.abonnement:
        where(
            "(about ->> 'abonnement' = %s OR jsonb_exists(about -> 'abonnementen', %s))",
            search.abonnement,
            search.abonnement,
        )
    if search.application:
        where(
            "%s IN (about ->> 'application', about ->> 'given_to')",
            search.application,
        )
    if search.before is not None:
        where("nr < %s", search.before)
    if search.kanaal:
        where("about ->> 'kanaal' = %s", search.kanaal)
    # By nr: the order in which they were noted, also when a clock was set back.
    select = sql.SQL("SELECT * FROM act WHERE {} ORDER BY nr DESC LIMIT %s").format(
        sql.SQL(" AND ").join(map(sql.SQL, conditions))
    )
    return tuple(map(act_of, await rows(connection, select, *values, limit)))


def about_facts(facts: Mapping[str, object]) -> str:
    """Facts of an act by which it is found, as jsonb has them: without NUL and halves of a character."""
    named = {name: facts[name] for name in _FOUND_BY if name in facts}
    text = json.dumps(named, ensure_ascii=False).encode(errors="replace").decode()
    return _NUL.sub(r"\1\\ufffd", text)
