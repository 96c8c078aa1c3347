"""An Open Notificaties at work on a database of its shape: an API that accepts, and workers that deliver.

Of it only what a move meets: an accepted notificatie is a row for each abonnement that it is for, in one
transaction; a worker marks a row, POSTs it, and removes it at a 2xx. API and workers start and stop apart.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import psycopg
from aiohttp import web
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.databases.open_notificaties import OpenNotificaties

PAUSE = 0.05  # seconds between two looks of a worker
LATER = "now() + interval '3 seconds'"  # when what failed is tried again

_ACCEPTED = """
WITH accepted AS (
    INSERT INTO datamodel_notificatie (forwarded_msg, kanaal_id)
    SELECT %(body)s, id FROM datamodel_kanaal WHERE naam = %(kanaal)s RETURNING id, kanaal_id
)
INSERT INTO datamodel_schedulednotification
    (type, task_args, execute_after, attempt, task_attempt, in_progress, notificatie_id, sub_id)
SELECT DISTINCT 'notification', %(body)s::jsonb, now(), 1, 0, false, accepted.id, g.abonnement_id
FROM accepted JOIN datamodel_filtergroup g USING (kanaal_id)
WHERE NOT EXISTS (
    SELECT FROM datamodel_filter f WHERE f.filter_group_id = g.id
    AND %(body)s::jsonb -> 'kenmerken' ->> f.key <> f.value
)
"""
_NEXT = """
UPDATE datamodel_schedulednotification SET in_progress = true WHERE id = (
    SELECT id FROM datamodel_schedulednotification
    WHERE NOT in_progress AND execute_after <= now() ORDER BY execute_after LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id, task_args, sub_id
"""
_DONE = "DELETE FROM datamodel_schedulednotification WHERE id = %s"
_FAILED = (
    "UPDATE datamodel_schedulednotification SET in_progress = false, task_attempt = task_attempt + 1, "
    f"execute_after = {LATER} WHERE id = %s"
)


class AtWork:
    """One of these. there: its database, which it reaches by connections of its own."""

    def __init__(self, there: OpenNotificaties) -> None:
        self._url, _, self._schema = there.url.partition("schema=")
        self._runner: web.AppRunner | None = None
        self._workers: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._database: psycopg.AsyncConnection[Any] | None = None

    async def start_api(self) -> str:
        """The root of its API, at an address that is new each time."""
        self._database = await self._connect()
        app = web.Application()
        app.router.add_post("/api/v1/notificaties", self._accept)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}/api/v1"

    async def stop_api(self) -> None:
        """What was asked is answered first."""
        assert self._runner is not None
        await self._runner.cleanup()
        self._runner = None
        assert self._database is not None
        await self._database.close()

    def start_workers(self) -> None:
        self._stopping.clear()
        self._workers = asyncio.create_task(self._work())

    async def stop_workers(self) -> None:
        """What is under way is finished first, as by SIGTERM."""
        assert self._workers is not None
        self._stopping.set()
        await self._workers
        self._workers = None

    async def close(self) -> None:
        """All of it has stopped."""
        if self._workers is not None:
            await self.stop_workers()
        if self._runner is not None:
            await self.stop_api()

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(self._url.rstrip("?&"), autocommit=True)
        await connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(self._schema)))
        return connection

    async def _accept(self, request: web.Request) -> web.Response:
        body: Mapping[str, Any] = await request.json()
        assert self._database is not None
        await self._database.execute(_ACCEPTED, {"body": Jsonb(body), "kanaal": body["kanaal"]})
        return web.json_response(body, status=201)

    async def _work(self) -> None:
        async with await self._connect() as database, aiohttp.ClientSession() as session:
            while not self._stopping.is_set():
                found = await (await database.execute(_NEXT)).fetchone()
                if found is None:
                    await asyncio.sleep(PAUSE)
                    continue
                number, body, sub = found
                done = await _post(session, database, body, sub)
                await database.execute(_DONE if done else _FAILED, [number])


async def _post(
    session: aiohttp.ClientSession, database: psycopg.AsyncConnection[Any], body: Any, sub: int
) -> bool:
    of = await database.execute("SELECT callback_url, auth FROM datamodel_abonnement WHERE id = %s", [sub])
    found = await of.fetchone()
    assert found is not None
    headers = {"Authorization": found[1], "Content-Type": "application/json"}
    try:
        async with session.post(found[0], data=json.dumps(body), headers=headers) as answer:
            return answer.ok
    except aiohttp.ClientError:
        return False
