"""A RabbitMQ whose `max_message_size` is small: a message over it fails alone, and no other with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import structlog

from ledger.ids import new_id
from ledger.ledger import Ledger
from ledger.values import Entry, Key, Outcome, State
from router import names
from router.publishing import Outgoing, Publisher
from runtime.amqp import connect
from runtime.lifecycle import Tasks
from schemas.errors import BrokerError, MessageTooLarge
from tests.broker import Broker, ErlangControl
from tests.callback_server import status
from tests.chaos.faults.files import disk_alarm
from tests.contract.api import a_naam, abonnement_of, message
from tests.contract.conftest import Stage, open_stage
from tests.eventually import eventually
from tests.integration.cli.test_cli_broker import nrc
from tests.integration.deliverer.delivering import Delivering
from tests.integration.rabbitmq.test_publishing import publishing

LIMIT = 20_000  # bytes


@pytest.fixture
async def limit(broker: Broker) -> AsyncIterator[Any]:
    """What sets RabbitMQ's limit for every channel that is opened from then on."""
    if broker.private is None:
        pytest.skip("only on a node of our own")
    former: list[int] = []

    async def to(size: int) -> None:
        former.append(await broker.set_max_message_size(size))

    yield to
    if former:
        await broker.set_max_message_size(former[0])


@pytest.fixture
async def stage(broker: Broker, tmp_path: Any) -> AsyncIterator[Stage]:
    url = await broker.fresh_vhost()
    async with open_stage(url, tmp_path) as stage:
        yield stage
    await broker.remove_vhost(url)


async def depth(stage: Stage, queue: str) -> int:
    connection = await connect(stage.settings.amqp_url[0], name="test")
    async with connection, connection.channel() as channel:
        return (await channel.get_queue(queue)).declaration_result.message_count or 0


@pytest.mark.parametrize("known", [True, False], ids=["from the start", "since a moment"])
async def test_a_body_over_the_limit_is_413_and_nobody_else_notices(
    stage: Stage, limit: Any, known: bool
) -> None:
    if known:
        await limit(LIMIT)
    async with stage.gateway() as api:
        naam = a_naam()
        assert (await api.post("/kanaal", {"naam": naam})).status == 201
        abonnement = (await api.post("/abonnement", abonnement_of(naam))).json
        if not known:
            await limit(LIMIT)
        large, small = message(naam, extra="x" * LIMIT), message(naam)
        for _ in range(3):
            answers = await asyncio.gather(
                *(api.post("/notificaties", large if number % 7 == 3 else small) for number in range(30))
            )
            assert Counter(answer.status for answer in answers) == {201: 26, 413: 4}
            for answer in answers:
                if answer.status == 413:
                    assert answer.outcome == (413, "request_too_large")
                    assert f"{LIMIT} bytes" in answer.json["detail"]
        arrived = await depth(stage, f"nrc.abonnement.{abonnement['url'][-36:]}")
        if known:
            assert arrived == 3 * 26
        else:  # what was on the channel that RabbitMQ closed may come twice
            assert 3 * 26 <= arrived < 3 * 26 + 26
        fits = message(naam, extra="x" * (LIMIT - 500))
        assert (await api.post("/notificaties", fits)).status == 201


async def test_a_change_of_kanalen_over_the_limit_is_413(stage: Stage, limit: Any) -> None:
    await limit(LIMIT)
    async with stage.gateway() as api:
        naam = a_naam()
        assert (await api.post("/kanaal", {"naam": naam, "filters": ["a"]})).status == 201
        abonnement = (await api.post("/abonnement", abonnement_of(naam))).json
        kanalen = [{"naam": naam, "filters": {"a": "x" * 900}} for _ in range(40)]
        answer = await api.patch(abonnement["url"], {"kanalen": kanalen})
        assert answer.outcome == (413, "request_too_large")
        assert (await api.get(abonnement["url"])).json == abonnement
        assert (await api.patch(abonnement["url"], {"kanalen": kanalen[:2]})).status == 200


async def test_what_is_known_to_be_too_large_is_not_sent(vhost: str, limit: Any) -> None:
    await limit(LIMIT)
    async with publishing(vhost, mandatory=False) as (publisher, channel):
        await channel.declare_exchange("a", "fanout")

        async def outcome(size: int) -> type[BrokerError] | None:
            try:
                await publisher.publish(Outgoing("a", "", bytes(size), str(uuid4())))
            except BrokerError as error:
                return type(error)
            return None

        assert await outcome(LIMIT + 1) is MessageTooLarge
        assert await outcome(LIMIT) is None
        connection = publisher.link.connection
        assert connection is not None
        assert connection.transport is not None
        channels = connection.transport.connection.channels
        (before,) = channels
        assert await outcome(LIMIT + 1) is MessageTooLarge
        assert await outcome(0) is None
        assert [*channels] == [before], "no channel was closed over it"


