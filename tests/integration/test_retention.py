"""What a queue holds for too long or too much of: it goes to the undeliverable, and nothing else does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aio_pika import DeliveryMode, Message
from aiormq.abc import DeliveredMessage

from deliverer.http.client import Failure, FailureClass
from ledger.ids import id_of_message
from ledger.opening import ledger_of
from ledger.values import Key, State
from router import names
from router.catalogue import Catalogue
from router.endings import Untold
from router.history import History, read_history, write_headers
from router.publishing import Outgoing, Publisher
from router.retention import Retention
from router.walk import MOST, REMOVED_AT_ONCE, walk
from runtime.amqp import AMQP_ERRORS
from schemas.abonnement import Abonnement
from schemas.errors import BrokerUnavailable
from tests.broker import Broker
from tests.callback_server import status
from tests.command import Ran, nrc_process
from tests.eventually import eventually
from tests.integration.conftest import Running, open_link, running_router
from tests.integration.deliverer.delivering import delivering
from tests.make import a_kanaal, an_abonnement

pytestmark = pytest.mark.usefixtures("broker")

HOUR = timedelta(hours=1)


async def subscribe(router: Running) -> Abonnement:
    """An abonnement with its queue, which nobody consumes."""
    if not (await router.registry.changes_since(0)).kanalen:
        await router.registry.add_kanaal(a_kanaal("zaken"))
        await router.client.apply_kanaal("zaken")
    added = await router.registry.add_abonnement(an_abonnement(("zaken", {})))
    await router.client.apply_abonnement(added.uuid)
    return added


async def put(
    router: Running,
    abonnement: Abonnement,
    *ids: str,
    age: timedelta = timedelta(),
    sizes: Mapping[str, int] | None = None,
    headers: Mapping[str, Any] | None = None,
) -> None:
    """Messages of this age in the queue of an abonnement, in this order."""
    async with router.connection.channel() as channel:
        await asyncio.gather(
            *(
                channel.default_exchange.publish(
                    Message(
                        id_.encode().ljust((sizes or {}).get(id_, 0), b"."),
                        message_id=id_,
                        timestamp=datetime.now(UTC) - age,
                        headers={"k.bronorganisatie": "1", **(headers or {})},
                        delivery_mode=DeliveryMode.PERSISTENT,
                    ),
                    names.abonnement_queue(abonnement.uuid),
                )
                for id_ in ids
            )
        )


@dataclass
class Retaining:
    """A router, and retention at once in place of every minute."""

    router: Running
    retention: Retention
    catalogue: Catalogue

    async def enforce(self) -> None:
        """What the router does by itself every minute."""
        await self.catalogue.refresh()
        await self.retention.enforce(self.router.connection)


@asynccontextmanager
async def retaining(
    vhost: str, folder: Path, publisher: Publisher | None = None, **settings: Any
) -> AsyncIterator[Retaining]:
    async with running_router(vhost, folder, **settings) as router:
        catalogue = Catalogue(router.registry, refresh_interval=30)
        publisher = publisher or Publisher([vhost], name="test", mandatory=True)
        task = asyncio.create_task(publisher.run())
        retention = Retention(router.settings, catalogue=catalogue, publisher=publisher, endings=Untold())
        try:
            yield Retaining(router, retention, catalogue)
        finally:
            task.cancel()
            await asyncio.wait({task})


async def ids_in(router: Running, queue: str) -> list[str | None]:
    """The ids of what is in a queue, in order; it stays there."""
    found: list[str | None] = []

    def look(message: DeliveredMessage) -> bool:
        found.append(message.header.properties.message_id)
        return False

    await walk(router.connection, queue, at_most=10**6, look=look)
    return found


def queue_of(abonnement: Abonnement) -> str:
    return names.abonnement_queue(abonnement.uuid)


async def test_what_is_too_old_goes_with_its_history_and_nothing_else_does(
    vhost: str, tmp_path: Path
) -> None:
    async with retaining(vhost, tmp_path, hold_retention=3600) as here:
        router = here.router
        one, other = await subscribe(router), await subscribe(router)
        failed = History().after(
            Failure(FailureClass.HTTP_STATUS, "answered 500", 500), at=datetime(2026, 1, 2, tzinfo=UTC)
        )
        await put(router, one, "old-1", age=2 * HOUR, headers=write_headers(one.uuid, failed))
        await put(router, one, "young-1", age=HOUR / 2)
        await put(router, one, "old-2", age=1.1 * HOUR)
        await put(router, one, "young-2")
        await put(router, other, "young-3", age=HOUR / 2)
        await here.enforce()
        assert await ids_in(router, queue_of(one)) == ["young-1", "young-2"]
        assert await ids_in(router, queue_of(other)) == ["young-3"]
        first, second = await router.taken(names.UNDELIVERABLE)
        assert (first.message_id, second.message_id) == ("old-1", "old-2")
        assert first.body == b"old-1"
        assert first.timestamp is not None
        assert abs(first.timestamp - (datetime.now(UTC) - 2 * HOUR)) < timedelta(seconds=30)
        assert first.headers["k.bronorganisatie"] == "1"
        assert first.headers["nrc-abonnement"] == str(one.uuid)
        assert "nrc-undeliverable-at" in first.headers
        history = read_history(first.headers)
        assert history.attempts == 1
        assert [(each.kind, each.detail) for each in history.failures] == [
            ("http_status", "answered 500"),
            ("retention", "held longer than NRC_HOLD_RETENTION (3600 s)"),
        ]
        assert read_history(second.headers).attempts == 0


async def test_it_happens_by_itself(vhost: str, tmp_path: Path) -> None:
    async with running_router(vhost, tmp_path, hold_retention=5) as router:
        abonnement = await subscribe(router)
        await put(router, abonnement, "old", age=timedelta(seconds=10))

        async def moved() -> bool:
            return await ids_in(router, names.UNDELIVERABLE) == ["old"]

        await eventually(moved, every=0.1)
        # Now it knows the queue, and looks again.
        await put(router, abonnement, "older", age=timedelta(seconds=20))

        async def moved_too() -> bool:
            return await ids_in(router, names.UNDELIVERABLE) == ["old", "older"]

        await eventually(moved_too, every=0.1)
        async with ledger_of(router.settings) as ledger:
            for id_ in ("old", "older"):
                key = Key(id_of_message(id_), abonnement.uuid)
                await eventually(partial(ledger.delivery, key))
                found = await ledger.delivery(key)
                assert found is not None
                assert (found.state, found.attempts) == (State.UNDELIVERABLE, 0)
                (why,) = await ledger.attempts(key)
                assert (why.number, why.kind) == (0, "retention")


async def test_over_the_budget_the_oldest_go_and_what_fits_stays_in_order(
    vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.hold_limits.SHARE", 0)
    chance = random.Random(3)
    sizes = {f"{number:04}": chance.choice((10, 300, 9000)) for number in range(1500)}
    total = sum(sizes.values())
    budget = total // 2
    async with retaining(vhost, tmp_path, hold_budget=budget) as here:
        router = here.router
        abonnement, small = await subscribe(router), await subscribe(router)
        await put(router, abonnement, *sizes, sizes=sizes)
        await put(router, small, "one", "two")
        await here.enforce()
        kept = await ids_in(router, queue_of(abonnement))
        moved = await router.taken(names.UNDELIVERABLE)
        assert kept == list(sizes)[-len(kept) :], "the newest, in their order"
        assert sorted(str(message.message_id) for message in moved) == list(sizes)[: -len(kept)]
        headers = len("k.bronorganisatie1")
        held = sum(sizes[str(id_)] + headers for id_ in kept)
        assert held <= budget * 0.9
        last = list(sizes)[-len(kept) - 1]
        assert held + sizes[last] + headers > budget * 0.9, "no more than had to go"
        assert await ids_in(router, queue_of(small)) == ["one", "two"]
        (entry,) = read_history(moved[0].headers).failures
        assert entry.kind == "budget"
        # It fits now: nothing more goes.
        await here.enforce()
        assert await ids_in(router, queue_of(abonnement)) == kept
        # Until it has grown.
        more = {f"more-{number}": 9000 for number in range(len(kept) // 5)}
        await put(router, abonnement, *more, sizes=more)
        await here.enforce()
        after = await ids_in(router, queue_of(abonnement))
        assert after == [*kept, *more][-len(after) :]
        assert sum({**sizes, **more}[str(id_)] + headers for id_ in after) <= budget * 0.9


async def test_a_walk_leaves_everything_in_its_order(router: Running) -> None:
    abonnement = await subscribe(router)
    ids = [f"{number:04}" for number in range(2 * MOST + 500)]
    await put(router, abonnement, *ids)
    for _ in range(3):
        assert await ids_in(router, queue_of(abonnement)) == ids


async def test_a_walk_takes_no_more_than_it_may(router: Running) -> None:
    abonnement = await subscribe(router)
    await put(router, abonnement, *"abcde")
    seen = []

    async def remove(message: DeliveredMessage) -> bool:
        return message.body != b"b"

    def look(message: DeliveredMessage) -> bool:
        seen.append(message.body.decode())
        return message.body != b"a"

    await walk(router.connection, queue_of(abonnement), at_most=4, look=look, remove=remove)
    assert seen == ["a", "b", "c", "d"]
    assert await ids_in(router, queue_of(abonnement)) == ["a", "b", "e"]


async def test_what_can_not_be_removed_stays(router: Running) -> None:
    abonnement = await subscribe(router)
    await put(router, abonnement, *"abcd")

    async def remove(message: DeliveredMessage) -> bool:
        if message.body == b"b":
            raise BrokerUnavailable("not now")
        return True

    with pytest.raises(BrokerUnavailable, match="not now"):
        await walk(
            router.connection,
            queue_of(abonnement),
            at_most=4,
            look=lambda message: message.body != b"a",
            remove=remove,
        )
    assert await ids_in(router, queue_of(abonnement)) == ["a", "b"]


async def test_a_connection_that_is_lost_gives_everything_back(vhost: str, router: Running) -> None:
    abonnement = await subscribe(router)
    ids = [f"{number:04}" for number in range(2 * MOST)]
    await put(router, abonnement, *ids)
    removed = []
    async with open_link(vhost) as link:

        async def remove(message: DeliveredMessage) -> bool:
            removed.append(message.header.properties.message_id)
            if len(removed) == MOST:
                link.abort()
                await asyncio.sleep(0)
            return True

        assert link.connection is not None
        with pytest.raises((*AMQP_ERRORS, BrokerUnavailable, asyncio.CancelledError)):
            await walk(
                link.connection, queue_of(abonnement), at_most=len(ids), look=lambda _: True, remove=remove
            )

    async def all_there() -> bool:
        return {*await ids_in(router, queue_of(abonnement)), *removed} == {*ids}

    await eventually(all_there)


CUT = """
    [rabbit_networking:close_connection(Pid, "by a test") || Pid <- rabbit_networking:connections(),
     {_, Table} <- rabbit_networking:connection_info(Pid, [client_properties]),
     {<<"connection_name">>, _, <<"router retention", _/binary>>} <- Table].
