"""Alerts in the SQLite registry: the SQL of store/alerts.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

from sqlite_utils import Database

from schemas.alert import AlertSettings, Channel
from schemas.errors import AlertsLeaseLost
from store.alert_rows import (
    alert_of,
    alert_row,
    first_settings,
    settings_of,
    settings_rows,
    waiting_of,
    waiting_row,
)
from store.alerts import Alert, AlertLease, Certificate, Sending, Waiting
from store.files.sqlite_file import SqliteFile
from store.secrets import Vault

# value and notice are JSON, secret is encrypted or empty, moments are Unix seconds.
TABLES = """
    CREATE TABLE alert_setting (name TEXT PRIMARY KEY, value TEXT NOT NULL, secret TEXT NOT NULL);
    CREATE TABLE alert_lease (one INTEGER PRIMARY KEY CHECK (one = 1), holder TEXT NOT NULL,
        until REAL NOT NULL);
    CREATE TABLE alert (subject TEXT PRIMARY KEY, rule TEXT NOT NULL, code TEXT NOT NULL, since REAL NOT NULL,
        told INTEGER NOT NULL, told_at REAL, count INTEGER NOT NULL, over REAL, notice TEXT);
    CREATE TABLE alert_message (channel TEXT NOT NULL, subject TEXT NOT NULL, at REAL NOT NULL,
        notice TEXT NOT NULL, PRIMARY KEY (channel, subject));
    CREATE TABLE alert_sending (channel TEXT PRIMARY KEY, failing_since REAL, failures INTEGER NOT NULL,
        error TEXT NOT NULL, next_try REAL NOT NULL, last_sent REAL);
    CREATE TABLE certificate (host TEXT NOT NULL, port INTEGER NOT NULL, looked REAL NOT NULL, ends REAL,
        fault TEXT NOT NULL, PRIMARY KEY (host, port));
