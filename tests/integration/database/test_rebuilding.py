"""`nrc ledger rebuild` on PostgreSQL: a damaged ledger is put aside; what can be read is taken over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from ledger.ids import new_id
from ledger.values import Attempt, Entry, Event, Key, Outcome, State, Unrouted
from store.database.address import address_at
from tests.command import Ran, nrc
from tests.contract.stores.opened import KEY, ledger_in, registry_in
from tests.contract.stores.test_ledger import AT, an_entry, an_outcome
from tests.databases.postgresql import PrivateServer

MINE = uuid4()


def run(folder: Path, url: str, *arguments: str) -> Ran:
    return nrc(folder, *arguments, env={"NRC_DATABASE_URL": url, "NRC_SECRET_KEYS": KEY})


def rebuild(folder: Path, url: str, *options: str) -> Any:
    ran = run(folder, url, "ledger", "rebuild", "--json", *options)
    assert ran.out, ran.err
    return ran.json() | {"code": ran.code}


def fill(url: str, events: Sequence[Event]) -> None:
    async def write() -> None:
        async with registry_in(url), ledger_in(url) as ledger:
            await ledger.write(events)

    asyncio.run(write())


def states(url: str, entries: Sequence[Entry]) -> list[State | None]:
    async def read() -> list[State | None]:
        async with ledger_in(url) as ledger:
            found = await ledger.deliveries([each.id for each in entries])
            rows = {key: row.state for each in found.values() for row in each for key in [row.key]}
            return [rows.get(Key(each.id, MINE)) for each in entries]

    return asyncio.run(read())


def ask(url: str, statement: str) -> list[Any]:
    """statement: with {} where the schema's name is to stand."""
    at = address_at(url)
    with psycopg.connect(at.url, autocommit=True) as connection:
        composed = sql.SQL(statement).format(sql.Identifier(at.schema))
        cursor = connection.execute(composed)
        return cursor.fetchall() if cursor.description else []


def test_a_ledger_that_lacks_a_table_is_made_anew(tmp_path: Path, database_url: str) -> None:
    unrouted, _, undeliverable, delivered = entries = [an_entry(MINE, at=AT + nr) for nr in range(4)]
    failed = Attempt(AT + 1, 1, "http_status", "answered 500", status=500)
    gone = Outcome(Key(undeliverable.id, MINE), State.UNDELIVERABLE, 0, 1, AT, None, failed)
    fill(database_url, [*entries, Unrouted(unrouted.id), gone, an_outcome(delivered, MINE)])

    ran = run(tmp_path, database_url, "ledger", "rebuild", "--yes")
    assert (ran.code, ran.out) == (2, "")
    assert "is well: nothing was changed. --from SCHEMA" in ran.err

    ask(database_url, "DROP TABLE {}.backlog")
    told = run(tmp_path, database_url, "ledger", "status")
    assert told.code != 0
    assert "nrc ledger rebuild" in told.err
    asked = run(tmp_path, database_url, "ledger", "rebuild")
    assert asked.code == 2
    assert "its table backlog is not there" in asked.err

    done = rebuild(tmp_path, database_url, "--yes")
    try:
        counted = {name: done[name] for name in ("unrouted", "unsure", "undeliverable", "unread", "whole")}
        assert counted == {"unrouted": 1, "unsure": 1, "undeliverable": 1, "unread": 0, "whole": True}
        assert done["code"] == 0
        taken = [State.PENDING, State.UNSURE, State.UNDELIVERABLE, None]
        assert states(database_url, entries) == taken
        status: Any = run(tmp_path, database_url, "ledger", "status", "--json").json()
        assert (status["unrouted"], status["unsure"]) == (1, 1)
        trail: Any = run(tmp_path, database_url, "audit-trail", "--json").json()
        assert [(each["act"], each["facts"]["source"]) for each in trail] == [
            ("ledger rebuilt", done["from"])
        ]

        again = rebuild(tmp_path, database_url, "--from", done["from"])
        assert (again["code"], again["unsure"]) == (0, 1)
        assert states(database_url, entries) == taken, "nothing is doubled"
        for wrong, says in ((address_at(database_url).schema, "in use"), ("elsewhere", "no ledger in")):
            refused = run(tmp_path, database_url, "ledger", "rebuild", "--from", wrong)
            assert (refused.code, says in refused.err) == (2, True), refused.err
    finally:
        ask(database_url, f"DROP SCHEMA {done['from']} CASCADE")


def test_once_pg_restore_put_it_back_what_is_open_is_brought_out(tmp_path: Path, database_url: str) -> None:
    _, delivered = entries = [an_entry(MINE, at=AT + nr) for nr in range(2)]
    fill(database_url, [*entries, an_outcome(delivered, MINE)])
    assert run(tmp_path, database_url, "ledger", "restored").code == 2, "nobody can be asked"
    ran = run(tmp_path, database_url, "ledger", "restored", "--yes")
    assert (ran.code, "1 open deliveries" in ran.out) == (0, True), ran
    gaps: Any = run(tmp_path, database_url, "ledger", "gaps", "--json").json()
    assert [(each["scope"], each["closed"]) for each in gaps] == [("everything", None)]
    told = run(tmp_path, database_url, "trace", str(new_id()))
    assert "is het grootboek niet volledig" in told.err, told
    assert nrc(tmp_path, "ledger", "restored", "--yes").code == 2, "of files nrc restore does it"


def test_it_is_refused_while_a_process_has_it_open(tmp_path: Path, database_url: str) -> None:
    fill(database_url, [])
    ask(database_url, "DROP TABLE {}.backlog")

    async def beside() -> Ran:
        async with registry_in(database_url) as running:
            await running.wait_for_change(60)
            return await asyncio.to_thread(run, tmp_path, database_url, "ledger", "rebuild", "--yes")

    ran = asyncio.run(beside())
    assert (ran.code, "is in use by 1 process" in ran.err) == (2, True), ran.err
    assert ask(database_url, "SELECT to_regclass('{}.delivery') IS NOT NULL") == [(True,)]


def test_of_a_damaged_block_all_that_stands_in_others_is_taken_over(
    tmp_path: Path, mortal_server: PrivateServer
) -> None:
    url = mortal_server.url
    entries = [an_entry(MINE, at=AT + nr) for nr in range(250)]
    fill(url, entries)
    [(file,)] = ask(url, "SELECT pg_relation_filepath('{}.delivery_default')")
    in_it = int(ask(url, "SELECT count(*) FROM {}.delivery_default WHERE ctid < '(1,0)'")[0][0])
    assert 0 < in_it < 250, "there are several blocks"
    asyncio.run(mortal_server.stop())
    mortal_server.overwrite(file, at=0, with_=b"\xff" * 8192)
    asyncio.run(mortal_server.start())

    told = run(tmp_path, url, "trace", str(entries[0].id))
    assert "nrc ledger rebuild" in told.err, told
    done = rebuild(tmp_path, url, "--yes")
    assert (done["code"], done["whole"]) == (1, False)
    assert done["unsure"] == 250 - in_it
    assert states(url, entries).count(State.UNSURE) == 250 - in_it
