"""A queue that is full, or that confirms nothing, and the consumers of other queues."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from yarl import URL

from ledger.ledger import Ledger
from ledger.opening import ledger_of
from ledger.values import Key, State
from tests.broker import Broker
from tests.eventually import eventually
from tests.integration.amqp_direct.reading import Consumer, a_consumer
from tests.integration.amqp_direct.test_amqp_direct import delivered, is_held
from tests.integration.deliverer.delivering import Delivering

LOST = ("broker connection lost or refused", "no files or memory left for requests")


@pytest.fixture
async def ledger(direct: Delivering) -> AsyncIterator[Ledger]:
    async with ledger_of(direct.router.settings) as opened:
        yield opened


@asynccontextmanager
async def silent(broker: Broker, consumer: Consumer) -> AsyncIterator[None]:
    """Its queue confirms nothing meanwhile: its leader is frozen, as when its node hangs."""
    vhost = URL(consumer.vhost).path.removeprefix("/")
    leader = (
        f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{consumer.queue}">>)), '
        "{Name, _} = amqqueue:get_pid(Q), "
    )
    await broker.eval(leader + "ok = sys:suspend(whereis(Name)).")
    try:
        yield
    finally:
        await broker.eval(leader + "ok = sys:resume(whereis(Name)).")


async def failed_with(ledger: Ledger, id_: str, consumer: Consumer) -> list[str]:
    return [each.kind for each in await ledger.attempts(Key(UUID(id_), consumer.uuid))]


async def test_a_queue_that_confirms_nothing_is_a_failure_and_hurts_no_other(
    direct: Delivering, ledger: Ledger, broker: Broker
) -> None:
    if broker.private is None:
        pytest.skip("a queue can be suspended on a private node only")
    dead = await a_consumer(direct, filters={"zaaktype": "dead"})
    other = await a_consumer(direct, filters={"zaaktype": "other"})
    with capture_logs() as logs:
        async with direct.deliverer(amqp_direct=True, retry_schedule="1,1,1,1,1,1,1,1"):
            async with silent(broker, dead):
                # Nothing else is published meanwhile, by which RabbitMQ would show that it works.
                waiting = [await direct.publish(zaaktype="dead")]
                await eventually(lambda: failed_with(ledger, waiting[0], dead), within=60)
                assert {*await failed_with(ledger, waiting[0], dead)} == {"queue_unavailable"}
                # More than RabbitMQ takes for such a queue before it holds up their channel.
                waiting += [await direct.publish(zaaktype="dead") for _ in range(40)]
                ids = [await direct.publish(zaaktype="other") for _ in range(40)]
                await eventually(partial(delivered, direct, other, ids), within=60)
                await eventually(partial(is_held, direct, dead), within=90)
                async with other.reading() as reading:
                    assert {each.message_id for each in await reading.next(40)} == {*ids}
            await eventually(partial(delivered, direct, dead, waiting), within=90)
        rows = [await ledger.delivery(Key(UUID(id_), other.uuid)) for id_ in ids]
    assert {(each.state, each.attempts) for each in rows if each is not None} == {(State.DELIVERED, 1)}
    assert [each for each in logs if each["event"] in LOST] == []


async def test_a_queue_that_is_full_hurts_no_other(direct: Delivering, ledger: Ledger) -> None:
    full = await a_consumer(direct, filters={"zaaktype": "full"}, maxLength=1)
    other = await a_consumer(direct, filters={"zaaktype": "other"})
    with capture_logs() as logs:
        async with direct.deliverer(amqp_direct=True, retry_schedule="1,1,1,1,1,1,1,1"):
            waiting = [await direct.publish(zaaktype="full") for _ in range(12)]
            ids = [await direct.publish(zaaktype="other") for _ in range(40)]
            await eventually(partial(is_held, direct, full), within=60)
            await eventually(partial(delivered, direct, other, ids), within=60)
        rows = [await ledger.delivery(Key(UUID(id_), other.uuid)) for id_ in ids]
        kinds = [kind for id_ in waiting for kind in await failed_with(ledger, id_, full)]
    assert {(each.state, each.attempts) for each in rows if each is not None} == {(State.DELIVERED, 1)}
    assert {*kinds} == {"queue_full"}
    assert [each for each in logs if each["event"] in LOST] == []
