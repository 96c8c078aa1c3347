"""`nrc ledger rebuild`: a damaged ledger is renamed, and what can be read of it is in the new one."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ledger.copies.instance import Instance
from ledger.ledger import Ledger
from ledger.opening import LEDGER_FILE, open_ledger
from ledger.values import (
    Attempt,
    Delivery,
    Entry,
    Event,
    Incomplete,
    Key,
    Outcome,
    Search,
    State,
    Unrouted,
)
from nrc.state_lock import only_up
from store.opening import open_registry
from tests.command import Ran, make_registry, nrc
from tests.contract.stores.test_ledger import AT, an_entry

ONE, OTHER = uuid4(), uuid4()
FAILED = Attempt(AT + 1, 1, "http_status", "answered 500", status=500)


def fill(folder: Path, events: Sequence[Event]) -> None:
    make_registry(folder)

    async def write() -> None:
        async with open_ledger(folder / LEDGER_FILE) as ledger:
            await ledger.write(events)

    asyncio.run(write())


def rebuild(folder: Path, *options: str) -> Ran:
    return nrc(folder, "ledger", "rebuild", *options)


def damage(folder: Path, *, page: int) -> None:
    """Overwrite a page of the file; the first is page 1."""
    with (folder / LEDGER_FILE).open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


def root_of(folder: Path, name: str) -> int:
    """The page at which a table or index begins."""
    with closing(sqlite3.connect(folder / LEDGER_FILE)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [name]).fetchone()
    return int(page)


LEAVES = (b"\x0a", b"\x0d")


def leaves_with(folder: Path, entry: Entry) -> list[int]:
    """The pages on which this id stands, without those that lead to others."""
    held = (folder / LEDGER_FILE).read_bytes()
    pages = [held[start : start + 4096] for start in range(0, len(held), 4096)]
    return [number for number, page in enumerate(pages, 1) if page[:1] in LEAVES and entry.id.bytes in page]


class Found:
    """What the ledger in a folder has."""

    instance: Instance
    incomplete: Sequence[Incomplete]

    def __init__(self, folder: Path) -> None:
        asyncio.run(self._read(folder))

    async def _read(self, folder: Path) -> None:
        async with open_ledger(folder / LEDGER_FILE) as ledger:
            self.instance = await ledger.instance()
            self.incomplete = await ledger.incomplete()
            self.unrouted = await ledger.keeping.unrouted_count()
            self.entries = {
                each.id: await ledger.notificatie(each.id)
                for each in await ledger.search(Search(), limit=999)
            }
            self.rows = await self._rows(ledger)
            self.attempts = {key: await ledger.attempts(key) for key in self.rows}

    async def _rows(self, ledger: Ledger) -> dict[Key, Delivery]:
        by_id = await ledger.deliveries(list(self.entries))
        return {row.key: row for rows in by_id.values() for row in rows}


def test_a_ledger_that_is_well_stays_as_it_is(tmp_path: Path) -> None:
    fill(tmp_path, [an_entry(ONE)])
    before = Found(tmp_path).instance
    ran = rebuild(tmp_path, "--yes")
    assert (ran.code, ran.out) == (2, "")
    assert "is well: nothing was changed" in ran.err
    ran = rebuild(tmp_path, "--from", LEDGER_FILE)
    assert (ran.code, ran.out) == (2, "")
    assert "is the ledger in use" in ran.err
    assert Found(tmp_path).instance == before


def test_what_is_not_settled_is_taken_over(tmp_path: Path) -> None:
    unrouted, pending, retrying, both, delivered, stuck = entries = [
        an_entry(ONE, *([OTHER] if number == 3 else []), at=AT + number, hops=number) for number in range(6)
    ]
    replayed = Key(delivered.id, ONE, replay=2)

    def outcome(entry: Entry, state: State, **changes: object) -> Outcome:
        facts = {"round": 0, "attempts": 1, "at": AT + 5, **changes}
        return Outcome(Key(entry.id, ONE), state, **facts)  # type: ignore[arg-type]

    fill(
        tmp_path,
        [
            *entries,
            Unrouted(unrouted.id),
            outcome(retrying, State.RETRYING, wait=60, failed=FAILED),
            outcome(both, State.DELIVERED, status=204, ms=12.0),
            Outcome(Key(both.id, OTHER), State.UNDELIVERABLE, round=1, attempts=9, at=AT + 6, failed=FAILED),
            outcome(delivered, State.DELIVERED),
            outcome(stuck, State.STUCK, round=3),
            Outcome(replayed, State.PENDING, round=1, attempts=0, at=AT),
        ],
    )
    before = Found(tmp_path)
    damage(tmp_path, page=root_of(tmp_path, "notificatie_client"))
    with only_up(tmp_path):
        assert rebuild(tmp_path, "--yes").code == 2, "something runs"
    assert rebuild(tmp_path).code == 2, "nobody can be asked"
    ran = rebuild(tmp_path, "--yes", "--json")
    assert ran.code == 0, ran.err
    done = ran.json()
    counts = {"unrouted": 1, "unsure": 3, "undeliverable": 1, "unread": 0, "whole": True}
    assert {name: done[name] for name in counts} == counts
    after = Found(tmp_path)
    assert after.instance.id != before.instance.id
    assert after.incomplete == [Incomplete(None, after.instance.made)]
    assert after.entries == before.entries
    assert after.unrouted == 1
    assert after.attempts == before.attempts
    rows = {(key.notificatie, key.abonnement, key.replay): row for key, row in after.rows.items()}
    assert rows[unrouted.id, ONE, 0].state is State.PENDING
    for entry in (pending, retrying):
        assert rows[entry.id, ONE, 0].state is State.UNSURE
    assert rows[delivered.id, ONE, 2].state is State.UNSURE
    assert rows[stuck.id, ONE, 0].state is State.STUCK
    for key in (Key(both.id, ONE), Key(both.id, OTHER), Key(delivered.id, ONE)):
        old, new = before.rows[key], after.rows[key]
        assert (new.state, new.round, new.attempts, new.status) == (
            old.state,
            old.round,
            old.attempts,
            old.status,
        )
    found = nrc(tmp_path, "trace", pending.hoofd_object)
    assert "Onzeker: " in found.out

    async def noted() -> UUID | None:
        async with open_registry(tmp_path / "registry.db") as registry:
            note = await registry.noted_ledger()
            return note and note.instance

    assert asyncio.run(noted()) == after.instance.id
    (act,) = nrc(tmp_path, "audit-trail", "--json").json()
    assert (act["act"], act["facts"]["unsure"]) == ("ledger rebuilt", 3)
    # Once more from the one that was put aside: nothing is doubled.
    again = rebuild(tmp_path, "--from", done["from"], "--json")
    assert again.json() == done
    assert Found(tmp_path).rows == after.rows


def test_what_is_around_a_damaged_page_is_taken_over(tmp_path: Path) -> None:
    entries = [an_entry(ONE, at=AT + number) for number in range(300)]
    fill(tmp_path, entries)
    root_of(tmp_path, "delivery")
    pages = leaves_with(tmp_path, entries[150])
    assert len(pages) > 2, "of notificaties and of deliveries"
    for page in pages:
        damage(tmp_path, page=page)
    ran = rebuild(tmp_path, "--yes", "--json")
    assert ran.code == 1
    done = ran.json()
    found = Found(tmp_path)
    assert len(found.rows) == done["unsure"]
    assert done["unread"] > 0 or not done["whole"]
    assert entries[150].id not in found.entries
    assert {entries[0].id, entries[299].id} <= found.entries.keys()
    assert len(found.entries) > 100


def test_of_what_is_no_database_any_more_nothing_is_known(tmp_path: Path) -> None:
    fill(tmp_path, [an_entry(ONE)])
    root_of(tmp_path, "delivery")
    damage(tmp_path, page=1)
    ran = rebuild(tmp_path, "--yes")
    assert ran.code == 1
    assert "0 notificaties that RabbitMQ does not have, 0 deliveries" in ran.out
    assert "some of it could not be read at all" in ran.err
    (aside,) = tmp_path.glob("ledger.db.damaged-*[0-9]")
    assert aside.read_bytes().startswith(b"\xff")
    assert Found(tmp_path).entries == {}


def test_where_there_is_none_one_is_made(tmp_path: Path) -> None:
    make_registry(tmp_path)
    ran = rebuild(tmp_path)
    assert ran.code == 0, ran.err
    found = Found(tmp_path)
    assert found.incomplete == [Incomplete(None, found.instance.made)]
    assert "taken over" not in ran.out


@pytest.mark.parametrize("options", [["--from", "nothing.db"], ["--from", "."]])
def test_what_cannot_be_taken_over(tmp_path: Path, options: list[str]) -> None:
    make_registry(tmp_path)
    assert rebuild(tmp_path, *options).code == 2
    assert not (tmp_path / LEDGER_FILE).exists()
