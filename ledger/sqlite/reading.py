"""The SQL of the ledger's reading methods, and the index that each uses.

A list is read from an index in its order until there is enough, so a page of a search costs only the rows
that were read to find it. All pages of a search have one order: by `n`, or by id where it goes through
deliveries. Both are by time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlite_utils import Database

from ledger.ids import SKEW, received_of
from ledger.sqlite.numbers import Texts, number_of
from ledger.tables.rows import (
    COMMON,
    FAILED,
    LATE,
    NOTIFICATIE_COLUMNS,
    SPILL,
    STATES,
    Hashes,
    Kind,
    Row,
    attempt_of,
    delivery_of,
    first_n,
    least_id,
    notificatie_of,
)
from ledger.values import OPEN, Attempt, Backlog, Delivery, Incomplete, Key, Notificatie, Search, State

PAGE = 500  # rows of `open_of` in one snapshot
_AT_ONCE = 500  # ids of one IN (…)
_RARE = 1000  # rows of a condition are counted up to here, to begin with the rarest

_COLUMNS = ", ".join(f"m.{name}" for name in NOTIFICATIE_COLUMNS.split(", "))
SELECT = f"SELECT {_COLUMNS}, coalesce(u.open, 0)"
_UNROUTED = NOTIFICATIE_COLUMNS.count(", ") + 1  # its place in a row of SELECT
_OF_CLIENT = "notificatie WHERE client = ?"
UNROUTED = "LEFT JOIN unrouted u ON u.id = m.id"


def notificatie(db: Database, id_: UUID, texts: Texts) -> Notificatie | None:
    """One notificatie with its body."""
    select = (
        f"{SELECT}, b.body, t.traceparent, p.batch, p.correlation FROM notificatie m {UNROUTED} "
        "LEFT JOIN body b ON b.n = m.n LEFT JOIN trace t ON t.n = m.n LEFT JOIN passed_on p ON p.id = m.id "
        "WHERE m.id = ?"
    )
    row = db.execute(select, [id_.bytes]).fetchone()
    if row is None:
        return None
    *_, body, trace, batch, correlation = row
    found = as_notificatie(db, row, texts, body=body, trace=trace or "")
    return found if batch is None else found._replace(batch=batch, correlation=correlation)


def search(
    db: Database,
    asked: Search,
    *,
    limit: int,
    after: UUID | None,
    oldest_first: bool,
    hashes: Hashes,
    texts: Texts,
) -> list[Notificatie]:
    """The notificaties found, without bodies."""
    plan = _plan(db, asked, hashes)
    if plan is None:
        return []
    if after is not None:
        plan.start_after(db, after, oldest_first=oldest_first)
    # No LIMIT: each cursor is read only as far as is needed, since rows may be left out afterwards.
    cursors = [db.execute(sql, parameters) for sql, parameters in plan.statements(oldest_first=oldest_first)]
    rows: Iterable[tuple[Any, ...]] = cursors[0]
    if len(cursors) > 1:
        rows = heapq.merge(*cursors, key=lambda row: row[-1], reverse=not oldest_first)
    found: dict[bytes, tuple[Any, ...]] = {}
    for row in rows:
        if len(found) == limit:
            break
        found.setdefault(row[0], row)
    return [as_notificatie(db, row, texts) for row in found.values()]


def deliveries(db: Database, ids: Sequence[UUID], texts: Texts) -> Mapping[UUID, Sequence[Delivery]]:
    """The deliveries of each of these."""
    found: dict[UUID, list[Delivery]] = {id_: [] for id_ in ids}
    for start in range(0, len(ids), _AT_ONCE):
        piece = [id_.bytes for id_ in ids[start : start + _AT_ONCE]]
        select = f"SELECT * FROM delivery WHERE id IN ({', '.join('?' * len(piece))})"  # noqa: S608
        for row in db.execute(select, piece):
            made = _delivery(db, row, texts)
            found[made.key.notificatie].append(made)
    for of in found.values():
        of.sort(key=lambda one: (one.key.abonnement, one.key.replay))
    return found


def delivery(db: Database, key: Key) -> Delivery | None:
    """One delivery."""
    place = _place(db, key)
    if place is None:
        return None
    select = "SELECT * FROM delivery WHERE id = ? AND abonnement = ? AND replay = ?"
    row = db.execute(select, place).fetchone()
    return None if row is None else delivery_of(Row._make(row), key.abonnement)


def attempts(db: Database, key: Key) -> Sequence[Attempt]:
    """Its failed attempts and probes."""
    select = (
        "SELECT number, at, kind, status, us, detail FROM attempt WHERE id = ? AND abonnement = ? AND "
        "replay = ? ORDER BY at, round, number"
    )
    place = _place(db, key)
    return () if place is None else tuple(map(attempt_of, db.execute(select, place)))


def backlogs(db: Database, texts: Texts, *, now: int, of: UUID | None = None) -> Mapping[UUID, Backlog]:
    """What is open of each abonnement, or of one. now: milliseconds, by the database's clock."""
    only = "" if of is None else "AND b.abonnement = :of"
    parameters = {"now": now} if of is None else {"now": now, "of": number_of(db, Kind.ABONNEMENT, str(of))}
    select = f"""
        SELECT abonnement, n, bytes, retrying, stuck, oldest,
            (SELECT received FROM notificatie WHERE id = oldest), next_at
        FROM (SELECT *,
            (SELECT count(*) FROM delivery d WHERE d.abonnement = b.abonnement AND d.next_at > :now)
                AS retrying,
            (SELECT id FROM delivery d WHERE d.abonnement = b.abonnement AND open = 1 ORDER BY id LIMIT 1)
                AS oldest,
            (SELECT min(next_at) FROM delivery d WHERE d.abonnement = b.abonnement AND d.next_at > :now)
                AS next_at
            FROM backlog b WHERE n > 0 {only})
        """  # noqa: S608
    return {
        texts.abonnement(db, nr): Backlog(
            count=n,
            size=size,
            oldest=received if received is not None else received_of(UUID(bytes=oldest)),
            retrying=retrying,
            next_at=next_at,
            stuck=stuck,
        )
        for nr, n, size, retrying, stuck, oldest, received, next_at in db.execute(select, parameters)
    }