async def test_a_publisher_that_comes_during_an_alarm_says_so(vhost: str, broker: Broker) -> None:
    control = broker.control
    assert isinstance(control, ErlangControl)
    connection = await connect(vhost, name="test")
    async with connection, connection.channel() as channel:
        await channel.declare_exchange(names.READY, "fanout", durable=True)
    publisher = Publisher([vhost], name="test", mandatory=False, largest=LIMIT)
    async with disk_alarm(control), Tasks() as tasks:
        await eventually(lambda: _has_alarm(control))
        tasks.start("publisher", publisher.run())
        await eventually(lambda: "alarm" in publisher.why_not)
        # It goes on without knowing the limit, on the same connection, and says so all the while.
        before = publisher.link.connection
        await eventually(publisher._ready.is_set)
        assert publisher.link.connection is before
        assert "alarm" in publisher.why_not
    async with Tasks() as tasks:
        tasks.start("publisher", publisher.run())
        await eventually(lambda: publisher.ready)


async def _has_alarm(control: ErlangControl) -> bool:
    return "disk" in await control.eval("rabbit_alarm:get_alarms().")


async def test_a_failed_attempt_over_the_limit_stays_ours(
    spine: Delivering, limit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deliverer.attempting.settle.PAUSES", (0.2,))
    monkeypatch.setattr("deliverer.attempting.settle.KEEP_TRYING", 1.0)
    abonnement = await spine.subscribe("/a")
    large = await spine.publish(body=b'{"kanaal":"zaken","x":"%s"}' % (b"x" * LIMIT))
    spine.callback.script("/a", status(500), status(500), status(204))
    await limit(LIMIT)
    with structlog.testing.capture_logs() as lines:
        async with spine.deliverer():
            await eventually(lambda: len(spine.callback.received) == 1)
            # Others go on, with their retries.
            small = await spine.publish()
            await eventually(lambda: spine.ids_at("/a").count(small) == 2)
            await eventually(lambda: spine.ids_at("/a").count(large) == 2)
            await eventually(lambda: spine.depth_is(abonnement, 0, waiting=0))
    told = [line for line in lines if line["event"] == "message is larger than RabbitMQ takes"]
    assert [line["notificatie"] for line in told] == [large]
    assert str(LIMIT) in told[0]["reason"]
    attempts = [each for each in spine.callback.received if each.header("webhook-id") == large]
    assert [each.header("nrc-attempt") for each in attempts] == ["1", "1"]
    assert await spine.undeliverable() == []


async def test_a_resend_over_the_limit_tells_why_and_goes_on(
    spine: Delivering, ledger: Ledger, limit: Any
) -> None:
    abonnement = await spine.subscribe("/a")
    bodies = [b"{}", b'{"x":"%s"}' % (b"x" * LIMIT), b"{}"]
    entries = [
        Entry(
            id=new_id(at=1_700_000_000 + number),
            received=1_700_000_000_000,
            client="test",
            kanaal=spine.kanaal.naam,
            resource="zaak",
            actie="create",
            hoofd_object="https://zaken.example.nl/1",
            resource_url="https://zaken.example.nl/1",
            kenmerken={},
            body=body,
            catalogue=1,
            matched=(abonnement.uuid,),
        )
        for number, body in enumerate(bodies)
    ]
    keys = [Key(entry.id, abonnement.uuid) for entry in entries]
    ended = [Outcome(key, State.UNDELIVERABLE, round=0, attempts=1, at=1_700_000_000_001) for key in keys]
    await ledger.write([*entries, *ended])
    await limit(LIMIT)
    ran = await nrc(spine.router, "undeliverable", "resend", "--abonnement", str(abonnement.uuid), "--json")
    assert ran.code == 1, ran.err
    assert [each["id"] for each in ran.json()["resent"]] == [str(entries[0].id), str(entries[2].id)]
    (failed,) = ran.json()["failed"]
    assert failed["id"] == str(entries[1].id)
    assert "max_message_size" in failed["reason"]
    (left,) = await ledger.undeliverable(limit=9)
    assert left.key == keys[1]
    assert [each.kind for each in await ledger.attempts(left.key)][-1] == "too_large"
    # One that was on the channel over which the limit was learned may be there twice.
    arrived = await spine.router.taken(names.abonnement_queue(abonnement.uuid))
    assert {each.message_id for each in arrived} == {str(entries[0].id), str(entries[2].id)}
