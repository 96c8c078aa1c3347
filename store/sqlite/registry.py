"""The registry in a SQLite file: the SQL of every method of `store.registry.Registry`.

Each write takes the next change number in its own transaction. The file, its threads and its errors are in
store/files/sqlite_file.py, the form of a row in store/rows.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlite_utils import Database
from sqlite_utils.db import NotFoundError

from schemas.abonnement import Abonnement, Hold, State
from schemas.application import Application
from schemas.errors import Conflict, QuotaReached
from schemas.events.mapping import EventMapping
from schemas.kanaal import Kanaal, slots_for
from store.changing import changed_abonnement, changed_kanaal, given_abonnement
from store.files.host_lease import RENEWAL, boot_id
from store.files.sqlite_file import BUSY_TIMEOUT, SqliteFile
from store.registry import (
    TOMBSTONE_AGE,
    TOMBSTONES,
    AcAnswer,
    Act,
    ActSearch,
    ChangedBy,
    Changes,
    Declared,
    KanalenVersion,
    LastFailure,
    NotedLedger,
    Secrets,
    StateVersion,
)
from store.rows import (
    Row,
    abonnement_of,
    abonnement_row,
    application_of,
    application_row,
    changes_of,
    declared_of,
    declared_row,
    hold_text,
    kanaal_of,
    kanaal_row,
    mapping_in_options,
    mappings_of,
)
from store.secret_uses import SecretUses, UsedSecret, moved, noted
from store.secrets import KEYS_FILE, Vault
from store.sqlite.ac_answers import all_answers, forget_answers, put_answers
from store.sqlite.acts import acts_found, append_acts
from store.sqlite.alerts import SqliteAlerts
from store.sqlite.encrypted_columns import keys_in_use, seal_again, unreadable
from store.sqlite.kanalen_versions import begin_version, end_versions, versions_of
from store.sqlite.schema import contents
from store.sqlite.secret_uses import all_uses, put_uses, uses_of
from store.sqlite.state_versions import begin_state, end_states, states_of
from store.sqlite.users import SqliteUsers


class SqliteRegistry:
    """The registry in one file, for the processes of one host.

    vault: by default with the keys in secret.keys beside the file. boot: identifies this host, for tests.
    clock: Unix seconds. Times are in seconds.
    """

    def __init__(
        self,
        file: Path,
        *,
        vault: Vault | None = None,
        boot: str | None = None,
        busy_timeout: float = BUSY_TIMEOUT,
        renewal: float = RENEWAL,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._vault = vault or Vault((), file.with_name(KEYS_FILE))
        self._file = SqliteFile(
            file, contents(self._vault), boot=boot or boot_id(), busy_timeout=busy_timeout, renewal=renewal
        )
        self._clock = clock
        self._users = SqliteUsers(self._file)
        self._alerts = SqliteAlerts(self._file, self._vault, clock=clock)

    @property
    def users(self) -> SqliteUsers:
        return self._users

    @property
    def alerts(self) -> SqliteAlerts:
        return self._alerts

    async def __aenter__(self) -> Self:
        await self._file.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._file.__aexit__(kind, error, trace)

    async def change_number(self) -> int:
        return await self._file.read(lambda db: _counter(db)[0])

    async def wait_for_change(self, at_most: float) -> None:
        await asyncio.sleep(at_most)

    async def changes_since(self, number: int) -> Changes:
        return await self._file.read(lambda db: _changes_since(db, number, self._vault))

    async def add_kanaal(self, kanaal: Kanaal, *, quota: int | None = None) -> Kanaal:
        def work(db: Database) -> Kanaal:
            if _has_kanaal(db, kanaal.naam):
                raise Conflict(f"there is a kanaal called {kanaal.naam!r} already.")
            _check_quota(db, "kanaal", "kanalen", client_id=kanaal.client_id, quota=quota)
            slots = slots_for(kanaal.filters, kanaal.slots)
            change = _next_change(db)
            added = replace(kanaal, slots=slots, change=change)
            _insert(db, "kanaal", str(added.uuid), kanaal_row(added))
            return added

        return await self._file.write(work)

    async def update_kanaal(
        self, uuid: UUID, *, documentatie_link: str | None, filters: tuple[str, ...] | None
    ) -> Kanaal:
        def work(db: Database) -> Kanaal:
            row = _row(db, "kanaal", str(uuid))
            if row is None:
                raise Conflict(f"kanaal {uuid} is gone.")
            kanaal = changed_kanaal(
                kanaal_of(row),
                documentatie_link=documentatie_link,
                filters=filters,
                number=_next_change(db),
            )
            db.table("kanaal").update(str(uuid), kanaal_row(kanaal))
            return kanaal

        return await self._file.write(work)

    async def remove_kanaal(self, uuid: UUID) -> bool:
        def work(db: Database) -> bool:
            row = _row(db, "kanaal", str(uuid))
            if row is None or _is_referred_to(db, row["naam"]):
                return False
            self._remove(db, "kanaal", [str(uuid)], change=_next_change(db))
            return True

        return await self._file.write(work)

    async def add_abonnement(self, abonnement: Abonnement, *, quota: int | None = None) -> Abonnement:
        def work(db: Database) -> Abonnement:
            _check_kanalen(db, abonnement)
            _check_quota(db, "abonnement", "abonnementen", client_id=abonnement.client_id, quota=quota)
            change = _next_change(db)
            added = replace(abonnement, change=change, kanalen_change=change)
            row = abonnement_row(added, self._vault)
            _insert(db, "abonnement", str(added.uuid), row)
            begin_version(db, row, now=self._clock())
            begin_state(db, added, by=ChangedBy.MADE, now=self._clock())
            return added

        return await self._file.write(work)

    async def change_abonnement(self, uuid: UUID, change: Callable[[Abonnement], Abonnement]) -> Abonnement:
        def work(db: Database) -> Abonnement:
            row = _row(db, "abonnement", str(uuid))
            if row is None:
                raise Conflict(f"abonnement {uuid} is gone.")
            before = abonnement_of(row, self._vault)
            asked = change(before)
            _check_kanalen(db, asked)
            changed = changed_abonnement(before, asked, number=_next_change(db))
            row = abonnement_row(changed, self._vault)
            db.table("abonnement").update(str(uuid), row)
            if changed.kanalen_change == changed.change:
                begin_version(db, row, now=self._clock())
            if changed.state is not before.state:
                begin_state(db, changed, by=ChangedBy.OWNER, now=self._clock())
            return changed

        return await self._file.write(work)

    async def give_abonnement(self, uuid: UUID, *, to: str, keep_auth: bool = True) -> Abonnement:
        def work(db: Database) -> Abonnement:
            row = _row(db, "abonnement", str(uuid))
            if row is None:
                raise Conflict(f"abonnement {uuid} is gone.")
            if _row(db, "application", to) is None:
                raise Conflict(f"there is no application {to!r} to give it to.")
            before = abonnement_of(row, self._vault)
            if before.client_id == to:
                return before
            return self._give(db, before, to=to, keep_auth=keep_auth, change=_next_change(db))

        return await self._file.write(work)

    def _give(self, db: Database, before: Abonnement, *, to: str, keep_auth: bool, change: int) -> Abonnement:
        given = given_abonnement(before, to=to, keep_auth=keep_auth, number=change)
        db.table("abonnement").update(str(given.uuid), abonnement_row(given, self._vault))
        if given.state is not before.state:
            begin_state(db, given, by=ChangedBy.OPERATOR, now=self._clock())
        return given

    async def set_state(
        self, uuid: UUID, state: State, reason: str, *, callback_url: str | None = None
    ) -> Abonnement | None:
        def work(db: Database) -> Abonnement | None:
            row = _row(db, "abonnement", str(uuid))
            if row is None or callback_url not in (None, row["callback_url"]):
                return None
            abonnement = abonnement_of(row, self._vault)
            if (abonnement.state, abonnement.state_reason) == (state, reason):
                return abonnement
            changed = replace(
                abonnement, state=state, state_reason=reason, hold=None, change=_next_change(db)
            )
            db.table("abonnement").update(str(uuid), abonnement_row(changed, self._vault))
            by = ChangedBy.OPERATOR if callback_url is None else ChangedBy.CALLBACK
            begin_state(db, changed, by=by, now=self._clock())
            return changed

        return await self._file.write(work)

    async def set_hold(
        self, uuid: UUID, hold: Hold | None, reason: str, *, before: Hold | None, callback_url: str
    ) -> Abonnement | None:
        expected = (callback_url, State.HELD if before else State.ACTIVE, hold_text(before))

        def work(db: Database) -> Abonnement | None:
            row = _row(db, "abonnement", str(uuid))
            if row is None or (row["callback_url"], row["state"], row["hold"]) != expected:
                return None
            changed = replace(
                abonnement_of(row, self._vault),
                state=State.HELD if hold else State.ACTIVE,
                state_reason=reason,
                hold=hold,
                change=_next_change(db),
            )
            db.table("abonnement").update(str(uuid), abonnement_row(changed, self._vault))
            if changed.state != row["state"]:
                begin_state(db, changed, by=ChangedBy.CALLBACK, now=self._clock())
            return changed

        return await self._file.write(work)

    async def note_failures(self, failures: Mapping[UUID, LastFailure]) -> None:
        rows = [{"uuid": str(uuid), "at": last.at, "detail": last.detail} for uuid, last in failures.items()]

        def work(db: Database) -> None:
            db.table("failure").insert_all(rows, replace=True)
            db.execute("DELETE FROM failure WHERE uuid NOT IN (SELECT uuid FROM abonnement)")

        if rows:
            await self._file.write(work)

    async def last_failures(self) -> Mapping[UUID, LastFailure]:
        def work(db: Database) -> Mapping[UUID, LastFailure]:
            rows = db.query("SELECT * FROM failure")
            return {UUID(row["uuid"]): LastFailure(row["at"], row["detail"]) for row in rows}

        return await self._file.read(work)

    async def remove_abonnement(self, uuid: UUID) -> bool:
        def work(db: Database) -> bool:
            if _row(db, "abonnement", str(uuid)) is None:
                return False
            self._remove(db, "abonnement", [str(uuid)], change=_next_change(db))
            return True

        return await self._file.write(work)

    async def kanalen_versions(self, uuid: UUID) -> tuple[KanalenVersion, ...]:
        return await self._file.read(lambda db: versions_of(db, str(uuid)))

    async def states(self, uuid: UUID) -> tuple[StateVersion, ...]:
        return await self._file.read(lambda db: states_of(db, str(uuid)))

    async def event_mappings(self) -> Mapping[str, EventMapping]:
        return await self._file.read(lambda db: mappings_of(db.table("event_mapping").rows))

    async def set_event_mapping(self, name: str, mapping: EventMapping | None) -> bool:
        def work(db: Database) -> bool:
            row = _row(db, "event_mapping", name)
            rules = "" if mapping is None else mapping.text()
            if rules == ("" if row is None else row["rules"]):
                return False
            if mapping is None:
                uses = [mapping_in_options(name)]
                if db.table("abonnement").count_where("instr(options, ?) > 0", uses):
                    raise Conflict(f"an abonnement has the mapping {name}.")
                db.execute("DELETE FROM event_mapping WHERE name = ?", [name])
            else:
                db.table("event_mapping").upsert({"name": name, "rules": rules}, pk="name")
            _next_change(db)
            return True

        return await self._file.write(work)

    async def add_application(self, application: Application) -> Application:
        def work(db: Database) -> Application:
            if _row(db, "application", application.client_id) is not None:
                raise Conflict(f"there is an application {application.client_id!r} already.")
            added = replace(application, change=_next_change(db))
            _insert(db, "application", added.client_id, application_row(added, self._vault))
            return added

        return await self._file.write(work)

    async def change_application(
        self, client_id: str, change: Callable[[Application], Application]
    ) -> Application:
        def work(db: Database) -> Application:
            row = _row(db, "application", client_id)
            if row is None:
                raise Conflict(f"there is no application {client_id!r}.")
            before = application_of(row, self._vault)
            asked = change(before)
            changed = replace(asked, client_id=client_id, change=_next_change(db))
            put_uses(db, client_id, moved(uses_of(db, client_id), before, changed))
            db.table("application").update(client_id, application_row(changed, self._vault))
            return changed

        return await self._file.write(work)

    async def remove_application(
        self,
        client_id: str,
        *,
        with_abonnementen: bool = False,
        give_to: str | None = None,
        keep_auth: bool = True,
    ) -> tuple[UUID, ...]:
        def work(db: Database) -> tuple[UUID, ...]:
            owned = _owned_by(db, client_id)
            _check_removal(
                db, client_id, owned=len(owned), with_abonnementen=with_abonnementen, give_to=give_to
            )
            change = _next_change(db)
            if give_to is not None:
                for uuid in owned:
                    if (row := _row(db, "abonnement", uuid)) is not None:
                        before = abonnement_of(row, self._vault)
                        self._give(db, before, to=give_to, keep_auth=keep_auth, change=change)
            else:
                self._remove(db, "abonnement", owned, change=change)
            self._remove(db, "application", [client_id], change=change)
            put_uses(db, client_id, SecretUses())
            forget_answers(db, [client_id])
            return tuple(map(UUID, owned))

        return await self._file.write(work)

    async def note_secret_uses(self, uses: Iterable[UsedSecret]) -> None:
        given = tuple(uses)

        def work(db: Database) -> None:
            for each in given:
                row = _row(db, "application", each.client_id)
                if row is not None:
                    before = uses_of(db, each.client_id)
                    put_uses(db, each.client_id, noted(before, each, application_of(row, self._vault)))

        if given:
            await self._file.write(work)

    async def secret_uses(self) -> Mapping[str, SecretUses]:
        return await self._file.read(all_uses)

    async def note_ac_answers(self, answers: Iterable[AcAnswer], *, gone: Iterable[str] = ()) -> None:
        given, forgotten = tuple(answers), tuple(gone)

        def work(db: Database) -> None:
            put_answers(db, given)
            forget_answers(db, forgotten)

        if given or forgotten:
            await self._file.write(work)

    async def ac_answers(self) -> tuple[AcAnswer, ...]:
        return await self._file.read(all_answers)

    async def check_secrets(self) -> Secrets:
        def work(db: Database) -> Secrets:
            faults = tuple(unreadable(db, self._vault))
            return Secrets(self._vault.where, self._vault.key_ids, keys_in_use(db), faults)

        return await self._file.read(work)

    async def rotate_secrets(self, *, progress: Callable[[int, int], None]) -> int:
        count = await self._file.write(lambda db: seal_again(db, self._vault, progress=progress))
        await self._file.scrub()
        return count

    async def declared(self) -> tuple[Declared, ...]:
        return await self._file.read(lambda db: tuple(map(declared_of, db.query("SELECT * FROM declared"))))

    async def declared_by(self, owner: str) -> tuple[Declared, ...]:
        select = "SELECT * FROM declared WHERE owner = ?"
        return await self._file.read(lambda db: tuple(map(declared_of, db.query(select, [owner]))))

    async def note_declared(self, things: Iterable[Declared]) -> None:
        rows = [declared_row(thing) for thing in things]
        insert = "INSERT OR REPLACE INTO declared VALUES (:kind, :key, :owner, :orphan_since)"
        if rows:
            await self._file.write(lambda db: db.conn.executemany(insert, rows))

    async def forget_declared(self, things: Iterable[Declared]) -> None:
        keys = [(thing.kind.value, thing.key) for thing in things]
        delete = "DELETE FROM declared WHERE kind = ? AND key = ?"
        if keys:
            await self._file.write(lambda db: db.conn.executemany(delete, keys))

    async def note_acts(self, acts: Iterable[Act]) -> None:
        given = tuple(acts)
        if given:
            await self._file.write(lambda db: append_acts(db, given))

    async def acts(self, search: ActSearch, *, limit: int) -> tuple[Act, ...]:
        return await self._file.read(lambda db: acts_found(db, search, limit=limit))

    async def note_ledger(self, noted: NotedLedger) -> None:
        upsert = (
            "INSERT INTO ledger VALUES (1, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET "
            "instance = excluded.instance, mark = excluded.mark, at = excluded.at "
            "WHERE instance != excluded.instance OR mark < excluded.mark"
        )
        values = [str(noted.instance), noted.mark, noted.at]
        await self._file.write(lambda db: db.execute(upsert, values).rowcount)

    async def noted_ledger(self) -> NotedLedger | None:
        def work(db: Database) -> NotedLedger | None:
            row = db.execute("SELECT instance, mark, at FROM ledger").fetchone()
            return None if row is None else NotedLedger(UUID(row[0]), row[1], row[2])

        return await self._file.read(work)

    def _remove(self, db: Database, kind: str, keys: list[str], *, change: int) -> None:
        """Remove rows and keep a tombstone of each; remove old tombstones."""
        now = self._clock()
        table = db.table(kind)
        for key in keys:
            table.delete(key)
            db.execute("INSERT OR REPLACE INTO removed VALUES (?, ?, ?, ?)", [kind, key, change, now])
        if kind == "abonnement":
            end_versions(db, keys, now=now)
            end_states(db, keys, now=now)
        forgotten = db.execute(
            "SELECT max(change) FROM removed WHERE at < ? OR change <= "
            "(SELECT change FROM removed ORDER BY change DESC LIMIT 1 OFFSET ?)",
            [now - TOMBSTONE_AGE, TOMBSTONES],
        ).fetchone()[0]
        if forgotten is not None:
            db.execute("DELETE FROM removed WHERE change <= ?", [forgotten])
            db.execute("UPDATE counter SET forgotten = max(forgotten, ?)", [forgotten])


def _counter(db: Database) -> tuple[int, int]:
    """(number of the last change, number up to which tombstones were removed)."""
    change, forgotten = db.execute("SELECT change, forgotten FROM counter").fetchone()
    return change, forgotten


def _next_change(db: Database) -> int:
    db.execute("UPDATE counter SET change = change + 1")
    return _counter(db)[0]


def _changes_since(db: Database, number: int, vault: Vault) -> Changes:
    last, forgotten = _counter(db)
    if number == last > 0:  # the usual case, at every delivery
        return Changes(number=last)
    whole = number <= 0 or number < forgotten or number > last
    after = [0 if whole else number]

    def changed(table: str) -> Iterable[Row]:
        return db.table(table).rows_where("change > ?", after)

    tables = ("kanaal", "abonnement", "application")
    return changes_of(
        last,
        whole=whole,
        vault=vault,
        changed={table: changed(table) for table in tables},
        removed=changed("removed"),
        mappings=db.table("event_mapping").rows,
    )


def _row(db: Database, table: str, key: str) -> Row | None:
    """The row with this primary key, or None."""
    try:
        return db.table(table).get(key)
    except NotFoundError:
        return None


def _insert(db: Database, kind: str, key: str, row: Row) -> None:
    """Insert a row, and remove the tombstone of its key."""
    db.table(kind).insert(row)
    db.execute("DELETE FROM removed WHERE kind = ? AND key = ?", [kind, key])


def _owned_by(db: Database, client_id: str) -> list[str]:
    rows = db.table("abonnement").rows_where("client_id = ?", [client_id], select="uuid", order_by="uuid")
    return [row["uuid"] for row in rows]


def _has_kanaal(db: Database, naam: str) -> bool:
    return db.table("kanaal").count_where("naam = ?", [naam]) > 0


def _check_quota(db: Database, table: str, what: str, *, client_id: str, quota: int | None) -> None:
    """Raise QuotaReached when this application has `quota` already; None is any number."""
    if quota is not None and db.table(table).count_where("client_id = ?", [client_id]) >= quota:
        raise QuotaReached(what, quota)


def _check_kanalen(db: Database, abonnement: Abonnement) -> None:
    for naam in dict.fromkeys(group.naam for group in abonnement.kanalen):
        if not _has_kanaal(db, naam):
            raise Conflict(f"there is no kanaal called {naam!r}.")


def _is_referred_to(db: Database, naam: str) -> bool:
    select = (
        "SELECT 1 FROM abonnement, json_each(abonnement.kanalen) AS item "
        "WHERE json_extract(item.value, '$.naam') = ? LIMIT 1"
    )
    return db.execute(select, [naam]).fetchone() is not None


def _check_removal(
    db: Database, client_id: str, *, owned: int, with_abonnementen: bool, give_to: str | None
) -> None:
    if _row(db, "application", client_id) is None:
        raise Conflict(f"there is no application {client_id!r}.")
    if give_to is not None and (give_to == client_id or _row(db, "application", give_to) is None):
        raise Conflict(f"there is no other application {give_to!r} to give its abonnementen to.")
    if owned and not with_abonnementen and give_to is None:
        raise Conflict(f"application {client_id!r} owns {owned} abonnement(en).")