def undeliverable(
    db: Database, *, abonnement: UUID | None, limit: int, after: Key | None, texts: Texts
) -> list[Delivery]:
    """What is undeliverable, the oldest first."""
    where = ["state = ?", "state NOT IN (0, 7)"]
    parameters: list[Any] = [STATES[State.UNDELIVERABLE]]
    if abonnement is not None:
        number = number_of(db, Kind.ABONNEMENT, str(abonnement))
        if number is None:
            return []
        where.append("abonnement = ?")
        parameters.append(number)
    if after is not None:
        where.append("(id, abonnement, replay) > (?, ?, ?)")
        nr = number_of(db, Kind.ABONNEMENT, str(after.abonnement)) or 0
        parameters += [after.notificatie.bytes, nr, after.replay]
    select = (
        "SELECT * FROM delivery INDEXED BY delivery_uncommon "  # noqa: S608
        f"WHERE {' AND '.join(where)} "
        "ORDER BY id, abonnement, replay LIMIT ?"
    )
    return [_delivery(db, row, texts) for row in db.execute(select, [*parameters, limit])]


def incomplete(db: Database) -> list[Incomplete]:
    """The times in which the ledger lacks something."""
    rows = db.execute("SELECT since, until, n FROM incomplete ORDER BY since, until")
    return [Incomplete(since or None, until, count) for since, until, count in rows]


def open_page(
    db: Database, abonnement: UUID, *, states: Iterable[State], after: Delivery | None
) -> list[Delivery]:
    """The next PAGE that are open of one abonnement in one of these states, the oldest first."""
    number = number_of(db, Kind.ABONNEMENT, str(abonnement))
    if number is None:
        return []
    select = (
        "SELECT * FROM delivery INDEXED BY delivery_abonnement WHERE abonnement = ? AND open = 1 "  # noqa: S608
        f"AND (id, replay) > (?, ?) AND state IN ({', '.join(str(STATES[state]) for state in states)}) "
        "ORDER BY id, replay LIMIT ?"
    )
    place = (b"", 0) if after is None else (after.key.notificatie.bytes, after.key.replay)
    rows = db.execute(select, [number, *place, PAGE])
    return [delivery_of(Row._make(row), abonnement) for row in rows]


