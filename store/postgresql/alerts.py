"""Alerts in the PostgreSQL registry: the SQL of store/alerts.py.

Whoever sends locks the row of the lease first, so that no other can take it in the middle of a transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from schemas.alert import AlertSettings, Channel
from schemas.errors import AlertsLeaseLost
from store.alert_rows import alert_of, alert_row, settings_of, settings_rows, waiting_of, waiting_row
from store.alerts import Alert, AlertLease, Certificate, Sending, Waiting
from store.database.address import Connection
from store.database.database import Database
from store.postgresql.schema import LOCK
from store.postgresql.statements import do, first, insert, many, rows
from store.secrets import Vault


class PostgresqlAlerts:
    """The alerts in a registry's database. clock: Unix seconds."""

    def __init__(self, database: Database, vault: Vault, *, clock: Callable[[], float]) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock

    async def settings(self) -> AlertSettings:
        return await self._database.read(self._settings)

    async def _settings(self, connection: Connection) -> AlertSettings:
        found = await rows(connection, "SELECT * FROM alert_setting")
        return await asyncio.to_thread(settings_of, found, self._vault)

    async def change_settings(self, change: Callable[[AlertSettings], AlertSettings]) -> AlertSettings:
        async def work(connection: Connection) -> AlertSettings:
            changed = await asyncio.to_thread(change, await self._settings(connection))
            await do(connection, "DELETE FROM alert_setting")
            for row in await asyncio.to_thread(settings_rows, changed, self._vault):
                await insert(connection, "alert_setting", row)
            return changed

        return await self._database.write(work, lock=LOCK)

    async def take_lease(self, holder: str, *, seconds: float) -> bool:
        async def work(connection: Connection) -> bool:
            now = self._clock()
            upsert = (
                "INSERT INTO alert_lease VALUES (1, %s, %s) ON CONFLICT (one) DO UPDATE SET "
                "holder = excluded.holder, until = excluded.until "
                "WHERE alert_lease.holder = excluded.holder OR alert_lease.until <= %s"
            )
            return bool(await do(connection, upsert, holder, now + seconds, now))

        return await self._database.write(work, repeatable=True)

    async def release_lease(self, holder: str) -> None:
        async def work(connection: Connection) -> None:
            await do(connection, "DELETE FROM alert_lease WHERE holder = %s", holder)

        await self._database.write(work, repeatable=True)

    async def lease(self) -> AlertLease | None:
        async def work(connection: Connection) -> AlertLease | None:
            select = "SELECT holder, until FROM alert_lease WHERE until > %s"
            row = await first(connection, select, self._clock())
            return None if row is None else AlertLease(**row)

        return await self._database.read(work)

    async def every(self) -> tuple[Alert, ...]:
        async def work(connection: Connection) -> tuple[Alert, ...]:
            return tuple(map(alert_of, await rows(connection, "SELECT * FROM alert ORDER BY since, subject")))

        return await self._database.read(work)

    async def note(
        self, holder: str, *, put: Sequence[Alert], gone: Sequence[str], messages: Sequence[Waiting]
    ) -> None:
        async def work(connection: Connection) -> None:
            await self._check(connection, holder)
            forgotten = [*gone, *(each.subject for each in put)]
            await do(connection, "DELETE FROM alert WHERE subject = ANY(%s)", forgotten)
            for alert in put:
                await insert(connection, "alert", alert_row(alert))
            upsert = (
                "INSERT INTO alert_message (channel, subject, at, notice) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT (channel, subject) DO UPDATE SET at = excluded.at, notice = excluded.notice"
            )
            made = map(waiting_row, messages)
            values = [(each["channel"], each["subject"], each["at"], each["notice"]) for each in made]
            await many(connection, upsert, values)

        if put or gone or messages:
            await self._database.write(work)

    async def waiting(self, channel: Channel) -> tuple[Waiting, ...]:
        async def work(connection: Connection) -> tuple[Waiting, ...]:
            select = "SELECT * FROM alert_message WHERE channel = %s ORDER BY at, subject"
            return tuple(map(waiting_of, await rows(connection, select, channel.value)))

        return await self._database.read(work)

    async def sent(self, holder: str, messages: Sequence[Waiting], *, at: float) -> None:
        async def work(connection: Connection) -> None:
            await self._check(connection, holder)
            delete = "DELETE FROM alert_message WHERE channel = %s AND subject = %s AND at = %s"
            keys = [(each.channel.value, each.subject, each.at) for each in messages]
            await many(connection, delete, keys)
            upsert = (
                "INSERT INTO alert_sending VALUES (%s, NULL, 0, '', 0, %s) ON CONFLICT (channel) DO UPDATE "
                "SET failing_since = NULL, failures = 0, error = '', next_try = 0, "
                "last_sent = excluded.last_sent"
            )
            for channel in {each.channel.value for each in messages}:
                await do(connection, upsert, channel, at)

        await self._database.write(work)

    async def failed(self, holder: str, channel: Channel, *, error: str, at: float, next_try: float) -> None:
        async def work(connection: Connection) -> None:
            await self._check(connection, holder)
            upsert = (
                "INSERT INTO alert_sending VALUES (%s, %s, 1, %s, %s, NULL) ON CONFLICT (channel) DO UPDATE "
                "SET failing_since = coalesce(alert_sending.failing_since, excluded.failing_since), "
                "failures = alert_sending.failures + 1, error = excluded.error, next_try = excluded.next_try"
            )
            await do(connection, upsert, channel.value, at, error, next_try)

        await self._database.write(work)

    async def drop(self, holder: str, channel: Channel, *, before: float) -> int:
        async def work(connection: Connection) -> int:
            await self._check(connection, holder)
            delete = "DELETE FROM alert_message WHERE channel = %s AND at < %s"
            return await do(connection, delete, channel.value, before)

        return await self._database.write(work)

    async def sending(self) -> Mapping[Channel, Sending]:
        async def work(connection: Connection) -> Mapping[Channel, Sending]:
            count = "SELECT channel, count(*) AS count FROM alert_message GROUP BY channel"
            counts = {row["channel"]: row["count"] for row in await rows(connection, count)}
            found = {
                Channel(row.pop("channel")): Sending(**row)
                for row in await rows(connection, "SELECT * FROM alert_sending")
            }
            return {
                each: replace(found.get(each, Sending()), waiting=counts.get(each.value, 0))
                for each in Channel
            }

        return await self._database.read(work)

    async def certificates(self) -> tuple[Certificate, ...]:
        async def work(connection: Connection) -> tuple[Certificate, ...]:
            found = await rows(connection, "SELECT * FROM certificate ORDER BY host, port")
            return tuple(Certificate(**row) for row in found)

        return await self._database.read(work)

    async def note_certificates(
        self, looked: Sequence[Certificate], *, keep: frozenset[tuple[str, int]]
    ) -> None:
        async def work(connection: Connection) -> None:
            upsert = (
                "INSERT INTO certificate (host, port, looked, ends, fault) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (host, port) DO UPDATE SET looked = excluded.looked, ends = excluded.ends, "
                "fault = excluded.fault"
            )
            values = [(each.host, each.port, each.looked, each.ends, each.fault) for each in looked]
            await many(connection, upsert, values)
            known = await rows(connection, "SELECT host, port FROM certificate")
            gone = [key for row in known if (key := (row["host"], row["port"])) not in keep]
            await many(connection, "DELETE FROM certificate WHERE host = %s AND port = %s", gone)

        await self._database.write(work, repeatable=True)

    async def _check(self, connection: Connection, holder: str) -> None:
        select = "SELECT 1 FROM alert_lease WHERE holder = %s AND until > %s FOR UPDATE"
        if await first(connection, select, holder, self._clock()) is None:
            raise AlertsLeaseLost("another process sends the alerts, or none does")
