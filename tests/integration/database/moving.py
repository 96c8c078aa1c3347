"""A registry with a ledger that has something of everything, and moves of both."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.opening import open_ledger
from ledger.operating.replays import Plan
from ledger.tables.rows import Kind
from ledger.values import (
    Attempt,
    Cause,
    Entry,
    Event,
    GapClosed,
    GapOpened,
    Heartbeat,
    Incomplete,
    Key,
    Outcome,
    PassedOn,
    Probe,
    Scope,
    Search,
    State,
    Unrouted,
)
from schemas.abonnement import Abonnement
from store.opening import open_registry
from tests.command import nrc_process
from tests.make import a_kanaal, an_abonnement

DAY = 86_400_000
NOW = 1_760_000_000_000
ZAAK = "https://zaken.example.nl/api/v1/zaken/"
BUDGET = 1_000_000_000


@dataclass(frozen=True)
class Filled:
    """A state folder that no process uses. entries: of the ledger, the oldest first."""

    folder: Path
    abonnementen: Sequence[Abonnement]
    entries: Sequence[Entry]


def in_file(folder: Path, name: str = "registry.db") -> str:
    return f"sqlite:///{folder / name}"


async def move(folder: Path, source: str, target: str, *options: str) -> tuple[int, str, str]:
    ran = await nrc_process(folder, "registry", "move", source, target, "--yes", *options)
    return ran.code, ran.out, ran.err


async def filled(folder: Path, *, notificaties: int = 40) -> Filled:
    """A registry with two abonnementen, and a ledger with rows in every table, of some days."""
    abonnementen = [an_abonnement(("zaken", {})), an_abonnement(("zaken", {}))]
    async with open_registry(folder / "registry.db") as registry:
        await registry.add_kanaal(a_kanaal("zaken", "bronorganisatie"))
        for each in abonnementen:
            await registry.add_abonnement(each)
        async with open_ledger(folder / "ledger.db") as ledger:
            entries = await _fill(ledger, [each.uuid for each in abonnementen], notificaties)
            # As the keeper does.
            epoch = await ledger.keeping.take_lease("keeper", seconds=0)
            assert epoch is not None
            await registry.note_ledger((await ledger.keeping.mark(epoch)).noted())
    return Filled(folder, abonnementen, entries)


async def _fill(ledger: Ledger, abonnementen: Sequence[UUID], count: int) -> list[Entry]:
    entries = [_entry(number, abonnementen) for number in range(count)]
    await ledger.write(entries)
    first, second = abonnementen
    events: list[Event] = []
    for number, entry in enumerate(entries):
        at = entry.received + 1000
        delivered = Outcome(Key(entry.id, first), State.DELIVERED, 0, 1, at, status=204, ms=12.5)
        failed = Attempt(at, 1, "http_5xx", f"503 é {number}", 503, 7.25)
        retrying = Outcome(Key(entry.id, second), State.RETRYING, 0, 1, at, failed=failed, wait=3600)
        match number % 5:
            case 0:
                events.append(delivered)
            case 1:
                events.append(retrying)
            case 2:
                given_up = replace(retrying, state=State.UNDELIVERABLE, attempts=2, at=at + 5, wait=None)
                events += [delivered, retrying, given_up]
            case 3:
                probe = Probe(Key(entry.id, first), replace(failed, number=0))
                events += [probe, Unrouted(entry.id, lane=number % 2 == 0)]
            case _:
                events.append(replace(retrying, state=State.RETURNING, round=1, anew=True))
    await ledger.write(events)
    hands = frozenset({Key(entries[0].id, first)})
    await ledger.write(
        [
            Heartbeat("deliverer-1", all_flushed=True, hands=hands),
            Heartbeat("deliverer-2", all_flushed=False, stopped=True),
            GapOpened(Scope.KANAAL, "zaken", "a test"),
            Incomplete(NOW, NOW + 5, 3),
            Incomplete(None, NOW),
        ]
    )
    await ledger.write([GapClosed(Scope.KANAAL, "zaken"), GapOpened(Scope.ABONNEMENT, str(second), "é")])
    await ledger.shed(now=NOW, bodies_for=1e9, rows_for=1e9, counts_for=1e9, budget=BUDGET)
    search = Search(kanaal="zaken", kenmerken={"bronorganisatie": "1"}, ids=(entries[0].id,))
    plan = Plan(first, search, "a test", 2.5, 40, lacking=True)
    ended, replay = await ledger.replays.make(plan), await ledger.replays.make(plan)
    epoch = await ledger.keeping.take_lease("keeper", seconds=0)
    assert epoch is not None
    sends = [entry.id for entry in entries[:3]]
    await ledger.replays.advance(epoch, ended.number, sends=sends, skipped=1, last=None)
    await ledger.replays.advance(epoch, replay.number, sends=sends[:1], skipped=0, last=sends[0])
    await ledger.keeping.count_held(epoch, [second])
    again = await ledger.keeping.waiting(first, limit=2)
    await ledger.keeping.give_back(epoch, again, cause=Cause.QUEUE, judged=True)
    stuck = await ledger.keeping.waiting(second, limit=1)
    await ledger.keeping.end(epoch, stuck)
    await ledger.write([Outcome(Key(uuid4(), first), State.DELIVERED, 0, 1, NOW)])  # of no entry
    return entries


def _entry(number: int, abonnementen: Sequence[UUID]) -> Entry:
    received = NOW + (number % 3) * DAY + number // 3
    zaak = f"{ZAAK}{uuid4()}"
    return Entry(
        id=new_id(at=received / 1000) if number % 7 else uuid4(),
        received=received,
        client=f"zac {number % 2} é",
        kanaal="zaken",
        resource="status",
        actie="create",
        hoofd_object=zaak,
        resource_url=f"{zaak}/status",
        kenmerken={"bronorganisatie": "1", "zaaktype": f"{ZAAK}{number % 4}"},
        body=b"\x00\xff" * (number + 1),
        catalogue=7,
        matched=tuple(abonnementen),
        hops=number % 2,
        trace="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" if number % 4 == 0 else "",
        passed_on=PassedOn("batch", f"é {number}") if number % 4 == 1 else None,
    )


async def told(ledger: Ledger, filled: Filled) -> Mapping[str, Any]:
    """All that a ledger tells of what is in it, by every way to find it."""
    ids = [entry.id for entry in filled.entries]
    of = await ledger.deliveries(ids)
    keys = [each.key for each_id in ids for each in of[each_id]]
    first = filled.entries[0]
    searches = {
        "object": Search(hoofd_object=first.hoofd_object),
        "url": Search(resource_url=filled.entries[-1].resource_url),
        "kenmerk": Search(kenmerken={"zaaktype": f"{ZAAK}1"}),
        "client": Search(client="zac 1 é"),
        "abonnement": Search(abonnement=filled.abonnementen[0].uuid, states=frozenset({State.RETURNING})),
    }
    facts = await ledger.keeping.facts()
    return {
        "notificaties": [await ledger.notificatie(each) for each in ids],
        "deliveries": of,
        "attempts": {key: await ledger.attempts(key) for key in keys},
        "searches": {
            name: {each.id for each in await ledger.search(search, limit=1000)}
            for name, search in searches.items()
        },
        "backlogs": await ledger.backlogs(),
        "undeliverable": await ledger.undeliverable(limit=1000),
        "counts": await ledger.counts(since=0),
        "minutes": await ledger.per_minute(since=0),
        "incomplete": await ledger.incomplete(),
        "instance": await ledger.instance(),
        "replays": await ledger.replays.replays(limit=10),
        "gaps": [*await ledger.keeping.gaps(done=False), *await ledger.keeping.gaps(done=True)],
        "lane": await ledger.keeping.in_lane(),
        "firsts": await ledger.keeping.first_attempts(ended=0),
        "facts": replace(facts, now=0, size=0),
    }


def rows_of(file: Path) -> dict[str, list[Any]]:
    """Every row of a ledger in a file, but for its own tables, with names for numbers and ids for places."""
    with closing(sqlite3.connect(file)) as db:
        names = {(kind, nr): text for kind, nr, text in db.execute("SELECT kind, nr, text FROM name")}
        places = dict(db.execute("SELECT n, id FROM notificatie"))
        found: dict[str, list[Any]] = {}
        tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table in ("secret", "lease", "_sqlite_migrations", "compatible_step", "sqlite_sequence"):
                continue
            cursor = db.execute(f"SELECT * FROM {table}")
            columns = [each[0] for each in cursor.description]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor]
            for row in rows:
                _name(table, row, names, places)
            found[table] = sorted((tuple(row.items()) for row in rows), key=repr)
        return found


def _name(table: str, row: dict[str, Any], names: Mapping[Any, str], places: Mapping[int, bytes]) -> None:
    if table == "name":
        del row["nr"]
        return
    if "n" in row and table in ("notificatie", "body", "term", "trace"):
        row["n"] = places[row["n"]]
    for column, kind in (("client", Kind.CLIENT), ("kanaal", Kind.KANAAL), ("abonnement", Kind.ABONNEMENT)):
        if isinstance(row.get(column), int):
            row[column] = names[kind, row[column]]
    if table == "minute" and row["what"] != 3:
        row["who"] = names[Kind.KANAAL if row["what"] == 0 else Kind.ABONNEMENT, row["who"]]
