"""Retention and budget: a row ends, and then its message is removed from the front of the queue."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage

from ledger.ids import new_id
from ledger.keeper.lease import Lease
from ledger.keeper.service import serve
from ledger.keeper.undeliverable.trimming import Trimming
from ledger.ledger import Ledger
from ledger.values import Entry, Heartbeat, Key, Outcome, State
from router import names
from router.catalogue import Catalogue
from runtime.amqp import Link, open_channel
from schemas.abonnement import Abonnement
from schemas.abonnement import State as Registered
from schemas.errors import BrokerUnavailable
from tests.eventually import eventually
from tests.integration.conftest import Running, running
from tests.integration.deliverer.delivering import Delivering
from tests.integration.ledger.keeping import SHORT, Kept
from tests.stallable import stallable

HOUR = 3600.0


def keeper(kept: Kept, **settings: Any) -> AbstractAsyncContextManager[None]:
    """A keeper that looks at once at what waits for too long."""
    own = {"hold_retention": 3600, "hold_budget": 0} | settings
    changed = kept.router.settings.model_copy(update=own)
    return running(serve, changed, limits=replace(SHORT, retention=0.2))


async def put(kept: Kept, abonnement: Abonnement, entry: Entry, **headers: Any) -> None:
    """Into its queue, as a gateway does."""
    await put_into(kept.router, abonnement, entry, **headers)


async def put_into(router: Running, abonnement: Abonnement, entry: Entry, **headers: Any) -> None:
    async with router.connection.channel() as channel:
        message = Message(
            entry.body,
            message_id=str(entry.id),
            timestamp=datetime.fromtimestamp(entry.received / 1000, UTC),
            headers=headers,
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        await channel.default_exchange.publish(message, names.abonnement_queue(abonnement.uuid))


async def held(kept: Kept, abonnement: Abonnement, *, age: float = 0.0, size: int = 0) -> Entry:
    """A notificatie that was accepted so many seconds ago, and is in its queue."""
    at = datetime.now(UTC).timestamp() - age
    changes: dict[str, Any] = {"body": b'{"kanaal": "zaken"}'.ljust(size)} if size else {}
    entry = await kept.accept(abonnement, mark=False, id=new_id(at=at), received=int(at * 1000), **changes)
    await put(kept, abonnement, entry)
    return entry


async def queued(kept: Kept, abonnement: Abonnement) -> list[str | None]:
    """The ids of what is in its queue, in order; it is taken out."""
    return [message.message_id for message in await kept.taken(abonnement)]


async def depth_is(kept: Kept, abonnement: Abonnement, count: int) -> bool:
    async with kept.router.connection.channel() as channel:
        queue = await channel.declare_queue(names.abonnement_queue(abonnement.uuid), passive=True)
    return queue.declaration_result.message_count == count


async def give_back(kept: Kept, abonnement: Abonnement, count: int) -> None:
    """The first of its queue are given out, 30 to each of several consumers, and given back in order."""
    channel = await open_channel(kept.router.connection)
    queue = names.abonnement_queue(abonnement.uuid)
    consumers = []
    for _ in range(0, count, 30):
        taken: list[DeliveredMessage] = []

        async def on_message(message: DeliveredMessage, taken: list[DeliveredMessage] = taken) -> None:
            taken.append(message)

        await channel.basic_qos(prefetch_count=30)
        answer = await channel.basic_consume(queue, on_message)
        consumers.append((answer.consumer_tag or "", taken))
        await eventually(lambda taken=taken: len(taken) == 30)  # type: ignore[misc]
    for tag, taken in consumers:
        await channel.basic_cancel(tag)
        await channel.basic_nack(taken[-1].delivery_tag or 0, multiple=True, requeue=True)
    await channel.close()


async def kinds(kept: Kept, entry: Entry, abonnement: Abonnement) -> list[str]:
    return [each.kind for each in await kept.ledger.attempts(Key(entry.id, abonnement.uuid))]


async def test_what_is_too_old_ends_and_the_front_of_its_queue_is_trimmed(kept: Kept) -> None:
    one, other = await kept.subscribe(), await kept.subscribe()
    await kept.router.registry.set_state(one.uuid, Registered.SUSPENDED, "by a test")
    old = [await held(kept, one, age=2 * HOUR - number) for number in range(40)]
    young = [await held(kept, one, age=HOUR / 2 - number) for number in range(70)]
    others = await held(kept, other)
    with structlog.testing.capture_logs() as lines:
        async with keeper(kept):
            await eventually(lambda: depth_is(kept, one, len(young)))
            await asyncio.sleep(1.0)  # and no more than these
    for entry in old:
        assert await kept.is_(entry, one, (State.UNDELIVERABLE, 0))
        assert await kinds(kept, entry, one) == ["retention"]
    for entry in young:
        assert await kept.is_(entry, one, (State.PENDING, 0))
    assert await queued(kept, one) == [str(entry.id) for entry in young]
    assert await queued(kept, other) == [str(others.id)]
    (told,) = [line for line in lines if line["event"] == "held notificaties became undeliverable"]
    assert (told["abonnement"], told["too_old"], told["over_budget"]) == (str(one.uuid), 40, 0)
    assert await kept.router.taken(names.UNDELIVERABLE) == []


async def test_over_the_budget_the_oldest_end_until_nine_tenths_are_left(kept: Kept) -> None:
    one, other = await kept.subscribe(), await kept.subscribe()
    entries = [await held(kept, one, age=100 - number, size=1000) for number in range(15)]
    fits = [await held(kept, other, age=100 - number, size=1000) for number in range(9)]
    async with keeper(kept, hold_budget=10_000):
        await eventually(lambda: depth_is(kept, one, 9))
        await asyncio.sleep(1.0)
    for entry in entries[:6]:
        assert await kept.is_(entry, one, (State.UNDELIVERABLE, 0))
        assert await kinds(kept, entry, one) == ["budget"]
    assert await queued(kept, one) == [str(entry.id) for entry in entries[6:]]
    assert await queued(kept, other) == [str(entry.id) for entry in fits]
    assert (await kept.ledger.backlogs())[one.uuid].size == 9000


async def test_trimming_ends_at_the_first_that_is_still_to_come(kept: Kept) -> None:
    """Such as one that was sent again since: it is old, and behind it others that have ended."""
    one = await kept.subscribe()
    gone = [await held(kept, one, age=2 * HOUR) for _ in range(3)]
    again = await held(kept, one, age=2 * HOUR - 10)
    sent = Outcome(Key(again.id, one.uuid), State.PENDING, round=1, attempts=0, at=again.received, anew=True)
    await kept.ledger.write([sent])
    async with kept.router.connection.channel() as channel:
        queue = await channel.get_queue(names.abonnement_queue(one.uuid))
        copies = [await queue.get() for _ in range(4)]
        for copy in copies[:3]:
            await copy.reject(requeue=True)
        await copies[3].ack()
    await put(kept, one, again, **{"nrc-round": 1})
    behind = [await held(kept, one, age=2 * HOUR - 20) for _ in range(3)]
    last = await held(kept, one)
    async with keeper(kept):
        await eventually(lambda: depth_is(kept, one, 5))
        await asyncio.sleep(1.0)
    for entry in gone + behind:
        assert await kept.is_(entry, one, (State.UNDELIVERABLE, 0))
    assert await kept.is_(again, one, (State.PENDING, 1))
    assert await queued(kept, one) == [str(entry.id) for entry in [again, *behind, last]]


async def test_what_was_given_back_before_keeps_its_order(kept: Kept) -> None:
    """As by a deliverer when the abonnement was held: RabbitMQ gives that out first, in its order."""
    one = await kept.subscribe()
    old = [await held(kept, one, age=2 * HOUR - number) for number in range(20)]
    young = [await held(kept, one, age=HOUR / 2 - number) for number in range(150)]
    await give_back(kept, one, 4 * 30)
    async with keeper(kept):
        await eventually(lambda: depth_is(kept, one, len(young)))
        await asyncio.sleep(1.0)
    assert await kept.is_(old[-1], one, (State.UNDELIVERABLE, 0))
    assert await queued(kept, one) == [str(entry.id) for entry in young]


async def test_what_a_killed_keeper_ended_and_did_not_trim_is_trimmed_by_the_next(kept: Kept) -> None:
    one = await kept.subscribe()
    ended = [await held(kept, one, age=10) for _ in range(5)]
    await kept.ledger.write(
        [
            Outcome(Key(entry.id, one.uuid), State.UNDELIVERABLE, round=0, attempts=0, at=entry.received)
            for entry in ended
        ]
    )
    left = await held(kept, one)
    # Of as many it is known that they are not in the queue, so that its length alone tells nothing.
    for entry in [await kept.accept(one, mark=False) for _ in range(6)]:
        retried = Outcome(Key(entry.id, one.uuid), State.RETRYING, round=0, attempts=1, at=1, wait=600)
        await kept.ledger.write([retried])
    async with keeper(kept):
        await eventually(lambda: depth_is(kept, one, 1))
    assert await queued(kept, one) == [str(left.id)]


async def test_what_is_in_hand_or_between_attempts_does_not_end(kept: Kept) -> None:
    one = await kept.subscribe()
    in_hand, waits, due = [await held(kept, one, age=2 * HOUR) for _ in range(3)]
    for entry, wait in ((waits, 600.0), (due, 0.0)):
        retried = Outcome(Key(entry.id, one.uuid), State.RETRYING, round=0, attempts=1, at=1, wait=wait)
        await kept.ledger.write([retried])

    async def ended() -> bool:
        hands = frozenset({Key(in_hand.id, one.uuid)})
        await kept.ledger.write([Heartbeat("d", all_flushed=True, hands=hands)])
        return await kept.is_(due, one, (State.UNDELIVERABLE, 0))

    await ended()
    async with keeper(kept):
        await eventually(ended)
        await asyncio.sleep(0.5)
    assert await kept.is_(in_hand, one, (State.PENDING, 0))
    assert await kept.is_(waits, one, (State.RETRYING, 0))


async def test_what_the_ledger_does_not_know_is_undeliverable_when_it_is_too_old(kept: Kept) -> None:
    """Of an older version, or of a gateway that died before it wrote its entry."""
    one = await kept.subscribe()
    entry = replace(await kept.accept(mark=False), id=uuid4(), received=1_700_000_000_000)
    await put(kept, one, entry)
    async with keeper(kept):
        await eventually(lambda: _has_ended(kept, entry, one))
        await eventually(lambda: depth_is(kept, one, 0))
    found = await kept.ledger.notificatie(entry.id)
    assert found is not None
    assert found.body == entry.body
    assert await kinds(kept, entry, one) == ["retention"]


async def _has_ended(kept: Kept, entry: Entry, abonnement: Abonnement) -> bool:
    row = await kept.ledger.delivery(Key(entry.id, abonnement.uuid))
    return row is not None and row.state is State.UNDELIVERABLE


async def test_a_queue_that_is_missing_or_hangs_holds_up_no_other(kept: Kept) -> None:
    missing, other = await kept.subscribe(), await kept.subscribe()
    old = [await held(kept, each, age=2 * HOUR) for each in (missing, other)]
    async with kept.router.connection.channel() as channel:
        await channel.queue_delete(names.abonnement_queue(missing.uuid))
    async with keeper(kept):
        await eventually(lambda: depth_is(kept, other, 0))
        await eventually(lambda: kept.is_(old[0], missing, (State.UNDELIVERABLE, 0)))


@pytest.mark.parametrize("ended", [True, False])
async def test_a_deliverer_does_not_send_what_ended_meanwhile(
    spine: Delivering, ledger: Ledger, *, ended: bool
) -> None:
    """Its row ended and RabbitMQ was away, so that its message is still in the queue."""
    abonnement = await spine.subscribe("/a")
    at = datetime.now(UTC).timestamp() - 2 * HOUR
    entry = Entry(
        id=new_id(at=at),
        received=int(at * 1000),
        client="test",
        kanaal=spine.kanaal.naam,
        resource="zaak",
        actie="create",
        hoofd_object="https://zaken.example.nl/1",
        resource_url="https://zaken.example.nl/1",
        kenmerken={},
        body=b'{"kanaal": "zaken", "kenmerken": {}}',
        catalogue=1,
        matched=(abonnement.uuid,),
    )
    await ledger.write([entry])
    if ended:
        key = Key(entry.id, abonnement.uuid)
        await ledger.write([Outcome(key, State.UNDELIVERABLE, round=0, attempts=0, at=entry.received)])
    await put_into(spine.router, abonnement, entry)
    async with spine.deliverer(hold_retention=3600):
        fresh = await spine.publish()
        await eventually(lambda: fresh in spine.ids_at("/a"))
        await eventually(lambda: spine.depth_is(abonnement, 0))
        await eventually(lambda: ended or str(entry.id) in spine.ids_at("/a"))
    assert spine.ids_at("/a") == ([fresh] if ended else [str(entry.id), fresh])


async def test_a_connection_that_ends_ends_one_look_only(kept: Kept) -> None:
    """The client library cancels whoever waits for an answer then, and that would end the keeper."""
    one = await kept.subscribe()
    ending = asyncio.Event()

    async def session(_: AbstractConnection) -> None:
        await ending.wait()
        raise BrokerUnavailable("by a test")

    async with stallable(kept.router.settings.amqp_url[0]) as (through, flowing):
        link = Link([through], name="test")
        connecting = asyncio.create_task(link.run(session))
        await link.connected(within=10)
        catalogue = Catalogue(kept.router.registry, refresh_interval=10)
        trimming = Trimming(link, lease=Lease(), catalogue=catalogue)
        flowing.clear()
        trim = asyncio.create_task(
            trimming.trim(kept.ledger, [one.uuid], ended=[one.uuid], open_={}, before=0)
        )
        await asyncio.sleep(0.2)  # it waits for an answer
        ending.set()
        await asyncio.wait({trim}, timeout=20)
        assert trim.done()
        assert not trim.cancelled()
        trim.result()
        flowing.set()
        connecting.cancel()
        await asyncio.wait({connecting})
