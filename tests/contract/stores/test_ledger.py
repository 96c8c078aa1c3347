"""What any ledger store must do (ledger/ledger.py)."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.values import (
    DELIVERED_ALL_THE_SAME,
    Attempt,
    Backlog,
    Delivery,
    Entry,
    Event,
    Heartbeat,
    Incomplete,
    Key,
    Notificatie,
    Outcome,
    Probe,
    Punctuality,
    Search,
    Shed,
    State,
    Unrouted,
    merge_key,
)
from schemas.errors import LedgerError, LedgerFull
from schemas.fields import normalise
from tests.contract.stores.opened import ledger_in

WORKER = Path(__file__).with_name("ledger_worker.py")
AT = 1_760_000_000_000  # milliseconds since 1970
ZAAK = "https://zaken.example.nl/api/v1/zaken/"


@pytest.fixture
async def ledger(address: str) -> AsyncIterator[Ledger]:
    async with ledger_in(address) as opened:
        yield opened


def an_entry(*matched: UUID, at: int = AT, **changes: object) -> Entry:
    zaak = f"{ZAAK}{uuid4()}"
    entry = Entry(
        id=new_id(at=at / 1000),
        received=at,
        client="zac",
        kanaal="zaken",
        resource="status",
        actie="create",
        hoofd_object=zaak,
        resource_url=f"{ZAAK.replace('zaken/', 'statussen/')}{uuid4()}",
        kenmerken={"bronorganisatie": "224557609", "zaaktype": "https://catalogi.example.nl/1"},
        body=b'{"hoofdObject": "' + zaak.encode() + b'"}',
        catalogue=7,
        matched=matched,
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


def an_outcome(entry: Entry, abonnement: UUID, state: State = State.DELIVERED, **changes: object) -> Outcome:
    outcome = Outcome(Key(entry.id, abonnement), state, round=0, attempts=1, at=entry.received + 50)
    return replace(outcome, **changes)  # type: ignore[arg-type]


def as_read(entry: Entry, *, unrouted: bool = False, body: bool = False) -> Notificatie:
    """What the ledger tells of an entry."""
    return Notificatie(
        id=entry.id,
        received=entry.received,
        client=entry.client,
        kanaal=entry.kanaal,
        resource=entry.resource,
        actie=entry.actie,
        size=len(entry.body),
        catalogue=entry.catalogue,
        unrouted=unrouted,
        body=entry.body if body else None,
        hops=entry.hops,
        trace=entry.trace if body else "",
    )


async def found(ledger: Ledger, search: Search, **options: object) -> list[UUID]:
    options = {"limit": 100} | options
    return [each.id for each in await ledger.search(search, **options)]  # type: ignore[arg-type]


async def delivery(ledger: Ledger, entry: Entry, abonnement: UUID) -> Delivery:
    got = await ledger.delivery(Key(entry.id, abonnement))
    assert got is not None
    return got


async def all_open(ledger: Ledger, abonnement: UUID) -> list[Delivery]:
    return [each async for each in ledger.open_of(abonnement)]


# What is written is read


async def test_a_fresh_ledger_is_empty(ledger: Ledger) -> None:
    assert await ledger.notificatie(uuid4()) is None
    assert await ledger.delivery(Key(uuid4(), uuid4())) is None
    assert await ledger.attempts(Key(uuid4(), uuid4())) == ()
    assert await ledger.backlogs() == {}
    assert await ledger.search(Search(), limit=10) == []
    assert await ledger.search(Search(abonnement=uuid4(), client="x", kanaal="y"), limit=10) == []
    assert await ledger.undeliverable(limit=10) == []
    assert await all_open(ledger, uuid4()) == []
    await ledger.write([])


async def test_an_entry_is_kept_whole_and_again_after_opening(address: str) -> None:
    abonnementen = sorted((uuid4(), uuid4()))
    entry = an_entry(*abonnementen, hops=3, body=b"\x00\xff" * 5000, client="é'\"🦉", kanaal="-")
    async with ledger_in(address) as ledger:
        await ledger.write([entry])
    async with ledger_in(address) as ledger:
        assert await ledger.notificatie(entry.id) == as_read(entry, body=True)
        assert await ledger.search(Search(), limit=10) == [as_read(entry)]
        made = (await ledger.deliveries([entry.id]))[entry.id]
        assert [each.key for each in made] == [Key(entry.id, abonnement) for abonnement in abonnementen]
        assert {(each.state, each.size, each.attempts) for each in made} == {(State.PENDING, 10_000, 0)}
        assert await delivery(ledger, entry, abonnementen[0]) == made[0]


async def test_an_entry_for_nobody_and_one_written_again(ledger: Ledger) -> None:
    abonnement = uuid4()
    nobody, entry = an_entry(), an_entry(abonnement)
    await ledger.write([nobody, entry, entry])
    await ledger.write([entry])
    assert await ledger.deliveries([nobody.id, entry.id]) == {
        nobody.id: [],
        entry.id: [await delivery(ledger, entry, abonnement)],
    }
    assert (await ledger.backlogs())[abonnement].count == 1


async def test_an_entry_that_is_written_later_adds_what_one_message_did_not_tell(ledger: Ledger) -> None:
    """The keeper makes an entry of one message; the gateway's knows for whom else it is, and whose."""
    one, other = uuid4(), uuid4()
    entry = an_entry(one, other)
    made = replace(entry, client="", catalogue=9, matched=(one,))
    await ledger.write([made, an_outcome(entry, one, State.UNDELIVERABLE)])
    before = await ledger.delivery(Key(entry.id, one))
    for _ in range(2):
        await ledger.write([entry])
        found = (await ledger.deliveries([entry.id]))[entry.id]
        assert {row.key.abonnement: (row.state, row.size) for row in found} == {
            one: (State.UNDELIVERABLE, len(entry.body)),
            other: (State.PENDING, len(entry.body)),
        }
    assert await ledger.delivery(Key(entry.id, one)) == before
    assert (await ledger.backlogs())[other].count == 1
    notificatie = await ledger.notificatie(entry.id)
    assert notificatie is not None
    assert (notificatie.client, notificatie.catalogue) == ("zac", 7)
    await ledger.write([replace(entry, client="another")])
    notificatie = await ledger.notificatie(entry.id)
    assert notificatie is not None
    assert notificatie.client == "zac"


