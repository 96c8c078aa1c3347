"""The table `secret_use`: when the secrets of an application were last used, and from where.

As store/sqlite/secret_uses.py. All functions run in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping

from store.database.address import Connection
from store.postgresql.statements import do, rows
from store.rows import Row
from store.secret_uses import SecretUse, SecretUses


async def uses_of(connection: Connection, client_id: str) -> SecretUses:
    """Those of one application."""
    found = await rows(connection, "SELECT * FROM secret_use WHERE client_id = %s", client_id)
    return _uses(found[0]) if found else SecretUses()


async def all_uses(connection: Connection) -> Mapping[str, SecretUses]:
    """By client_id, of all applications that have any."""
    return {row["client_id"]: _uses(row) for row in await rows(connection, "SELECT * FROM secret_use")}


async def put_uses(connection: Connection, client_id: str, uses: SecretUses) -> None:
    """Replace those of one application; without any its row goes."""
    await do(connection, "DELETE FROM secret_use WHERE client_id = %s", client_id)
    if uses != SecretUses():
        values = (client_id, *_columns(uses.new), *_columns(uses.old))
        await do(connection, "INSERT INTO secret_use VALUES (%s, %s, %s, %s, %s, %s, %s)", *values)


def _uses(row: Row) -> SecretUses:
    def use(which: str) -> SecretUse | None:
        at = row[f"{which}_at"]
        return None if at is None else SecretUse(at, row[f"{which}_remote"], row[f"{which}_agent"])

    return SecretUses(use("new"), use("old"))


def _columns(use: SecretUse | None) -> tuple[float | None, str, str]:
    return (None, "", "") if use is None else (use.at, use.remote, use.agent.replace("\x00", "\ufffd"))
