"""News out of a real ledger, as `nrc tail` tells it: each once, those asked for, and what waited before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ledger.ledger import Ledger
from ledger.opening import open_ledger
from ledger.values import Attempt, Entry, Search, State
from operating.notificaties import following
from operating.notificaties.following import LATE, RECENT, REST, Became, Came, Following
from tests.contract.stores.test_ledger import AT, an_entry, an_outcome


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with open_ledger(tmp_path / "ledger.db") as opened:
        yield opened


async def told(of: Following, *, now: int) -> list[tuple[str, UUID]]:
    """What is new, and of what."""
    return [
        ("accepted" if isinstance(each, Came) else each.delivery.state.value, each.notificatie.id)
        for each in await of.news(now=now)
    ]


async def follow(ledger: Ledger, search: Search | None = None, **options: object) -> Following:
    made = Following(ledger, search or Search(), since=AT, **options)  # type: ignore[arg-type]
    await made.begin()
    return made


def failing(entry: Entry, abonnement: UUID, number: int, *, at: int) -> object:
    failed = Attempt(at, number, "http_status", "answered 500", 500, 3.0)
    return an_outcome(entry, abonnement, State.RETRYING, attempts=number, at=at, wait=1.0, failed=failed)


async def test_what_came_and_what_became_of_it_each_once(ledger: Ledger) -> None:
    one, other = uuid4(), uuid4()
    news = await follow(ledger)
    entry = an_entry(one, other, at=AT + 100)
    await ledger.write([entry])
    assert await told(news, now=AT + 200) == [("accepted", entry.id)]
    assert await told(news, now=AT + 300) == []
    await ledger.write([an_outcome(entry, one, at=AT + 350), failing(entry, other, 1, at=AT + 360)])
    found = await news.news(now=AT + 400)
    assert [
        (each.delivery.state, each.delivery.key.abonnement) for each in found if isinstance(each, Became)
    ] == [
        (State.DELIVERED, one),
        (State.RETRYING, other),
    ]
    assert [each.failed.detail if each.failed else None for each in found if isinstance(each, Became)] == [
        None,
        "answered 500",
    ]
    await ledger.write([failing(entry, other, 2, at=AT + 2000)])
    assert await told(news, now=AT + RECENT + REST) == [("retrying", entry.id)]


async def test_what_is_noted_late_is_told_once_and_what_is_of_before_is_not(ledger: Ledger) -> None:
    news = await follow(ledger)
    old, late, new = an_entry(at=AT - 1), an_entry(at=AT + 10_000 - LATE + 1), an_entry(at=AT + 10_000)
    await ledger.write([new, old])
    assert await told(news, now=AT + 10_000) == [("accepted", new.id)]
    await ledger.write([late])
    assert await told(news, now=AT + 10_000) == [("accepted", late.id)]
    assert await told(news, now=AT + 10_500) == []


async def test_of_what_waited_before_the_outcome_is_news_and_no_other_delivery_of_it(ledger: Ledger) -> None:
    one, other = uuid4(), uuid4()
    entry = an_entry(one, other, at=AT - 3_600_000)
    await ledger.write([entry, an_outcome(entry, other)])
    news = await follow(ledger)
    assert await told(news, now=AT) == []
    await ledger.write([an_outcome(entry, one, at=AT + 100)])
    assert await told(news, now=AT + REST) == [("delivered", entry.id)]
    assert await told(news, now=AT + 2 * REST) == []


async def test_of_what_came_since_then_the_state_is_news_though_it_waited_when_it_began(
    ledger: Ledger,
) -> None:
    abonnement = uuid4()
    entry = an_entry(abonnement, at=AT + 10)
    await ledger.write([entry, failing(entry, abonnement, 1, at=AT + 20)])
    news = await follow(ledger)
    assert await told(news, now=AT + 3_600_000) == [("accepted", entry.id), ("retrying", entry.id)]


async def test_only_what_is_asked_for(ledger: Ledger) -> None:
    one, other = uuid4(), uuid4()
    waits, elsewhere = an_entry(one, at=AT - 50), an_entry(one, at=AT - 40, kanaal="documenten")
    await ledger.write([waits, elsewhere])
    of_kanaal = await follow(ledger, Search(kanaal="zaken"))
    of_abonnement = await follow(ledger, Search(abonnement=other))
    of_kenmerk = await follow(ledger, Search(kenmerken={"bronorganisatie": "nobody"}))
    of_state = await follow(ledger, states=[State.DELIVERED])
    entry = an_entry(one, other, at=AT + 100)
    await ledger.write([entry, an_entry(one, at=AT + 110, kanaal="documenten")])
    await ledger.write([an_outcome(each, one, at=AT + 200) for each in (waits, elsewhere, entry)])
    await ledger.write([an_outcome(entry, other, State.UNDELIVERABLE, at=AT + 210)])
    now = AT + REST
    came = [
        ("accepted", entry.id),
        ("delivered", waits.id),
        ("delivered", entry.id),
        ("undeliverable", entry.id),
    ]
    assert sorted(await told(of_kanaal, now=now)) == sorted(came)
    assert await told(of_abonnement, now=now) == [("accepted", entry.id), ("undeliverable", entry.id)]
    assert await told(of_kenmerk, now=now) == []
    assert sorted(await told(of_state, now=now)) == sorted(
        ("delivered", each.id) for each in (waits, elsewhere, entry)
    )


async def test_of_too_many_the_newest_are_followed(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MOST", 3)
    monkeypatch.setattr(following, "PAGE", 2)
    abonnement = uuid4()
    await ledger.write([an_entry(abonnement, at=AT - 1000 + number) for number in range(5)])
    news = await follow(ledger)
    assert news.given_up == 2
    entries = [an_entry(abonnement, at=AT + 100 + number) for number in range(5)]
    await ledger.write(entries)
    assert await told(news, now=AT + 200) == [("accepted", each.id) for each in entries]
    assert news.given_up == 2 + 5
    await ledger.write([an_outcome(each, abonnement, at=AT + 300) for each in entries])
    assert await told(news, now=AT + 2 * REST) == [("delivered", each.id) for each in entries[2:]]