async def test_an_attempt_that_is_told_twice_is_there_once_with_how_long_it_took(ledger: Ledger) -> None:
    entry = an_entry(abonnement := uuid4())
    attempt = Attempt(AT + 10, 1, "timeout", "no answer")
    failed = an_outcome(entry, abonnement, State.UNDELIVERABLE, failed=attempt)
    for each in (failed, replace(failed, failed=replace(attempt, ms=12.5)), failed):
        await ledger.write([entry, each])
    assert await ledger.attempts(failed.key) == (replace(attempt, ms=12.5),)


async def test_many_of_one_moment(ledger: Ledger) -> None:
    """More than there are places in the index for ten milliseconds."""
    entries = [an_entry() for _ in range(2500)]
    await ledger.write(entries[:2000])
    await ledger.write(entries[2000:])
    of_moment = Search(after=AT, before=AT + 1)
    assert sorted(await found(ledger, of_moment, limit=9999)) == sorted(entry.id for entry in entries)


async def test_an_outcome_of_what_is_not_in_the_ledger_is_kept(ledger: Ledger) -> None:
    entry, abonnement = an_entry(), uuid4()
    await ledger.write([an_outcome(entry, abonnement, status=204, ms=38.25)])
    got = await delivery(ledger, entry, abonnement)
    assert (got.state, got.status, got.ms, got.attempts) == (State.DELIVERED, 204, 38.25, 1)
    assert await ledger.notificatie(entry.id) is None
    assert await ledger.backlogs() == {}


async def test_a_retry_is_due_by_the_databases_clock(ledger: Ledger) -> None:
    abonnement = uuid4()
    entry = an_entry(abonnement)
    failed = Attempt(at=AT + 9, number=1, kind="status", detail="status 500", status=500, ms=1.5)
    await ledger.write([entry])
    before = await delivery(ledger, entry, abonnement)
    await ledger.write([an_outcome(entry, abonnement, State.RETRYING, wait=60.0, failed=failed)])
    retrying = await delivery(ledger, entry, abonnement)
    assert retrying.next_at is not None
    assert before.since + 60_000 <= retrying.next_at == retrying.since
    assert (retrying.state, retrying.status, retrying.ms) == (State.RETRYING, None, None)
    backlog = (await ledger.backlogs())[abonnement]
    assert backlog == Backlog(1, len(entry.body), AT, 1, retrying.next_at, 0)
    await ledger.write([an_outcome(entry, abonnement, attempts=2)])
    assert (await delivery(ledger, entry, abonnement)).next_at is None


async def test_what_goes_to_the_end_of_its_queue_went_into_it_later(ledger: Ledger) -> None:
    """Else what is behind it would seem to have overtaken it (E1)."""
    abonnement = uuid4()
    entry = an_entry(abonnement)
    await ledger.write([entry])
    before = await delivery(ledger, entry, abonnement)
    for at in (1, 2):
        rested = an_outcome(entry, abonnement, State.PENDING, attempts=0, at=AT + at, wait=100.0 * at)
        await ledger.write([rested])
        after = await delivery(ledger, entry, abonnement)
        assert (after.state, after.attempts, after.next_at) == (State.PENDING, 0, None)
        assert after.since >= before.since + 100_000 * at


async def test_attempts_and_probes_are_kept_once_the_oldest_first(ledger: Ledger) -> None:
    abonnement = uuid4()
    entry = an_entry(abonnement)
    attempts = [
        Attempt(at=AT + number, number=number % 3, kind="timeout", detail="é" * number, status=None, ms=1.0)
        for number in range(1, 8)
    ]
    events: list[Event] = [
        an_outcome(entry, abonnement, State.RETRYING, attempts=each.number, failed=each)
        if each.number
        else Probe(Key(entry.id, abonnement), each)
        for each in attempts
    ]
    await ledger.write(events[::-1])
    await ledger.write(events)
    assert list(await ledger.attempts(Key(entry.id, abonnement))) == attempts
    assert list(await ledger.attempts(Key(entry.id, abonnement, replay=1))) == []


@pytest.mark.parametrize("first", ["entry", "unrouted"])
async def test_unrouted_is_sticky(ledger: Ledger, first: str) -> None:
    entry, other = an_entry(), an_entry()
    events: list[Event] = [entry, Unrouted(entry.id)]
    for event in events if first == "entry" else events[::-1]:
        await ledger.write([event])
    await ledger.write([entry, other])
    assert await ledger.notificatie(entry.id) == as_read(entry, unrouted=True, body=True)
    assert await ledger.notificatie(other.id) == as_read(other, body=True)
    assert {each.id for each in await ledger.search(Search(), limit=9) if each.unrouted} == {entry.id}


