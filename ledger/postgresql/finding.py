"""Look-ups and counts for operators, and for order per hoofdObject, in the PostgreSQL ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from ledger.ids import SKEW, received_of
from ledger.ledger import RECENT
from ledger.postgresql.names import Names
from ledger.postgresql.reading import COLUMNS, UNROUTED, as_deliveries, as_notificaties, delivery
from ledger.tables.merging import MINUTE
from ledger.tables.minutes import minutes_of
from ledger.tables.rows import (
    FOR_EVER,
    PUNCTUALITY,
    STATE_OF,
    STATES,
    Counter,
    Kind,
    Row,
    delivery_of,
    least_id,
)
from ledger.tables.turns import BEHIND, MOST_AHEAD, Ahead, Asked, Behind, Turn
from ledger.values import ORIGINAL, Counts, Delivery, Key, Minute, Notificatie, Published, Punctuality, State
from store.database.address import Connection
from store.database.statements import first, number, rows

_UNMATCHED = "NOT EXISTS (SELECT 1 FROM delivery d WHERE d.id = m.id)"
_NEWEST = "(SELECT * FROM notificatie ORDER BY id DESC LIMIT %s) m"
_OPEN = (
    "FROM notificatie m JOIN delivery d ON d.id = m.id WHERE m.hoofd = %s AND m.id > %s AND m.id < %s "
    "AND d.id > %s AND d.id < %s AND d.abonnement = %s AND d.replay = %s AND d.open = 1 "
    "ORDER BY d.id LIMIT %s"
)
# The first attempt of those that count: an operator may have sent it again with all its attempts.
_AHEAD = (
    "SELECT d.*, CASE WHEN d.attempts > 0 THEN (SELECT max(at) FROM attempt a WHERE a.id = d.id "  # noqa: S608
    f"AND a.abonnement = d.abonnement AND a.replay = d.replay AND a.number = 1) END {_OPEN}"
)
WAITS_FOR_TURN = (
    f"d.state = {STATES[State.RETURNING]} AND EXISTS (SELECT 1 FROM attempt a WHERE a.id = d.id "  # noqa: S608
    "AND a.abonnement = d.abonnement AND a.replay = d.replay AND a.at = d.last_at "
    f"AND a.kind = '{BEHIND}')"
)
"""Whether a delivery `d` waits in the ledger for an earlier one."""
_BEHIND = f"SELECT d.*, {WAITS_FOR_TURN} {_OPEN}"
_HOOFD = (
    "SELECT m.hoofd, (SELECT id FROM delivery WHERE abonnement = %s AND open = 1 ORDER BY id LIMIT 1) "
    "FROM notificatie m WHERE m.id = %s"
)
_BEYOND = b"\xff" * 17


async def deliveries_between(
    connection: Connection, first_id: UUID, last_id: UUID, *, limit: int, names: Names
) -> Sequence[Delivery]:
    """As `Ledger.deliveries_between`."""
    select = "SELECT * FROM delivery WHERE id >= %s AND id <= %s ORDER BY id, abonnement, replay LIMIT %s"
    found = await rows(connection, select, first_id.bytes, last_id.bytes, limit)
    return await as_deliveries(connection, found, names)


async def undeliverable_count(connection: Connection) -> int:
    """As `Ledger.undeliverable_count`."""
    select = "SELECT count(*) FROM delivery WHERE state = %s AND state NOT IN (0, 7)"
    return await number(connection, select, STATES[State.UNDELIVERABLE])


async def undeliverable_counts(connection: Connection, names: Names) -> Mapping[UUID, int]:
    """As `Ledger.undeliverable_counts`."""
    select = (
        "SELECT abonnement, count(DISTINCT id) FROM delivery WHERE state = %s AND state NOT IN (0, 7) "
        "GROUP BY abonnement"
    )
    found = await rows(connection, select, STATES[State.UNDELIVERABLE])
    await names.read(connection, Kind.ABONNEMENT, (nr for nr, _ in found))
    return {names.abonnement(nr): count for nr, count in found}


async def counts(connection: Connection, *, since: int, names: Names) -> Counts:
    """As `Ledger.counts`."""
    accepted: dict[str, int] = {}
    came_to: dict[UUID, dict[State, int]] = {}
    select = "SELECT what, who, sum(n)::bigint FROM minute WHERE minute >= %s GROUP BY what, who"
    found = await rows(connection, select, since // MINUTE)
    await names.read(connection, Kind.KANAAL, (who for what, who, _ in found if what == Counter.ACCEPTED))
    await names.read(connection, Kind.ABONNEMENT, (who for what, who, _ in found if what >= Counter.STATE))
    for what, who, count in found:
        if what == Counter.ACCEPTED:
            accepted[names.text(Kind.KANAAL, who)] = count
        elif what >= Counter.STATE:
            came_to.setdefault(names.abonnement(who), {})[STATE_OF[what - Counter.STATE]] = count
    return Counts(accepted, came_to)


async def published(connection: Connection, *, newest: int, names: Names) -> Sequence[Published]:
    """As `Ledger.published`."""
    select = (
        f"SELECT kanaal, client, count(*), count(*) FILTER (WHERE {_UNMATCHED}), max(received) "  # noqa: S608
        f"FROM {_NEWEST} GROUP BY kanaal, client"
    )
    found = await rows(connection, select, newest)
    await names.read(connection, Kind.KANAAL, (row[0] for row in found))
    await names.read(connection, Kind.CLIENT, (row[1] for row in found))
    return [
        Published(
            kanaal=names.text(Kind.KANAAL, kanaal),
            client=names.text(Kind.CLIENT, client),
            count=count,
            unmatched=without,
            last=last,
        )
        for kanaal, client, count, without, last in found
    ]


async def unmatched(
    connection: Connection, kanaal: str, *, newest: int, limit: int, names: Names
) -> Sequence[Notificatie]:
    """As `Ledger.unmatched`."""
    select = (
        f"SELECT {COLUMNS} FROM {_NEWEST} {UNROUTED} WHERE m.kanaal = %s AND {_UNMATCHED} "  # noqa: S608
        "ORDER BY m.id DESC LIMIT %s"
    )
    found = await rows(connection, select, newest, names.number(Kind.KANAAL, kanaal), limit)
    return await as_notificaties(connection, found, names)


async def last_delivered(connection: Connection, abonnement: UUID, names: Names) -> int | None:
    """As `Ledger.last_delivered`."""
    of = (names.abonnement_number(abonnement), RECENT, STATES[State.DELIVERED])
    select = """
        SELECT max(last_at) FROM (SELECT state, last_at FROM delivery
            WHERE abonnement = %s AND open = 0 ORDER BY id DESC LIMIT %s) d WHERE state = %s
        UNION ALL
        SELECT max(last_at) FROM (SELECT state, last_at FROM delivery
            WHERE abonnement = %s AND open = 0 AND again_at IS NOT NULL ORDER BY again_at DESC LIMIT %s) d
            WHERE state = %s
        """
    return max((at for (at,) in await rows(connection, select, *of, *of) if at is not None), default=None)


async def punctuality(
    connection: Connection, *, after: int, before: int | None, late: int, names: Names
) -> Mapping[UUID, Punctuality]:
    """As `Ledger.punctuality`."""
    select = (
        f"SELECT d.abonnement, {PUNCTUALITY.format(late=late)} FROM notificatie m "  # noqa: S608
        "JOIN delivery d ON d.id = m.id AND d.replay = 0 WHERE m.id >= %s AND d.id >= %s "
        "AND m.id < %s AND d.id < %s AND m.received >= %s AND m.received < %s GROUP BY d.abonnement"
    )
    end = FOR_EVER if before is None else before
    first_id, last_id = least_id(after - SKEW), least_id(end + SKEW)
    found = await rows(connection, select, first_id, first_id, last_id, last_id, after, end)
    await names.read(connection, Kind.ABONNEMENT, (row[0] for row in found))
    return {names.abonnement(number): Punctuality(*fields) for number, *fields in found}


async def outcomes(connection: Connection, notificatie: UUID) -> Mapping[State, int]:
    """As `Ledger.outcomes`."""
    select = "SELECT state, count(*) FROM delivery WHERE id = %s AND replay = %s GROUP BY state"
    return {STATE_OF[state]: n for state, n in await rows(connection, select, notificatie.bytes, ORIGINAL)}


async def per_minute(connection: Connection, *, since: int) -> Sequence[Minute]:
    """As `Ledger.per_minute`."""
    select = "SELECT minute, bucket, sum(n)::bigint FROM took WHERE minute >= %s GROUP BY 1, 2"
    took = await rows(connection, select, since // MINUTE)
    select = "SELECT minute, what, sum(n)::bigint FROM minute WHERE minute >= %s GROUP BY 1, 2 ORDER BY 1, 2"
    return minutes_of(await rows(connection, select, since // MINUTE), took)


async def turn(connection: Connection, asked: Asked, names: Names, *, now: int) -> Turn:
    """What is known of the turn of one delivery. now: milliseconds, by the database's clock."""
    key = asked.key
    of = names.abonnement_number(key.abonnement)
    own = await delivery(connection, key, names)
    found = await first(connection, _HOOFD, of, key.notificatie.bytes)
    if found is None:
        return Turn(now, known=False, own=own)
    hoofd, oldest = found
    # Ids of the oldest itself are wanted too: one less than that.
    before, last = _less(oldest), key.notificatie.bytes
    if asked.ended is not None:
        before = max(before, asked.ended.bytes)
    if oldest is None or before >= last or received_of(key.notificatie) is None:
        return Turn(now, known=True, own=own)
    found_ahead = await rows(
        connection, _AHEAD, hoofd, before, last, before, last, of, key.replay, MOST_AHEAD
    )
    ahead = (Ahead(delivery_of(Row._make(row[:-1]), key.abonnement), row[-1]) for row in found_ahead)
    return Turn(now, known=True, own=own, ahead=tuple(ahead))


async def behind(connection: Connection, key: Key, *, limit: int, names: Names) -> Sequence[Behind]:
    """As `Ledger.behind`."""
    of, last = names.abonnement_number(key.abonnement), key.notificatie.bytes
    found = await first(connection, _HOOFD, of, last)
    if found is None or received_of(key.notificatie) is None:
        return []
    rows_behind = await rows(
        connection, _BEHIND, found[0], last, _BEYOND, last, _BEYOND, of, key.replay, limit
    )
    return [Behind(delivery_of(Row._make(row[:-1]), key.abonnement), bool(row[-1])) for row in rows_behind]


def _less(id_: bytes | None) -> bytes:
    """The greatest id that is less than this one."""
    if not id_ or not any(id_):
        return b""
    return (UUID(bytes=id_).int - 1).to_bytes(16)
