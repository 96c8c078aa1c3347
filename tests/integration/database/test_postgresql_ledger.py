"""What the ledger in PostgreSQL does that one in a file need not: days that are dropped, several writers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from ledger.ledger import Ledger
from ledger.operating.replays import Plan
from ledger.postgresql.ledger import PostgresqlLedger
from ledger.values import Attempt, Cause, Entry, Key, Outcome, Search, State, Unrouted
from store.database.address import address_at
from store.secrets import Vault
from tests.contract.stores.opened import KEY, ledger_in
from tests.contract.stores.test_keeper_ledger import an_epoch
from tests.contract.stores.test_ledger import account, accounts, an_entry, an_outcome
from tests.eventually import eventually

DAY = 86_400_000
NOW = 1_760_000_000_000
LONG = 400 * 86_400


async def _shed(ledger: Ledger, *, now: int) -> tuple[int, int]:
    found = await ledger.shed(
        now=now, bodies_for=7 * 86_400, rows_for=30 * 86_400, counts_for=LONG, budget=2**40
    )
    return found.bodies, found.rows


async def _partitions(url: str) -> set[str]:
    base, _, schema = url.partition("?schema=")
    async with await psycopg.AsyncConnection.connect(base) as connection:
        found = await connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relkind = 'r' AND c.relname ~ '_[0-9]+$'",
            [schema],
        )
        return {name for (name,) in await found.fetchall()}


async def test_a_day_is_dropped_whole_and_what_is_open_of_it_stays(database_url: str) -> None:
    mine = uuid4()
    day = NOW // DAY
    async with ledger_in(database_url, clock=lambda: NOW / 1000) as ledger:
        settled, waits, untold, given_up = entries = [an_entry(mine, at=NOW + nr) for nr in range(4)]
        await ledger.write([*entries, Unrouted(untold.id)])
        failed = Attempt(NOW, 1, "timeout", "no answer")
        await ledger.write(
            [
                an_outcome(settled, mine, failed=failed),
                an_outcome(untold, mine),
                an_outcome(given_up, mine, State.UNDELIVERABLE),
            ]
        )
        assert f"delivery_{day}" in await _partitions(database_url)
        assert await _shed(ledger, now=NOW + 7 * DAY) == (0, 0), "the day is not past yet"
        assert await _shed(ledger, now=NOW + 8 * DAY) == (1, 0)
        assert f"body_{day}" not in await _partitions(database_url)
        assert await _shed(ledger, now=NOW + 31 * DAY) == (2, 1), "bodies of a month ago, though they wait"
        left = await _partitions(database_url)
        assert not {f"{table}_{day}" for table in ("notificatie", "term", "delivery", "attempt")} & left
        assert f"delivery_{day + 31}" in left
        assert await ledger.notificatie(settled.id) is None
        assert await ledger.attempts(Key(settled.id, mine)) == ()
        assert {each.id for each in await ledger.search(Search(), limit=9)} == {
            each.id for each in (waits, untold, given_up)
        }
        by_kenmerk = await ledger.search(Search(kenmerken=waits.kenmerken), limit=9)
        assert len(by_kenmerk) == 3
        assert (await ledger.backlogs())[mine].count == 1
        # What becomes of it still is written where it is now.
        await ledger.write([an_outcome(waits, mine)])
        assert await ledger.backlogs() == {}
        assert await _shed(ledger, now=NOW + 62 * DAY) == (0, 1)


@pytest.mark.parametrize("table", ["delivery", "notificatie", "attempt"])
async def test_the_rest_of_a_day_goes_though_somebody_dropped_a_part_of_it(
    database_url: str, table: str
) -> None:
    day = NOW // DAY
    async with ledger_in(database_url, clock=lambda: NOW / 1000) as ledger:
        await ledger.write([an_entry(at=NOW)])
        base, _, schema = database_url.partition("?schema=")
        async with await psycopg.AsyncConnection.connect(base, autocommit=True) as connection:
            await connection.execute(f"DROP TABLE {schema}.{table}_{day}".encode())
        later = an_entry(uuid4(), at=NOW + 1)
        await ledger.write([later])
        await _shed(ledger, now=NOW + 8 * DAY)
        assert await ledger.notificatie(later.id) is not None, "it is open"
        await _shed(ledger, now=NOW + 31 * DAY)
        assert not [name for name in await _partitions(database_url) if name.endswith(f"_{day}")]
        assert await ledger.notificatie(later.id) is not None


async def test_what_came_before_its_day_was_made_moves_to_it(database_url: str) -> None:
    ahead = an_entry(uuid4(), at=NOW + 9 * DAY)
    async with ledger_in(database_url, clock=lambda: NOW / 1000) as ledger:
        await ledger.write([ahead])
        await _shed(ledger, now=NOW + 9 * DAY)
        assert f"notificatie_{NOW // DAY + 9}" in await _partitions(database_url)
        assert [each.id for each in await ledger.search(Search(), limit=9)] == [ahead.id]
        assert await ledger.notificatie(ahead.id) is not None


async def test_two_writers_of_the_same_deliveries_end_in_the_account_of_one(database_url: str) -> None:
    """In any order, both at once: nothing is lost, counted twice, or waited for without an end."""
    dice = random.Random(3)
    abonnementen = [uuid4() for _ in range(4)]
    entries = [an_entry(*dice.sample(abonnementen, 3), at=NOW + nr) for nr in range(40)]
    events = [event for entry in entries for event in accounts(entry, abonnementen, dice)]
    told = []
    async with ledger_in(database_url) as one, ledger_in(database_url) as other:

        async def write(ledger: Ledger, seed: int) -> None:
            mine = list(events)
            random.Random(seed).shuffle(mine)
            for start in range(0, len(mine), 40):
                await ledger.write(mine[start : start + 40])

        await asyncio.gather(write(one, 1), write(other, 2), write(one, 3))
        told.append(await account(one, entries, abonnementen))
        await write(one, 4)
        told.append(await account(other, entries, abonnementen))
    alone = f"{database_url}_alone"
    async with ledger_in(alone) as ledger:
        await ledger.write(events)
        told.append(await account(ledger, entries, abonnementen))
    base, _, schema = alone.partition("?schema=")
    async with await psycopg.AsyncConnection.connect(base, autocommit=True) as connection:
        await connection.execute(
            psycopg.sql.SQL("DROP SCHEMA {} CASCADE").format(psycopg.sql.Identifier(schema))
        )
    assert told[0] == told[1] == told[2]


async def _writes(ledger: Ledger, entry: Entry, _: int) -> None:
    await ledger.write([an_outcome(entry, entry.matched[0])])


async def _adds(ledger: Ledger, entry: Entry, epoch: int) -> None:
    assert await ledger.keeping.add_rows(epoch, uuid4(), [entry.id]) == 1


async def _gives_back(ledger: Ledger, entry: Entry, epoch: int) -> None:
    before = await ledger.delivery(Key(entry.id, entry.matched[0]))
    assert before is not None
    (given,) = await ledger.keeping.give_back(epoch, [before], cause=Cause.QUEUE)
    assert len(await ledger.keeping.end(epoch, [given])) == 1


async def _replays(ledger: Ledger, entry: Entry, epoch: int) -> None:
    plan = Plan(abonnement=uuid4(), search=Search(), reason="", rate=1.0, total=1, lacking=False)
    number = (await ledger.replays.make(plan)).number
    assert await ledger.replays.advance(epoch, number, sends=[entry.id], skipped=0, last=entry.id) == 1


@pytest.mark.parametrize("work", [_writes, _adds, _gives_back, _replays])
async def test_counts_are_changed_in_one_order(
    database_url: str, work: Callable[[Ledger, Entry, int], Awaitable[None]]
) -> None:
    """Processes may count in the same rows; in two orders they wait for each other, until one is ended."""
    base, _, schema = database_url.partition("?schema=")
    vault = Vault([KEY], Path("/nowhere"))
    async with PostgresqlLedger(address_at(database_url), vault=vault, patience=120.0) as ledger:
        entry = an_entry(uuid4())
        await ledger.write([entry])
        epoch = await an_epoch(ledger)
        async with await psycopg.AsyncConnection.connect(base) as other:
            await other.execute(f'SET search_path = "{schema}"'.encode())
            await other.execute("LOCK TABLE backlog IN SHARE MODE")
            working = asyncio.create_task(work(ledger, entry, epoch))
            has = (
                "SELECT array_agg(h.relation::regclass::text) FROM pg_locks w JOIN pg_locks h USING (pid) "
                "WHERE NOT w.granted AND w.relation = 'backlog'::regclass AND h.granted AND h.relation > 0"
            )

            async def held() -> list[str]:
                row = await (await other.execute(has)).fetchone()
                return row[0] if row and row[0] else []

            assert {"minute", "volume"}.isdisjoint(await eventually(held, within=60))
            await other.commit()
        await working


async def test_nothing_is_jumped_over_that_was_stamped_before_the_keepers_moment(database_url: str) -> None:
    """A transaction that took its clock first and commits last: the keeper's moment lies before it."""
    base = database_url.partition("?schema=")[0]
    async with (
        ledger_in(database_url) as ledger,
        await psycopg.AsyncConnection.connect(base, autocommit=True) as slow,
    ):
        before = (await ledger.keeping.hands(live=15)).now
        await slow.execute("BEGIN; SELECT pg_current_xact_id()")
        clock = await slow.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        row = await clock.fetchone()
        assert row is not None
        stamped = row[0]
        await ledger.write([an_entry(uuid4())])
        for _ in range(3):
            moment = (await ledger.keeping.hands(live=15)).now
            assert before <= moment < stamped
            await asyncio.sleep(0)
        await slow.execute("COMMIT")
        assert (await ledger.keeping.hands(live=15)).now >= stamped


@pytest.mark.parametrize("text", ["a\0b", "\0"])
async def test_a_text_that_postgresql_does_not_take_is_kept_all_the_same(
    database_url: str, text: str
) -> None:
    mine = uuid4()
    entry = replace(an_entry(mine), resource=text, actie=text, client=text)
    failed = Attempt(NOW, 1, "status", text)
    async with ledger_in(database_url) as ledger:
        await ledger.write([entry, Outcome(Key(entry.id, mine), State.RETRYING, 0, 1, NOW, 9.0, failed)])
        found = await ledger.notificatie(entry.id)
        assert found is not None
        assert found.resource == text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        assert [each.id for each in await ledger.search(Search(client=text), limit=9)] == [entry.id]
