"""Deliverers that start, stop, are killed and are cut off: nothing is lost, and changes are followed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage
from structlog.testing import capture_logs
from yarl import URL

from deliverer.consuming.prefetch import Budget
from deliverer.service import PREFETCH
from ledger.losses import LedgerLosses
from router import names
from router.declaring.service import serve as serve_router
from router.requests import RouterClient
from router.topology import of_abonnement
from schemas.abonnement import Abonnement, State
from store.opening import open_registry
from tests.broker import Broker
from tests.callback_server import hang, status, when
from tests.eventually import eventually
from tests.integration.conftest import Running, open_link, running, settings_for
from tests.integration.deliverer.delivering import Delivering, delivering
from tests.make import an_abonnement

pytestmark = pytest.mark.usefixtures("broker")


async def start_process(spine: Delivering, **settings: object) -> Process:
    """A deliverer in a process of its own, ready."""
    own = {f"NRC_{name.upper()}": str(value) for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.deliverer.deliverer_process",
        cwd=Path(__file__).parents[3],
        env={
            "PATH": os.environ["PATH"],
            "NRC_AMQP_URL": spine.router.settings.amqp_url[0],
            "NRC_STATE_DIR": str(spine.router.settings.state_dir),
            "NRC_RETRY_SCHEDULE": "1,1",
            "NRC_CALLBACK_ALLOW_LOOPBACK": "true",
            **own,
        },
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n"
    return process


async def ignore(_: object) -> None:
    """A consumer that keeps what it gets."""


async def end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def test_a_worker_that_is_killed_loses_nothing(spine: Delivering) -> None:
    paths = ("/a", "/b")
    for path in paths:
        await spine.subscribe(path)
        spine.callback.script(path, status(204, after=0.01))
    workers = [await start_process(spine, deliverer_prefetch=10) for _ in range(3)]
    try:
        published = set()
        for number in range(300):
            published.add(await spine.publish())
            if number in (100, 200):
                # Not waited for: on a busy machine all may have been delivered by now.
                while not spine.callback.under_way("/a"):
                    published.add(await spine.publish())
                workers[0].send_signal(signal.SIGKILL)
                await workers.pop(0).wait()
                workers.append(await start_process(spine, deliverer_prefetch=10))
        for path in paths:
            await eventually(lambda path=path: set(spine.ids_at(path)) == published, within=30)
        # Twice only what was under way when a worker died: at most its prefetch, for each queue.
        assert len(spine.callback.received) <= 2 * (len(published) + 2 * 10)
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        assert [await asyncio.wait_for(worker.wait(), 20) for worker in workers] == [0, 0, 0]
        assert await spine.undeliverable() == []
    finally:
        for worker in workers:
            await end(worker)


async def test_waiting_retries_of_a_deleted_abonnement_delay_nobody(spine: Delivering) -> None:
    deleted = await spine.subscribe("/deleted")
    # A success now and then: the abonnement is not held, and its failures wait.
    spine.callback.script("/deleted", *[*[status(500)] * 4, status(204)] * 25)
    # So long that few come back before the removal: those that are in the queue then go with it.
    async with spine.deliverer(retry_schedule="8,8"):
        for _ in range(125):
            await spine.publish()
        await eventually(lambda: len(spine.callback.at("/deleted")) >= 125, within=60)
        await spine.subscribe("/other")
        spine.callback.script("/other", status(500), status(500), status(204))
        await spine.remove(deleted)
        await spine.publish()
        await eventually(lambda: len(spine.callback.at("/other")) == 3, within=60)

        undeliverable: list[AbstractIncomingMessage] = []

        async def ended() -> bool:
            """A hundred failed; those that were retried before the removal have arrived since."""
            undeliverable.extend(await spine.undeliverable())
            retried = len(spine.callback.at("/deleted")) - 125
            return len(undeliverable) == 100 - retried

        await eventually(ended, within=60)


async def test_every_worker_follows_what_is_added_changed_suspended_and_removed(spine: Delivering) -> None:
    first = await spine.subscribe("/first")
    async with spine.deliverer(), spine.deliverer():
        second = await spine.subscribe("/second")
        await spine.publish()
        await eventually(lambda: len(spine.callback.received) == 2)

        await spine.change(first, callback_url=spine.callback.url("/changed"))

        async def both_know() -> bool:
            """Whether ten, which RabbitMQ deals out to both workers, all go to the new address."""
            before, changed = len(spine.callback.received), len(spine.callback.at("/changed"))
            for _ in range(10):
                await spine.publish()
            await eventually(lambda: len(spine.callback.received) == before + 20)
            return len(spine.callback.at("/changed")) == changed + 10

        await eventually(both_know)
        changed = len(spine.callback.at("/changed"))
        await spine.set_state(second, State.SUSPENDED)
        await eventually(lambda: spine.consumers_are(second, 0))
        seen = len(spine.callback.at("/second"))
        number = await spine.publish()
        await eventually(lambda: len(spine.callback.at("/changed")) == changed + 1)
        assert await spine.depth_is(second, 1)
        await spine.set_state(second, State.ACTIVE)
        await eventually(lambda: spine.ids_at("/second")[seen:] == [number])
        await eventually(lambda: spine.consumers_are(second, 2))

        await spine.remove(second)
        await spine.publish()
        await eventually(lambda: len(spine.callback.at("/changed")) == changed + 2)
        assert len(spine.callback.at("/second")) == seen + 1


async def test_a_change_that_nobody_announced_is_found(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    async with spine.deliverer(refresh_interval=0.3):
        await spine.router.registry.set_state(abonnement.uuid, State.SUSPENDED, "unannounced")
        await eventually(lambda: spine.consumers_are(abonnement, 0))


async def test_many_abonnementen_are_spread_over_channels(spine: Delivering) -> None:
    abonnementen = [await spine.subscribe(f"/{number}") for number in range(120)]
    async with spine.deliverer():
        await spine.publish()
        await eventually(lambda: len(spine.callback.received) == 120)
        await spine.remove(abonnementen[0])
        await spine.publish()
        await eventually(lambda: len(spine.callback.received) == 239)


async def test_stopping_finishes_what_is_under_way_and_gives_back_the_rest(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    go_on = asyncio.Event()
    spine.callback.script("/a", when(go_on, status(204)))
    numbers = [await spine.publish() for _ in range(10)]
    async with AsyncExitStack() as first:
        # Half of two places are for one host.
        await first.enter_async_context(spine.deliverer(deliverer_concurrency=2))
        await eventually(lambda: spine.callback.under_way("/a") == 1)
        assert await spine.depth_is(abonnement, 0)
        stopping = asyncio.create_task(first.pop_all().aclose())
        await eventually(lambda: spine.depth_is(abonnement, 9))
        assert not stopping.done()
        go_on.set()
        await stopping
    assert await spine.depth_is(abonnement, 9)
    async with spine.deliverer():
        await eventually(lambda: len(spine.callback.received) == 10)
    assert sorted(map(str, spine.ids_at("/a"))) == sorted(numbers)


async def test_stopping_breaks_off_what_does_not_end_in_time(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", hang(), hang(), status(204))
    numbers = {await spine.publish(), await spine.publish()}
    async with spine.deliverer(stop_timeout=0.2, callback_timeout=60):
        await eventually(lambda: spine.callback.under_way("/a") == 2)
    assert await spine.depth_is(abonnement, 2)
    await eventually(lambda: spine.callback.under_way("/a") == 0)
    async with spine.deliverer():
        await eventually(lambda: len(spine.callback.received) == 4)
    assert set(spine.ids_at("/a")[2:]) == numbers
    assert {received.header("nrc-attempt") for received in spine.callback.received} == {"1"}


async def test_a_queue_that_was_deleted_by_hand_is_consumed_again(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    other = await spine.subscribe("/b")
    go_on = asyncio.Event()
    spine.callback.script("/a", when(go_on, status(204)), when(go_on, status(500)), status(204))
    async with spine.deliverer():
        for _ in range(2):
            await spine.publish()
        await eventually(lambda: spine.callback.under_way("/a") == 2)
        channel = spine.router.connection.channel()
        await channel.initialize()
        await channel.queue_delete(names.abonnement_queue(abonnement.uuid))
        await eventually(lambda: spine.consumers_are(abonnement, 1))
        # Settling what came from the queue that went must do no harm, and a retry finds the new one.
        go_on.set()
        await eventually(lambda: len(spine.callback.at("/a")) == 3)
        await spine.publish()
        await eventually(lambda: len(spine.callback.at("/a")) == 4)
        await eventually(lambda: len(spine.callback.at("/b")) == 3)
        assert await spine.consumers_are(other, 1)


async def test_a_queue_that_cannot_be_consumed_stops_no_other(spine: Delivering) -> None:
    refused = await spine.subscribe("/refused")
    await spine.subscribe("/other")
    async with open_link(spine.router.settings.amqp_url[0]) as link:
        assert link.connection
        channel = link.connection.channel()
        await channel.initialize()
        queue = await channel.get_queue(names.abonnement_queue(refused.uuid), ensure=False)
        tag = await queue.consume(ignore, exclusive=True)
        async with spine.deliverer():
            await spine.publish()
            await eventually(lambda: len(spine.callback.at("/other")) == 1)
            await queue.cancel(tag)
            await channel.close()
            await eventually(lambda: len(spine.callback.at("/refused")) == 1)
            await spine.publish()
            await eventually(lambda: len(spine.callback.received) == 4)


async def test_a_queue_that_does_not_answer_yet_costs_others_nothing(
    spine: Delivering, broker: Broker
) -> None:
    """RabbitMQ names a queue before it has started it, and breaks off who consumes it in between."""
    await spine.subscribe("/a")
    new = an_abonnement((spine.kanaal.naam, {}), callback=spine.callback.url("/new"))
    go_on = asyncio.Event()
    spine.callback.script("/a", when(go_on, status(204)), status(204))
    with capture_logs() as lines:
        async with spine.deliverer(callback_timeout=60.0):
            number = await spine.publish()
            await eventually(lambda: spine.callback.under_way("/a") == 1, within=60)
            server = await stopped_queue(spine, broker, new)
            await spine.router.registry.add_abonnement(new)
            await spine.router.client.apply_abonnement(new.uuid)
            await eventually(
                lambda: "queue cannot be consumed" in [line["event"] for line in lines], within=60
            )
            await broker.eval(f"ok = ra:restart_server(quorum_queues, {server}).")
            await eventually(lambda: spine.consumers_are(new, 1), within=60)
            go_on.set()
            await spine.publish()
            await eventually(lambda: len(spine.callback.at("/new")) == 1, within=60)
            await eventually(lambda: len(spine.callback.at("/a")) == 2, within=60)
    assert spine.ids_at("/a").count(number) == 1


async def test_a_queue_that_never_answers_keeps_no_other_from_being_consumed(
    spine: Delivering, broker: Broker
) -> None:
    """One that is there when the deliverer starts, which consumes all at once."""
    for path in "ab":
        await spine.subscribe(f"/{path}")
    broken = an_abonnement((spine.kanaal.naam, {"zaaktype": "1"}))
    await stopped_queue(spine, broker, broken)
    await spine.router.registry.add_abonnement(broken)
    await spine.router.client.apply_abonnement(broken.uuid)
    with capture_logs() as lines:
        async with spine.deliverer():
            await eventually(
                lambda: "queue cannot be consumed" in [line["event"] for line in lines], within=60
            )
            number = await spine.publish(zaaktype="2")
            for path in "ab":
                await eventually(lambda path=path: number in spine.ids_at(f"/{path}"), within=60)
            assert {line["abonnement"] for line in lines if line["event"] == "queue cannot be consumed"} == {
                str(broken.uuid)
            }


async def stopped_queue(spine: Delivering, broker: Broker, abonnement: Abonnement) -> str:
    """Its queue, as RabbitMQ has it before it is started: the Raft server of that, as an Erlang term."""
    queue = of_abonnement(abonnement, {spine.kanaal.naam: spine.kanaal}).queue
    channel = spine.router.connection.channel()
    await channel.initialize()
    await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments))
    await channel.close()
    vhost = URL(spine.router.settings.amqp_url[0]).path[1:]
    resource = f'rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue.name}">>)'
    server = await broker.eval(f"{{ok, Q}} = rabbit_amqqueue:lookup({resource}), amqqueue:get_pid(Q).")
    await broker.eval(f"ok = ra:stop_server(quorum_queues, {server}).")
    return server


async def test_connections_that_are_cut_are_made_again(spine: Delivering, broker: Broker) -> None:
    abonnement = await spine.subscribe("/a")
    async with spine.deliverer():
        await spine.publish()
        await eventually(lambda: len(spine.callback.received) == 1)
        # Unannounced, and so to be found when the connection is made again.
        missed = await spine.router.registry.add_abonnement(
            replace(abonnement, uuid=uuid4(), callback_url=spine.callback.url("/missed"))
        )
        await broker.eval(
            '[rabbit_networking:close_connection(P, <<"test">>) || P <- rabbit_networking:connections()].'
        )
        await eventually(lambda: spine.consumers_are(abonnement, 1))
        await eventually(lambda: spine.consumers_are(missed, 1))
        await eventually(lambda: spine.publisher.ready)
        await spine.publish()
        await eventually(lambda: len(spine.callback.at("/a")) >= 2)


async def test_retries_wait_while_rabbitmq_takes_no_messages(spine: Delivering, broker: Broker) -> None:
    await spine.subscribe("/a")
    go_on = asyncio.Event()
    spine.callback.script("/a", when(go_on, status(500)), when(go_on, status(204)), status(204))
    async with spine.deliverer(deliverer_prefetch=2):
        published = [await spine.publish() for _ in range(3)]
        await eventually(lambda: spine.callback.under_way("/a") == 2)
        await broker.eval("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []}).")
        try:
            go_on.set()
            # The third comes in because the second is acknowledged: the connection that consumes has never
            # published, so it is not blocked.
            await eventually(lambda: len(spine.callback.received) == 3)
        finally:
            await broker.eval("rabbit_alarm:clear_alarm({resource_limit, memory, node()}).")
        await eventually(lambda: len(spine.callback.received) == 4)
    assert sorted(map(str, spine.ids_at("/a")[:3])) == sorted(published)
    assert [received.header("nrc-attempt") for received in spine.callback.received] == ["1", "1", "1", "2"]


async def test_a_retry_that_rabbitmq_does_not_take_before_the_stop_goes_back(
    spine: Delivering, broker: Broker
) -> None:
    abonnement = await spine.subscribe("/a")
    go_on = asyncio.Event()
    spine.callback.script("/a", when(go_on, status(500)), status(204))
    await spine.publish()
    await broker.eval("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []}).")
    try:
        async with spine.deliverer():
            await eventually(lambda: spine.callback.under_way("/a") == 1)
            go_on.set()
            await eventually(lambda: spine.callback.under_way("/a") == 0)
        assert await spine.depth_is(abonnement, 1)
    finally:
        await broker.eval("rabbit_alarm:clear_alarm({resource_limit, memory, node()}).")
    async with spine.deliverer():
        await eventually(lambda: len(spine.callback.received) == 2)
    assert [received.header("nrc-attempt") for received in spine.callback.received] == ["1", "1"]


async def test_a_broker_that_restarts_loses_nothing(mortal_broker: Broker, tmp_path: Path) -> None:
    settings = settings_for(mortal_broker.url, tmp_path, retry_schedule="1,2")
    assert mortal_broker.private
    async with (
        running(serve_router, settings, losses_of=LedgerLosses),
        open_registry(settings.registry_file) as registry,
        open_link(mortal_broker.url) as link,
        delivering(Running(settings, registry, link, RouterClient(link))) as spine,
        spine.deliverer(),
    ):
        await spine.subscribe("/a")
        await spine.subscribe("/later")
        spine.callback.script("/later", status(500), status(500), status(204))
        published = {await spine.publish() for _ in range(20)}
        await eventually(lambda: len(spine.callback.at("/a")) == 20)
        await mortal_broker.private.stop()
        await mortal_broker.private.start()
        await eventually(lambda: spine.publisher.ready, within=30)
        published |= {await spine.publish() for _ in range(20)}
        await eventually(lambda: set(spine.ids_at("/a")) == published, within=30)
        await eventually(lambda: set(spine.ids_at("/later")) == published, within=30)


async def test_bodies_in_hand_are_bounded_and_every_abonnement_gets_its_own(
    spine: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets: list[Budget] = []

    class Watched(Budget):
        most_in_hand = 0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            budgets.append(self)

        def take(self, abonnement: UUID, size: int) -> bool:
            kept = super().take(abonnement, size)
            self.most_in_hand = max(self.most_in_hand, self.in_hand)
            return kept

    monkeypatch.setattr("deliverer.service.Budget", Watched)
    monkeypatch.setattr("deliverer.consuming.consumers.WIDEN_LOOK", 0.1)
    monkeypatch.setattr("deliverer.consuming.prefetch.STEP", 0.5)
    size, each = 100_000, 30
    answered = asyncio.Event()
    abonnementen = {path: await spine.subscribe(path) for path in ("/a", "/b", "/c", "/d")}
    for path in abonnementen:
        spine.callback.script(path, when(answered, status(204)))
    ids = {await spine.publish(body=large_body(spine, size)) for _ in range(each)}
    memory = 1024 * 1024
    async with spine.deliverer(deliverer_memory=memory, callback_timeout=20.0):
        (budget,) = budgets
        await eventually(lambda: all(spine.callback.under_way(path) for path in abonnementen))
        # What is not kept is back in its queue, and stays there until those in hand are settled.
        for path, abonnement in abonnementen.items():
            await eventually(
                lambda path=path, abonnement=abonnement: spine.depth_is(
                    abonnement, each - spine.callback.under_way(path)
                )
            )
        assert isinstance(budget, Watched)
        assert memory // 2 - size < budget.most_in_hand <= memory + len(abonnementen) * (size + 200)
        answered.set()
        for path in abonnementen:
            await eventually(lambda path=path: set(spine.ids_at(path)) == ids, within=30)
            assert len(spine.ids_at(path)) == each, "each once"
        assert budget.most_in_hand <= memory + len(abonnementen) * (size + 200)
        await eventually(lambda: budget.in_hand == 0)
        # When little is in hand, queues send as many as ever again.
        await eventually(
            lambda: all(budget.prefetch_of(each.uuid) == PREFETCH * 50 for each in abonnementen.values()),
            within=20,
        )
        for abonnement in abonnementen.values():
            await eventually(lambda abonnement=abonnement: spine.consumers_are(abonnement, 1))
        last = await spine.publish()
        for path in abonnementen:
            await eventually(lambda path=path: spine.ids_at(path)[-1] == last)
    assert await spine.undeliverable() == []


def large_body(spine: Delivering, size: int) -> bytes:
    """A notificatie of so many bytes, and a few more."""
    return orjson.dumps({"kanaal": spine.kanaal.naam, "kenmerken": {}, "extra": "x" * size})


async def test_a_queue_that_the_router_has_yet_to_declare_is_left_to_it(
    spine: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else many that are made at once are declared twice: for the gateway, and for a deliverer."""
    async with spine.deliverer():
        first = await spine.subscribe()
        await eventually(lambda: spine.consumers_are(first, 1))
        later = an_abonnement((spine.kanaal.naam, {}), callback=spine.callback.url("/later"))
        await spine.router.registry.add_abonnement(later)
        second = await spine.subscribe()  # the hint after this one tells that the router lacks `later`
        await eventually(lambda: spine.consumers_are(second, 1))
        assert await spine.depth(names.abonnement_queue(later.uuid)) == -1
        await spine.router.client.apply_abonnement(later.uuid)
        await eventually(lambda: spine.consumers_are(later, 1))
        monkeypatch.setattr("deliverer.consuming.standings.DECLARED_WITHIN", 0.1)
        alone = an_abonnement((spine.kanaal.naam, {}), callback=spine.callback.url("/alone"))
        await spine.router.registry.add_abonnement(alone)
        await spine.router.client.announce()  # nobody asked the router, such as a gateway that was killed
        await eventually(lambda: spine.consumers_are(alone, 1))
