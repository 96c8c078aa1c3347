"""One scenario while it runs: the load around the fault, and the accounting after it.

A scenario is an async function that gets a Run. It does its faults on `run.system`, `run.consumer` and
`run.publisher`, each inside `run.fault()`, and lets the load go on in between with `run.more`.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from extra.asking import ROOT as EXTRA
from ledger.keeper.losses.registry_changes import SKEW
from ledger.values import Cause
from router import names
from tests.chaos.accounting.account import (
    NOT_ACKNOWLEDGED,
    Accepted,
    Account,
    Arrival,
    Excuse,
    Pair,
    Repeats,
    Subscription,
    account,
)
from tests.chaos.accounting.options import is_late, out_of_order, stood_for
from tests.chaos.clients import load
from tests.chaos.clients.consumer_process import MAIN, Consumer
from tests.chaos.clients.fetcher_process import Fetcher
from tests.chaos.clients.publisher import Publisher
from tests.chaos.clients.reader_process import Reader
from tests.chaos.scenario import Result, Scenario
from tests.chaos.system import System
from tests.eventually import eventually

GIVEN_BACK = 240.0
"""Seconds for everything to arrive while the keeper has work."""
FOLLOWED = 2.0
"""Seconds in which deliverers know of an abonnement's options: docs/delivery-options.md says 0.3."""


