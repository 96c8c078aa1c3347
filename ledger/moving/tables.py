"""A ledger's tables as a move sees them: columns that do not depend on the store, the key first. Pure.

A client, a kanaal and an abonnement is its name here: its number is another one in each store. A body has the
id of its notificatie, and so has a term. Counts are sums. The key of the hashes is moved beside the tables.
What is added to a store stands here, or among what stays: a test looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger.tables.rows import Counter, Kind


@dataclass(frozen=True, slots=True)
class Table:
    """One table. key: how many of its columns tell its rows apart.

    ordered: by how many of these a store reads it in order; rows that have these alike are put in order in
    memory. named: the columns that are names, and of what. chunk: rows that are read at once.
    """

    columns: tuple[str, ...]
    key: int
    ordered: int = 0
    named: Mapping[str, Kind] = field(default_factory=dict)
    chunk: int = 1000


_ABONNEMENT = {"abonnement": Kind.ABONNEMENT}


def _columns(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TABLES: dict[str, Table] = {
    "name": Table(_columns("kind text"), 2),
    "notificatie": Table(
        _columns("id received client kanaal resource actie hoofd url size catalogue hops terms"),
        1,
        ordered=1,
        named={"client": Kind.CLIENT, "kanaal": Kind.KANAAL},
    ),
    # A body may be as large as NRC_MAX_BODY.
    "body": Table(_columns("id body trace"), 1, ordered=1, chunk=50),
    # Most notificaties may have the same term, so these are put in order by the store alone.
    "term": Table(_columns("t id"), 2, ordered=2),
    "unrouted": Table(_columns("id open since"), 1, ordered=1),
    "lane": Table(_columns("id"), 1, ordered=1),
    "passed_on": Table(_columns("id batch correlation"), 1, ordered=1),
    "delivery": Table(
        _columns(
            "id abonnement replay open state round attempts since last_at next_at size given doubt status us "
            "again_at"
        ),
        3,
        ordered=1,
        named=_ABONNEMENT,
    ),
    "attempt": Table(
        _columns("id abonnement replay at round number kind status us detail"),
        7,
        ordered=1,
        named=_ABONNEMENT,
    ),
    "minute": Table(_columns("minute what who n"), 3, ordered=1),
    "took": Table(_columns("minute bucket n"), 2, ordered=1),
    "first_attempt": Table(_columns("minute abonnement since"), 2, ordered=1, named=_ABONNEMENT),
    "backlog": Table(_columns("abonnement n bytes stuck"), 1, named=_ABONNEMENT),
    "process": Table(_columns("name at flushed_until hands stopped"), 1),
    "gap": Table(_columns("nr kind scope opened closed detail done"), 1, ordered=1),
    "keeper": Table(_columns("one holder epoch until"), 1),
    "budget": Table(_columns("one bytes full"), 1),
    "incomplete": Table(_columns("since until n"), 2),
    "replay": Table(
        _columns(
            "nr made ended progress abonnement search reason rate unmatched total sent skipped last lacking"
        ),
        1,
        ordered=1,
    ),
    "instance": Table(_columns("one id made mark marked unsure_until"), 1),
}
"""Tables that are moved, names before what has their numbers, notificaties before what is found by them."""

STAY = frozenset(
    {"secret", "lease", "volume", "schema_step", "_sqlite_migrations", "compatible_step", "sqlite_sequence"}
)
"""Tables that belong to a store itself, or are made of what is moved (`volume`, and `secret`)."""

OWN = frozenset(
    {
        *(("name", "nr"), ("notificatie", "n"), ("body", "n"), ("term", "n"), ("trace", "n")),
        ("trace", "traceparent"),
        *(("minute", "slot"), ("took", "slot"), ("backlog", "slot"), ("first_attempt", "slot")),
    }
)
"""Columns that one of the stores has by itself, for what another column or table is here."""

_WHO = {int(Counter.ACCEPTED): Kind.KANAAL, int(Counter.HELD): None}


def kind_of_who(what: int) -> Kind | None:
    """Of what `who` of a row of `minute` is the number; None: it is no number of a name."""
    return _WHO.get(what, Kind.ABONNEMENT)