async def test_not_wanted_is_final_only_when_the_kanalen_changed_since(ledger: Ledger) -> None:
    abonnement = uuid4()
    entry, other = an_entry(abonnement), an_entry()  # both by catalogue 7
    await ledger.write([entry, other])
    not_wanted = partial(an_outcome, entry, abonnement, State.NOT_WANTED, attempts=0)
    for _ in range(2):
        await ledger.write([not_wanted(kanalen_change=7)])
        row = await delivery(ledger, entry, abonnement)
        assert (row.state, row.doubt) == (State.PENDING, True)
    assert (await ledger.backlogs())[abonnement].count == 1
    await ledger.write([not_wanted(kanalen_change=8)])
    assert (await delivery(ledger, entry, abonnement)).state is State.NOT_WANTED
    await ledger.write([an_outcome(other, abonnement, State.NOT_WANTED, kanalen_change=8)])
    assert await ledger.delivery(Key(other.id, abonnement)) is None


async def test_not_wanted_in_vain_changes_nothing_that_is_settled_or_in_a_newer_round(ledger: Ledger) -> None:
    abonnement = uuid4()
    for state, round_ in ((State.DELIVERED, 0), (State.RETURNING, 1)):
        entry = an_entry(abonnement)
        await ledger.write([entry, an_outcome(entry, abonnement, state, round=round_)])
        before = await delivery(ledger, entry, abonnement)
        await ledger.write([an_outcome(entry, abonnement, State.NOT_WANTED, kanalen_change=1)])
        assert await delivery(ledger, entry, abonnement) == before


async def test_heartbeats_are_written(ledger: Ledger) -> None:
    hands = frozenset(Key(uuid4(), uuid4(), replay) for replay in range(3))
    await ledger.write([Heartbeat("deliverer-1", all_flushed=True, hands=hands)])
    await ledger.write([Heartbeat("deliverer-1", all_flushed=False), Heartbeat("d", True, stopped=True)])


# Merging


def accounts(entry: Entry, abonnementen: Sequence[UUID], dice: random.Random) -> list[Event]:
    """An entry, and what any number of writers may tell of its deliveries; equal keys are equal events."""
    outcomes: dict[tuple[object, ...], Outcome] = {}
    for _ in range(dice.randrange(12)):
        state, failed = dice.choice(list(State)), None
        attempts, at = dice.randrange(4), AT + dice.randrange(3)
        key = Key(entry.id, dice.choice(abonnementen))
        round_ = dice.randrange(3)
        if state is State.RETRYING:
            failed = Attempt(at, attempts, "status", "status 500", 500, 2.0)
        wait = 100.0 * attempts if state is State.RETRYING else None
        status = 200 + attempts if state is State.DELIVERED else None
        outcome = Outcome(key, state, round_, attempts, at, wait, failed, status)
        outcomes[key, merge_key(state, round_=round_, attempts=attempts, at=at)] = outcome
    return [entry, *outcomes.values(), *([Unrouted(entry.id)] if dice.random() < 0.3 else [])]


async def account(ledger: Ledger, entries: Iterable[Entry], abonnementen: Iterable[UUID]) -> object:
    """All that the ledger tells, but for moments by its own clock."""

    def timeless(one: Delivery) -> Delivery:
        return replace(one, since=0, next_at=None if one.next_at is None else 0)

    ids = [entry.id for entry in entries]
    deliveries = await ledger.deliveries(ids)
    return (
        [await ledger.notificatie(id_) for id_ in ids],
        {id_: [timeless(each) for each in of] for id_, of in deliveries.items()},
        {each.key: await ledger.attempts(each.key) for of in deliveries.values() for each in of},
        {
            abonnement: replace(backlog, next_at=None)
            for abonnement, backlog in (await ledger.backlogs()).items()
        },
        {
            abonnement: [timeless(each) for each in await all_open(ledger, abonnement)]
            for abonnement in abonnementen
        },
    )