class Run:
    """What a scenario works with."""

    def __init__(
        self,
        scenario: Scenario,
        system: System,
        consumer: Consumer,
        *,
        numbers: Iterator[int],
        share: float = 1.0,
    ) -> None:
        self.scenario = scenario
        self.system = system
        self.consumer = consumer
        self.share = share
        self.key = scenario.name.replace(" ", "-").replace("/", "-")
        self.abonnementen: dict[str, UUID] = {}
        self.subscriptions: list[Subscription] = []
        self.excuses: list[Excuse] = []
        self.repeats: list[Repeats] = []
        self.problems: list[str] = []
        self._ended: list[float] = []
        self._parts: dict[str, Account] = {}
        self._removed: dict[str, UUID] = {}
        self._fetchers: dict[str, Fetcher] = {}
        self.readers: dict[str, Reader] = {}
        self._by_operator: set[Pair] = set()
        self._options: dict[str, Mapping[str, Any]] = {}
        self.publisher = Publisher(
            system.gateway_addresses,
            authorization=system.authorization,
            rate=scenario.rate,
            numbers=numbers,
            traffic=scenario.traffic,
        )

    # -- for scenarios

    def path(self, abonnement: str) -> str:
        """The path of an abonnement's callback."""
        return f"/{self.key}/{abonnement}"

    def queue(self, abonnement: str) -> str:
        """The queue of an abonnement."""
        return names.abonnement_queue(self.abonnementen[abonnement])

    def wants(self, abonnement: str, post: Accepted) -> bool:
        """Whether an abonnement must get this notificatie."""
        return any(each.name == abonnement and each.wants(post) for each in self.subscriptions)

    async def more(self, notificaties: int, *, within: float = 60.0) -> None:
        """Let the load go on until so many more are accepted (fewer in the short form)."""
        wanted = max(1, round(notificaties * self.share))
        if not await self.publisher.more(wanted, within=within):
            self.problems.append(f"not {wanted} more accepted within {within:g} s")

    async def lasting(self, seconds: float) -> None:
        """Let a fault last (shorter in the short form)."""
        await asyncio.sleep(max(seconds * self.share, 0.5))

    def rounds(self, times: int) -> range:
        """To do something so often (less in the short form, but once)."""
        return range(max(1, round(times * self.share)))

    @asynccontextmanager
    async def fault(self) -> AsyncIterator[None]:
        """A fault, for as long as the context is open. Its end counts as that from which to recover."""
        yield
        self.ended()

    def ended(self) -> None:
        """A fault ends now: whoever was killed is being started again."""
        self._ended.append(time.monotonic())

    async def subscribe(self, name: str, wanted: load.Wanted, *, port: str = MAIN) -> None:
        """Another abonnement, from now on; port: of its callback, if it has one."""
        amqp_url = ""
        if wanted.pull:
            uuid = await self.system.subscribe_pulled(wanted)
        elif wanted.amqp:
            uuid, amqp_url = await self.system.subscribe_direct(wanted)
        else:
            callback = self.consumer.url(self.path(name), port=self.system.callbacks_at or port)
            uuid = await self.system.subscribe(wanted, callback)
        self.abonnementen[name] = uuid
        if wanted.options:
            self._options[name] = wanted.options
        self.subscriptions.append(Subscription(name, wanted.matches, since=time.monotonic()))
        if wanted.pull:
            fetcher = self._fetchers[name] = Fetcher(
                name,
                gateways=self.system.gateway_addresses,
                path=f"{EXTRA}/abonnement/{uuid}/pull",
                authorization=self.system.authorization,
            )
            await fetcher.start()
        if wanted.amqp:
            self.readers[name] = Reader(
                name, queue=names.amqp_queue(uuid), url=amqp_url, stream=wanted.amqp["kind"] == "stream"
            )
            await self.readers[name].start()

    async def unsubscribe(self, name: str) -> None:
        """Delete an abonnement; what is open of it in the ledger at that moment ends a minute later."""
        self.wants_no_more(name, at=time.monotonic())
        uuid = self._removed[name] = self.abonnementen.pop(name)
        await self.system.unsubscribe(uuid)

    async def state(self, name: str) -> str:
        """The state of an abonnement: active, held or suspended."""
        told = await self.system.nrc("abonnement", "show", str(self.abonnementen[name]), "--json")
        return str(json.loads(told)["state"])

    async def held(self, name: str) -> None:
        """Return once an abonnement is held; a problem when it is not within half a minute."""

        async def is_held() -> bool:
            return await self.state(name) == "held"

        try:
            await eventually(is_held, within=30, every=1.0)
        except AssertionError:
            self.problems.append(f"{name} was not held")

    async def given_back(self) -> dict[Pair, str]:
        """Why each delivery of this scenario was put into its queue again, of those that were."""
        by_uuid = self._by_uuid()
        return {
            (message_id, by_uuid[uuid]): cause
            for (message_id, uuid), cause in (await self.system.given_back()).items()
            if uuid in by_uuid
        }

    async def open_of(self, name: str) -> int:
        """How many notificaties are open for an abonnement, by the ledger."""
        return len(await self.system.open_of([self.abonnementen[name]]))

    def acknowledgements_are_forgotten(self, *, for_good: bool = False, since: float | None = None) -> None:
        """No ledger knows any more what was acknowledged so far; for_good: nor what will be from now on.

        since: only what was acknowledged from this moment on.
        """
        for fetcher in self._fetchers.values():
            fetcher.record.forgotten(for_good=for_good, since=since)

    def queues(self) -> list[str]:
        """The queues of its abonnementen; one that is fetched has none."""
        return [self.queue(name) for name in self.abonnementen if name not in self._fetchers]

    async def undeliverable(self, name: str) -> int:
        """How many notificaties are undeliverable to an abonnement, by the ledger."""
        return sum(uuid == self.abonnementen[name] for _, uuid in await self.system.undeliverable())

    def wants_too(self, name: str, matches: Callable[[int], bool], *, since: float | None = None) -> None:
        """An abonnement must also get these, from now on or a moment."""
        at = time.monotonic() if since is None else since
        self.subscriptions.append(Subscription(name, matches, since=at))

    def wants_no_more(self, name: str, *, at: float) -> None:
        """An abonnement need get nothing that is accepted after this moment."""
        self.subscriptions = [
            replace(each, until=min(each.until, at)) if each.name == name else each
            for each in self.subscriptions
        ]

    def excuse(self, why: str, abonnementen: Iterable[str], *, posted_before: float, at_most: int) -> None:
        """What only a ledger had that was taken away may be missing: at most what was counted there."""
        self.excuses.append(Excuse(why, frozenset(abonnementen), posted_before, at_most))

    async def unread(self, name: str) -> set[str]:
        """What is delivered by the ledger to a consumer that reads RabbitMQ, and it has not read."""
        read = {each.id for each in self.readers[name].record.arrivals}
        uuid = self.abonnementen[name]
        return {id_ for id_, whose in await self.system.delivered() if whose == uuid} - read

    def excuse_unread(self, why: str, name: str, ids: Collection[str]) -> None:
        """These may be missing: they were in the queue of their consumer in RabbitMQ, which lost it."""
        self.excuses.append(Excuse(why, frozenset({name}), math.inf, len(ids), ids))

    async def replay(self, name: str, *, before: datetime) -> None:
        """An operator sends again what an abonnement was to get before this moment; it may come twice."""
        uuid = str(self.abonnementen[name])
        words = ("--to", uuid, "--of", uuid, "--after", "1h", "--before", before.isoformat())
        told = await self.system.nrc(
            *("replay", "start", *words, "--reason", "RabbitMQ was wiped", "--rate", "200", "--yes", "--json")
        )
        self.may_repeat("sent again by an operator", json.loads(told)["notificaties"])
        self._by_operator |= {(post.id, name) for post in self.publisher.accepted}

    def may_repeat(self, why: str, at_most: int) -> None:
        """So many may arrive twice, beyond what the system itself notes at its kills."""
        self.repeats.append(Repeats(why, at_most))

    # -- for the runner

    async def carry_out(self) -> Result:
        """Load, fault, more load until there is enough, the end of it all, and the account."""
        began = time.monotonic()
        self.system.read_logs()
        self.system.repeats.clear()
        self.system.problems.clear()
        if (address := self.system.callbacks_at) and not self.consumer.has(address):
            await self.consumer.open(address, host=address)
        if self.system.database_url:
            # What was accepted by the scenario before in this time might come to an abonnement of this one.
            await asyncio.sleep(SKEW / 1000)
        try:
            for name, wanted in self.scenario.abonnementen.items():
                await self.subscribe(name, wanted)
            if self._options:
                # What a deliverer has in hand by then is sent as it knew the abonnement.
                await asyncio.sleep(FOLLOWED)
            self.publisher.start()
            try:
                await self.more(300)
                await self.scenario.work(self)
                await self.more(300)
                await self.publisher.more(
                    round(self.scenario.least * self.share) - len(self.publisher.accepted), within=40
                )
            finally:
                await self.publisher.stop()
            made = await self._account()
            dead = [f"{name} ended by itself" for name in self.system.ended_processes()]
        finally:
            for client in self._without_callback():
                await client.stop()
            await self._clean_up()
        self.system.read_logs()
        made.problems += [*self.problems, *dead, *self.system.problems]
        self._check_publisher(made)
        self._check_delays(made)
        seconds = time.monotonic() - began
        return Result(self.scenario, made, dict(self.publisher.outcomes), seconds, parts=self._parts)

    def _check_publisher(self, made: Account) -> None:
        if self.publisher.unexpected:
            made.problems.append(f"unexpected answers: {dict(self.publisher.unexpected)}")
        if self.scenario.no_errors and self.publisher.errors:
            seen = Counter(what for _, what in self.publisher.errors)
            made.problems.append(f"a publisher saw errors: {dict(seen)}")

    def _check_delays(self, made: Account) -> None:
        for name, bound in self.scenario.within.items():
            if (longest := self._parts[name].longest_delay) > bound:
                made.problems.append(f"{name} waited for {longest:.1f} s; at most {bound:g} s")

    async def _account(self) -> Account:
        for client in self._without_callback():
            await client.spare()
        all_there = await self._settled()
        for client in self._without_callback():
            await client.stop()
            self.problems += client.record.problems
        left: dict[str, Counter[Pair]] = {"waiting": Counter(), "undeliverable": Counter()}
        if not all_there:
            left = await self._left()
        self.system.read_logs()
        arrivals = await self._arrivals()
        given_back = await self.given_back()
        given_back |= dict.fromkeys(self._by_operator, Cause.OPERATOR.value)
        for each in (client.record for client in self._without_callback()):
            given_back |= dict.fromkeys(each.again, NOT_ACKNOWLEDGED)
            self.repeats += each.repeats
        if not all_there:  # they were stopped; what they deliver from here on is in `left` already
            await self.system.start_all(self.system.deliverers)
        stand_ins = await self._stood_for(arrivals)
        for name in self.scenario.parts:
            self._parts[name] = account(
                self.publisher.accepted,
                [each for each in arrivals if each.abonnement == name],
                subscriptions=[each for each in self.subscriptions if each.name == name],
                waiting=_of(left["waiting"], name),
                undeliverable=_of(left["undeliverable"], name),
                excuses=self.excuses,
                stood_for=stand_ins,
            )
        made = account(
            self.publisher.accepted,
            arrivals,
            subscriptions=self.subscriptions,
            waiting=left["waiting"],
            undeliverable=left["undeliverable"],
            excuses=self.excuses,
            repeats=[*self.system.repeats, *self.repeats],
            given_back=given_back,
            recovered_from=self._ended,
            stood_for=stand_ins,
        )
        self._judge(made, arrivals)
        return made

    def _judge(self, made: Account, arrivals: Iterable[Arrival]) -> None:
        """What delivery options promise, and whether all had to arrive."""
        if self.scenario.all_arrive and made.waiting + made.undeliverable:
            made.problems.append(f"{made.waiting} still waited, and {made.undeliverable} were undeliverable")
        for name, options in self._options.items():
            if "order" in options:
                posts = [post for post in self.publisher.accepted if self.wants(name, post)]
                if all(map(is_late, posts)):
                    made.problems.append(f"{name}: nothing had an order to keep")
                early = out_of_order(
                    posts,
                    [each for each in arrivals if each.abonnement == name],
                    hoofd_object=self.scenario.traffic.hoofd_object,
                    set_aside_after=options["order"]["setAsideAfter"],
                )
                if early:
                    made.problems.append(f"{name}: {len(early)} out of order: {'; '.join(early[:3])}")

    async def _stood_for(self, arrivals: Iterable[Arrival]) -> set[Pair]:
        """What ended in a newer one that was delivered."""
        if not any("consolidate" in options for options in self._options.values()):
            return set()
        by_uuid = self._by_uuid()
        newer = {
            (message_id, by_uuid[uuid]): into
            for (message_id, uuid), into in (await self.system.consolidated()).items()
            if uuid in by_uuid
        }
        came = {each.id: each.number for each in arrivals}
        return stood_for(
            newer,
            numbers=came | {post.id: post.number for post in self.publisher.accepted},
            delivered={(each.id, each.abonnement) for each in arrivals if each.answered},
            resource=self.scenario.traffic.resource,
        )

    async def _settled(self) -> bool:
        """Return once all has arrived and nothing is under way (True), or nothing moves any more (False)."""
        began = time.monotonic()
        until = began + self.scenario.settle
        wanted = {
            (post.id, each.name)
            for post in self.publisher.accepted
            for each in self.subscriptions
            if each.wants(post)
        }
        for excuse in self.excuses:
            wanted -= {(id_, name) for id_ in excuse.ids or () for name in excuse.abonnementen}
        seen, moved = 0, time.monotonic()
        while time.monotonic() < until:
            arrivals = await self._arrivals()
            if len(arrivals) != seen:
                wanted -= {(each.id, each.abonnement) for each in arrivals if each.answered}
                seen, moved = len(arrivals), time.monotonic()
            still = time.monotonic() - moved
            if wanted and still > 1.0:
                wanted -= await self._stood_for(arrivals)
            if not wanted and still > 0.5 and not self.consumer.under_way and await self._queues_are_empty():
                return True
            if wanted and await self.system.keeper_has_work():
                moved, until = time.monotonic(), max(until, began + GIVEN_BACK)
            elif wanted and still > self.scenario.quiet and not await self.system.broker.dead_lettering():
                return False
            await asyncio.sleep(0.2)
        return False

    async def _arrivals(self) -> list[Arrival]:
        """All that came so far, to callbacks, to who fetches and to who reads RabbitMQ."""
        arrivals = list(await self.consumer.take(self.key))
        for client in self._without_callback():
            arrivals += client.record.arrivals
        return arrivals

    def _without_callback(self) -> list[Fetcher | Reader]:
        return [*self._fetchers.values(), *self.readers.values()]

    def _by_uuid(self) -> dict[UUID, str]:
        return {uuid: name for name, uuid in (self.abonnementen | self._removed).items()}

    async def _queues_are_empty(self) -> bool:
        broker = self.system.broker
        return not any((await broker.messages_of_ours()).values()) and not await broker.dead_lettering()

    async def _left(self) -> dict[str, Counter[Pair]]:
        """What waits in queues or in the ledger, or is undeliverable. What deliverers hold goes back."""
        for name in self.system.deliverers:
            if self.system.processes[name].alive:
                await self.system.term(name)
        by_uuid = self._by_uuid()
        broker = self.system.broker
        holding = [name for name, count in (await broker.messages_of_ours()).items() if count]
        left: dict[str, Counter[Pair]] = {"waiting": Counter(), "undeliverable": Counter()}
        for queue, items in (await broker.contents(holding)).items():
            kind = "undeliverable" if queue == names.UNDELIVERABLE else "waiting"
            for (message_id, uuid), count in items.items():
                abonnement = by_uuid.get(uuid, str(uuid)) if uuid else queue
                left[kind][message_id, abonnement] += count
        pulled = [self.abonnementen[name] for name in self._fetchers]
        for message_id, uuid in await self.system.open_of([*self._removed.values(), *pulled]):
            left["waiting"][message_id, by_uuid[uuid]] = 1
        for message_id, uuid in await self.system.waiting_in_ledger():
            if uuid in by_uuid:
                left["waiting"].setdefault((message_id, by_uuid[uuid]), 1)
        for message_id, uuid in await self.system.undeliverable():
            if uuid in by_uuid:  # what the keeper has not taken yet is in both
                left["undeliverable"][message_id, by_uuid[uuid]] = 1
        return left

    async def _clean_up(self) -> None:
        """Nothing of this scenario is left in the system; whatever cannot be removed stays."""
        if not self.system.healthy():
            return
        for name, uuid in self.abonnementen.items():
            if name in self._fetchers:
                await self.system.unsubscribe_pulled(uuid)
            elif name in self.readers:
                await self.system.unsubscribe_direct(uuid)
            else:
                await self.system.unsubscribe(uuid)
        await self.system.broker.empty(names.UNDELIVERABLE)
        self.consumer.forget(self.key)


def _of(pairs: Mapping[Pair, int], abonnement: str) -> dict[Pair, int]:
    return {pair: number for pair, number in pairs.items() if pair[1] == abonnement}
