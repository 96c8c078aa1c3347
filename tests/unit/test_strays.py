"""Whose a stray is, and how long a queue that was missing explains one. No broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from router import names
from router.endings import Untold
from router.history import History
from router.renewals import EXPLAINED_FOR, GRACE, Renewals
from router.strays import Stray, Strays, Verdict, judge, read
from schemas.abonnement import Abonnement
from store.opening import open_registry
from store.registry import DeclaredKind, Registry
from tests.make import an_abonnement


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with open_registry(tmp_path / "registry.db") as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def renewals(registry: Registry, clock: Clock) -> Renewals:
    return Renewals(registry, clock=clock)


def a_message(
    body: bytes = b"", *, key: str = "zaak.create", headers: Mapping[str, Any] | None = None
) -> Any:
    return SimpleNamespace(body=body, routing_key=key, headers=headers or {})


def a_stray(**kenmerken: str) -> Stray:
    return Stray(a_message(), "zaken", kenmerken)


ALL, ONE, TWO, OTHER = (
    an_abonnement(("zaken", {})),
    an_abonnement(("zaken", {"a": "1"})),
    an_abonnement(("zaken", {"a": "2"})),
    an_abonnement(("documenten", {})),
)
EVERY = (ALL, ONE, TWO, OTHER)


async def noted(registry: Registry) -> set[str]:
    return {thing.key for thing in await registry.declared() if thing.kind is DeclaredKind.RENEWED}


@pytest.mark.parametrize(
    ("missing", "home"),
    [([ONE], {ONE}), ([ONE, TWO], {ONE}), ([ALL, ONE, OTHER], {ALL, ONE}), ([ALL], {ALL})],
)
async def test_it_goes_to_those_that_match_and_were_missing(
    renewals: Renewals, missing: list[Abonnement], home: set[Abonnement]
) -> None:
    for abonnement in missing:
        await renewals.open(abonnement, note=True)
    assert judge(a_stray(a="1"), EVERY, renewals) == Verdict(home=frozenset(each.uuid for each in home))


async def test_what_nothing_explains_is_of_all_that_match_and_are_not_known_to_be_bound(
    renewals: Renewals, clock: Clock
) -> None:
    await renewals.open(TWO, note=True)
    both = frozenset({ALL.uuid, ONE.uuid})
    assert judge(a_stray(a="1"), EVERY, renewals) == Verdict(suspects=both, known=True)
    await renewals.open(ALL, note=False)
    renewals.stands(ALL.uuid)
    renewals.seen(renewals.new_mark())
    clock.now += GRACE
    await renewals.expire()
    assert judge(a_stray(a="1"), EVERY, renewals) == Verdict(suspects=frozenset({ONE.uuid}), known=True)
    assert judge(a_stray(a="3"), EVERY, renewals) == Verdict(known=True)
    clock.now += EXPLAINED_FOR
    assert judge(a_stray(a="3"), EVERY, renewals).suspects == {ALL.uuid}


class Told(Untold):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, UUID, History]] = []

    def undeliverable(self, message_id: str, abonnement: UUID, history: History) -> None:
        self.ended.append((message_id, abonnement, history))


@pytest.mark.parametrize("id_", ["0192d3a4-0000-7000-8000-000000000001", ""])
async def test_what_its_removed_abonnement_does_not_get_any_more_is_told(
    renewals: Renewals, id_: str
) -> None:
    told, acked = Told(), []
    catalogue: Any = SimpleNamespace(abonnementen={})
    nothing: Any = None
    strays = Strays(catalogue=catalogue, renewals=renewals, publisher=nothing, endings=told, apply=nothing)

    async def ack() -> None:
        acked.append(id_)

    message = a_message(
        b'{"kanaal": "zaken"}', key=names.abonnement_queue(ONE.uuid), headers={"nrc-round": 2}
    )
    message.message_id, message.ack = id_, ack
    assert await strays._settle(read(message))
    assert acked == [id_]
    if not id_:
        assert told.ended == [], "the ledger does not know it"
        return
    ((ended, abonnement, history),) = told.ended
    assert (ended, abonnement, history.round) == (id_, ONE.uuid, 2)
    assert [each.kind for each in history.failures] == ["abonnement_removed"]


async def test_what_nobody_wants(renewals: Renewals) -> None:
    assert judge(Stray(a_message(), "besluiten", {}), EVERY, renewals) == Verdict()


async def test_one_that_came_back_is_of_one(renewals: Renewals) -> None:
    await renewals.open(ALL, note=True)
    await renewals.open(ONE, note=True)
    stray = Stray(a_message(), "zaken", {"a": "1"}, only=ONE.uuid)
    assert judge(stray, EVERY, renewals).home == {ONE.uuid}


async def test_a_queue_explains_until_some_time_after_its_mark(
    renewals: Renewals, registry: Registry, clock: Clock
) -> None:
    await renewals.open(ONE, note=True)
    assert not renewals.is_standing(ONE.uuid)
    assert renewals.new_mark() == "", "it is not bound yet"
    renewals.stands(ONE.uuid)
    assert renewals.is_standing(ONE.uuid)
    assert renewals.to_mark.is_set()
    mark = renewals.new_mark()
    assert mark
    assert not renewals.to_mark.is_set()
    assert renewals.new_mark() == "", "one is enough"
    renewals.seen("of another router")
    clock.now += 1000
    await renewals.expire()
    assert renewals.open_ones == (ONE,)
    renewals.seen(mark)
    clock.now += GRACE - 0.1
    await renewals.expire()
    assert renewals.open_ones == (ONE,)
    assert await noted(registry) == {names.abonnement_queue(ONE.uuid)}
    clock.now += 0.1
    await renewals.expire()
    assert renewals.open_ones == ()
    assert await noted(registry) == set()


async def test_a_queue_that_is_missing_again_waits_for_another_mark(renewals: Renewals, clock: Clock) -> None:
    await renewals.open(ONE, note=True)
    renewals.stands(ONE.uuid)
    first = renewals.new_mark()
    await renewals.open(ONE, note=True)
    renewals.seen(first)
    clock.now += GRACE
    await renewals.expire()
    assert renewals.open_ones == (ONE,)


async def test_a_mark_that_was_not_put_is_made_again(renewals: Renewals) -> None:
    await renewals.open(ONE, note=True)
    renewals.stands(ONE.uuid)
    first = renewals.new_mark()
    renewals.not_put(first)
    assert renewals.to_mark.is_set()
    assert renewals.new_mark() not in ("", first)


async def test_the_next_router_knows_what_was_noted(registry: Registry, clock: Clock) -> None:
    before = Renewals(registry, clock=clock)
    for abonnement, note in ((ONE, True), (TWO, False), (OTHER, True)):
        await before.open(abonnement, note=note)
    after = Renewals(registry, clock=clock)
    await after.load({ONE.uuid: ONE, TWO.uuid: TWO})
    assert after.open_ones == (ONE,)
    assert after.new_mark(), "what comes after it is of nobody that the former router knew"
    await after.expire()
    assert await noted(registry) == {names.abonnement_queue(ONE.uuid)}, "one that is removed is forgotten"


@pytest.mark.parametrize(
    ("body", "kanaal", "kenmerken"),
    [
        (b'{"kanaal": "zaken", "kenmerken": {"a": "1"}}', "zaken", {"a": "1"}),
        (b'{"kanaal": "zaken"}', "zaken", {}),
        (b'{"kanaal": "zaken", "x": "\\ud800"}', "zaken", {}),
    ],
)
def test_reading_one(body: bytes, kanaal: str, kenmerken: dict[str, str]) -> None:
    stray = read(a_message(body))
    assert (stray.kanaal, stray.kenmerken, stray.only, stray.readable) == (kanaal, kenmerken, None, True)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"5", b'{"kanaal": 5}', b'{"kanaal": ["a"]}', b'{"kanaal": "a", "kenmerken": 5}'],
)
def test_what_cannot_be_read_is_of_nobody_but_may_have_come_back(body: bytes) -> None:
    assert not read(a_message(body)).readable
    assert read(a_message(body, key=names.abonnement_queue(ONE.uuid))).only == ONE.uuid