"""


class Cutting(Publisher):
    """Has RabbitMQ close the connection that walks, once, when so many were published."""

    def __init__(self, url: str, broker: Broker, *, after: int) -> None:
        super().__init__([url], name="test", mandatory=True)
        self._broker = broker
        self._left = after
        self._cut = asyncio.Event()

    async def publish(self, message: Outgoing) -> None:
        self._left -= 1
        if self._left == 0:
            try:
                await self._broker.eval(CUT)
                await asyncio.sleep(30)  # until the other end has heard of it, and cancels this
            finally:
                self._cut.set()
        elif self._left < 0:  # or all would be published before it is cut
            await self._cut.wait()
        await super().publish(message)


async def test_the_connection_is_cut_while_it_moves(broker: Broker, vhost: str, tmp_path: Path) -> None:
    """Nothing is lost, and the rest goes with the next run."""
    if broker.private is None:
        pytest.skip("the broker of this session is not a private node")
    cutting = Cutting(vhost, broker, after=MOST + 100)
    async with retaining(vhost, tmp_path, cutting, hold_retention=3600) as here:
        router = here.router
        abonnement = await subscribe(router)
        ids = [f"{number:04}" for number in range(3 * MOST)]
        await put(router, abonnement, *ids, age=2 * HOUR)
        with pytest.raises((BrokerUnavailable, *AMQP_ERRORS)):
            await here.enforce()

        async def all_there() -> bool:
            left, moved = (
                await ids_in(router, queue_of(abonnement)),
                await ids_in(router, names.UNDELIVERABLE),
            )
            return {*left, *moved} == {*ids} and bool(left)

        await eventually(all_there)
        await here.enforce()
        assert await ids_in(router, queue_of(abonnement)) == []
        moved = await ids_in(router, names.UNDELIVERABLE)
        assert {*moved} == {*ids}
        assert len(moved) <= len(ids) + 2 * REMOVED_AT_ONCE, "twice only what was under way"


async def test_who_is_delivered_to_gets_each_once(
    vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue is walked through again and again meanwhile."""
    monkeypatch.setattr("router.hold_limits.FINENESS", 10**9)
    monkeypatch.setattr("router.hold_limits.SHARE", 0)
    async with retaining(vhost, tmp_path, hold_retention=3600) as here, delivering(here.router) as stage:
        router = here.router
        abonnement = await stage.subscribe("/busy")
        published = [await stage.publish() for _ in range(400)]
        done, runs = asyncio.Event(), 0

        async def keep_asking() -> None:
            nonlocal runs
            while not done.is_set():
                await here.enforce()
                runs += 1

        task = asyncio.create_task(keep_asking())
        async with stage.deliverer(deliverer_prefetch=2):
            await eventually(lambda: {*stage.ids_at("/busy")} == {*published}, within=60)
        done.set()
        await task
        assert runs > 2
        assert len(stage.ids_at("/busy")) == len(published), "each of them once"
        assert await ids_in(router, names.UNDELIVERABLE) == []
        assert await stage.depth_is(abonnement, 0)


