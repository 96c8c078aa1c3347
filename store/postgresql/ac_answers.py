"""The table `ac_answer`: what the Autorisaties API last said of each client.

As store/sqlite/ac_answers.py. All functions run in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable

from store.database.address import Connection
from store.postgresql.statements import many, rows
from store.registry import AcAnswer

TABLE = """
    CREATE TABLE ac_answer (client_id text COLLATE "C" PRIMARY KEY, at double precision NOT NULL,
        answer text NOT NULL)
"""


async def all_answers(connection: Connection) -> tuple[AcAnswer, ...]:
    """Of every client that has one."""
    found = await rows(connection, "SELECT client_id, at, answer FROM ac_answer")
    return tuple(AcAnswer(row["client_id"], row["at"], row["answer"]) for row in found)


async def put_answers(connection: Connection, answers: Iterable[AcAnswer]) -> None:
    """Note these, where there is no later one."""
    upsert = (
        "INSERT INTO ac_answer VALUES (%s, %s, %s) ON CONFLICT (client_id) DO UPDATE SET "
        "at = excluded.at, answer = excluded.answer WHERE ac_answer.at < excluded.at"
    )
    # In one order everywhere: two gateways that lock rows in different orders would wait for each other.
    ordered = sorted(answers, key=lambda each: each.client_id)
    await many(connection, upsert, [(each.client_id, each.at, each.answer) for each in ordered])


async def forget_answers(connection: Connection, client_ids: Iterable[str]) -> None:
    """Remove those of these clients."""
    delete = "DELETE FROM ac_answer WHERE client_id = %s"
    await many(connection, delete, [(each,) for each in sorted(client_ids)])
