"""For how long an answer of the Autorisaties API counts, who waits for a new one, and what a failure does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from gateway.autorisaties.answers import UNKNOWN, Found, of_text
from gateway.autorisaties.asking import AcFailed, Outcome
from gateway.autorisaties.keeping import Keeping
from gateway.autorisaties.rights import (
    FRESH,
    FRESH_UNKNOWN,
    KEPT_FOR,
    LAST_KNOWN,
    PAUSE,
    UNWAITED,
    UNWAITED_CHANGED,
    Rights,
)
from schemas.application import Application, Scope
from schemas.errors import RegistryError, ServiceUnavailable
from store.registry import AcAnswer

AWAY = AcFailed(Outcome.AWAY, "no answer", everyone=True)
OF_ONE = AcFailed(Outcome.WRONG, "status 500", everyone=False)


def may(*scopes: Scope, name: str = "a") -> Found:
    return Found(known=True, scopes=frozenset(scopes), url=f"http://ac/applicaties/{name}")


PUBLISHES, NOTHING = may(Scope.PUBLICEREN), may()


class Ac:
    """Answers what `says` has, a failure among it; while `flowing` is clear a question waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.says: dict[str, Found | AcFailed] = {}
        self.asked: list[str] = []
        self.flowing = asyncio.Event()
        self.flowing.set()

    async def ask(self, client_id: str) -> Found:
        self.asked.append(client_id)
        said = self.says.get(client_id, UNKNOWN)  # as it was when the question came
        await self.flowing.wait()
        if isinstance(said, AcFailed):
            raise said
        return said


@pytest.fixture
def ac() -> Ac:
    return Ac()


@pytest.fixture
def rights(ac: Ac) -> Rights:
    return Rights(ac, clock=lambda: ac.now, spacing=0)


