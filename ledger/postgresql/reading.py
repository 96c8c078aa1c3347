"""The SQL of the ledger's reading methods, and the index that each uses.

A list is read from an index in its order until there is enough. All pages of a search are in the order of
ids, which is that of time; an id that no gateway made has its place in it, but not in time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ledger.ids import SKEW, received_of
from ledger.postgresql.names import Names
from ledger.tables.rows import (
    COMMON,
    FAILED,
    LATE,
    NOTIFICATIE_COLUMNS,
    STATES,
    Hashes,
    Kind,
    Row,
    attempt_of,
    delivery_of,
    least_id,
    notificatie_of,
)
from ledger.values import OPEN, Attempt, Backlog, Delivery, Incomplete, Key, Notificatie, Search, State
from store.database.address import Connection
from store.database.statements import first, number, rows

PAGE = 500  # rows of `open_of` in one snapshot
_RARE = 1000  # rows of a condition are counted up to here, to begin with the rarest

COLUMNS = ", ".join(f"m.{name}" for name in NOTIFICATIE_COLUMNS.split(", ")) + ", coalesce(u.open, 0)"
UNROUTED = "LEFT JOIN unrouted u ON u.id = m.id"


async def notificatie(connection: Connection, id_: UUID, names: Names) -> Notificatie | None:
    """One notificatie with its body."""
    select = (
        f"SELECT {COLUMNS}, b.body, b.trace, p.batch, p.correlation FROM notificatie m {UNROUTED} "  # noqa: S608
        "LEFT JOIN body b ON b.id = m.id AND b.id = %s LEFT JOIN passed_on p ON p.id = m.id WHERE m.id = %s"
    )
    row = await first(connection, select, id_.bytes, id_.bytes)
    if row is None:
        return None
    (found,) = await as_notificaties(connection, [row], names)
    *_, body, trace, batch, correlation = row
    return found._replace(body=body, trace=trace or "", batch=batch or "", correlation=correlation or "")


async def search(
    connection: Connection,
    asked: Search,
    *,
    limit: int,
    after: UUID | None,
    oldest_first: bool,
    hashes: Hashes,
    names: Names,
) -> list[Notificatie]:
    """The notificaties found, without bodies."""
    plan = await _plan(connection, asked, hashes, names)
    if after is not None:
        plan.must(f"{plan.order} {'>' if oldest_first else '<'} %s", after.bytes)
    pages = [
        await rows(connection, statement, *parameters, limit)
        for statement, parameters in plan.statements(oldest_first=oldest_first)
    ]
    found: dict[bytes, tuple[Any, ...]] = {}
    for row in heapq.merge(*pages, key=lambda row: row[0], reverse=not oldest_first):
        if len(found) == limit:
            break
        found.setdefault(row[0], row)
    return await as_notificaties(connection, list(found.values()), names)


async def deliveries(
    connection: Connection, ids: Sequence[UUID], names: Names
) -> Mapping[UUID, Sequence[Delivery]]:
    """The deliveries of each of these."""
    found: dict[UUID, list[Delivery]] = {id_: [] for id_ in ids}
    select = "SELECT * FROM delivery WHERE id = ANY(%s::bytea[])"
    of = await rows(connection, select, [id_.bytes for id_ in ids])
    for made in await as_deliveries(connection, of, names):
        found[made.key.notificatie].append(made)
    for each in found.values():
        each.sort(key=lambda one: (one.key.abonnement, one.key.replay))
    return found


async def delivery(connection: Connection, key: Key, names: Names) -> Delivery | None:
    """One delivery."""
    select = "SELECT * FROM delivery WHERE id = %s AND abonnement = %s AND replay = %s"
    row = await first(connection, select, *_place(key, names))
    return None if row is None else delivery_of(Row._make(row), key.abonnement)


async def attempts(connection: Connection, key: Key, names: Names) -> Sequence[Attempt]:
    """Its failed attempts and probes."""
    select = (
        "SELECT number, at, kind, status, us, detail FROM attempt WHERE id = %s AND abonnement = %s AND "
        "replay = %s ORDER BY at, round, number"
    )
    found = await rows(connection, select, *_place(key, names))
    return tuple(attempt_of((at[0], at[1], at[2], at[3], at[4], at[5])) for at in found)


async def backlogs(
    connection: Connection, names: Names, *, now: int, of: UUID | None = None
) -> Mapping[UUID, Backlog]:
    """What is open of each abonnement, or of one. now: milliseconds, by the database's clock."""
    only, parameters = ("", ()) if of is None else ("WHERE abonnement = %s", (names.abonnement_number(of),))
    select = f"""
        SELECT b.*, (SELECT received FROM notificatie m WHERE m.id = b.oldest) FROM (
            SELECT b.abonnement, b.n, b.bytes, b.stuck,
                (SELECT count(*) FROM delivery d WHERE d.abonnement = b.abonnement AND d.next_at > %s) AS retrying,
                (SELECT min(next_at) FROM delivery d WHERE d.abonnement = b.abonnement AND d.next_at > %s) AS next,
                (SELECT id FROM delivery d WHERE d.abonnement = b.abonnement AND open = 1
                    ORDER BY id LIMIT 1) AS oldest
            FROM (SELECT abonnement, sum(n)::bigint AS n, sum(bytes)::bigint AS bytes,
                sum(stuck)::bigint AS stuck FROM backlog {only} GROUP BY abonnement) b
            WHERE b.n > 0) b
        """  # noqa: E501, S608
    found = await rows(connection, select, now, now, *parameters)
    await names.read(connection, Kind.ABONNEMENT, (row[0] for row in found))
    return {
        names.abonnement(nr): Backlog(
            count=n,
            size=size,
            oldest=received if received is not None or oldest is None else received_of(UUID(bytes=oldest)),
            retrying=retrying,
            next_at=next_at,
            stuck=stuck,
        )
        for nr, n, size, stuck, retrying, next_at, oldest, received in found
    }


