"""Consumers that read a queue of their own in RabbitMQ: what they get, what they may do, and what is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aiormq.exceptions import ChannelAccessRefused
from yarl import URL

from deliverer.direct.sending import Direct
from deliverer.http.client import Failure, FailureClass
from ledger.ids import id_of_message
from ledger.opening import ledger_of
from ledger.values import Key, State
from router import names
from router.amqp_direct.management import Management
from router.amqp_direct.passwords import new_password
from router.amqp_direct.registering import change_password
from router.publishing import Publisher
from runtime.lifecycle import Tasks
from schemas.abonnement import State as Condition
from schemas.delivery_options import DeliveryOptions
from schemas.errors import BrokerUnavailable
from tests.broker import Broker
from tests.contract.api import message
from tests.eventually import eventually
from tests.integration.amqp_direct.reading import Consumer, a_consumer, with_password
from tests.integration.conftest import open_link, running_router
from tests.integration.deliverer.delivering import Delivering


async def may_connect(consumer: Consumer) -> bool:
    try:
        async with consumer.connected():
            return True
    except BrokerUnavailable:
        return False


async def remove(direct: Delivering, consumer: Consumer) -> None:
    assert await direct.router.registry.remove_abonnement(consumer.uuid)
    await direct.router.client.apply_abonnement(consumer.uuid)


async def is_held(direct: Delivering, consumer: Consumer) -> bool:
    changes = await direct.router.registry.changes_since(0)
    return any(each.uuid == consumer.uuid and each.state is Condition.HELD for each in changes.abonnementen)


async def delivered(direct: Delivering, consumer: Consumer, ids: list[str]) -> bool:
    async with ledger_of(direct.router.settings) as ledger:
        for id_ in ids:
            row = await ledger.delivery(Key(id_of_message(id_), consumer.uuid))
            if row is None or row.state is not State.DELIVERED:
                return False
    return True


async def test_a_consumer_reads_what_it_asked_for_and_may_do_nothing_else(direct: Delivering) -> None:
    consumer = await a_consumer(direct, filters={"zaaktype": "A"})
    other = await a_consumer(direct)
    assert consumer.ready
    async with direct.deliverer(amqp_direct=True):
        first = await direct.publish(zaaktype="A")
        await direct.publish(zaaktype="B")
        second = await direct.publish(zaaktype="A")
        async with consumer.reading() as reading:
            found = await reading.next(2)
        await eventually(lambda: delivered(direct, consumer, [first, second]))
    assert {each.message_id for each in found} == {first, second}
    assert json.loads(found[0].body)["kenmerken"] == {"zaaktype": "A"}
    assert found[0].content_type == "application/json"
    assert found[0].headers["nrc-abonnement"] == str(consumer.uuid)
    assert "Authorization" not in found[0].headers
    assert await direct.depth(other.queue) == 3

    async def refused(connection: aio_pika.abc.AbstractConnection, queue: str) -> None:
        channel = await connection.channel()
        with pytest.raises(ChannelAccessRefused):
            await (await channel.get_queue(queue, ensure=False)).get()

    async with consumer.connected() as connection:
        for queue in (other.queue, names.abonnement_queue(consumer.uuid), names.UNDELIVERABLE):
            await refused(connection, queue)
        channel = await connection.channel()
        with pytest.raises(ChannelAccessRefused):
            await channel.declare_queue("nrc.mine")
        for exchange in ("nrc.kanaal.zaken", ""):
            channel = await connection.channel()
            target = await channel.get_exchange(exchange, ensure=False)
            with pytest.raises(ChannelAccessRefused):
                await target.publish(aio_pika.Message(b"{}"), consumer.queue)


async def test_another_password_and_the_end(direct: Delivering, management: str) -> None:
    consumer = await a_consumer(direct)
    password = new_password()
    assert await change_password(direct.router.registry, direct.router.client, consumer.uuid, password)
    assert not await may_connect(consumer)
    renewed = with_password(consumer, password)
    async with open_link(renewed.url) as link:
        before = link.connection
        await remove(direct, consumer)
        await eventually(lambda: link.connection is not before)  # cut off, with its user
    assert await direct.depth(consumer.queue) == -1
    assert not await may_connect(renewed)
    async with Management(management, vhost=URL(consumer.vhost).path.removeprefix("/")) as api:
        assert consumer.queue not in await api.users()


async def test_what_does_not_fit_waits_until_it_is_read(direct: Delivering) -> None:
    consumer = await a_consumer(direct, maxLength=2)
    async with direct.deliverer(amqp_direct=True, retry_schedule="1,1,1,1,1,1,1,1,1,1"):
        ids = [await direct.publish() for _ in range(12)]
        await eventually(lambda: is_held(direct, consumer), within=30)
        got: list[str | None] = []
        async with consumer.reading() as reading:
            while len(set(got)) < len(ids):
                got += [each.message_id for each in await reading.next(1)]
        await eventually(lambda: delivered(direct, consumer, ids), within=30)
    assert set(got) == set(ids)


async def test_rabbitmq_wiped_has_its_queue_and_user_again(
    direct: Delivering, broker: Broker, management: str
) -> None:
    consumer = await a_consumer(direct)
    assert broker.control is not None
    name = URL(consumer.vhost).path.removeprefix("/")
    async with Management(management, vhost=name) as api:
        await api.remove_user(consumer.queue)
    await broker.control.remove_vhost(name)
    assert not await may_connect(consumer)
    await broker.control.add_vhost(name)
    async with direct.deliverer(amqp_direct=True):
        await eventually(lambda: may_connect(consumer), within=30)
        await direct.publisher.wait_ready(20)
        id_ = await direct.publish()
        async with consumer.reading() as reading:
            assert [each.message_id for each in await reading.next(1)] == [id_]


async def test_who_asks_for_cloudevents_gets_them_by_the_amqp_binding(direct: Delivering) -> None:
    consumer = await a_consumer(direct)
    options = DeliveryOptions.model_validate({"cloudevents": {"mode": "binary"}})
    await direct.router.registry.change_abonnement(
        consumer.uuid, lambda latest: replace(latest, options=options)
    )
    async with direct.deliverer(amqp_direct=True):
        id_ = await direct.publish(body=json.dumps(message("zaken")).encode())
        async with consumer.reading() as reading:
            (event,) = await reading.next(1)
    assert event.headers["cloudEvents_id"] == event.message_id == id_
    assert event.headers["cloudEvents_specversion"] == "1.0"
    assert json.loads(event.body)["hoofdObject"] == message("zaken")["hoofdObject"]


async def test_a_stream_is_read_from_where_its_consumer_wants(direct: Delivering) -> None:
    consumer = await a_consumer(direct, kind="stream", maxAge=3600)
    async with direct.deliverer(amqp_direct=True):
        ids = [await direct.publish() for _ in range(3)]
        async with consumer.reading(x_stream_offset="first") as reading:
            found = [each.message_id for each in await reading.next(3)]
        assert sorted(found) == sorted(ids)
        async with consumer.reading(x_stream_offset=1) as reading:
            again = await reading.next(2)
        assert [each.message_id for each in again] == found[1:]
        assert [each.headers["x-stream-offset"] for each in again] == [1, 2]


async def test_what_fits_in_no_message_is_a_failed_attempt(vhost: str, tmp_path: Path) -> None:
    """And is not tried again and again without being counted."""
    publisher = Publisher([vhost], name="test", mandatory=True)
    async with running_router(vhost, tmp_path), Tasks() as tasks:
        tasks.start("publishing", publisher.run())
        await publisher.wait_ready(20)
        delivery: Any = SimpleNamespace(abonnement=uuid4(), notificatie="x", timestamp=None, body=b"")
        for headers in (
            {"Content-Type": "text/plain; name=" + 300 * "x"},
            {"ce-" + 300 * "x": "1"},
            {"ce-note": 200_000 * "x"},
        ):
            answer = await Direct(publisher).send(delivery, headers=headers, body=delivery.body)
            assert isinstance(answer, Failure)
            assert answer.kind is FailureClass.INVALID_REQUEST
        # Nothing is wrong with the connection.
        answer = await Direct(publisher).send(delivery, headers={}, body=delivery.body)
        assert isinstance(answer, Failure)
        assert answer.kind is FailureClass.QUEUE_MISSING
