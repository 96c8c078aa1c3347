"""Reads what can still be read of a damaged ledger, as events for a new one.

Nothing in the file is trusted: ids are read from both ends of each table, the rows of each id one by one,
and what cannot be read is counted. Only what is not settled is taken over: accepted without RabbitMQ (so
only the ledger has it), open, or undeliverable. Nothing is written to the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from ledger.sqlite.looking import opened_to_read, seal_of
from ledger.tables.rows import STATES, Kind, Row, attempt_of, delivery_of
from ledger.values import OPEN, ORIGINAL, Delivery, Entry, Event, Outcome, Probe, State, Unrouted
from schemas.errors import ParseError
from schemas.notificatie import kenmerken_of, read_accepted
from store.faults import LEDGER
from store.files.faults import told
from store.secrets import Vault

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_WANTED = ", ".join(str(STATES[state]) for state in sorted({*OPEN, State.UNDELIVERABLE}))
_NOTIFICATIE = (
    "SELECT m.received, m.client, m.kanaal, m.resource, m.actie, m.catalogue, m.hops, b.body "
    "FROM notificatie m JOIN body b ON b.n = m.n WHERE m.id = ?"
)
_DELIVERIES = "SELECT * FROM delivery WHERE id = ?"
_ATTEMPTS = (
    "SELECT number, at, kind, status, us, detail FROM attempt WHERE id = ? AND abonnement = ? AND replay = ?"
)


@dataclass(slots=True)
class Salvaged:
    """How much was taken over.

    unrouted: notificaties that RabbitMQ does not have. unsure, undeliverable: deliveries. unread:
    notificaties of which only the id could be read. whole: whether all ids could be read.
    """

    unrouted: int = 0
    unsure: int = 0
    undeliverable: int = 0
    unread: int = 0
    whole: bool = True


def what_is_wrong(file: Path, vault: Vault) -> str:
    """Why this ledger cannot be used any more, in a line; "" when it can.

    Raises LedgerError for a passing fault: it is locked, or cannot be reached.
    """
    try:
        with closing(opened_to_read(file)) as connection:
            (fault,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if fault != "ok":
                return f"it is damaged: {fault}"
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            return f"it is damaged: {error}"
        raise told(LEDGER, file, error) from error
    seal = seal_of(file, vault)
    return "" if seal is None else seal.fault


def salvage(file: Path, salvaged: Salvaged) -> Iterator[list[Event]]:
    """Yield the events of each notificatie in turn; count them in `salvaged`."""
    with closing(opened_to_read(file)) as db:
        try:
            names = {(kind, nr): text for kind, nr, text in db.execute("SELECT kind, nr, text FROM name")}
        except sqlite3.Error:
            salvaged.whole = False
            return
        unrouted = _ids(db, "unrouted WHERE open = 1", salvaged)
        for id_ in sorted(unrouted | _ids(db, f"delivery WHERE state IN ({_WANTED})", salvaged)):
            try:
                yield _events(db, id_, names, salvaged, unrouted=id_ in unrouted)
            except (sqlite3.Error, LookupError, ValueError, TypeError, AttributeError, ParseError):
                salvaged.unread += 1


def _ids(db: sqlite3.Connection, of: str, salvaged: Salvaged) -> set[bytes]:
    """The ids of these rows, read from both ends up to the first row that cannot be read."""
    found: set[bytes] = set()
    for order in ("ASC", "DESC"):
        try:
            # In the order of the primary key: the table itself, and no index beside it.
            for (id_,) in db.execute(f"SELECT id FROM {of} ORDER BY id {order}"):  # noqa: S608
                found.add(id_)
            return found
        except sqlite3.Error:
            salvaged.whole = False
    return found


def _events(
    db: sqlite3.Connection,
    id_: bytes,
    names: dict[tuple[int, int], str],
    salvaged: Salvaged,
    *,
    unrouted: bool,
) -> list[Event]:
    """Its entry, its deliveries and their attempts. Raises whatever a damaged row raises."""
    found = db.execute(_NOTIFICATIE, [id_]).fetchone()
    if found is None:
        raise LookupError("no entry, or no body any more")
    rows = [Row._make(row) for row in db.execute(_DELIVERIES, [id_])]
    deliveries = [delivery_of(row, UUID(names[Kind.ABONNEMENT, row.abonnement])) for row in rows]
    entry = _entry(UUID(bytes=id_), found, names, deliveries)
    events: list[Event] = [entry, *([Unrouted(entry.id)] if unrouted else [])]
    counts = {State.UNSURE: 0, State.UNDELIVERABLE: 0}
    for row, delivery in zip(rows, deliveries, strict=True):
        attempts = db.execute(_ATTEMPTS, [id_, row.abonnement, row.replay]).fetchall()
        events += [Probe(delivery.key, attempt_of(each)) for each in attempts]
        if unrouted and delivery.state is State.PENDING and not (delivery.round or attempts):
            continue  # the entry makes this delivery
        outcome = _outcome(delivery)
        events.append(outcome)
        if outcome.state in counts:
            counts[outcome.state] += 1
    salvaged.unrouted += unrouted
    salvaged.unsure += counts[State.UNSURE]
    salvaged.undeliverable += counts[State.UNDELIVERABLE]
    return events


def _entry(
    id_: UUID, found: tuple[Any, ...], names: dict[tuple[int, int], str], deliveries: list[Delivery]
) -> Entry:
    received, client, kanaal, resource, actie, catalogue, hops, body = found
    sent = read_accepted(body)
    return Entry(
        id=id_,
        received=received,
        client=names[Kind.CLIENT, client],
        kanaal=names[Kind.KANAAL, kanaal],
        resource=resource,
        actie=actie,
        hoofd_object=str(sent.get("hoofdObject", "")),
        resource_url=str(sent.get("resourceUrl", "")),
        kenmerken=kenmerken_of(body) or {},
        body=body,
        catalogue=catalogue,
        matched=tuple(each.key.abonnement for each in deliveries if each.key.replay == ORIGINAL),
        hops=hops,
    )


def _outcome(delivery: Delivery) -> Outcome:
    """Its state; UNSURE where it may have been delivered since the ledger could last be written."""
    on_its_way = delivery.state in (State.PENDING, State.RETURNING, State.RETRYING)
    return Outcome(
        key=delivery.key,
        state=State.UNSURE if on_its_way else delivery.state,
        round=delivery.round,
        attempts=delivery.attempts,
        at=delivery.last_at,
        status=delivery.status,
        ms=delivery.ms,
    )