@dataclass(slots=True)
class _Plan:
    """The query plan of a search: `sources` in its order, and the conditions for each row.

    sources: FROM and WHERE of each, with its parameters. order: the column that all are ordered by.
    """

    sources: list[tuple[str, list[Any]]]
    order: str = "m.n"
    where: list[str] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)

    def must(self, condition: str, *parameters: Any) -> None:
        self.where.append(condition)
        self.parameters += parameters

    def start_after(self, db: Database, id_: UUID, *, oldest_first: bool) -> None:
        """Only what comes after this one in the order."""
        place: Any = id_.bytes
        if self.order.endswith(".n"):
            row = db.execute("SELECT n FROM notificatie WHERE id = ?", [id_.bytes]).fetchone()
            # It was removed meanwhile: from where it was.
            place = row[0] if row else first_n(received_of(id_) or 0)
        self.must(f"{self.order} {'>' if oldest_first else '<'} ?", place)

    def statements(self, *, oldest_first: bool) -> Iterator[tuple[str, list[Any]]]:
        for source, parameters in self.sources:
            where = "".join(f" AND {condition}" for condition in self.where)
            direction = "ASC" if oldest_first else "DESC"
            yield (
                f"{SELECT}, {self.order} FROM {source}{where} ORDER BY {self.order} {direction}",
                [*parameters, *self.parameters],
            )


def _plan(db: Database, asked: Search, hashes: Hashes) -> _Plan | None:
    """None when nothing can be found."""
    numbers: dict[Kind, int] = {}
    for kind, text in (
        (Kind.CLIENT, asked.client),
        (Kind.KANAAL, asked.kanaal),
        (Kind.ABONNEMENT, str(asked.abonnement) if asked.abonnement else None),
    ):
        if text is not None:
            number = number_of(db, kind, text)
            if number is None:
                return None
            numbers[kind] = number
    terms = [hashes.term(name, value) for name, value in asked.kenmerken.items()]
    client, abonnement = numbers.get(Kind.CLIENT), numbers.get(Kind.ABONNEMENT)
    states = sorted(STATES[state] for state in asked.states)
    if asked.ids:
        marks = ", ".join("?" * len(asked.ids))
        source = f"notificatie m {UNROUTED} WHERE m.id IN ({marks})"
        plan = _Plan([(source, [each.bytes for each in asked.ids])])
    elif asked.text is not None:
        plan = _by_text(asked.text, hashes)
    elif asked.hoofd_object is not None:
        plan = _Plan([_by_hash("hoofd", hashes.segment(asked.hoofd_object))])
    elif asked.resource_url is not None:
        plan = _Plan([_by_hash("url", hashes.segment(asked.resource_url))])
    elif terms:
        rarest = min(terms, key=lambda term: _few(db, "term WHERE t = ?", term))
        if client is not None and _few(db, _OF_CLIENT, client) < _few(db, "term WHERE t = ?", rarest):
            plan = _Plan([(f"notificatie m {UNROUTED} WHERE m.client = ?", [client])])
        else:
            terms.remove(rarest)
            source = f"term t CROSS JOIN notificatie m ON m.n = t.n {UNROUTED} WHERE t.t = ?"
            plan = _Plan([(source, [rarest])], order="t.n")
    elif states and not asked.states & COMMON:
        plan = _by_delivery("d.state = ? AND d.state NOT IN (0, 7)", [[state] for state in states])
    elif abonnement is not None:
        sides = {int(state in OPEN) for state in asked.states} or {0, 1}
        plan = _by_delivery("d.abonnement = ? AND d.open = ?", [[abonnement, side] for side in sides])
    elif client is not None:
        plan = _Plan([(f"notificatie m {UNROUTED} WHERE m.client = ?", [client])])
    else:
        plan = _Plan([(f"notificatie m {UNROUTED} WHERE 1", [])])
    for column, url in (("hoofd", asked.hoofd_object), ("url", asked.resource_url)):
        if url is not None:
            plan.must(f"+m.{column} = ?", hashes.segment(url))
    _filter(plan, asked, numbers, terms, states)
    return plan