@pytest.mark.parametrize("seed", range(12))
async def test_any_order_and_repetition_ends_in_the_same_account(
    addresses: Callable[[], str], seed: int
) -> None:
    dice = random.Random(seed)
    abonnementen = [uuid4() for _ in range(3)]
    entries = [an_entry(*abonnementen[: dice.randrange(3)], at=AT + number) for number in range(6)]
    events = [event for entry in entries for event in accounts(entry, abonnementen, dice)]
    told = []
    for _ in range(4):
        shuffled = events + dice.sample(events, len(events) // 2)
        dice.shuffle(shuffled)
        async with ledger_in(addresses()) as ledger:
            while shuffled:
                size = dice.randrange(1, 9)
                await ledger.write(shuffled[:size])
                del shuffled[:size]
            told.append(await account(ledger, entries, abonnementen))
    assert told[0] == told[1] == told[2] == told[3]


async def test_the_account_that_holds_is_the_one_with_the_greatest_key(ledger: Ledger) -> None:
    dice = random.Random(0)
    abonnement = uuid4()
    for _ in range(60):
        entry = an_entry(abonnement)
        events = accounts(entry, [abonnement], dice)
        dice.shuffle(events)
        for event in events:
            await ledger.write([event])
        pending = Outcome(Key(entry.id, abonnement), State.PENDING, 0, 0, entry.received)
        best = max(
            (pending, *(event for event in events if isinstance(event, Outcome))),
            key=lambda one: merge_key(one.state, round_=one.round, attempts=one.attempts, at=one.at),
        )
        got = await delivery(ledger, entry, abonnement)
        assert (got.state, got.round, got.attempts, got.last_at, got.status, got.size) == (
            best.state, best.round, best.attempts, best.at, best.status, len(entry.body),
        )  # fmt: skip


async def test_backlogs_are_exact(ledger: Ledger) -> None:
    dice = random.Random(3)
    abonnementen = [uuid4() for _ in range(4)]
    entries = [
        an_entry(*dice.sample(abonnementen, 2), at=AT + number, body=b"x" * number) for number in range(40)
    ]
    events = [event for entry in entries for event in accounts(entry, abonnementen, dice)]
    dice.shuffle(events)
    await ledger.write(events[: len(events) // 2])
    await ledger.write(events[len(events) // 3 :])
    deliveries = [each for of in (await ledger.deliveries([e.id for e in entries])).values() for each in of]
    received = {entry.id: entry.received for entry in entries}

    def backlog(of: Sequence[Delivery]) -> Backlog:
        now = time.time() * 1000  # nothing is due within minutes
        retrying = [each.next_at for each in of if each.next_at is not None and each.next_at > now]
        return Backlog(
            count=len(of),
            size=sum(each.size for each in of),
            oldest=min(received[each.key.notificatie] for each in of),
            retrying=len(retrying),
            next_at=min(retrying, default=None),
            stuck=sum(each.state is State.STUCK for each in of),
        )

    for abonnement in abonnementen:
        mine = [each for each in deliveries if each.is_open and each.key.abonnement == abonnement]
        assert (await ledger.backlogs()).get(abonnement) == (backlog(mine) if mine else None)
        assert await all_open(ledger, abonnement) == sorted(mine, key=lambda one: one.key.notificatie)


# Reading


async def test_a_notificatie_is_found_by_what_people_have_of_it(ledger: Ledger) -> None:
    entry, other = an_entry(), an_entry()
    await ledger.write([entry, other])
    zaak = entry.hoofd_object.rpartition("/")[2]
    for text in (
        entry.hoofd_object, f"{entry.hoofd_object}/", f"{entry.hoofd_object}?a=b#c", zaak, zaak.upper(),
        entry.resource_url, entry.resource_url.rpartition("/")[2], str(entry.id), entry.id.hex,
    ):  # fmt: skip
        assert await found(ledger, Search(text=text)) == [entry.id], text
    assert await found(ledger, Search(text=str(uuid4()))) == []
    assert await found(ledger, Search(text=zaak, kanaal="documenten")) == []
    again = an_entry(hoofd_object=entry.hoofd_object, resource_url=entry.hoofd_object, at=AT + 5000)
    await ledger.write([again])
    assert await found(ledger, Search(text=zaak)) == [again.id, entry.id]
    assert await found(ledger, Search(text=zaak), oldest_first=True) == [entry.id, again.id]


def matches(entry: Entry, of: Sequence[Delivery], search: Search) -> bool:
    """The plain meaning of a search."""
    hoofd, url = entry.hoofd_object.rpartition("/")[2], entry.resource_url.rpartition("/")[2]
    kenmerken = {normalise(name): value for name, value in entry.kenmerken.items()}
    by_delivery = search.abonnement or search.states or search.failed or search.late is not None
    return (
        (search.text is None or search.text in {hoofd, url, str(entry.id)})
        and search.hoofd_object in (None, hoofd)
        and search.resource_url in (None, url)
        and search.kanaal in (None, entry.kanaal)
        and search.actie in (None, entry.actie)
        and search.resource in (None, entry.resource)
        and search.client in (None, entry.client)
        and all(kenmerken.get(normalise(name)) == value for name, value in search.kenmerken.items())
        and (search.after is None or entry.received >= search.after)
        and (search.before is None or entry.received < search.before)
        and (
            not by_delivery
            or any(
                search.abonnement in (None, each.key.abonnement)
                and (not search.states or each.state in search.states)
                and (not search.failed or each.attempts > (each.state is State.DELIVERED))
                and (
                    search.late is None
                    or (each.state is State.DELIVERED and each.last_at - entry.received >= search.late)
                )
                for each in of
            )
        )
    )


async def test_any_combination_is_found_and_in_pages(ledger: Ledger) -> None:
    dice = random.Random(5)
    abonnementen = [uuid4() for _ in range(3)]
    entries = [
        an_entry(
            *dice.sample(abonnementen, dice.randrange(4)),
            at=AT + dice.randrange(20) * 7000,
            client=dice.choice(["zac", "drc"]),
            kanaal=dice.choice(["zaken", "documenten"]),
            actie=dice.choice(["create", "update"]),
            resource=dice.choice(["zaak", "status"]),
            hoofd_object=f"{ZAAK}{dice.randrange(9)}",
            resource_url=f"{ZAAK}{dice.randrange(9)}",
            kenmerken={"zaak_type": dice.choice("ab"), "bron": dice.choice("cd")},
        )
        for _ in range(150)
    ]
    await ledger.write(entries)
    await ledger.write(
        [
            an_outcome(
                entry,
                abonnement,
                dice.choice(list(State)),
                attempts=dice.randrange(1, 3),
                at=entry.received + dice.randrange(30_000),
            )
            for entry in entries
            for abonnement in entry.matched
            if dice.random() < 0.7
        ]
    )
    deliveries = await ledger.deliveries([entry.id for entry in entries])
    hits = 0
    for _ in range(200):

        def perhaps(value: object, none: object = None) -> object:
            return value if dice.random() < 0.3 else none

        search = Search(
            text=perhaps(dice.choice([str(dice.randrange(9)), str(dice.choice(entries).id)])),  # type: ignore[arg-type]
            hoofd_object=perhaps(str(dice.randrange(9))),  # type: ignore[arg-type]
            resource_url=perhaps(str(dice.randrange(9))),  # type: ignore[arg-type]
            kanaal=perhaps(dice.choice(["zaken", "documenten"])),  # type: ignore[arg-type]
            actie=perhaps("create"),  # type: ignore[arg-type]
            resource=perhaps("zaak"),  # type: ignore[arg-type]
            client=perhaps(dice.choice(["zac", "nobody"])),  # type: ignore[arg-type]
            kenmerken=perhaps({"zaakType": "a"} | dice.choice([{}, {"BRON": "c"}]), {}),  # type: ignore[arg-type]
            abonnement=perhaps(dice.choice(abonnementen)),  # type: ignore[arg-type]
            states=perhaps(frozenset(dice.sample(list(State), dice.randrange(3))), frozenset()),  # type: ignore[arg-type]
            failed=perhaps(value=True, none=False),  # type: ignore[arg-type]
            late=perhaps(dice.randrange(30_000)),  # type: ignore[arg-type]
            after=perhaps(AT + dice.randrange(20) * 7000),  # type: ignore[arg-type]
            before=perhaps(AT + dice.randrange(20) * 7000),  # type: ignore[arg-type]
        )
        expected = {entry.id for entry in entries if matches(entry, deliveries[entry.id], search)}
        received = {entry.id: entry.received for entry in entries}
        for oldest_first in (False, True):
            pages: list[UUID] = []
            after = None
            while page := await found(ledger, search, limit=7, after=after, oldest_first=oldest_first):
                pages += page
                after = page[-1]
            assert len(pages) == len(set(pages))
            assert set(pages) == expected, search
            times = [received[id_] for id_ in pages]
            assert times == sorted(times, reverse=not oldest_first)
        hits += len(expected)
    assert hits > 500


async def test_undeliverable_is_listed_oldest_first_and_in_pages(ledger: Ledger) -> None:
    mine, other = sorted((uuid4(), uuid4()))
    entries = [an_entry(mine, other, at=AT + number) for number in range(30)]
    await ledger.write(entries)
    await ledger.write(
        [an_outcome(entry, mine, State.UNDELIVERABLE, attempts=9) for entry in entries]
        + [an_outcome(entry, other, State.UNDELIVERABLE) for entry in entries[::2]]
        + [an_outcome(entry, other) for entry in entries[1::2]]
    )
    ids = [each.key.notificatie for each in await ledger.undeliverable(abonnement=mine, limit=100)]
    assert ids == [entry.id for entry in entries]
    pages: list[Key] = []
    while page := await ledger.undeliverable(limit=7, after=pages[-1] if pages else None):
        pages += [each.key for each in page]
    assert len(pages) == len(set(pages)) == 45
    assert [key.notificatie for key in pages] == sorted(key.notificatie for key in pages)
    assert await ledger.undeliverable(abonnement=uuid4(), limit=3) == []


async def test_what_was_counted_in_each_minute(ledger: Ledger) -> None:
    one, other = uuid4(), uuid4()
    first, second = an_entry(one, other, at=AT), an_entry(one, at=AT + 1000)
    later = an_entry(at=AT + 120_000)
    begin = AT - AT % 60_000
    assert await ledger.per_minute(since=0) == []
    await ledger.write([first, second, later])
    await ledger.write([an_outcome(first, one), an_outcome(first, one)])
    for number in (1, 2):
        await ledger.write(
            [an_outcome(first, other, State.RETRYING, attempts=number, at=AT + 60_000, wait=9)]
        )
    told = {each.at: each for each in await ledger.per_minute(since=AT)}
    assert {at: each.accepted for at, each in told.items()} == {
        begin: 2,
        begin + 60_000: 0,
        begin + 120_000: 1,
    }
    assert told[begin].came_to == {State.DELIVERED: 1}, "once, however often it was told"
    assert told[begin + 60_000].came_to == {State.RETRYING: 2}
    assert [each.at for each in await ledger.per_minute(since=begin + 60_000)] == [
        begin + 60_000,
        begin + 120_000,
    ]


async def test_what_is_open_is_read_in_pages(ledger: Ledger) -> None:
    abonnement = uuid4()
    entries = [an_entry(abonnement, at=AT + number) for number in range(1203)]
    await ledger.write(entries)
    await ledger.write([an_outcome(entry, abonnement) for entry in entries[::3]])
    left = [entry.id for number, entry in enumerate(entries) if number % 3]
    assert [each.key.notificatie for each in await all_open(ledger, abonnement)] == left


async def test_open_ones_in_some_states_are_found_among_others(ledger: Ledger) -> None:
    abonnement = uuid4()
    entries = [an_entry(abonnement) for _ in range(9)]
    await ledger.write(entries)
    await ledger.write([an_outcome(each, abonnement, State.UNSURE, attempts=0) for each in entries[::3]])
    chosen = [each async for each in ledger.open_of(abonnement, states=frozenset({State.UNSURE}))]
    assert [each.key.notificatie for each in chosen] == sorted(each.id for each in entries[::3])
    assert {each.state for each in chosen} == {State.UNSURE}


# What goes away

DAY = 24 * 3600
MIB = 1024 * 1024


async def shed(ledger: Ledger, *, days: float, budget: int = 1000 * MIB) -> Shed:
    """After so many days since AT; bodies go after 7, rows after 30, counts after 400."""
    return await ledger.shed(
        now=AT + round(days * DAY * 1000),
        bodies_for=7 * DAY,
        rows_for=30 * DAY,
        counts_for=400 * DAY,
        budget=budget,
    )


async def bodies(ledger: Ledger, entries: Sequence[Entry]) -> list[bool | None]:
    """Of each whether its body is there; None when nothing of it is."""
    got = [await ledger.notificatie(entry.id) for entry in entries]
    return [None if each is None else each.body is not None for each in got]


async def test_what_a_message_was_a_part_of_is_kept_as_long_as_its_body(ledger: Ledger) -> None:
    traced, plain = an_entry(trace=f"00-{7:032x}-{9:016x}-01"), an_entry()
    await ledger.write([traced, plain])
    await ledger.write([replace(traced, trace="another")])
    assert await ledger.notificatie(traced.id) == as_read(traced, body=True)
    assert await ledger.notificatie(plain.id) == as_read(plain, body=True)
    await shed(ledger, days=8)
    assert await ledger.notificatie(traced.id) == as_read(traced)
    await shed(ledger, days=31)
    await ledger.write([traced])
    assert await ledger.notificatie(traced.id) == as_read(traced, body=True)


async def test_bodies_and_then_rows_go_after_the_last_was_settled(ledger: Ledger) -> None:
    abonnement, other = uuid4(), uuid4()
    settled, late, waits, nobody, untold = (
        an_entry(abonnement), an_entry(abonnement, other), an_entry(abonnement, other), an_entry(), an_entry()
    )  # fmt: skip
    entries = [settled, late, waits, nobody, untold]
    failed = Attempt(AT, 1, "status", "status 500", 500, 1.0)
    await ledger.write(entries)
    await ledger.write(
        [
            an_outcome(settled, abonnement),
            an_outcome(late, abonnement),
            an_outcome(late, other, State.NOT_WANTED, at=AT + 3 * DAY * 1000, failed=failed),
            an_outcome(waits, abonnement),
            Unrouted(untold.id),
        ]
    )
    assert await shed(ledger, days=6.9) == replace(await shed(ledger, days=6.9), bodies=0, rows=0, counts=0)
    assert await bodies(ledger, entries) == [True, True, True, True, True]
    assert (await shed(ledger, days=7.1)).bodies == 2
    assert await bodies(ledger, entries) == [False, True, True, False, True]
    assert (await shed(ledger, days=10.1)).bodies == 1
    assert await bodies(ledger, entries) == [False, False, True, False, True]
    assert (await shed(ledger, days=30.1)).rows == 2
    assert await bodies(ledger, entries) == [None, False, False, None, False]
    assert (await shed(ledger, days=33.1)).rows == 1
    assert await bodies(ledger, entries) == [None, None, False, None, False]
    for entry in (settled, late):
        assert await ledger.deliveries([entry.id]) == {entry.id: []}
        assert await ledger.attempts(Key(entry.id, other)) == ()
        assert await found(ledger, Search(text=entry.hoofd_object)) == []
    assert set(await found(ledger, Search(kenmerken=waits.kenmerken))) == {waits.id, untold.id}
    assert (await ledger.backlogs())[other].count == 1
    assert [each.key.notificatie for each in await all_open(ledger, other)] == [waits.id]
    assert (await shed(ledger, days=401)).counts > 0


async def test_what_is_undeliverable_stays_until_it_is_sent_again_or_removed(ledger: Ledger) -> None:
    abonnement, other = uuid4(), uuid4()
    entries = [an_entry(abonnement, other, body=b"x" * 20_000) for _ in range(30)]
    lonely = an_entry()  # of an older version: it has no entry
    await ledger.write([*entries, an_outcome(lonely, abonnement, State.UNDELIVERABLE)])
    await ledger.write([an_outcome(entry, other) for entry in entries])
    await ledger.write([an_outcome(entry, abonnement, State.UNDELIVERABLE) for entry in entries])
    assert (await shed(ledger, days=300)).rows == 0
    made = await shed(ledger, days=29, budget=MIB // 4)
    assert (made.full, made.bodies, made.rows, made.undeliverable) == (True, 0, 0, None)
    assert all(await bodies(ledger, entries))
    assert await ledger.undeliverable_count() == 31
    await ledger.write([an_outcome(each, abonnement, State.REMOVED) for each in [entries[0], lonely]])
    await ledger.write([an_outcome(entries[1], abonnement)])
    assert (await shed(ledger, days=300)).rows == 2
    assert await ledger.delivery(Key(lonely.id, abonnement)) is None
    assert await bodies(ledger, entries) == [None, None] + [True] * 28


async def test_for_room_the_oldest_of_the_undeliverable_go_and_the_ledger_says_so(ledger: Ledger) -> None:
    abonnement, other = uuid4(), uuid4()
    entries = [an_entry(abonnement, at=AT + number, body=b"x" * 20_000) for number in range(200)]
    waits, late = an_entry(abonnement, other, at=AT), an_entry(abonnement, at=AT)
    await ledger.write([*entries, waits, late, an_entry(other, at=AT)])
    undeliverable = [an_outcome(each, abonnement, State.UNDELIVERABLE) for each in [*entries, waits]]
    a_week_later = AT + 7 * DAY * 1000
    await ledger.write([*undeliverable, an_outcome(late, abonnement, State.UNDELIVERABLE, at=a_week_later)])
    budget = (await shed(ledger, days=29)).size // 2
    assert (await shed(ledger, days=29, budget=budget)).full
    with pytest.raises(LedgerFull):
        await ledger.write([an_entry()])

    made = await shed(ledger, days=31, budget=budget)
    assert not made.full
    assert 50 < made.rows < 150
    lacking = Incomplete(AT, AT + made.rows - 1, made.rows)
    assert made.undeliverable == lacking
    assert await ledger.incomplete() == [lacking]
    assert await bodies(ledger, [waits, late]) == [True, True]
    assert await bodies(ledger, entries) == [None] * made.rows + [True] * (200 - made.rows)
    assert await ledger.undeliverable_count() == 202 - made.rows
    await ledger.write([an_entry()])
    assert (await shed(ledger, days=31, budget=budget)).undeliverable is None


async def test_outcomes_that_never_had_an_entry_go_too(ledger: Ledger) -> None:
    entry, abonnement = an_entry(), uuid4()
    probe = Attempt(AT, 0, "timeout", "no answer")
    lonely = an_entry()
    await ledger.write([an_outcome(entry, abonnement), Probe(Key(lonely.id, abonnement), probe)])
    await shed(ledger, days=29)
    assert await ledger.delivery(Key(entry.id, abonnement)) is not None
    await shed(ledger, days=31)
    assert await ledger.delivery(Key(entry.id, abonnement)) is None
    assert await ledger.attempts(Key(lonely.id, abonnement)) == ()


async def test_over_its_budget_it_sheds_in_order_and_then_takes_no_more(ledger: Ledger) -> None:
    abonnement = uuid4()
    entries = [an_entry(abonnement, at=AT + number, body=b"x" * 20_000) for number in range(250)]
    await ledger.write(entries)
    empty = (await shed(ledger, days=0)).size - 250 * 20_000
    full = await shed(ledger, days=0, budget=4 * MIB)
    assert (full.full, full.bodies, full.rows) == (True, 0, 0)
    assert all(await bodies(ledger, entries))
    with pytest.raises(LedgerFull, match="budget"):
        await ledger.write([an_entry()])
    await ledger.write([entries[0]])  # it is there already

    await ledger.write([an_outcome(entry, abonnement) for entry in entries[:200]])
    made = await shed(ledger, days=0.1, budget=4 * MIB)
    assert (made.full, made.rows) == (False, 0)
    assert 0 < made.bodies < 200
    assert await bodies(ledger, entries) == [False] * made.bodies + [True] * (250 - made.bodies)
    await ledger.write([an_entry()])

    gone = await shed(ledger, days=0.1, budget=empty)
    assert gone.full
    assert await bodies(ledger, entries) == [None] * 200 + [True] * 50
    assert (await ledger.backlogs())[abonnement].count == 50


async def test_without_a_keeper_it_takes_no_more_than_a_tenth_over_its_budget(ledger: Ledger) -> None:
    abonnement = uuid4()
    await ledger.write([an_entry(abonnement)])
    assert not (await shed(ledger, days=0, budget=2 * MIB)).full
    with pytest.raises(LedgerFull):
        for _ in range(200):
            await ledger.write([an_entry(abonnement, body=b"x" * 50_000)])
    size = (await shed(ledger, days=0)).size
    assert 2 * MIB < size < 3 * MIB


async def test_what_goes_is_taken_out_while_others_write(address: str) -> None:
    abonnement = uuid4()
    old = [an_entry(abonnement, at=AT + number) for number in range(1500)]
    async with ledger_in(address) as one, ledger_in(address) as other:
        await one.write([*old, *(an_outcome(entry, abonnement) for entry in old)])
        new = [an_entry(abonnement, at=AT + 31 * DAY * 1000 + number) for number in range(40)]

        async def write() -> None:
            for entry in new:
                await other.write([entry])

        done, _ = await asyncio.gather(shed(one, days=31), write())
        assert done.rows == 1500
        assert await found(one, Search(), limit=9999, oldest_first=True) == [entry.id for entry in new]
        assert [each.key.notificatie for each in await all_open(one, abonnement)] == [e.id for e in new]


# Several at once


async def _worker(address: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), address, *arguments, stdout=asyncio.subprocess.PIPE
    )


async def test_several_processes_write_at_once(address: str) -> None:
    """Each accepts its own, and all settle those of all; what is open at the end is what nobody settled."""
    workers = [await _worker(address, "write", str(number), "4", "60") for number in range(4)]
    outputs = [(await worker.communicate())[0].decode().split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    async with ledger_in(address) as ledger:
        ids = {UUID(line) for output in outputs for line in output}
        assert len(ids) == 240
        assert set(await found(ledger, Search(), limit=9999)) == ids
        (backlog,) = (await ledger.backlogs()).values()
        assert (backlog.count, backlog.size) == (120, 120 * 1000)


async def test_what_a_killed_process_was_told_is_kept(address: str) -> None:
    worker = await _worker(address, "write", "0", "1", "1000000")
    assert worker.stdout
    told = [await worker.stdout.readline() for _ in range(50)]
    worker.kill()
    told += (await worker.stdout.read()).splitlines(keepends=True)
    await worker.wait()
    ids = {UUID(line.decode().strip()) for line in told if line.endswith(b"\n")}
    async with ledger_in(address) as ledger:
        kept = set(await found(ledger, Search(), limit=1_000_000))
        assert ids <= kept
        await ledger.write([an_entry()])
        assert len(await found(ledger, Search(), limit=1_000_000)) == len(kept) + 1


async def test_calls_at_once_in_one_process(ledger: Ledger) -> None:
    abonnement = uuid4()
    entries = [an_entry(abonnement, at=AT + number) for number in range(50)]
    await asyncio.gather(*(ledger.write([entry]) for entry in entries))
    assert (await ledger.backlogs())[abonnement].count == 50


async def test_a_ledger_that_is_not_open_says_so(address: str) -> None:
    ledger = ledger_in(address)
    with pytest.raises(LedgerError, match="not open"):
        await ledger.write([an_entry()])


async def test_when_it_lacks_something(ledger: Ledger) -> None:
    some, before = Incomplete(AT, AT + 9, 12), Incomplete(None, AT - 5)
    await ledger.write([some, before])
    await ledger.write([some])
    assert await ledger.incomplete() == [before, some]


@pytest.mark.parametrize("removed_first", [True, False])
async def test_what_was_removed_and_delivered_is_removed_and_the_delivery_stays_visible(
    ledger: Ledger, removed_first: bool
) -> None:
    entry, abonnement = an_entry(one := uuid4()), one
    delivered = an_outcome(entry, abonnement, attempts=2, at=AT + 70, status=204, ms=38.0)
    removed = an_outcome(entry, abonnement, State.REMOVED, at=AT + 60)
    await ledger.write([entry])
    for each in (removed, delivered, delivered) if removed_first else (delivered, removed, removed):
        await ledger.write([each])
    found = await ledger.delivery(Key(entry.id, abonnement))
    assert found is not None
    assert (found.state, found.last_at) == (State.REMOVED, AT + 60)
    (taken,) = await ledger.attempts(Key(entry.id, abonnement))
    assert (taken.at, taken.number, taken.kind) == (AT + 70, 2, DELIVERED_ALL_THE_SAME)
    assert (taken.status, taken.ms) == (204, 38.0)


# For questions that others than operators ask


async def test_one_abonnement_s_backlog_alone(ledger: Ledger) -> None:
    mine, other = uuid4(), uuid4()
    await ledger.write([an_entry(mine, other), an_entry(mine)])
    every = await ledger.backlogs()
    assert await ledger.backlogs(mine) == {mine: every[mine]}
    assert every[mine].count == 2
    assert await ledger.backlogs(uuid4()) == {}


async def test_when_an_abonnement_last_got_something(ledger: Ledger) -> None:
    mine, other = uuid4(), uuid4()
    entries = [an_entry(mine, other, at=AT + number) for number in range(4)]
    await ledger.write(entries)
    assert await ledger.last_delivered(mine) is None
    outcomes = [
        an_outcome(entries[0], mine, at=AT + 900),
        an_outcome(entries[1], mine, at=AT + 500),
        an_outcome(entries[2], mine, State.UNDELIVERABLE, at=AT + 1000),
        an_outcome(entries[3], other, at=AT + 2000),
    ]
    await ledger.write(outcomes)
    assert await ledger.last_delivered(mine) == AT + 900
    assert await ledger.last_delivered(uuid4()) is None


async def test_how_many_deliveries_of_a_notificatie_are_in_each_state(ledger: Ledger) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    entry = an_entry(first, second, third)
    again = Outcome(Key(entry.id, first, 7), State.DELIVERED, 1, 1, at=AT + 9)
    await ledger.write([entry, an_outcome(entry, first), an_outcome(entry, second), again])
    assert await ledger.outcomes(entry.id) == {State.DELIVERED: 2, State.PENDING: 1}
    assert await ledger.outcomes(uuid4()) == {}


async def test_how_deliveries_went_is_told_by_abonnement(ledger: Ledger) -> None:
    mine, other = uuid4(), uuid4()
    entries = [an_entry(mine, other, at=AT + number * 60_000) for number in range(6)]
    await ledger.write(entries)
    fates = [
        (State.DELIVERED, 1, 20),
        (State.DELIVERED, 3, 12_000),
        (State.UNDELIVERABLE, 9, 40_000),
        (State.RETRYING, 1, 10),
        (State.DELIVERED, 1, 900_000),
    ]
    await ledger.write(
        [
            an_outcome(entry, mine, state, attempts=attempts, at=entry.received + after)
            for entry, (state, attempts, after) in zip(entries, fates, strict=False)
        ]
    )
    # The first was refused before, and then sent again by an operator as a new one.
    refused = Attempt(AT + 10, 1, "http_status", "answered 422", status=422)
    again = an_outcome(entries[0], other, State.UNDELIVERABLE, failed=refused)
    await ledger.write([again])
    await ledger.write([an_outcome(entries[0], other, State.DELIVERED, round=1, at=AT + 500)])
    # A round of its own also has what was lost and published again: that is no failure.
    await ledger.write([an_outcome(entries[1], other, State.DELIVERED, round=1, at=AT + 60_020)])
    replayed = replace(an_outcome(entries[3], mine), key=Key(entries[3].id, mine, 1))
    await ledger.write([replayed])
    assert await ledger.punctuality(after=AT, before=None, late=10_000) == {
        mine: Punctuality(deliveries=6, delivered=3, failed=3, late=2, slowest=900_000),
        other: Punctuality(deliveries=6, delivered=2, failed=1, late=0, slowest=500),
    }
    assert await found(ledger, Search(failed=True, abonnement=other)) == [entries[0].id]
    assert await ledger.punctuality(after=AT + 60_000, before=AT + 180_000, late=12_001) == {
        mine: Punctuality(deliveries=2, delivered=1, failed=2, late=0, slowest=12_000),
        other: Punctuality(deliveries=2, delivered=1, failed=0, late=0, slowest=20),
    }
    assert await ledger.punctuality(after=AT + 600_000, before=None, late=0) == {}


async def test_a_search_of_some_ids_keeps_to_all_else_that_is_asked(ledger: Ledger) -> None:
    mine, other = uuid4(), uuid4()
    entries = [an_entry(mine if number % 2 else other, at=AT + 20 * number) for number in range(6)]
    await ledger.write([*entries, an_outcome(entries[1], mine)])
    ids = tuple(each.id for each in entries[:4])
    assert await found(ledger, Search(ids=ids)) == [each.id for each in entries[3::-1]]
    assert await found(ledger, Search(ids=ids, abonnement=mine)) == [entries[3].id, entries[1].id]
    settled = Search(ids=ids, abonnement=mine, states=frozenset({State.DELIVERED}))
    assert await found(ledger, settled) == [entries[1].id]
    pages = await found(ledger, Search(ids=ids), after=entries[1].id, oldest_first=True)
    assert pages == [entries[2].id, entries[3].id]
    assert await found(ledger, Search(ids=(uuid4(),))) == []
