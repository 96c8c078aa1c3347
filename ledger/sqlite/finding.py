"""Look-ups and counts for operators, in the SQLite ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlite_utils import Database

from ledger.ledger import RECENT
from ledger.sqlite.numbers import Texts, number_of
from ledger.sqlite.reading import SELECT, UNROUTED, as_notificatie
from ledger.tables.merging import MINUTE
from ledger.tables.minutes import minutes_of
from ledger.tables.rows import (
    FOR_EVER,
    PUNCTUALITY,
    SPILL,
    STATE_OF,
    STATES,
    Counter,
    Kind,
    Row,
    delivery_of,
    first_n,
)
from ledger.values import ORIGINAL, Counts, Delivery, Minute, Notificatie, Published, Punctuality, State

_UNMATCHED = "NOT EXISTS (SELECT 1 FROM delivery d WHERE d.id = m.id)"


def deliveries_between(
    db: Database, first: UUID, last: UUID, *, limit: int, texts: Texts
) -> Sequence[Delivery]:
    """As `Ledger.deliveries_between`."""
    select = "SELECT * FROM delivery WHERE id >= ? AND id <= ? ORDER BY id, abonnement, replay LIMIT ?"
    rows = (Row._make(row) for row in db.execute(select, [first.bytes, last.bytes, limit]))
    return [delivery_of(row, texts.abonnement(db, row.abonnement)) for row in rows]


def undeliverable_count(db: Database) -> int:
    """As `Ledger.undeliverable_count`."""
    select = (
        "SELECT count(*) FROM delivery INDEXED BY delivery_uncommon WHERE state = ? AND state NOT IN (0, 7)"
    )
    return int(db.execute(select, [STATES[State.UNDELIVERABLE]]).fetchone()[0])


def undeliverable_counts(db: Database, texts: Texts) -> Mapping[UUID, int]:
    """As `Ledger.undeliverable_counts`."""
    select = (
        "SELECT abonnement, count(DISTINCT id) FROM delivery INDEXED BY delivery_uncommon "
        "WHERE state = ? AND state NOT IN (0, 7) GROUP BY abonnement"
    )
    rows = db.execute(select, [STATES[State.UNDELIVERABLE]])
    return {texts.abonnement(db, number): count for number, count in rows}


def counts(db: Database, *, since: int, texts: Texts) -> Counts:
    """As `Ledger.counts`."""
    accepted: dict[str, int] = {}
    came_to: dict[UUID, dict[State, int]] = {}
    select = "SELECT what, who, sum(n) FROM minute WHERE minute >= ? GROUP BY what, who"
    for what, who, count in db.execute(select, [since // MINUTE]):
        if what == Counter.ACCEPTED:
            accepted[texts.text(db, Kind.KANAAL, who)] = count
        elif what >= Counter.STATE:
            came_to.setdefault(texts.abonnement(db, who), {})[STATE_OF[what - Counter.STATE]] = count
    return Counts(accepted, came_to)


def published(db: Database, *, newest: int, texts: Texts) -> Sequence[Published]:
    """As `Ledger.published`."""
    select = f"""
        SELECT kanaal, client, count(*), sum({_UNMATCHED}), max(received)
        FROM (SELECT * FROM notificatie ORDER BY n DESC LIMIT ?) m GROUP BY kanaal, client
        """  # noqa: S608
    return [
        Published(
            kanaal=texts.text(db, Kind.KANAAL, kanaal),
            client=texts.text(db, Kind.CLIENT, client),
            count=count,
            unmatched=without,
            last=last,
        )
        for kanaal, client, count, without, last in db.execute(select, [newest])
    ]


def unmatched(db: Database, kanaal: str, *, newest: int, limit: int, texts: Texts) -> Sequence[Notificatie]:
    """As `Ledger.unmatched`."""
    number = number_of(db, Kind.KANAAL, kanaal)
    select = f"""
        {SELECT} FROM (SELECT * FROM notificatie ORDER BY n DESC LIMIT ?) m {UNROUTED}
        WHERE m.kanaal = ? AND {_UNMATCHED} ORDER BY m.n DESC LIMIT ?
        """  # noqa: S608
    return [as_notificatie(db, row, texts) for row in db.execute(select, [newest, number, limit])]


def last_delivered(db: Database, abonnement: UUID) -> int | None:
    """As `Ledger.last_delivered`."""
    number = number_of(db, Kind.ABONNEMENT, str(abonnement))
    moments: list[int] = []
    for index, of, order in (
        ("delivery_abonnement", "open = 0", "id"),
        ("delivery_again", "open = 0 AND again_at IS NOT NULL", "again_at"),
    ):
        select = (
            f"SELECT max(last_at) FROM (SELECT state, last_at FROM delivery INDEXED BY {index} "  # noqa: S608
            f"WHERE abonnement = ? AND {of} ORDER BY {order} DESC LIMIT ?) WHERE state = ?"
        )
        (at,) = db.execute(select, [number, RECENT, STATES[State.DELIVERED]]).fetchone()
        moments += [] if at is None else [int(at)]
    return max(moments, default=None)


def punctuality(
    db: Database, *, after: int, before: int | None, late: int, texts: Texts
) -> Mapping[UUID, Punctuality]:
    """As `Ledger.punctuality`."""
    # The bounds of n (reading.py) leave out all but the time asked for; a CROSS JOIN keeps the order.
    select = (
        f"SELECT d.abonnement, {PUNCTUALITY.format(late=late)} FROM notificatie m "  # noqa: S608
        "CROSS JOIN delivery d ON d.id = m.id AND d.replay = 0 "
        "WHERE m.n >= ? AND m.n < ? AND m.received >= ? AND m.received < ? GROUP BY d.abonnement"
    )
    end = FOR_EVER if before is None else before
    rows = db.execute(select, [first_n(after), first_n(end) + SPILL, after, end])
    return {texts.abonnement(db, number): Punctuality(*fields) for number, *fields in rows}


def outcomes(db: Database, notificatie: UUID) -> Mapping[State, int]:
    """As `Ledger.outcomes`."""
    select = "SELECT state, count(*) FROM delivery WHERE id = ? AND replay = ? GROUP BY state"
    rows = db.execute(select, [notificatie.bytes, ORIGINAL])
    return {STATE_OF[state]: count for state, count in rows}


def per_minute(db: Database, *, since: int) -> Sequence[Minute]:
    """As `Ledger.per_minute`."""
    since_minute = [since // MINUTE]
    took = db.execute("SELECT minute, bucket, n FROM took WHERE minute >= ?", since_minute)
    select = "SELECT minute, what, sum(n) FROM minute WHERE minute >= ? GROUP BY 1, 2 ORDER BY 1, 2"
    return minutes_of(db.execute(select, since_minute), took)
