"""The registry in a PostgreSQL database: the SQL of every method of `store.registry.Registry`.

Whoever writes locks the counter first, so writes come one after another, and a copy that has seen a change
number has seen all before it. Connections, retries and errors are store/database's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import LiteralString, Self, TypeVar
from uuid import UUID

from psycopg import sql

from schemas.abonnement import Abonnement, Hold, State
from schemas.application import Application
from schemas.errors import Conflict, QuotaReached
from schemas.events.mapping import EventMapping
from schemas.kanaal import Kanaal, slots_for
from store.changing import changed_abonnement, changed_kanaal, given_abonnement
from store.database.address import Address, Connection
from store.database.database import PATIENCE, Contents, Database
from store.database.listening import Listener
from store.faults import REGISTRY
from store.postgresql.ac_answers import all_answers, forget_answers, put_answers
from store.postgresql.acts import acts_found, append_acts
from store.postgresql.alerts import PostgresqlAlerts
from store.postgresql.encrypted_columns import key_of_mark, keys_in_use, seal_again, set_mark, unreadable
from store.postgresql.kanalen_versions import begin_version, end_versions, versions_of
from store.postgresql.schema import LOCK, NEXT_CHANGE, STEPS
from store.postgresql.secret_uses import all_uses, put_uses, uses_of
from store.postgresql.state_versions import begin_state, end_states, states_of
from store.postgresql.statements import do, first, insert, many, rows, update
from store.postgresql.users import PostgresqlUsers
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
from store.secrets import Vault

MANY = 100
"""Changed rows that are read in another thread: each takes some 30 µs."""

T = TypeVar("T")
_TABLES: tuple[LiteralString, ...] = ("kanaal", "abonnement", "application", "removed")


class PostgresqlRegistry:
    """The registry in one schema of a database, for the processes of any number of hosts.

    vault: with the same keys on every host. clock: Unix seconds. Times are in seconds.
    """

    def __init__(
        self,
        address: Address,
        *,
        vault: Vault,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._vault = vault
        self._clock = clock
        self._database = Database(
            address, Contents(REGISTRY, STEPS, before=self._open_vault, after=self._mark), patience=patience
        )
        self._channel = f"{address.schema}.registry"
        self._listener = Listener(address, self._channel)
        self._users = PostgresqlUsers(self._database)
        self._alerts = PostgresqlAlerts(self._database, vault, clock=clock)

    @property
    def users(self) -> PostgresqlUsers:
        return self._users

    @property
    def alerts(self) -> PostgresqlAlerts:
        return self._alerts

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._listener.close()
        await self._database.__aexit__(kind, error, trace)

    async def change_number(self) -> int:
        return (await self._database.read(_counter))[0]

    async def wait_for_change(self, at_most: float) -> None:
        await self._listener.wait(at_most)

    async def changes_since(self, number: int) -> Changes:
        async def work(connection: Connection) -> Changes:
            last, forgotten = await _counter(connection)
            if number == last > 0:  # the usual case
                return Changes(number=last)
            whole = number <= 0 or number < forgotten or number > last
            found = {
                table: await rows(
                    connection,
                    sql.SQL("SELECT * FROM {} WHERE change > %s ORDER BY change").format(
                        sql.Identifier(table)
                    ),
                    0 if whole else number,
                )
                for table in _TABLES
            }
            mappings = await rows(connection, "SELECT name, rules FROM event_mapping")

            def changes() -> Changes:
                return changes_of(
                    last,
                    whole=whole,
                    vault=self._vault,
                    changed=found,
                    removed=found["removed"],
                    mappings=mappings,
                )

            if sum(map(len, found.values())) < MANY:
                return changes()
            return await asyncio.to_thread(changes)

        return await self._database.read(work)

    async def add_kanaal(self, kanaal: Kanaal, *, quota: int | None = None) -> Kanaal:
        async def work(connection: Connection) -> Kanaal:
            if await _has_kanaal(connection, kanaal.naam):
                raise Conflict(f"there is a kanaal called {kanaal.naam!r} already.")
            await _check_quota(connection, "kanaal", "kanalen", client_id=kanaal.client_id, quota=quota)
            slots = slots_for(kanaal.filters, kanaal.slots)
            added = replace(kanaal, slots=slots, change=await self._next_change(connection))
            await _insert(connection, "kanaal", str(added.uuid), kanaal_row(added))
            return added

        return await self._write(work)

    async def update_kanaal(
        self, uuid: UUID, *, documentatie_link: str | None, filters: tuple[str, ...] | None
    ) -> Kanaal:
        async def work(connection: Connection) -> Kanaal:
            row = await _row(connection, "kanaal", str(uuid))
            if row is None:
                raise Conflict(f"kanaal {uuid} is gone.")
            kanaal = changed_kanaal(
                kanaal_of(row),
                documentatie_link=documentatie_link,
                filters=filters,
                number=await self._next_change(connection),
            )
            await update(connection, "kanaal", "uuid", kanaal_row(kanaal))
            return kanaal

        return await self._write(work)

    async def remove_kanaal(self, uuid: UUID) -> bool:
        async def work(connection: Connection) -> bool:
            row = await _row(connection, "kanaal", str(uuid))
            if row is None or await _is_referred_to(connection, row["naam"]):
                return False
            change = await self._next_change(connection)
            await self._remove(connection, "kanaal", [str(uuid)], change=change)
            return True

        return await self._write(work)

    async def add_abonnement(self, abonnement: Abonnement, *, quota: int | None = None) -> Abonnement:
        async def work(connection: Connection) -> Abonnement:
            await _check_kanalen(connection, abonnement)
            client_id = abonnement.client_id
            await _check_quota(connection, "abonnement", "abonnementen", client_id=client_id, quota=quota)
            change = await self._next_change(connection)
            added = replace(abonnement, change=change, kanalen_change=change)
            row = abonnement_row(added, self._vault)
            await _insert(connection, "abonnement", str(added.uuid), row)
            await begin_version(connection, row, now=self._clock())
            await begin_state(connection, added, by=ChangedBy.MADE, now=self._clock())
            return added

        return await self._write(work)

    async def change_abonnement(self, uuid: UUID, change: Callable[[Abonnement], Abonnement]) -> Abonnement:
        async def work(connection: Connection) -> Abonnement:
            row = await _row(connection, "abonnement", str(uuid))
            if row is None:
                raise Conflict(f"abonnement {uuid} is gone.")
            before = abonnement_of(row, self._vault)
            asked = await asyncio.to_thread(change, before)
            await _check_kanalen(connection, asked)
            changed = changed_abonnement(before, asked, number=await self._next_change(connection))
            row = abonnement_row(changed, self._vault)
            await update(connection, "abonnement", "uuid", row)
            if changed.kanalen_change == changed.change:
                await begin_version(connection, row, now=self._clock())
            if changed.state is not before.state:
                await begin_state(connection, changed, by=ChangedBy.OWNER, now=self._clock())
            return changed

        return await self._write(work)

    async def give_abonnement(self, uuid: UUID, *, to: str, keep_auth: bool = True) -> Abonnement:
        async def work(connection: Connection) -> Abonnement:
            row = await _row(connection, "abonnement", str(uuid))
            if row is None:
                raise Conflict(f"abonnement {uuid} is gone.")
            if await _row(connection, "application", to) is None:
                raise Conflict(f"there is no application {to!r} to give it to.")
            before = abonnement_of(row, self._vault)
            if before.client_id == to:
                return before
            change = await self._next_change(connection)
            return await self._give(connection, before, to=to, keep_auth=keep_auth, change=change)

        return await self._write(work)

    async def _give(
        self, connection: Connection, before: Abonnement, *, to: str, keep_auth: bool, change: int
    ) -> Abonnement:
        given = given_abonnement(before, to=to, keep_auth=keep_auth, number=change)
        await update(connection, "abonnement", "uuid", abonnement_row(given, self._vault))
        if given.state is not before.state:
            await begin_state(connection, given, by=ChangedBy.OPERATOR, now=self._clock())
        return given

    async def set_state(
        self, uuid: UUID, state: State, reason: str, *, callback_url: str | None = None
    ) -> Abonnement | None:
        reason = _without_nul(reason)

        async def work(connection: Connection) -> Abonnement | None:
            row = await _row(connection, "abonnement", str(uuid))
            if row is None or callback_url not in (None, row["callback_url"]):
                return None
            abonnement = abonnement_of(row, self._vault)
            if (abonnement.state, abonnement.state_reason) == (state, reason):
                return abonnement
            number = await self._next_change(connection)
            changed = replace(abonnement, state=state, state_reason=reason, hold=None, change=number)
            await update(connection, "abonnement", "uuid", abonnement_row(changed, self._vault))
            by = ChangedBy.OPERATOR if callback_url is None else ChangedBy.CALLBACK
            await begin_state(connection, changed, by=by, now=self._clock())
            return changed

        return await self._write(work)

    async def set_hold(
        self, uuid: UUID, hold: Hold | None, reason: str, *, before: Hold | None, callback_url: str
    ) -> Abonnement | None:
        expected = (callback_url, State.HELD if before else State.ACTIVE, hold_text(before))

        async def work(connection: Connection) -> Abonnement | None:
            row = await _row(connection, "abonnement", str(uuid))
            if row is None or (row["callback_url"], row["state"], row["hold"]) != expected:
                return None
            changed = replace(
                abonnement_of(row, self._vault),
                state=State.HELD if hold else State.ACTIVE,
                state_reason=_without_nul(reason),
                hold=hold,
                change=await self._next_change(connection),
            )
            await update(connection, "abonnement", "uuid", abonnement_row(changed, self._vault))
            if changed.state != row["state"]:
                await begin_state(connection, changed, by=ChangedBy.CALLBACK, now=self._clock())
            return changed

        return await self._write(work)

    async def note_failures(self, failures: Mapping[UUID, LastFailure]) -> None:
        noted = [(str(uuid), last.at, _without_nul(last.detail)) for uuid, last in failures.items()]

        async def work(connection: Connection) -> None:
            upsert = (
                "INSERT INTO failure VALUES (%s, %s, %s) "
                "ON CONFLICT (uuid) DO UPDATE SET at = excluded.at, detail = excluded.detail"
            )
            await many(connection, upsert, noted)
            await do(connection, "DELETE FROM failure WHERE uuid NOT IN (SELECT uuid FROM abonnement)")

        if noted:
            await self._write(work, repeatable=True)

    async def last_failures(self) -> Mapping[UUID, LastFailure]:
        async def work(connection: Connection) -> Mapping[UUID, LastFailure]:
            found = await rows(connection, "SELECT * FROM failure")
            return {UUID(row["uuid"]): LastFailure(row["at"], row["detail"]) for row in found}

        return await self._database.read(work)

    async def remove_abonnement(self, uuid: UUID) -> bool:
        async def work(connection: Connection) -> bool:
            if await _row(connection, "abonnement", str(uuid)) is None:
                return False
            change = await self._next_change(connection)
            await self._remove(connection, "abonnement", [str(uuid)], change=change)
            return True

        return await self._write(work)

    async def kanalen_versions(self, uuid: UUID) -> tuple[KanalenVersion, ...]:
        return await self._database.read(lambda connection: versions_of(connection, str(uuid)))

    async def states(self, uuid: UUID) -> tuple[StateVersion, ...]:
        return await self._database.read(lambda connection: states_of(connection, str(uuid)))

    async def event_mappings(self) -> Mapping[str, EventMapping]:
        async def work(connection: Connection) -> Mapping[str, EventMapping]:
            return mappings_of(await rows(connection, "SELECT name, rules FROM event_mapping"))

        return await self._database.read(work)

    async def set_event_mapping(self, name: str, mapping: EventMapping | None) -> bool:
        async def work(connection: Connection) -> bool:
            row = await first(connection, "SELECT rules FROM event_mapping WHERE name = %s", name)
            rules = "" if mapping is None else mapping.text()
            if rules == ("" if row is None else row["rules"]):
                return False
            if mapping is None:
                uses = "SELECT 1 AS one FROM abonnement WHERE position(%s in options) > 0 LIMIT 1"
                if await first(connection, uses, mapping_in_options(name)) is not None:
                    raise Conflict(f"an abonnement has the mapping {name}.")
                await do(connection, "DELETE FROM event_mapping WHERE name = %s", name)
            else:
                upsert = (
                    "INSERT INTO event_mapping VALUES (%s, %s) "
                    "ON CONFLICT (name) DO UPDATE SET rules = excluded.rules"
                )
                await do(connection, upsert, name, rules)
            await self._next_change(connection)
            return True

        return await self._write(work)

    async def add_application(self, application: Application) -> Application:
        async def work(connection: Connection) -> Application:
            if await _row(connection, "application", application.client_id) is not None:
                raise Conflict(f"there is an application {application.client_id!r} already.")
            added = replace(application, change=await self._next_change(connection))
            row = application_row(added, self._vault)
            await _insert(connection, "application", added.client_id, row)
            return added

        return await self._write(work)

    async def change_application(
        self, client_id: str, change: Callable[[Application], Application]
    ) -> Application:
        async def work(connection: Connection) -> Application:
            row = await _row(connection, "application", client_id)
            if row is None:
                raise Conflict(f"there is no application {client_id!r}.")
            before = application_of(row, self._vault)
            asked = await asyncio.to_thread(change, before)
            number = await self._next_change(connection)
            changed = replace(asked, client_id=client_id, change=number)
            uses = await uses_of(connection, client_id)
            await put_uses(connection, client_id, moved(uses, before, changed))
            await update(connection, "application", "client_id", application_row(changed, self._vault))
            return changed

        return await self._write(work)

    async def remove_application(
        self,
        client_id: str,
        *,
        with_abonnementen: bool = False,
        give_to: str | None = None,
        keep_auth: bool = True,
    ) -> tuple[UUID, ...]:
        async def work(connection: Connection) -> tuple[UUID, ...]:
            select = "SELECT uuid FROM abonnement WHERE client_id = %s ORDER BY uuid"
            owned = [row["uuid"] for row in await rows(connection, select, client_id)]
            await _check_removal(
                connection,
                client_id,
                owned=len(owned),
                with_abonnementen=with_abonnementen,
                give_to=give_to,
            )
            change = await self._next_change(connection)
            if give_to is not None:
                for uuid in owned:
                    if (row := await _row(connection, "abonnement", uuid)) is not None:
                        before = abonnement_of(row, self._vault)
                        await self._give(connection, before, to=give_to, keep_auth=keep_auth, change=change)
            else:
                await self._remove(connection, "abonnement", owned, change=change)
            await self._remove(connection, "application", [client_id], change=change)
            await put_uses(connection, client_id, SecretUses())
            await forget_answers(connection, [client_id])
            return tuple(map(UUID, owned))

        return await self._write(work)

    async def note_secret_uses(self, uses: Iterable[UsedSecret]) -> None:
        given = tuple(uses)

        async def work(connection: Connection) -> None:
            for each in given:
                row = await _row(connection, "application", each.client_id)
                if row is not None:
                    before = await uses_of(connection, each.client_id)
                    after = noted(before, each, application_of(row, self._vault))
                    await put_uses(connection, each.client_id, after)

        if given:
            await self._write(work, repeatable=True)

    async def secret_uses(self) -> Mapping[str, SecretUses]:
        return await self._database.read(all_uses)

    async def note_ac_answers(self, answers: Iterable[AcAnswer], *, gone: Iterable[str] = ()) -> None:
        given, forgotten = tuple(answers), tuple(gone)

        async def work(connection: Connection) -> None:
            await put_answers(connection, given)
            await forget_answers(connection, forgotten)

        if given or forgotten:
            await self._write(work, repeatable=True)

    async def ac_answers(self) -> tuple[AcAnswer, ...]:
        return await self._database.read(all_answers)

    async def check_secrets(self) -> Secrets:
        async def work(connection: Connection) -> Secrets:
            faults = tuple(await unreadable(connection, self._vault))
            in_use = await keys_in_use(connection)
            return Secrets(self._vault.where, self._vault.key_ids, in_use, faults)

        return await self._database.read(work)

    async def rotate_secrets(self, *, progress: Callable[[int, int], None]) -> int:
        return await self._write(lambda connection: seal_again(connection, self._vault, progress=progress))

    async def declared(self) -> tuple[Declared, ...]:
        async def work(connection: Connection) -> tuple[Declared, ...]:
            return tuple(map(declared_of, await rows(connection, "SELECT * FROM declared")))

        return await self._database.read(work)

    async def declared_by(self, owner: str) -> tuple[Declared, ...]:
        async def work(connection: Connection) -> tuple[Declared, ...]:
            found = await rows(connection, "SELECT * FROM declared WHERE owner = %s", owner)
            return tuple(map(declared_of, found))

        return await self._database.read(work)

    async def note_declared(self, things: Iterable[Declared]) -> None:
        noted = [tuple(declared_row(thing).values()) for thing in things]
        upsert = (
            "INSERT INTO declared (kind, key, owner, orphan_since) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (kind, key) DO UPDATE SET owner = excluded.owner, "
            "orphan_since = excluded.orphan_since"
        )
        if noted:
            await self._write(lambda connection: many(connection, upsert, noted), repeatable=True)

    async def forget_declared(self, things: Iterable[Declared]) -> None:
        keys = [(thing.kind.value, thing.key) for thing in things]
        delete = "DELETE FROM declared WHERE kind = %s AND key = %s"
        if keys:
            await self._write(lambda connection: many(connection, delete, keys), repeatable=True)

    async def note_acts(self, acts: Iterable[Act]) -> None:
        given = tuple(acts)
        if given:
            await self._write(lambda connection: append_acts(connection, given))

    async def acts(self, search: ActSearch, *, limit: int) -> tuple[Act, ...]:
        return await self._database.read(lambda connection: acts_found(connection, search, limit=limit))

    async def note_ledger(self, noted: NotedLedger) -> None:
        upsert = (
            "INSERT INTO ledger VALUES (1, %s, %s, %s) ON CONFLICT (one) DO UPDATE SET "
            "instance = excluded.instance, mark = excluded.mark, at = excluded.at "
            "WHERE ledger.instance != excluded.instance OR ledger.mark < excluded.mark"
        )
        values = (str(noted.instance), noted.mark, noted.at)
        await self._write(lambda connection: do(connection, upsert, *values), repeatable=True)

    async def noted_ledger(self) -> NotedLedger | None:
        async def work(connection: Connection) -> NotedLedger | None:
            row = await first(connection, "SELECT * FROM ledger")
            return None if row is None else NotedLedger(UUID(row["instance"]), row["mark"], row["at"])

        return await self._database.read(work)

    async def _write(self, work: Callable[[Connection], Awaitable[T]], *, repeatable: bool = False) -> T:
        return await self._database.write(work, lock=LOCK, repeatable=repeatable)

    async def _next_change(self, connection: Connection) -> int:
        """The next change number, of which listeners are notified at the commit."""
        # NOTIFY makes commits wait for each other in the whole database: it is for changes only.
        row = await first(connection, NEXT_CHANGE, self._channel)
        assert row is not None  # noqa: S101 - there is one counter
        return int(row["change"])

    async def _remove(self, connection: Connection, kind: str, keys: list[str], *, change: int) -> None:
        """Remove rows and keep a tombstone of each; remove old tombstones."""
        now = self._clock()
        delete = sql.SQL("DELETE FROM {} WHERE {} = ANY(%s)").format(
            sql.Identifier(kind), sql.Identifier(_key(kind))
        )
        await do(connection, delete, keys)
        await many(
            connection,
            "INSERT INTO removed (kind, key, change, at) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (kind, key) DO UPDATE SET change = excluded.change, at = excluded.at",
            [(kind, key, change, now) for key in keys],
        )
        if kind == "abonnement":
            await end_versions(connection, keys, now=now)
            await end_states(connection, keys, now=now)
        row = await first(
            connection,
            "SELECT max(change) AS forgotten FROM removed WHERE at < %s OR change <= "
            "(SELECT change FROM removed ORDER BY change DESC LIMIT 1 OFFSET %s)",
            now - TOMBSTONE_AGE,
            TOMBSTONES,
        )
        if row is not None and row["forgotten"] is not None:
            await do(connection, "DELETE FROM removed WHERE change <= %s", row["forgotten"])
            await do(connection, "UPDATE counter SET forgotten = greatest(forgotten, %s)", row["forgotten"])

    async def _open_vault(self, connection: Connection, applied: frozenset[str]) -> None:
        # A value that is not encrypted is a fault of its row, found when that is read.
        in_use = set(await keys_in_use(connection)) | await key_of_mark(connection) if applied else set()
        await asyncio.to_thread(self._vault.open, in_use - {""})

    async def _mark(self, connection: Connection, done: list[str]) -> None:
        if done and not await key_of_mark(connection):
            await set_mark(connection, self._vault)


async def _counter(connection: Connection) -> tuple[int, int]:
    """(number of the last change, number up to which tombstones were removed)."""
    row = await first(connection, "SELECT change, forgotten FROM counter")
    assert row is not None  # noqa: S101 - there is one counter
    return row["change"], row["forgotten"]


def _key(table: str) -> str:
    return "client_id" if table == "application" else "uuid"


async def _row(connection: Connection, table: str, key: str) -> Row | None:
    """The row with this primary key, or None."""
    select = sql.SQL("SELECT * FROM {} WHERE {} = %s").format(
        sql.Identifier(table), sql.Identifier(_key(table))
    )
    return await first(connection, select, key)


async def _insert(connection: Connection, kind: str, key: str, row: Row) -> None:
    """Insert a row, and remove the tombstone of its key."""
    await insert(connection, kind, row)
    await do(connection, "DELETE FROM removed WHERE kind = %s AND key = %s", kind, key)


async def _has_kanaal(connection: Connection, naam: str) -> bool:
    return await first(connection, "SELECT 1 FROM kanaal WHERE naam = %s", naam) is not None


async def _check_quota(
    connection: Connection, table: str, what: str, *, client_id: str, quota: int | None
) -> None:
    """Raise QuotaReached when this application has `quota` already; None is any number."""
    if quota is None:
        return
    select = sql.SQL("SELECT count(*) AS count FROM {} WHERE client_id = %s").format(sql.Identifier(table))
    row = await first(connection, select, client_id)
    if row is not None and row["count"] >= quota:
        raise QuotaReached(what, quota)


async def _check_kanalen(connection: Connection, abonnement: Abonnement) -> None:
    for naam in dict.fromkeys(group.naam for group in abonnement.kanalen):
        if not await _has_kanaal(connection, naam):
            raise Conflict(f"there is no kanaal called {naam!r}.")


async def _is_referred_to(connection: Connection, naam: str) -> bool:
    select = (
        "SELECT 1 FROM abonnement WHERE kanalen::jsonb @> "
        "jsonb_build_array(jsonb_build_object('naam', %s::text)) LIMIT 1"
    )
    return await first(connection, select, naam) is not None


async def _check_removal(
    connection: Connection, client_id: str, *, owned: int, with_abonnementen: bool, give_to: str | None
) -> None:
    if await _row(connection, "application", client_id) is None:
        raise Conflict(f"there is no application {client_id!r}.")
    if give_to is not None and (
        give_to == client_id or await _row(connection, "application", give_to) is None
    ):
        raise Conflict(f"there is no other application {give_to!r} to give its abonnementen to.")
    if owned and not with_abonnementen and give_to is None:
        raise Conflict(f"application {client_id!r} owns {owned} abonnement(en).")


def _without_nul(text: str) -> str:
    """PostgreSQL's texts have no NUL; what a callback answered may have one."""
    return text.replace("\x00", "\ufffd")