async def undeliverable(
    connection: Connection, *, abonnement: UUID | None, limit: int, after: Key | None, names: Names
) -> list[Delivery]:
    """What is undeliverable, the oldest first."""
    where = ["state = %s", "state NOT IN (0, 7)"]
    parameters: list[Any] = [STATES[State.UNDELIVERABLE]]
    if abonnement is not None:
        where.append("abonnement = %s")
        parameters.append(names.abonnement_number(abonnement))
    if after is not None:
        where.append("(id, abonnement, replay) > (%s, %s, %s)")
        parameters += _place(after, names)
    select = (
        f"SELECT * FROM delivery WHERE {' AND '.join(where)} "  # noqa: S608
        "ORDER BY id, abonnement, replay LIMIT %s"
    )
    return await as_deliveries(connection, await rows(connection, select, *parameters, limit), names)


async def incomplete(connection: Connection) -> list[Incomplete]:
    """The times in which the ledger lacks something."""
    found = await rows(connection, "SELECT since, until, n FROM incomplete ORDER BY since, until")
    return [Incomplete(since or None, until, count) for since, until, count in found]


async def open_page(
    connection: Connection, abonnement: UUID, *, states: Iterable[State], after: Delivery | None, names: Names
) -> list[Delivery]:
    """The next PAGE that are open of one abonnement in one of these states, the oldest first."""
    select = (
        "SELECT * FROM delivery WHERE abonnement = %s AND open = 1 "
        "AND (id, replay) > (%s, %s) AND state = ANY(%s::smallint[]) ORDER BY id, replay LIMIT %s"
    )
    place = (b"", 0) if after is None else (after.key.notificatie.bytes, after.key.replay)
    wanted = [STATES[state] for state in states]
    found = await rows(connection, select, names.abonnement_number(abonnement), *place, wanted, PAGE)
    return [delivery_of(Row._make(row), abonnement) for row in found]


@dataclass(slots=True)
class _Plan:
    """The query plan of a search: `sources` in its order, and the conditions for each row.

    sources: FROM and WHERE of each, with its parameters. order: the column that all are ordered by.
    """

    sources: list[tuple[str, list[Any]]]
    order: str = "m.id"
    where: list[str] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)

    def must(self, condition: str, *parameters: Any) -> None:
        self.where.append(condition)
        self.parameters += parameters

    def statements(self, *, oldest_first: bool) -> list[tuple[str, list[Any]]]:
        direction = "ASC" if oldest_first else "DESC"
        where = "".join(f" AND {condition}" for condition in self.where)
        return [
            (
                f"SELECT DISTINCT ON ({self.order}) {COLUMNS} FROM {source}{where} "  # noqa: S608
                f"ORDER BY {self.order} {direction} LIMIT %s",
                [*parameters, *self.parameters],
            )
            for source, parameters in self.sources
        ]


async def _plan(connection: Connection, asked: Search, hashes: Hashes, names: Names) -> _Plan:
    client = None if asked.client is None else names.number(Kind.CLIENT, asked.client)
    abonnement = None if asked.abonnement is None else names.abonnement_number(asked.abonnement)
    terms = [hashes.term(name, value) for name, value in asked.kenmerken.items()]
    states = sorted(STATES[state] for state in asked.states)
    if asked.ids:
        source = f"notificatie m {UNROUTED} WHERE m.id = ANY(%s::bytea[])"
        plan = _Plan([(source, [[each.bytes for each in asked.ids]])])
    elif asked.text is not None:
        plan = _by_text(asked.text, hashes)
    elif asked.hoofd_object is not None:
        plan = _Plan([_by_hash("hoofd", hashes.segment(asked.hoofd_object))])
    elif asked.resource_url is not None:
        plan = _Plan([_by_hash("url", hashes.segment(asked.resource_url))])
    elif terms:
        least, rarest = min([(await _few(connection, "term WHERE t = %s", term), term) for term in terms])
        if client is not None and await _few(connection, "notificatie WHERE client = %s", client) < least:
            plan = _Plan([(f"notificatie m {UNROUTED} WHERE m.client = %s", [client])])
        else:
            terms.remove(rarest)
            source = f"term t JOIN notificatie m ON m.id = t.id {UNROUTED} WHERE t.t = %s"
            plan = _Plan([(source, [rarest])], order="t.id")
    elif states and not asked.states & COMMON:
        plan = _by_delivery("d.state = %s AND d.state NOT IN (0, 7)", [[state] for state in states])
    elif abonnement is not None:
        sides = sorted({int(state in OPEN) for state in asked.states} or {0, 1})
        plan = _by_delivery("d.abonnement = %s AND d.open = %s", [[abonnement, side] for side in sides])
    elif client is not None:
        plan = _Plan([(f"notificatie m {UNROUTED} WHERE m.client = %s", [client])])
    else:
        plan = _Plan([(f"notificatie m {UNROUTED} WHERE true", [])])
    for column, url in (("hoofd", asked.hoofd_object), ("url", asked.resource_url)):
        if url is not None:
            plan.must(f"m.{column} = %s", hashes.segment(url))
    _filter(plan, asked, client=client, abonnement=abonnement, terms=terms, states=states, names=names)
    return plan


