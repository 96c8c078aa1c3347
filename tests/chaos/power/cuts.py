"""The scenario: load, a power cut, a restart of everything, and so on; then the account.

Kinds of cut, in turns: at a random moment under load; right after the 201 of a notificatie; right after the
201 of a new abonnement; and while everything is still starting after the cut before. FORGET and SCATTER
(tests/chaos/power/model.py) take turns as well. Under load the publisher goes on all the while.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.accounting.account import Accepted, Account, Repeats, Subscription, account
from tests.chaos.clients import load
from tests.chaos.clients.consumer_process import Consumer
from tests.chaos.clients.publisher import Connection, NoAnswer, Publisher
from tests.chaos.power.disk import Disk
from tests.chaos.power.machine import DidNotStart, Machine
from tests.chaos.power.model import Loss
from tests.chaos.system import CLIENT, PREFETCH, SECRET, SETTINGS
from tests.tokens import token

KEY = "power"
KINDS = ("under load", "after a 201", "after a new abonnement", "while starting")
DELIVERERS = 1
CATCH_UP = 20.0  # seconds after a start for what was accepted before the cut to arrive
SETTLE = 300.0  # seconds at the end; the keeper gives back after a minute what nobody heard of
LONGEST_LOAD = 6.0  # seconds under load before a cut

_AWAY = ["status", {"code": 503}]
BEHAVIOURS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "everything": ("status", {"after": 0.4}),
    "one-zaaktype": ("some", {"every": 4, "then": ["first", {"then": _AWAY}]}),
    "documents": ("flapping", {"up": 4.0, "down": 4.0, "then": _AWAY}),
}
"""So that there is something in flight, in wait queues and in queues at each cut; until the last one."""


@dataclass(slots=True)
class Cut:
    """One cut: what was accepted before it, and how many deliveries of that were to come when it was done.

    late: how many of those had not come CATCH_UP seconds after the start. seconds: until everything was
    ready again.
    """

    kind: str
    loss: Loss
    accepted: int
    open: int = 0
    late: int = 0
    seconds: float = 0.0
    syncs: int = 0


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    account: Account
    cuts: list[Cut]
    posts: dict[str, int]
    duplicates_by_cut: Counter[int]
    failed_starts: list[str]
    seconds: float
    traced: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was lost, and nothing else is wrong."""
        return not self.account.problems


def settings(disk: Disk, port: int) -> dict[str, str]:
    """The environment of the machine: its state folder is the disk."""
    return {
        **SETTINGS,
        "NRC_STATE_DIR": str(disk.folder),
        "NRC_GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "NRC_CONSOLE_LISTEN": "",
        "NRC_GATEWAY_PROCESSES": "1",
        "NRC_DELIVERER_PROCESSES": str(DELIVERERS),
    }