def _by_text(text: str, hashes: Hashes) -> _Plan:
    hashed = hashes.segment(text)
    plan = _Plan([_by_hash("hoofd", hashed), _by_hash("url", hashed)])
    try:
        id_ = UUID(text.strip())
    except ValueError:
        return plan
    plan.sources.append((f"notificatie m {UNROUTED} WHERE m.id = ?", [id_.bytes]))
    return plan


def _by_hash(column: str, hashed: int) -> tuple[str, list[Any]]:
    """The source of those with this hash of hoofdObject (`hoofd`) or resourceUrl (`url`)."""
    return f"notificatie m INDEXED BY notificatie_{column} {UNROUTED} WHERE m.{column} = ?", [hashed]


def _by_delivery(where: str, parameters: list[list[Any]]) -> _Plan:
    index = "delivery_uncommon" if "state" in where else "delivery_abonnement"
    source = f"delivery d INDEXED BY {index} CROSS JOIN notificatie m ON m.id = d.id {UNROUTED} WHERE {where}"
    return _Plan([(source, each) for each in parameters], order="d.id")


def _filter(
    plan: _Plan, asked: Search, numbers: Mapping[Kind, int], terms: Sequence[int], states: Sequence[int]
) -> None:
    """Add the conditions for each notificatie, whatever its source. A `+` keeps SQLite from another index."""
    for term in terms:
        plan.must("EXISTS (SELECT 1 FROM term x WHERE x.t = ? AND x.n = m.n)", term)
    if Kind.ABONNEMENT in numbers or states or asked.failed or asked.late is not None:
        where = "d2.id = m.id"
        if Kind.ABONNEMENT in numbers:
            where += f" AND d2.abonnement = {numbers[Kind.ABONNEMENT]}"
        if states:
            where += f" AND +d2.state IN ({', '.join(map(str, states))})"
        if asked.failed:
            where += f" AND {FAILED.format(d='d2')}"
        if asked.late is not None:
            where += f" AND {LATE.format(d='d2')}{asked.late:d}"
        plan.must(f"EXISTS (SELECT 1 FROM delivery d2 WHERE {where})")  # noqa: S608
    if Kind.CLIENT in numbers:
        plan.must("+m.client = ?", numbers[Kind.CLIENT])
    if Kind.KANAAL in numbers:
        plan.must("m.kanaal = ?", numbers[Kind.KANAAL])
    for column, text in (("resource", asked.resource), ("actie", asked.actie)):
        if text is not None:
            plan.must(f"m.{column} = ?", text)
    by_n = plan.order.endswith(".n")
    if asked.after is not None:
        plan.must("m.received >= ?", asked.after)
        first: Any = first_n(asked.after) if by_n else least_id(asked.after - SKEW)
        plan.must(f"{plan.order} >= ?", first)
    if asked.before is not None:
        plan.must("m.received < ?", asked.before)
        # Some may have an n of a later moment, where theirs was full.
        last: Any = first_n(asked.before) + SPILL if by_n else least_id(asked.before + SKEW)
        plan.must(f"{plan.order} < ?", last)


def _few(db: Database, rows: str, value: int) -> int:
    """How many there are, up to _RARE: to begin with the rarest of several conditions."""
    select = f"SELECT count(*) FROM (SELECT 1 FROM {rows} LIMIT ?)"  # noqa: S608
    return int(db.execute(select, [value, _RARE]).fetchone()[0])


def _place(db: Database, key: Key) -> tuple[bytes, int, int] | None:
    number = number_of(db, Kind.ABONNEMENT, str(key.abonnement))
    return None if number is None else (key.notificatie.bytes, number, key.replay)


def _delivery(db: Database, row: tuple[Any, ...], texts: Texts) -> Delivery:
    made = Row._make(row)
    return delivery_of(made, texts.abonnement(db, made.abonnement))


def as_notificatie(
    db: Database, row: tuple[Any, ...], texts: Texts, *, body: bytes | None = None, trace: str = ""
) -> Notificatie:
    """A row of SELECT as a notificatie."""
    return notificatie_of(
        row,
        client=texts.text(db, Kind.CLIENT, row[2]),
        kanaal=texts.text(db, Kind.KANAAL, row[3]),
        unrouted=bool(row[_UNROUTED]),
        body=body,
        trace=trace,
    )