def _by_text(text: str, hashes: Hashes) -> _Plan:
    hashed = hashes.segment(text)
    plan = _Plan([_by_hash("hoofd", hashed), _by_hash("url", hashed)])
    try:
        id_ = UUID(text.strip())
    except ValueError:
        return plan
    plan.sources.append((f"notificatie m {UNROUTED} WHERE m.id = %s", [id_.bytes]))
    return plan


def _by_hash(column: str, hashed: int) -> tuple[str, list[Any]]:
    """The source of those with this hash of hoofdObject (`hoofd`) or resourceUrl (`url`)."""
    return f"notificatie m {UNROUTED} WHERE m.{column} = %s", [hashed]


def _by_delivery(where: str, parameters: list[list[Any]]) -> _Plan:
    source = f"delivery d JOIN notificatie m ON m.id = d.id {UNROUTED} WHERE {where}"
    return _Plan([(source, each) for each in parameters], order="d.id")


def _filter(
    plan: _Plan,
    asked: Search,
    *,
    client: int | None,
    abonnement: int | None,
    terms: Sequence[int],
    states: Sequence[int],
    names: Names,
) -> None:
    """Add the conditions for each notificatie, whatever its source."""
    for term in terms:
        plan.must("EXISTS (SELECT 1 FROM term x WHERE x.t = %s AND x.id = m.id)", term)
    # Where each row of the source is a delivery, to ask for one beside it would join all of them.
    alias = "d" if plan.order == "d.id" else "d2"
    where, parameters = list[str](), list[Any]()
    if abonnement is not None:
        where.append(f"{alias}.abonnement = %s")
        parameters.append(abonnement)
    if states:
        where.append(f"{alias}.state = ANY(%s::smallint[])")
        parameters.append(states)
    if asked.failed:
        where.append(FAILED.format(d=alias))
    if asked.late is not None:
        where.append(f"{LATE.format(d=alias)}%s")
        parameters.append(asked.late)
    if where and alias == "d2":
        where = [f"EXISTS (SELECT 1 FROM delivery d2 WHERE d2.id = m.id AND {' AND '.join(where)})"]  # noqa: S608
    if where:
        plan.must(" AND ".join(where), *parameters)
    if client is not None:
        plan.must("m.client = %s", client)
    if asked.kanaal is not None:
        plan.must("m.kanaal = %s", names.number(Kind.KANAAL, asked.kanaal))
    for column, text in (("resource", asked.resource), ("actie", asked.actie)):
        if text is not None:
            plan.must(f"m.{column} = %s", text)
    if asked.after is not None:
        plan.must(f"m.received >= %s AND {plan.order} >= %s", asked.after, least_id(asked.after - SKEW))
    if asked.before is not None:
        plan.must(f"m.received < %s AND {plan.order} < %s", asked.before, least_id(asked.before + SKEW))


async def _few(connection: Connection, found: str, value: int) -> int:
    """How many there are, up to _RARE: to begin with the rarest of several conditions."""
    select = f"SELECT count(*) FROM (SELECT 1 FROM {found} LIMIT %s) few"  # noqa: S608
    return await number(connection, select, value, _RARE)


def _place(key: Key, names: Names) -> tuple[bytes, int, int]:
    return key.notificatie.bytes, names.abonnement_number(key.abonnement), key.replay


async def as_deliveries(
    connection: Connection, found: Sequence[tuple[Any, ...]], names: Names
) -> list[Delivery]:
    """Rows of `delivery` as deliveries."""
    made = list(map(Row._make, found))
    await names.read(connection, Kind.ABONNEMENT, (row.abonnement for row in made))
    return [delivery_of(row, names.abonnement(row.abonnement)) for row in made]


async def as_notificaties(
    connection: Connection, found: Sequence[tuple[Any, ...]], names: Names
) -> list[Notificatie]:
    """Rows that begin with COLUMNS as notificaties, without bodies."""
    await names.read(connection, Kind.CLIENT, (row[2] for row in found))
    await names.read(connection, Kind.KANAAL, (row[3] for row in found))
    return [
        notificatie_of(
            row,
            client=names.text(Kind.CLIENT, row[2]),
            kanaal=names.text(Kind.KANAAL, row[3]),
            unrouted=bool(row[9]),
        )
        for row in found
    ]