async def settled() -> None:
    """What is under way has run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def refused(rights: Rights, client_id: str = "a") -> ServiceUnavailable:
    with pytest.raises(ServiceUnavailable) as told:
        await rights.of(client_id)
    assert told.value.retry_after
    return told.value


async def test_an_answer_counts_for_a_minute(ac: Ac, rights: Rights) -> None:
    ac.says["a"] = PUBLISHES
    for later in (0, FRESH - 1):
        ac.now = 1000 + later
        assert await rights.of("a") == PUBLISHES
    assert ac.asked == ["a"]


async def test_that_there_is_none_counts_for_seconds(ac: Ac, rights: Rights) -> None:
    assert not (await rights.of("a")).known
    ac.says["a"] = PUBLISHES
    ac.now += FRESH_UNKNOWN - 1
    assert not (await rights.of("a")).known
    ac.now += 1
    assert await rights.of("a") == PUBLISHES


async def test_nobody_waits_while_a_stale_answer_is_asked_for_again(ac: Ac, rights: Rights) -> None:
    ac.says["a"] = PUBLISHES
    await rights.of("a")
    ac.says["a"] = NOTHING
    ac.now += FRESH
    ac.flowing.clear()
    for _ in range(3):
        assert await rights.of("a") == PUBLISHES
    await settled()
    ac.flowing.set()
    await settled()
    assert await rights.of("a") == NOTHING
    assert ac.asked == ["a", "a"]
    assert rights.stale == 0, "the AC did not fail"


async def test_an_old_answer_is_waited_for(ac: Ac, rights: Rights) -> None:
    ac.says["a"] = PUBLISHES
    await rights.of("a")
    ac.says["a"] = NOTHING
    ac.now += FRESH + UNWAITED
    assert await rights.of("a") == NOTHING


async def test_those_who_wait_share_a_question(ac: Ac, rights: Rights) -> None:
    ac.says = {"a": PUBLISHES, "b": NOTHING}
    ac.flowing.clear()
    waiting = [asyncio.create_task(rights.of(each)) for each in "aabaab"]
    await settled()
    waiting[0].cancel()
    ac.flowing.set()
    answers = await asyncio.gather(*waiting[1:])
    assert answers == [PUBLISHES, NOTHING, PUBLISHES, PUBLISHES, NOTHING]
    assert sorted(ac.asked) == ["a", "b"]


async def test_what_was_known_counts_for_a_day(ac: Ac, rights: Rights) -> None:
    ac.says["a"] = PUBLISHES
    await rights.of("a")
    ac.says["a"] = AWAY
    for later in (FRESH, FRESH + UNWAITED, LAST_KNOWN):
        ac.now = 1000 + later
        assert await rights.of("a") == PUBLISHES
        await settled()
    assert rights.stale == 2, "the first was served before the failure was known"
    assert rights.why_not.startswith("away")
    ac.now += 1
    assert "antwoordt nu niet" in (await refused(rights)).detail
    ac.says["a"] = NOTHING
    ac.now += PAUSE
    assert await rights.of("a") == NOTHING
    assert rights.why_not == ""


async def test_that_there_is_none_does_not_count_while_the_ac_is_away(ac: Ac, rights: Rights) -> None:
    await rights.of("a")
    ac.says["a"] = AWAY
    ac.now += FRESH_UNKNOWN
    await refused(rights)


async def test_a_failure_is_followed_by_a_pause_for_all(ac: Ac, rights: Rights) -> None:
    ac.says = {"a": AWAY, "b": PUBLISHES}
    await refused(rights)
    await refused(rights, "b")
    assert ac.asked == ["a"]
    ac.now += PAUSE
    assert await rights.of("b") == PUBLISHES


async def test_of_those_that_wait_for_a_turn_none_asks_after_a_failure(ac: Ac, rights: Rights) -> None:
    clients = [f"{number}" for number in range(30)]
    ac.says = dict.fromkeys(clients, AWAY)
    ac.flowing.clear()
    waiting = [asyncio.create_task(refused(rights, each)) for each in clients]
    await settled()
    ac.flowing.set()
    await asyncio.gather(*waiting)
    assert len(ac.asked) == 10


async def test_a_fault_about_one_client_is_that_client_s(ac: Ac, rights: Rights) -> None:
    ac.says = {"a": OF_ONE, "b": PUBLISHES}
    assert "onbruikbaar" in (await refused(rights)).detail
    assert await rights.of("b") == PUBLISHES
    assert rights.why_not == ""
    assert rights.outcomes == {Outcome.WRONG: 1, Outcome.FOUND: 1}
    assert sum(rights.seconds.counts) == 2


@pytest.mark.parametrize(
    "tell", [lambda rights: rights.changed("a", gone=False), lambda rights: rights.missed()]
)
async def test_a_change_is_served_for_half_a_second_more(
    ac: Ac, rights: Rights, tell: Callable[[Rights], None]
) -> None:
    ac.says["a"] = PUBLISHES
    await rights.of("a")
    ac.says["a"] = NOTHING
    ac.flowing.clear()
    tell(rights)
    assert await rights.of("a") == PUBLISHES
    ac.now += UNWAITED_CHANGED
    waiting = asyncio.create_task(rights.of("a"))
    await settled()
    assert not waiting.done()
    ac.flowing.set()
    assert await waiting == NOTHING


async def test_an_answer_from_before_a_change_does_not_count(ac: Ac, rights: Rights) -> None:
    ac.says["a"] = PUBLISHES
    ac.flowing.clear()
    waiting = asyncio.create_task(rights.of("a"))
    await settled()
    ac.says["a"] = NOTHING
    rights.changed("a", gone=False)
    ac.flowing.set()
    assert await waiting == NOTHING
    assert ac.asked == ["a", "a"]


async def test_while_a_changed_one_is_asked_for_the_answer_from_before_does_not_count(
    ac: Ac, rights: Rights
) -> None:
    second = asyncio.Event()

    async def ask(client_id: str) -> Found:
        ac.asked.append(client_id)
        await (ac.flowing if len(ac.asked) == 1 else second).wait()
        return PUBLISHES if len(ac.asked) == 1 else NOTHING

    ac.ask = ask  # type: ignore[method-assign]
    ac.flowing.clear()
    waiting = [asyncio.create_task(rights.of("a"))]
    await settled()
    rights.changed("a", gone=False)
    ac.flowing.set()
    await settled()
    assert ac.asked == ["a", "a"]
    waiting.append(asyncio.create_task(rights.of("a")))
    await settled()
    assert not waiting[1].done()
    second.set()
    assert await asyncio.gather(*waiting) == [NOTHING, NOTHING]


async def test_a_change_of_another_applicatie_asks_nothing(ac: Ac, rights: Rights) -> None:
    ac.says = {"a": PUBLISHES, "b": may(name="b")}
    await rights.of("a"), await rights.of("b"), await rights.of("unknown")
    ac.asked.clear()
    rights.changed("b", gone=False)
    await settled()
    assert ac.asked == ["b"]
    ac.asked.clear()
    for each in ("a", "b", "unknown"):
        await rights.of(each)
    assert ac.asked == ["unknown"], "it may be one of that applicatie now"


async def test_a_removed_one_is_forgotten_at_once(ac: Ac, rights: Rights) -> None:
    ac.says["a"] = PUBLISHES
    await rights.of("a")
    ac.says["a"] = AWAY
    rights.changed("a", gone=True)
    await refused(rights)
    ac.says["a"] = UNKNOWN
    ac.now += PAUSE
    assert not (await rights.of("a")).known


async def test_a_change_ends_a_pause(ac: Ac, rights: Rights) -> None:
    ac.says["a"] = AWAY
    await refused(rights)
    ac.says["a"] = PUBLISHES
    rights.changed("x", gone=False)
    assert await rights.of("a") == PUBLISHES


class Registry:
    """Keeps answers, or does not."""

    def __init__(self) -> None:
        self.away = False
        self.kept: dict[str, AcAnswer] = {}
        self.writes = 0

    async def note_ac_answers(self, answers: Iterable[AcAnswer], *, gone: Iterable[str] = ()) -> None:
        if self.away:
            raise RegistryError("locked")
        self.writes += 1
        self.kept |= {each.client_id: each for each in answers}
        for each in gone:
            self.kept.pop(each, None)

    async def ac_answers(self) -> tuple[AcAnswer, ...]:
        return tuple(self.kept.values())


APPLICATIONS = {each: Application(each, "x", scopes_from_ac=each != "here") for each in ("a", "b", "here")}


async def test_an_answer_is_kept_when_it_differs_and_once_an_hour(ac: Ac, rights: Rights) -> None:
    registry: Any = Registry()
    keeping = Keeping(rights, registry)
    ac.says["a"] = PUBLISHES
    await rights.of("a"), await rights.of("unknown")
    registry.away = True
    assert not await keeping.write()
    assert rights.unkept.is_set()
    registry.away = False
    assert await keeping.write()
    assert [*registry.kept] == ["a"]
    for later, kept in ((FRESH + UNWAITED, False), (KEPT_FOR, False), (KEPT_FOR + FRESH + UNWAITED, True)):
        ac.now = 1000 + later
        await rights.of("a")
        assert rights.unkept.is_set() is kept
    await keeping.write()
    ac.says["a"] = UNKNOWN
    rights.changed("a", gone=True)
    await keeping.write()
    assert registry.kept == {}


async def test_a_gateway_that_starts_while_the_ac_is_away_knows_what_was_said(ac: Ac, rights: Rights) -> None:
    registry: Any = Registry()
    for each in ("a", "b", "here", "removed"):
        ac.says[each] = may(Scope.PUBLICEREN, name=each)
        await rights.of(each)
    await Keeping(rights, registry).write()
    old = registry.kept["b"]
    registry.kept["b"] = replace(old, at=old.at - LAST_KNOWN)
    later = Rights(ac, clock=lambda: ac.now, spacing=0)
    await Keeping(later, registry).load(APPLICATIONS)
    ac.says = dict.fromkeys(ac.says, AWAY)
    assert await later.of("a") == may(Scope.PUBLICEREN)
    for each in ("b", "here", "removed"):
        await refused(later, each)
    ac.now += LAST_KNOWN
    await refused(later, "a")


async def test_what_was_kept_is_asked_for_again(ac: Ac, rights: Rights) -> None:
    rights.known_before("a", PUBLISHES, age=1.0)
    ac.says["a"] = NOTHING
    assert await rights.of("a") == NOTHING


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", '{"scopes": 1, "all": true}', "null"])
def test_what_another_version_kept_is_not_used(text: str) -> None:
    assert of_text(text) is None
