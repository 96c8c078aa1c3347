"""What `Ledger.write` does within its transaction: makes rows of events, merged with existing rows.

Others write at the same time, so each row is locked or made before it is merged: an entry's own deliveries
are inserted, which says which of them were there already; those and the rows of outcomes are read FOR UPDATE.
All in the order of their keys, so that two writers wait for each other rather than for ever. A batch goes as
one array for each column: for 50 to 500 rows that is faster than COPY into a temporary table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ledger.postgresql.days import day_of_id
from ledger.postgresql.names import Name, Names
from ledger.tables.budget import check_budget
from ledger.tables.merging import MINUTE, About, Changes, DeliveryKey
from ledger.tables.rows import (
    Counter,
    Hashes,
    Kind,
    Row,
    attempt_row,
    notificatie_row,
    pack_keys,
    pending_row,
    unpack_terms,
)
from ledger.values import (
    DELIVERED_ALL_THE_SAME,
    OPERATOR,
    Entry,
    Event,
    GapClosed,
    GapOpened,
    Heartbeat,
    Incomplete,
    Outcome,
    Probe,
    Unrouted,
)
from store.database.address import Connection
from store.database.statements import columns, do, no_nul, number, rows, several

OF_NOTIFICATIE, OF_TERM, OF_DELIVERY, OF_ATTEMPT = 420, 130, 330, 210
"""Bytes of a row with its part of the indexes, about, and with what it leaves behind when it is changed."""

_DELIVERY = (
    "%s::bytea[], %s::bigint[], %s::integer[], %s::smallint[], %s::smallint[], %s::integer[], "
    "%s::integer[], %s::bigint[], %s::bigint[], %s::bigint[], %s::integer[], %s::integer[], "
    "%s::smallint[], %s::integer[], %s::bigint[], %s::bigint[]"
)
_INSERT_DELIVERIES = (
    f"INSERT INTO delivery SELECT * FROM unnest({_DELIVERY}) "  # noqa: S608
    "ON CONFLICT DO NOTHING RETURNING id, abonnement, replay"
)
_UPDATE_DELIVERIES = (
    "UPDATE delivery d SET open = n.open, state = n.state, round = n.round, attempts = n.attempts, "  # noqa: S608
    "since = n.since, last_at = n.last_at, next_at = n.next_at, size = n.size, given = n.given, "
    "doubt = n.doubt, status = n.status, us = n.us, again_at = n.again_at "
    f"FROM unnest({_DELIVERY}) AS n (id, abonnement, replay, open, state, round, attempts, since, last_at, "
    "next_at, size, given, doubt, status, us, again_at) "
    "WHERE d.id = n.id AND d.abonnement = n.abonnement AND d.replay = n.replay"
)
# `= ANY` beside the join: by it only the partitions of these ids are looked at.
LOCK_DELIVERIES = (
    "SELECT d.* FROM delivery d JOIN unnest(%s::bytea[], %s::bigint[], %s::integer[]) AS w (i, a, r) "
    "ON d.id = w.i AND d.abonnement = w.a AND d.replay = w.r WHERE d.id = ANY(%s::bytea[]) "
    "ORDER BY d.id, d.abonnement, d.replay FOR UPDATE OF d"
)
_SIZELESS = "SELECT * FROM delivery WHERE id = ANY(%s::bytea[]) AND size = 0 ORDER BY 1, 2, 3 FOR UPDATE"
_INSERT_NOTIFICATIES = (
    "INSERT INTO notificatie SELECT * FROM unnest(%s::bytea[], %s::bigint[], %s::bigint[], %s::bigint[], "
    "%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::integer[], %s::bigint[], %s::integer[], "
    "%s::bytea[]) ON CONFLICT DO NOTHING RETURNING id"
)
_INSERT_BODIES = (
    "INSERT INTO body SELECT * FROM unnest(%s::bytea[], %s::bytea[], %s::text[]) ON CONFLICT DO NOTHING"
)
_INSERT_TERMS = "INSERT INTO term SELECT * FROM unnest(%s::bigint[], %s::bytea[]) ON CONFLICT DO NOTHING"
INSERT_ATTEMPTS = (  # a dead letter says all of an attempt but how long it took
    "INSERT INTO attempt AS a SELECT DISTINCT ON (1, 2, 3, 6, 4, 5, 7) * FROM unnest(%s::bytea[], "
    "%s::bigint[], %s::integer[], %s::integer[], %s::integer[], %s::bigint[], %s::text[], %s::integer[], "
    "%s::bigint[], %s::text[]) AS n (id, abonnement, replay, round, number, at, kind, status, us, detail) "
    "ORDER BY 1, 2, 3, 6, 4, 5, 7, us ASC NULLS LAST ON CONFLICT (id, abonnement, replay, at, round, number, "
    "kind) DO UPDATE SET us = excluded.us WHERE a.us IS NULL AND excluded.us IS NOT NULL"
)
ADD_MINUTES = (
    "INSERT INTO minute AS m SELECT * FROM unnest(%s::bigint[], %s::integer[], %s::bigint[], %s::smallint[], "
    "%s::bigint[]) ON CONFLICT (minute, what, who, slot) DO UPDATE SET n = m.n + excluded.n"
)
ADD_BACKLOGS = (
    "INSERT INTO backlog AS b SELECT * FROM unnest(%s::bigint[], %s::smallint[], %s::bigint[], %s::bigint[], "
    "%s::bigint[]) ON CONFLICT (abonnement, slot) DO UPDATE SET n = b.n + excluded.n, "
    "bytes = b.bytes + excluded.bytes, stuck = b.stuck + excluded.stuck"
)
_ADD_FIRSTS = (
    "INSERT INTO first_attempt AS f SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::smallint[], "
    "%s::bigint[]) ON CONFLICT (abonnement, minute, slot) "
    "DO UPDATE SET since = greatest(f.since, excluded.since)"
)
_ADD_TOOK = (
    "INSERT INTO took AS t SELECT * FROM unnest(%s::bigint[], %s::integer[], %s::smallint[], %s::bigint[]) "
    "ON CONFLICT (minute, bucket, slot) DO UPDATE SET n = t.n + excluded.n"
)
ADD_VOLUMES = (
    "INSERT INTO volume AS v SELECT * FROM unnest(%s::bigint[], %s::smallint[], %s::bigint[]) "
    "ON CONFLICT (day, slot) DO UPDATE SET bytes = v.bytes + excluded.bytes"
)
# Of several attempts that succeeded after a removal one is kept, whatever the order in which they come.
_ONLY_LAST_TAKEN = (
    "DELETE FROM attempt WHERE id = %s AND abonnement = %s AND replay = %s "  # noqa: S608
    f"AND kind = '{DELIVERED_ALL_THE_SAME}' AND (round, number, at) < (SELECT a.round, a.number, a.at "
    "FROM attempt a WHERE a.id = %s AND a.abonnement = %s AND a.replay = %s "
    f"AND a.kind = '{DELIVERED_ALL_THE_SAME}' ORDER BY a.round DESC, a.number DESC, a.at DESC LIMIT 1)"
)


def names_in(events: Iterable[Event]) -> set[Name]:
    """The names whose numbers these events need."""
    found: set[Name] = set()
    for event in events:
        if isinstance(event, Entry):
            found |= {(Kind.CLIENT, event.client), (Kind.KANAAL, event.kanaal)}
            found |= {(Kind.ABONNEMENT, str(each)) for each in event.matched}
        elif isinstance(event, Outcome | Probe):
            found.add((Kind.ABONNEMENT, str(event.key.abonnement)))
    return found


class Writing:
    """The events of one transaction. slot: of the counts. now: milliseconds, by the database's clock.

    room: what `clock.beginning` asked of how full the ledger is.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        now: int,
        names: Names,
        hashes: Hashes,
        slot: int,
        room: Mapping[str, Any],
    ) -> None:
        self._connection = connection
        self._now = now
        self._names = names
        self._hashes = hashes
        self._slot = slot
        self._room = room
        self._about: dict[bytes, About] = {}
        self._changes = Changes(self._about.get, now=now)
        self._there: dict[DeliveryKey, Row] = {}  # rows that this transaction has made
        self._volume: dict[int, int] = {}

    async def write(self, events: Sequence[Event]) -> None:
        """Write these. Raises LedgerFull.

        First comes what gives rows that decide on others; what nobody waits for goes in one round trip.
        """
        entries: dict[bytes, Entry] = {}
        outcomes: list[tuple[DeliveryKey, Outcome]] = []
        attempts = []
        others = []
        of_abonnement = self._names.abonnement_number
        for event in events:
            if isinstance(event, Entry):
                entries.setdefault(event.id.bytes, event)
            elif isinstance(event, Outcome):
                of = event.key
                key = (of.notificatie.bytes, of_abonnement(of.abonnement), of.replay)
                outcomes.append((key, event))
                if event.failed is not None:
                    attempts.append(attempt_row(of, key[1], event.round, event.failed))
            elif isinstance(event, Probe):
                attempts.append(attempt_row(event.key, of_abonnement(event.key.abonnement), 0, event.failed))
            else:
                others.append(event)
        new = await self._entries(entries) if entries else {}
        if outcomes:
            await self._outcomes(outcomes)
        attempts += self._changes.taken
        async with self._connection.pipeline():
            for event in others:
                await _write_other(self._connection, event, now=self._now)
            if new:
                await self._write_parts(new, entries)
            if len(new) < len(entries):
                await self._complete({id_: each for id_, each in entries.items() if id_ not in new})
            if attempts:
                await self._attempts(attempts)
            await self._write_changes()

    async def _entries(self, entries: dict[bytes, Entry]) -> dict[bytes, tuple[Any, ...]]:
        """Make those that are not in the ledger yet, and their deliveries; returns the rows of these."""
        made = []
        number_of = self._names.number
        for entry in sorted(entries.values(), key=lambda each: each.id.bytes):
            row = notificatie_row(
                entry,
                0,
                client=number_of(Kind.CLIENT, entry.client),
                kanaal=number_of(Kind.KANAAL, entry.kanaal),
                terms=sorted({self._hashes.term(name, value) for name, value in entry.kenmerken.items()}),
                hashes=self._hashes,
            )
            made.append((*row[1:5], no_nul(row[5]), no_nul(row[6]), *row[7:]))
        pending = self._pending(entries)
        inserted, deliveries = await several(
            self._connection,
            (_INSERT_NOTIFICATIES, columns(made)),
            (_INSERT_DELIVERIES, _delivery_columns(pending)),
        )
        are_new = {id_ for (id_,) in inserted}
        new: dict[bytes, tuple[Any, ...]] = {each[0]: each for each in made if each[0] in are_new}
        if new:
            self._check_budget()
        made_now = self._were_made(pending, deliveries)
        found = await self._lock([row[:3] for row in pending if row[:3] not in made_now])
        if new:
            # Of a deliverer that was faster than the gateway, also for another abonnement.
            found += map(Row._make, await rows(self._connection, _SIZELESS, sorted(new)))
        for of_other in found:
            if of_other[:3] not in made_now:
                self._changes.known(of_other, size=len(entries[of_other.id].body))
        for delivery in pending:
            if delivery.id in new or delivery[:3] in made_now:
                self._changes.pending(delivery.id, delivery.abonnement, entries[delivery.id])
        return new

    def _pending(self, entries: Mapping[bytes, Entry]) -> list[Row]:
        """The deliveries of entries, in the order of their keys."""
        of_abonnement = self._names.abonnement_number
        pending = [
            pending_row(id_, abonnement, received=entry.received, size=len(entry.body), now=self._now)
            for id_, entry in entries.items()
            for abonnement in {of_abonnement(each) for each in entry.matched}
        ]
        return sorted(pending, key=lambda row: row[:3])

    async def _write_parts(
        self, new: Mapping[bytes, tuple[Any, ...]], entries: Mapping[bytes, Entry]
    ) -> None:
        """Write bodies and terms of new entries, and count these."""
        bodies = [(id_, entries[id_].body, entries[id_].trace or None) for id_ in sorted(new)]
        await do(self._connection, _INSERT_BODIES, *columns(bodies))
        for id_ in sorted(new):
            if (passed := entries[id_].passed_on) is not None:
                insert = "INSERT INTO passed_on VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
                await do(self._connection, insert, id_, passed.batch, passed.correlation)
        terms = sorted((t, row[0]) for row in new.values() for t in unpack_terms(row[-1]))
        if terms:
            await do(self._connection, _INSERT_TERMS, *columns(terms))
        for id_, received, _, kanaal, *_, size, _, _, packed in new.values():
            self._changes.count(received, Counter.ACCEPTED, kanaal)
            self._grows(id_, OF_NOTIFICATIE + size + OF_TERM * (len(packed) // 8))

    async def _complete(self, entries: Mapping[bytes, Entry]) -> None:
        """Add what existing entries lack: one that the keeper made of a message has no client.

        The gateway's own may be written later; it has the client.
        """
        nobody = self._names.number(Kind.CLIENT, "")
        update = "UPDATE notificatie SET client = %s, catalogue = %s WHERE id = %s AND client = %s"
        for id_, entry in sorted(entries.items()):
            if entry.client:
                client = self._names.number(Kind.CLIENT, entry.client)
                await do(self._connection, update, client, entry.catalogue, id_, nobody)

    async def _outcomes(self, outcomes: Sequence[tuple[DeliveryKey, Outcome]]) -> None:
        changes = self._changes
        wanted = [key for key in dict.fromkeys(key for key, _ in outcomes) if not changes.has(key)]
        for row in await self._lock(wanted):
            changes.read(row)
        absent = [key for key in wanted if not changes.has(key)]
        asked = {key[0] for key in absent} | {
            key[0] for key, outcome in outcomes if outcome.kanalen_change is not None
        }
        if asked:
            select = "SELECT id, size, catalogue FROM notificatie WHERE id = ANY(%s::bytea[])"
            for id_, *about in await rows(self._connection, select, sorted(asked)):
                self._about[id_] = About(*about)
        kept = {key for key, outcome in outcomes if outcome.kanalen_change is None}
        await self._make_room([key for key in absent if key in kept])
        for key, outcome in outcomes:
            changes.merge(key, outcome)

    async def _make_room(self, keys: Sequence[DeliveryKey]) -> None:
        """Make rows for these, so that nobody else does until they are merged."""
        if not keys:
            return
        made = await self._insert(
            [pending_row(key[0], key[1], received=0, size=0, now=0)._replace(replay=key[2]) for key in keys]
        )
        for row in await self._lock([key for key in keys if key not in made]):
            self._changes.read(row)  # another writer's, committed meanwhile

    async def _insert(self, new: Sequence[Row]) -> set[DeliveryKey]:
        """Insert those that are not there; returns the keys of these."""
        ordered = sorted(new, key=lambda row: row[:3])
        return self._were_made(
            ordered, await rows(self._connection, _INSERT_DELIVERIES, *_delivery_columns(ordered))
        )

    def _were_made(self, ordered: Sequence[Row], found: Sequence[tuple[Any, ...]]) -> set[DeliveryKey]:
        """The keys of those rows that an insert made, by the keys that it returned."""
        made = {(row[0], row[1], row[2]) for row in found}
        self._there |= {row[:3]: row for row in ordered if row[:3] in made}
        for id_, _, _ in made:
            self._grows(id_, OF_DELIVERY)
        return made

    async def _lock(self, keys: Sequence[DeliveryKey]) -> list[Row]:
        """The rows of these that exist, locked until the end of the transaction."""
        if not keys:
            return []
        return await locked(self._connection, keys)

    async def _attempts(self, attempts: Sequence[tuple[Any, ...]]) -> None:
        told = [(*row[:6], no_nul(row[6]), row[7], row[8], no_nul(row[9])) for row in attempts]
        await do(self._connection, INSERT_ATTEMPTS, *columns(told))
        for row in told:
            self._grows(row[0], OF_ATTEMPT)
        for row in self._changes.taken:
            await do(self._connection, _ONLY_LAST_TAKEN, *row[:3], *row[:3])

    async def _write_changes(self) -> None:
        """Write the rows that changed, and the counts."""
        changes, connection, slot = self._changes, self._connection, self._slot
        updates = sorted(
            (row for key, row in changes.after.items() if row != self._there.get(key, changes.before[key])),
            key=lambda row: row[:3],
        )
        if updates:
            await do(connection, _UPDATE_DELIVERIES, *columns(updates))
        await add_backlogs(connection, changes.backlog(), slot=slot)
        if changes.firsts:
            minute = self._now // MINUTE
            firsts = [(nr, minute, slot, since) for nr, since in sorted(changes.firsts.items())]
            await do(connection, _ADD_FIRSTS, *columns(firsts))
        if changes.took:
            took = [(*key, slot, n) for key, n in sorted(changes.took.items())]
            await do(connection, _ADD_TOOK, *columns(took))
        await add_minutes(connection, changes.minutes, slot=slot)
        await add_volumes(connection, self._volume, slot=slot)

    def _check_budget(self) -> None:
        """Raise LedgerFull when no more entries may come in."""
        if (budget := self._room["budget"]) is not None:
            check_budget(self._room["used"] or 0, budget, full=bool(self._room["full"]))

    def _grows(self, id_: bytes, by: int) -> None:
        day = day_of_id(id_)
        self._volume[day] = self._volume.get(day, 0) + by


def _delivery_columns(deliveries: Sequence[Row]) -> list[list[Any]]:
    """The columns of these, for `_DELIVERY`; of none too."""
    return columns(deliveries) if deliveries else [[] for _ in Row._fields]


async def locked(connection: Connection, keys: Sequence[DeliveryKey]) -> list[Row]:
    """The rows of these deliveries that exist, locked until the end of the transaction, in their order."""
    ids, abonnementen, replays = columns(sorted(keys))
    found = await rows(connection, LOCK_DELIVERIES, ids, abonnementen, replays, sorted(set(ids)))
    return list(map(Row._make, found))


async def update_rows(connection: Connection, changed: Iterable[Row]) -> None:
    """Write these rows; they must be locked."""
    ordered = sorted(changed, key=lambda row: row[:3])
    if ordered:
        await do(connection, _UPDATE_DELIVERIES, *columns(ordered))


async def insert_rows(connection: Connection, new: Iterable[Row]) -> set[DeliveryKey]:
    """Insert those that are not there; returns the keys of these, whose bytes are to be counted."""
    ordered = sorted(new, key=lambda row: row[:3])
    if not ordered:
        return set()
    found = await rows(connection, _INSERT_DELIVERIES, *columns(ordered))
    return {(row[0], row[1], row[2]) for row in found}


async def add_counts(
    connection: Connection,
    *,
    backlog: Mapping[int, Sequence[int]],
    minutes: Mapping[tuple[int, int, int], int],
    volume: Mapping[int, int],
    slot: int,
) -> None:
    """Add to these counts, after all rows and in the order in which each transaction does.

    Processes may have the same slot: in another order two of them would wait for each other.
    """
    await add_backlogs(connection, backlog, slot=slot)
    await add_minutes(connection, minutes, slot=slot)
    await add_volumes(connection, volume, slot=slot)


async def add_minutes(
    connection: Connection, minutes: Mapping[tuple[int, int, int], int], *, slot: int
) -> None:
    """Add to the counts of minutes."""
    if minutes:
        counted = [(*key, slot, n) for key, n in sorted(minutes.items())]
        await do(connection, ADD_MINUTES, *columns(counted))


async def add_backlogs(connection: Connection, backlog: Mapping[int, Sequence[int]], *, slot: int) -> None:
    """Add to the backlogs of abonnementen: n, bytes, stuck."""
    if backlog:
        await do(connection, ADD_BACKLOGS, *columns([(nr, slot, *by) for nr, by in sorted(backlog.items())]))


async def add_volumes(connection: Connection, volume: Mapping[int, int], *, slot: int) -> None:
    """Add to the bytes of days."""
    if volume:
        grown = [(day, slot, by) for day, by in sorted(volume.items())]
        await do(connection, ADD_VOLUMES, *columns(grown))


async def bytes_used(connection: Connection) -> int:
    """Bytes that the rows and their indexes take, about: by what was written and removed."""
    return await number(connection, "SELECT sum(bytes)::bigint FROM volume")


async def _write_other(
    connection: Connection, event: Unrouted | GapOpened | GapClosed | Incomplete | Heartbeat, *, now: int
) -> None:
    match event:
        case Unrouted():
            insert = "INSERT INTO unrouted VALUES (%s, 1, %s) ON CONFLICT DO NOTHING"
            if event.lane:
                insert = f"WITH new AS ({insert} RETURNING id) INSERT INTO lane SELECT id FROM new"  # noqa: S608
            await do(connection, insert, event.id.bytes, now)
        case GapOpened():
            of, why = no_nul(event.of), no_nul(event.why)
            await do(
                connection,
                "INSERT INTO gap (kind, scope, opened, detail) SELECT %s, %s, %s, %s WHERE NOT EXISTS "
                "(SELECT 1 FROM gap WHERE kind = %s AND scope = %s AND closed IS NULL) "
                "ON CONFLICT DO NOTHING",
                event.scope, of, now, why, event.scope, of,
            )  # fmt: skip
        case GapClosed(scope=None):
            update = "UPDATE gap SET closed = %s WHERE closed IS NULL AND detail != %s"
            await do(connection, update, now, OPERATOR)
        case GapClosed():
            update = "UPDATE gap SET closed = %s WHERE closed IS NULL AND kind = %s AND scope = %s"
            await do(connection, update, now, event.scope, no_nul(event.of))
        case Incomplete():
            insert = "INSERT INTO incomplete VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
            until = now if event.until is None else event.until
            await do(connection, insert, event.since or 0, until, event.count)
        case Heartbeat():
            await do(
                connection,
                "INSERT INTO process AS p VALUES (%s, %s, %s, %s, %s) ON CONFLICT (name) DO UPDATE SET "
                "at = excluded.at, flushed_until = greatest(p.flushed_until, excluded.flushed_until), "
                "hands = excluded.hands, stopped = excluded.stopped",
                event.process,
                now,
                now if event.all_flushed else 0,
                b"" if event.stopped else pack_keys(event.hands),
                int(event.stopped),
            )
