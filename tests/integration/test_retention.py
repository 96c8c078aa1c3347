"""What a queue holds for too long or too much of: it goes to the undeliverable, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aio_pika import DeliveryMode, Message
from aiormq.abc import DeliveredMessage

from router import names
from router.publishing import Outgoing, Publisher
from router.walk import MOST, walk
from runtime.amqp import AMQP_ERRORS
from schemas.abonnement import Abonnement
from schemas.errors import BrokerUnavailable
from tests.broker import Broker
from tests.eventually import eventually
from tests.integration.conftest import Running, open_link
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
