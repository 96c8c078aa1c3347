"""Abonnementen that change while a process hangs, and by two clients at once.

A change that was answered 200 holds for every notificatie accepted after it; one that was answered 503 was
not made.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any

from tests.chaos.accounting.account import Arrival, Subscription
from tests.chaos.clients import load
from tests.chaos.process import hanging
from tests.chaos.run import Run
from tests.chaos.scenario import Scenario
from tests.eventually import eventually

NAME = "changing"
ELSEWHERE = "changing-elsewhere"
"""Where it has itself called in turn."""
FROZEN = 0.3  # seconds
ANSWERED_WITHIN = 8.0  # seconds; a gateway promises its 503 within five
SLICES = tuple(load.slice_of(0, zaaktype) for zaaktype in range(3))


async def patch(run: Run, **fields: Any) -> int:
    """The status of one PATCH of the abonnement."""
    async with asyncio.timeout(ANSWERED_WITHIN), run.system.api() as session:
        path = f"abonnement/{run.abonnementen[NAME]}"
        async with session.patch(path, json=fields) as answer:
            await answer.read()
            return answer.status


@dataclass(slots=True)
class Changes:
    """The filters that an abonnement had, and where it had itself called.

    Each counts from its 200 until all that was accepted by a moment before the next change has arrived: what
    came after that moment may meet the old or the new ones.
    """

    run: Run
    had: list[Subscription] = field(default_factory=list)
    _now: Subscription | None = None

    async def begin(self, wanted: load.Wanted) -> None:
        """The abonnement is made, with these."""
        await self.run.subscribe(NAME, wanted)
        self._now = Subscription(NAME, wanted.matches, since=time.monotonic())

    async def end(self) -> None:
        """Those of now are about to be changed."""
        assert self._now
        ended = replace(self._now, until=time.monotonic())
        self.had.append(ended)
        self.run.wants_no_more(ended.name, at=ended.until)
        due = {(post.id, ended.name) for post in self.run.publisher.accepted if ended.wants(post)}

        async def arrived() -> bool:
            return due <= {(each.id, each.abonnement) for each in await self._arrivals() if each.answered}

        with suppress(AssertionError):  # what never arrives is for the account to find
            await eventually(arrived, within=10, every=0.1)

    async def to(self, wanted: load.Wanted, *, at: str | None = None) -> None:
        """A PATCH of the filters that must be answered with 200, and beside it one of the callbackUrl."""
        assert self._now
        fields: list[dict[str, Any]] = [{"kanalen": list(wanted.kanalen)}]
        if at is not None:
            fields.append({"callbackUrl": self.run.consumer.url(self.run.path(at))})
        for status, asked in zip(
            await asyncio.gather(*(patch(self.run, **each) for each in fields)), fields, strict=True
        ):
            if status != 200:
                self.run.problems.append(f"a PATCH of {', '.join(asked)} was answered with {status}, not 200")
        self._now = Subscription(at or self._now.name, wanted.matches, since=time.monotonic())
        self.run.wants_too(self._now.name, wanted.matches, since=self._now.since)

    async def goes_on_coming(self, *, since: float) -> None:
        """Something that was accepted after `since` has arrived, within some seconds."""
        later = {post.id for post in self.run.publisher.accepted if post.posted >= since}

        async def arrived() -> bool:
            return any(each.answered and each.id in later for each in await self._arrivals())

        try:
            await eventually(arrived, within=5, every=0.1)
        except AssertionError:
            self.run.problems.append("nothing arrived while the router hung")

    async def check(self) -> None:
        """What was posted after a 200 was not sent by what held before it."""
        await self.end()
        got = {(each.id, each.abonnement) for each in await self._arrivals()}
        for had in self.had:
            while_it_held = replace(had, matches=lambda _: True)
            for post in filter(while_it_held.wants, self.run.publisher.accepted):
                wanted = {had.name} if had.matches(post.number) else set()
                if any((post.id, name) in got for name in {NAME, ELSEWHERE} - wanted):
                    self.run.problems.append(f"notificatie {post.number} was sent by what held before a 200")
                    return

    async def _arrivals(self) -> list[Arrival]:
        names = NAME, ELSEWHERE
        return [each for each in await self.run.consumer.take(self.run.key) if each.abonnement in names]


async def change_while_the_router_hangs(run: Run) -> None:
    """A PATCH then gets 503, and what the former filters want goes on coming. Afterwards one gets 200."""
    changes = Changes(run)
    await changes.begin(SLICES[0])
    await run.more(300)
    refused = cycle(SLICES[1:])
    for _ in run.rounds(2):
        async with run.fault():
            with hanging(run.system.processes["router"].pid):
                wanted = next(refused)
                if (status := await patch(run, kanalen=list(wanted.kanalen))) != 503:
                    run.problems.append(f"a PATCH while the router hangs was answered with {status}, not 503")
                at = time.monotonic()
                await run.more(300)
                await changes.goes_on_coming(since=at)
        await run.more(600)
    await changes.end()
    await changes.to(SLICES[1])
    await run.more(600)
    await changes.check()


async def filters_while_a_deliverer_hangs(run: Run) -> None:
    """One, the other, both. Hints wait for them, and so do the first notificaties after a change."""
    changes = Changes(run)
    await changes.begin(SLICES[0])
    await run.more(300)
    deliverers = run.system.deliverers
    who = cycle([deliverers[:1], deliverers[1:], deliverers])
    filters = cycle([*SLICES[1:], SLICES[0]])
    for _ in run.rounds(9):
        await changes.end()
        async with run.fault():
            with hanging(*(run.system.processes[name].pid for name in next(who))):
                await changes.to(next(filters))
                await asyncio.sleep(FROZEN)
        await run.more(500)
    await changes.check()


async def two_changes_at_once(run: Run) -> None:
    """One client changes the filters, another the callbackUrl. Often enough for each to meet each."""
    changes = Changes(run)
    await changes.begin(SLICES[0])
    await run.more(300)
    filters, places = cycle([*SLICES[1:], SLICES[0]]), cycle([ELSEWHERE, NAME])
    for _ in run.rounds(24):
        await changes.end()
        async with run.fault():
            await changes.to(next(filters), at=next(places))
        await run.more(150)
    await changes.check()


SCENARIOS = (
    Scenario(
        "router frozen during a change",
        "Twice: the router is frozen (SIGSTOP), and a PATCH of an abonnement's filters is answered with 503 "
        "and changes nothing: what the former filters want goes on coming, before and after the router goes "
        "on. In the end a PATCH is answered with 200. No publisher sees an error.",
        change_while_the_router_hangs,
        rate=250.0,
        least=4000,
        no_errors=True,
        parts={NAME: "The abonnement that is changed."},
    ),
    Scenario(
        "filters changed while a deliverer is frozen",
        "Nine times: one deliverer, the other, or both are frozen (SIGSTOP), an abonnement's filters are "
        "changed to others by PATCH, notificaties that match these are accepted, and 0.3 s later the "
        "deliverers go on. What is accepted while a change is made is not counted: it may be sent by the "
        "old or the new filters.",
        filters_while_a_deliverer_hangs,
        rate=300.0,
        parts={NAME: "The abonnement that is changed."},
    ),
    Scenario(
        "two changes at once",
        "Twenty-four times: an abonnement's filters and its `callbackUrl` are changed by two PATCHes at the "
        "same moment, both answered with 200. What is accepted afterwards goes by the new filters to the new "
        "place, and nowhere else.",
        two_changes_at_once,
        rate=300.0,
        parts={NAME: "The abonnement that is changed.", ELSEWHERE: "The same, called elsewhere."},
    ),
)