def free_port() -> int:
    """A port on loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Cuts:
    """One run of so many cuts."""

    def __init__(
        self, disk: Disk, consumer: Consumer, *, rate: float, seed: int, log: Path, say: Callable[[str], None]
    ) -> None:
        self._disk = disk
        self._consumer = consumer
        self._random = random.Random(seed)
        self._say = say
        self._at = ("127.0.0.1", free_port())
        self._machine = Machine(disk, env=settings(disk, self._at[1]), log=log)
        self._numbers = itertools.count(1)
        self._publisher = Publisher(
            [self._at], authorization=_authorization(), rate=rate, connections=8, numbers=self._numbers
        )
        self._by_hand: list[Accepted] = []
        self._subscriptions: list[Subscription] = []
        self._ready: list[float] = []
        self._cut_at: list[float] = []
        self._cuts: list[Cut] = []
        self._problems: list[str] = []

    async def run(self, kinds: list[tuple[str, Loss]]) -> Outcome:
        """Cut so, one after the other, and account for everything."""
        began = time.monotonic()
        try:
            await self._first_start()
            self._publisher.start()
            try:
                for number, (kind, loss) in enumerate(kinds, 1):
                    await self._one(kind, loss)
                    self._say(f"[{number}/{len(kinds)}] {told(self._cuts[-1])}")
                await asyncio.sleep(2)
            except (DidNotStart, RuntimeError) as error:
                self._problems.append(f"broke off after cut {len(self._cuts)}: {error}")
            finally:
                await self._publisher.stop()
            return await self._account(time.monotonic() - began)
        finally:
            await self._machine.stop()

    # -- the cuts

    async def _first_start(self) -> None:
        said = await self._machine.nrc(
            *("application", "add", CLIENT, "--new", "--secret", SECRET, "--scope", "publiceren"),
            *("--scope", "consumeren"),
        )
        self._say(f"{said.strip()}\nready after {await self._machine.start():.1f} s")
        for kanaal in load.KANALEN:
            await self._call("kanaal", kanaal)
        for name, wanted in load.ABONNEMENTEN.items():
            await self._subscribe(name, wanted)
        for name, (behaviour, arguments) in BEHAVIOURS.items():
            await self._consumer.behave(f"/{KEY}/{name}", behaviour, **arguments)

    async def _one(self, kind: str, loss: Loss) -> None:
        self._disk.lose(loss)
        before = self._disk.counts().get("syncs", 0)
        await self._publisher.more(20)
        await asyncio.sleep(self._random.uniform(0.2, LONGEST_LOAD))
        syncs = self._disk.counts().get("syncs", 0) - before
        match kind:
            case "after a 201":
                await self._post_and_freeze()
            case "after a new abonnement":
                name = f"new-{len(self._cuts)}"
                wanted = load.slice_of(self._random.randrange(2), self._random.randrange(3))
                await self._subscribe(name, wanted, freeze=True)
            case _:
                self._disk.freeze()
        await self._cut()
        if kind == "while starting":
            await self._machine.switch_on()
            await asyncio.sleep(self._random.uniform(1, 15))
            self._disk.freeze()
            await self._cut()
        accepted = self._posts()
        cut = Cut(kind, loss, len(accepted), open=len(await self._missing(accepted)), syncs=syncs)
        self._cuts.append(cut)
        cut.seconds = await self._machine.start()
        self._ready.append(time.monotonic())
        await self._check_abonnementen()
        cut.late = len(await self._come(accepted, within=CATCH_UP))

    async def _cut(self) -> None:
        self._cut_at.append(time.monotonic())
        await self._machine.cut()

    async def _post_and_freeze(self) -> None:
        """Post one more; the disk is frozen when its 201 has been read."""
        connection = Connection(*self._at, authorization=_authorization())
        number = next(self._numbers)
        try:
            for _ in range(100):
                posted = time.monotonic()
                status, headers = await connection.post(load.body_of(number))
                if status == 201:
                    self._disk.freeze()
                    accepted = Accepted(number, headers["nrc-notificatie-id"], posted, time.monotonic())
                    self._by_hand.append(accepted)
                    return
                await asyncio.sleep(0.1)
        except NoAnswer as error:
            self._problems.append(f"no answer to a POST without a cut: {error}")
        finally:
            connection.close()
        self._disk.freeze()

    async def _subscribe(self, name: str, wanted: load.Wanted, *, freeze: bool = False) -> None:
        callback = self._consumer.url(f"/{KEY}/{name}")
        body = {"callbackUrl": callback, "auth": "Token chaos", "kanalen": list(wanted.kanalen)}
        await self._call("abonnement", body, freeze=freeze)
        self._subscriptions.append(Subscription(name, wanted.matches, since=time.monotonic()))

    async def _call(self, path: str, body: object, *, freeze: bool = False) -> None:
        """Make something by the API, tried again after each 503; the disk is frozen at the 201."""
        async with self._session() as session:
            for _ in range(100):
                async with session.post(path, json=body) as answer:
                    if answer.status == 201:
                        if freeze:
                            self._disk.freeze()
                        return
                    said = await answer.text()
                    if answer.status != 503:
                        raise RuntimeError(f"POST {path}: {answer.status} {said}")
                await asyncio.sleep(0.3)
        raise RuntimeError(f"POST {path}: {said}")

    async def _check_abonnementen(self) -> None:
        async with self._session() as session, session.get("abonnement") as answer:
            there = {each["callbackUrl"].rpartition("/")[2] for each in await answer.json()}
        for each in self._subscriptions:
            if each.name not in there:
                self._problems.append(f"abonnement {each.name} is gone after cut {len(self._cuts)}")

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            base_url=f"http://127.0.0.1:{self._at[1]}/api/v1/", headers={"Authorization": _authorization()}
        )

    # -- the account

    def _posts(self) -> list[Accepted]:
        return [*self._publisher.accepted, *self._by_hand]

    async def _missing(self, posts: list[Accepted]) -> set[tuple[str, str]]:
        wanted = {(post.id, each.name) for post in posts for each in self._subscriptions if each.wants(post)}
        for each in await self._consumer.take(KEY):
            if each.answered:
                wanted.discard((each.id, each.abonnement))
        return wanted

    async def _come(self, posts: list[Accepted], *, within: float) -> set[tuple[str, str]]:
        """Return when all was delivered, or after so many seconds: what was not."""
        until = time.monotonic() + within
        while (missing := await self._missing(posts)) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        return missing

    async def _account(self, seconds: float) -> Outcome:
        posts = self._posts()
        for name in BEHAVIOURS:
            await self._consumer.behave(f"/{KEY}/{name}", "status")
        missing = await self._come(posts, within=CATCH_UP if self._problems else SETTLE)
        await asyncio.sleep(5)  # for what comes twice
        arrivals = await self._consumer.take(KEY)
        bound = DELIVERERS * PREFETCH * len(self._subscriptions)
        made = account(
            posts,
            arrivals,
            subscriptions=self._subscriptions,
            repeats=[Repeats("a cut", bound) for _ in self._cut_at],
            recovered_from=self._ready,
        )
        made.problems += self._problems
        if self._publisher.unexpected:
            made.problems.append(f"unexpected answers: {dict(self._publisher.unexpected)}")
        lost = sorted({id for id, _ in missing})[:5]
        seen: set[tuple[str, str]] = set()
        again: Counter[int] = Counter()
        for each in arrivals:
            if each.answered:
                pair = each.id, each.abonnement
                if pair in seen:
                    again[sum(at < each.at for at in self._ready)] += 1
                seen.add(pair)
        return Outcome(
            made,
            self._cuts,
            dict(self._publisher.outcomes),
            again,
            self._machine.failed_starts,
            seconds,
            [await self._machine.nrc("trace", each) for each in lost],
        )


def _authorization() -> str:
    return token(CLIENT, secret=SECRET)


def told(cut: Cut) -> str:
    """A cut in a line."""
    return (
        f"{cut.kind}, {cut.loss.value}: accepted so far {cut.accepted}, {cut.open} deliveries of those to "
        f"come; ready again after {cut.seconds:.1f} s; {cut.late} not there {CATCH_UP:g} s later; "
        f"{cut.syncs} syncs before it"
    )