async def nrc(router: Running, *arguments: str) -> Ran:
    return await nrc_process(
        router.settings.state_dir, *arguments, env={"NRC_AMQP_URL": router.settings.amqp_url[0]}
    )


async def test_it_can_be_shown_and_sent_again(
    vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent again, its time begins anew."""
    async with retaining(vhost, tmp_path, hold_retention=3600) as here, delivering(here.router) as stage:
        router = here.router
        abonnement = await stage.subscribe("/back")
        await put(router, abonnement, "old", age=2 * HOUR)
        await here.enforce()
        shown = await nrc(router, "undeliverable", "show", "old")
        assert "retention: held longer than NRC_HOLD_RETENTION (3600 s)" in shown.out
        assert "attempts:   0" in shown.out
        assert "retention: held longer" in (await nrc(router, "undeliverable", "list", "--rabbitmq")).out
        assert (await nrc(router, "undeliverable", "resend", "old")).code == 0
        monkeypatch.setattr("router.hold_limits.FINENESS", 10**9)
        await here.enforce()
        assert await ids_in(router, queue_of(abonnement)) == ["old"]
        stage.callback.script("/back", status(204))
        async with stage.deliverer():
            await eventually(lambda: stage.ids_at("/back") == ["old"])
        assert await ids_in(router, names.UNDELIVERABLE) == []