"""
_SET = "INSERT INTO alert_setting VALUES (:name, :value, :secret)"


class SqliteAlerts:
    """The alerts in a registry's file. clock: Unix seconds."""

    def __init__(self, file: SqliteFile, vault: Vault, *, clock: Callable[[], float]) -> None:
        self._file = file
        self._vault = vault
        self._clock = clock

    async def settings(self) -> AlertSettings:
        return await self._file.read(lambda db: _settings(db, self._vault))

    async def change_settings(self, change: Callable[[AlertSettings], AlertSettings]) -> AlertSettings:
        def work(db: Database) -> AlertSettings:
            changed = change(_settings(db, self._vault))
            db.execute("DELETE FROM alert_setting")
            db.conn.executemany(_SET, settings_rows(changed, self._vault))
            return changed

        return await self._file.write(work)

    async def take_lease(self, holder: str, *, seconds: float) -> bool:
        upsert = (
            "INSERT INTO alert_lease VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET "
            "holder = excluded.holder, until = excluded.until WHERE holder = excluded.holder OR until <= ?"
        )

        def work(db: Database) -> bool:
            now = self._clock()
            return bool(db.execute(upsert, [holder, now + seconds, now]).rowcount)

        return await self._file.write(work)

    async def release_lease(self, holder: str) -> None:
        delete = "DELETE FROM alert_lease WHERE holder = ?"
        await self._file.write(lambda db: db.execute(delete, [holder]).rowcount)

    async def lease(self) -> AlertLease | None:
        return await self._file.read(self._lease)

    def _lease(self, db: Database) -> AlertLease | None:
        row = db.execute("SELECT holder, until FROM alert_lease WHERE until > ?", [self._clock()]).fetchone()
        return None if row is None else AlertLease(*row)

    async def every(self) -> tuple[Alert, ...]:
        select = "SELECT * FROM alert ORDER BY since, subject"
        return await self._file.read(lambda db: tuple(map(alert_of, db.query(select))))

    async def note(
        self, holder: str, *, put: Sequence[Alert], gone: Sequence[str], messages: Sequence[Waiting]
    ) -> None:
        def work(db: Database) -> None:
            self._check(db, holder)
            db.conn.executemany("DELETE FROM alert WHERE subject = ?", [[each] for each in gone])
            db.table("alert").insert_all(map(alert_row, put), replace=True)
            db.table("alert_message").insert_all(map(waiting_row, messages), replace=True)

        if put or gone or messages:
            await self._file.write(work)

    async def waiting(self, channel: Channel) -> tuple[Waiting, ...]:
        select = "SELECT * FROM alert_message WHERE channel = ? ORDER BY at, subject"
        return await self._file.read(lambda db: tuple(map(waiting_of, db.query(select, [channel.value]))))

    async def sent(self, holder: str, messages: Sequence[Waiting], *, at: float) -> None:
        delete = "DELETE FROM alert_message WHERE channel = ? AND subject = ? AND at = ?"
        upsert = (
            "INSERT INTO alert_sending VALUES (?, NULL, 0, '', 0, ?) ON CONFLICT (channel) DO UPDATE SET "
            "failing_since = NULL, failures = 0, error = '', next_try = 0, last_sent = excluded.last_sent"
        )

        def work(db: Database) -> None:
            self._check(db, holder)
            db.conn.executemany(delete, [(each.channel.value, each.subject, each.at) for each in messages])
            for channel in {each.channel.value for each in messages}:
                db.execute(upsert, [channel, at])

        await self._file.write(work)

    async def failed(self, holder: str, channel: Channel, *, error: str, at: float, next_try: float) -> None:
        upsert = (
            "INSERT INTO alert_sending VALUES (?, ?, 1, ?, ?, NULL) ON CONFLICT (channel) DO UPDATE SET "
            "failing_since = coalesce(failing_since, excluded.failing_since), failures = failures + 1, "
            "error = excluded.error, next_try = excluded.next_try"
        )

        def work(db: Database) -> None:
            self._check(db, holder)
            db.execute(upsert, [channel.value, at, error, next_try])

        await self._file.write(work)

    async def drop(self, holder: str, channel: Channel, *, before: float) -> int:
        delete = "DELETE FROM alert_message WHERE channel = ? AND at < ?"

        def work(db: Database) -> int:
            self._check(db, holder)
            return int(db.execute(delete, [channel.value, before]).rowcount)

        return await self._file.write(work)

    async def sending(self) -> Mapping[Channel, Sending]:
        def work(db: Database) -> Mapping[Channel, Sending]:
            counts = dict(db.execute("SELECT channel, count(*) FROM alert_message GROUP BY 1").fetchall())
            found = {Channel(row.pop("channel")): Sending(**row) for row in db.query(_SENDING)}
            return {
                channel: replace(found.get(channel, Sending()), waiting=counts.get(channel.value, 0))
                for channel in Channel
            }

        return await self._file.read(work)

    async def certificates(self) -> tuple[Certificate, ...]:
        select = "SELECT * FROM certificate ORDER BY host, port"
        return await self._file.read(lambda db: tuple(Certificate(**row) for row in db.query(select)))

    async def note_certificates(
        self, looked: Sequence[Certificate], *, keep: frozenset[tuple[str, int]]
    ) -> None:
        insert = "INSERT OR REPLACE INTO certificate VALUES (:host, :port, :looked, :ends, :fault)"

        def work(db: Database) -> None:
            db.conn.executemany(insert, map(asdict, looked))
            known = db.execute("SELECT host, port FROM certificate").fetchall()
            db.conn.executemany(
                "DELETE FROM certificate WHERE host = ? AND port = ?",
                [key for key in known if tuple(key) not in keep],
            )

        await self._file.write(work)

    def _check(self, db: Database, holder: str) -> None:
        lease = self._lease(db)
        if lease is None or lease.holder != holder:
            raise AlertsLeaseLost("another process sends the alerts, or none does")


_SENDING = "SELECT channel, failing_since, failures, error, next_try, last_sent FROM alert_sending"


def make_settings(db: Database) -> None:
    """The settings of a registry that has none yet."""
    db.execute(_SET, first_settings())


def _settings(db: Database, vault: Vault) -> AlertSettings:
    return settings_of(db.query("SELECT * FROM alert_setting"), vault)
