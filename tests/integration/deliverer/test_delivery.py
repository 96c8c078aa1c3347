"""Delivery on a real RabbitMQ to a real callback: what arrives, and what happens to what does not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from unittest.mock import AsyncMock
from uuid import UUID

import pytest
from aio_pika.abc import AbstractIncomingMessage
from structlog.testing import capture_logs

from router import names
from router.publishing import Outgoing
from schemas.abonnement import State
from schemas.errors import RegistryError
from store.sqlite.registry import SqliteRegistry
from tests.callback_server import (
    CallbackServer,
    Received,
    Script,
    Wire,
    close,
    hang,
    raw,
    reset,
    status,
    when,
)
from tests.eventually import eventually
from tests.integration.deliverer.delivering import Delivering, group

pytestmark = pytest.mark.usefixtures("broker")


async def test_every_header_and_the_bytes_that_were_sent(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/in?a=b", auth="Token é==")
    body = b'{ "kanaal" : "zaken",\n "kenmerken": {}, "extra": [1e3, "\\u00e9"] }'
    async with spine.deliverer():
        number = await spine.publish(body=body)
        (received,) = await eventually(lambda: spine.callback.received)
    assert received.method == "POST"
    assert received.path == "/in?a=b"
    assert received.body == body
    assert b"\r\nAuthorization: Token \xe9==\r\n" in received.head
    headers = {name.lower(): value for name, value in received.headers}
    assert headers.pop("user-agent").startswith("nrc/")
    assert headers == {
        "host": f"127.0.0.1:{spine.callback.port}",
        "authorization": "Token é==",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "webhook-id": number,
        "nrc-abonnement": str(abonnement.uuid),
        "nrc-attempt": "1",
        "nrc-hops": "1",
    }
    assert await spine.depth_is(abonnement, 0)


async def test_one_delivery_to_each_abonnement_with_the_same_id(spine: Delivering) -> None:
    for path in ("/a", "/b", "/c"):
        await spine.subscribe(path)
    async with spine.deliverer():
        number = await spine.publish()
        await eventually(lambda: len(spine.callback.received) == 3)
    assert [spine.ids_at(path) for path in ("/a", "/b", "/c")] == [[number]] * 3


async def test_what_was_queued_before_it_started_is_delivered(spine: Delivering) -> None:
    await spine.subscribe("/a")
    numbers = {await spine.publish() for _ in range(120)}
    async with spine.deliverer(deliverer_concurrency=10, deliverer_prefetch=20):
        await eventually(lambda: len(spine.callback.received) >= 120)
    assert set(spine.ids_at("/a")) == numbers
    assert len(spine.callback.received) == 120


async def test_the_check_drops_what_the_bindings_let_through(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a", filters={"bronorganisatie": "1", "beyond_slots": "x"})
    queue = names.abonnement_queue(abonnement.uuid)
    bodies = {
        "other value": {"bronorganisatie": "2", "beyondSlots": "x"},
        "other value beyond the slots": {"bronorganisatie": "1", "beyondSlots": "y"},
        "match": {"bronorganisatie": "1", "beyondSlots": "x"},
        "lacks one": {"bronorganisatie": "1"},
    }
    async with spine.deliverer():
        for number, kenmerken in bodies.items():
            body = json.dumps({"kanaal": "zaken", "kenmerken": kenmerken, "half": "\ud800"}).encode()
            await spine.publisher.publish(Outgoing(names.RETURN, queue, body, number))
        await spine.publisher.publish(Outgoing(names.RETURN, queue, b"not json", "unreadable"))
        await eventually(lambda: len(spine.callback.received) == 3)
    assert sorted(map(str, spine.ids_at("/a"))) == ["lacks one", "match", "unreadable"]
    assert await spine.depth_is(abonnement, 0)


async def test_garbage_in_headers_is_delivered_all_the_same(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    queue = names.abonnement_queue(abonnement.uuid)
    odd = {
        "nrc-attempts": "many",
        "nrc-failures": "[{",
        "nrc-due": True,
        "k.a": 5,
        "CC": ["x"],
        "nrc-abonnement": "",
    }
    async with spine.deliverer():
        await spine.publisher.publish(Outgoing(names.RETURN, queue, b"", "number-1", odd))
        await eventually(lambda: spine.callback.received)
    assert spine.callback.received[0].header("nrc-attempt") == "1"
    assert spine.callback.received[0].body == b""


async def test_a_message_whose_id_is_no_header_value_goes_out_under_another(spine: Delivering) -> None:
    """The same each time, and no header of its own."""
    abonnement = await spine.subscribe("/a")
    queue = names.abonnement_queue(abonnement.uuid)
    async with spine.deliverer():
        for _ in range(2):
            await spine.publisher.publish(Outgoing(names.RETURN, queue, b"{}", "a\r\nX-Injected: b"))
        await eventually(lambda: len(spine.ids_at("/a")) == 2)
    first, second = spine.ids_at("/a")
    assert first == second
    assert UUID(first).version == 5
    assert [received.header("x-injected") for received in spine.callback.received] == [None, None]


async def test_an_address_that_is_refused_is_a_failure_like_others(spine: Delivering) -> None:
    await spine.subscribe("/b")
    async with spine.deliverer(callback_allow_loopback=False):
        await spine.publish()
        messages: list[AbstractIncomingMessage] = []

        async def undeliverable() -> bool:
            messages.extend(await spine.undeliverable())
            return bool(messages)

        await eventually(undeliverable)
    failures = json.loads(str(messages[0].headers["nrc-failures"]))
    assert [each["class"] for each in failures] == ["address_refused"] * 3
    assert "NRC_CALLBACK_ALLOW_LOOPBACK" in failures[0]["detail"]
    assert spine.callback.connections == 0


FAILURES: dict[str, tuple[Script, str, int | None]] = {
    "/500": (status(500), "http_status", 500),
    "/401": (status(401), "http_status", 401),
    "/403": (status(403), "http_status", 403),
    "/404": (status(404), "http_status", 404),
    "/302": (status(302, headers={"Location": "/elsewhere"}), "redirect", 302),
    "/timeout": (hang(), "timeout", None),
    "/reset": (reset(), "connection_error", None),
    "/closed": (close(), "connection_error", None),
    "/not-http": (raw(b"220 mail.example.com ESMTP\r\n\r\n"), "connection_error", None),
}


async def test_each_failure_is_tried_again_and_told(spine: Delivering) -> None:
    paths = {}
    for path, (script, _, _) in FAILURES.items():
        paths[str((await spine.subscribe(path)).uuid)] = path
        spine.callback.script(path, script)
    messages: dict[str, AbstractIncomingMessage] = {}

    async def all_undeliverable() -> bool:
        for message in await spine.undeliverable():
            messages[paths[str(message.headers["nrc-abonnement"])]] = message
        return len(messages) == len(paths)

    async with spine.deliverer(retry_schedule="1", callback_timeout=2.0):
        number = await spine.publish()
        await eventually(all_undeliverable, within=30)
    for path, (_, kind, code) in FAILURES.items():
        # An attempt on a connection that was used before may be sent once more when that breaks.
        attempts = [received.header("nrc-attempt") for received in spine.callback.at(path)]
        assert list(dict.fromkeys(attempts)) == ["1", "2"]
        assert len(attempts) == 2 or path in ("/reset", "/closed")
        assert set(spine.ids_at(path)) == {number}
        failures = json.loads(str(messages[path].headers["nrc-failures"]))
        assert [(each["class"], each["status"]) for each in failures] == [(kind, code)] * 2
        assert all(each["detail"] for each in failures)
    assert spine.callback.at("/elsewhere") == []


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://does-not-exist.invalid/", "dns_error"),
        ("http://127.0.0.1:9/", "connection_refused"),
        ("https://127.0.0.1:{port}/", "tls_error"),
    ],
)
async def test_each_failure_to_connect_is_told(spine: Delivering, url: str, kind: str) -> None:
    async with await asyncio.start_server(_not_tls, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await spine.subscribe(url=url.format(port=port))
        async with spine.deliverer(retry_schedule=""):
            await spine.publish()
            (message,) = await eventually(spine.undeliverable)
    assert json.loads(str(message.headers["nrc-failures"]))[0]["class"] == kind


async def _not_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def test_the_retry_schedule_and_what_is_undeliverable(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500), status(503), hang())
    body = b'{"kanaal":"zaken","kenmerken":{"bronorganisatie":"7"}}'
    async with spine.deliverer(retry_schedule="1,2", callback_timeout=1.5):
        number = await spine.publish(body=body, bronorganisatie="7")
        (message,) = await eventually(spine.undeliverable, within=30)
    attempts = spine.callback.at("/a")
    assert [received.header("nrc-attempt") for received in attempts] == ["1", "2", "3"]
    assert all(received.body == body for received in attempts)
    assert attempts[1].at - attempts[0].at >= 1
    assert attempts[2].at - attempts[1].at >= 2
    assert message.body == body
    assert message.message_id == number
    assert message.timestamp is not None
    assert message.routing_key == names.abonnement_queue(abonnement.uuid)
    headers = dict(message.headers)
    headers.pop("x-delivery-count", None)  # of the queue that we read it from
    failures = json.loads(str(headers.pop("nrc-failures")))
    assert [(each["class"], each["status"]) for each in failures] == [
        ("http_status", 500), ("http_status", 503), ("timeout", None),
    ]  # fmt: skip
    moments = [datetime.fromisoformat(each["at"]) for each in failures]
    assert moments == sorted(moments)
    assert moments[-1] <= datetime.fromisoformat(str(headers.pop("nrc-undeliverable-at")))
    assert headers == {"k.bronorganisatie": "7", "nrc-abonnement": str(abonnement.uuid), "nrc-attempts": 3}


async def test_what_was_delivered_before_counts_on(spine: Delivering) -> None:
    await spine.subscribe("/a")
    spine.callback.script("/a", status(500), status(500), status(204))
    async with spine.deliverer():
        await spine.publish(hops=3)
        seen = await eventually(lambda: len(spine.callback.at("/a")) == 3 and spine.callback.at("/a"))
    assert [received.header("nrc-hops") for received in seen] == ["4", "4", "4"]


async def test_a_retry_that_succeeds_ends_it(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500), status(204))
    async with spine.deliverer():
        await spine.publish()
        await eventually(lambda: len(spine.callback.received) == 2)
        await eventually(lambda: _is_empty(spine, names.wait_queue(1)))
    assert await spine.depth_is(abonnement, 0)
    assert await spine.undeliverable() == []


async def _is_empty(spine: Delivering, queue: str) -> bool:
    return await spine.depth(queue) == 0


async def test_retry_after_is_never_early_and_at_most_two_seconds_late(spine: Delivering) -> None:
    date = (datetime.now(UTC) + timedelta(seconds=4)).replace(microsecond=0)
    asked = {
        "/429": status(429, headers={"Retry-After": "3"}),
        "/503": status(503, headers={"Retry-After": "3"}),
        "/date": status(503, headers={"Retry-After": format_datetime(date, usegmt=True)}),
    }
    for path, script in asked.items():
        await spine.subscribe(path)
        spine.callback.script(path, script, status(204))
    date_came: list[datetime] = []
    async with spine.deliverer():
        await spine.publish()
        await eventually(lambda: len(spine.callback.at("/date")) == 2)
        date_came.append(datetime.now(UTC))
        await eventually(lambda: len(spine.callback.received) == 6)
    for path in ("/429", "/503"):
        first, second = spine.callback.at(path)
        assert 3 <= second.at - first.at <= 5
        assert second.header("nrc-attempt") == "2"
    assert 0 <= (date_came[0] - date).total_seconds() <= 2.5


async def test_retry_after_never_makes_an_attempt_sooner(spine: Delivering) -> None:
    await spine.subscribe("/a")
    spine.callback.script("/a", status(503, headers={"Retry-After": "1"}), status(204))
    async with spine.deliverer(retry_schedule="3"):
        await spine.publish()
        await eventually(lambda: len(spine.callback.received) == 2)
    first, second = spine.callback.received
    assert 3 <= second.at - first.at <= 5


async def test_a_callback_that_takes_a_few_at_a_time_gets_them_all(
    spine: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once, most would use up their attempts on its 429."""
    monkeypatch.setattr("deliverer.attempting.deliver.PAUSE", 0.1)
    moments: Counter[int] = Counter()
    taken: set[str | None] = set()

    async def a_few(wire: Wire, received: Received) -> bool:
        moment = int(received.at / 0.2)
        moments[moment] += 1
        if moments[moment] > 5:
            return await status(429)(wire, received)
        taken.add(received.header("webhook-id"))
        return await status(204)(wire, received)

    spine.callback.script("/few", a_few)
    await spine.subscribe("/few")
    published = {await spine.publish() for _ in range(150)}
    async with spine.deliverer(retry_schedule=",".join(["1"] * 10)):
        await eventually(lambda: taken == published, within=60)
    assert sum(moments.values()) < 3 * len(published), "refused less than twice each"
    assert await spine.undeliverable() == []


async def test_what_waits_too_long_for_its_turn_comes_back_later(
    spine: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 30 minutes RabbitMQ would close the channel, with all that others have in hand on it."""
    monkeypatch.setattr("deliverer.attempting.deliver.LONGEST_TURN", 0.2)
    await spine.subscribe("/a")
    spine.callback.script("/a", status(429, headers={"Retry-After": "8"}), status(204))

    async def came_back() -> bool:
        return await spine.depth(names.wait_queue(2)) == 5

    async with spine.deliverer():
        await spine.publish()
        await eventually(lambda: len(spine.callback.received) == 1)
        published = {await spine.publish() for _ in range(5)}
        await eventually(came_back)
        await eventually(lambda: set(spine.ids_at("/a")) > published, within=30)
        await eventually(lambda: len(spine.callback.received) == 7)
    attempts = Counter(received.header("nrc-attempt") for received in spine.callback.received)
    assert attempts == {"1": 6, "2": 1}
    assert await spine.undeliverable() == []


async def test_retry_after_costs_an_attempt(spine: Delivering) -> None:
    await spine.subscribe("/a")
    spine.callback.script("/a", status(429, headers={"Retry-After": "1"}))
    async with spine.deliverer(retry_schedule="1,1"):
        await spine.publish()
        (message,) = await eventually(spine.undeliverable)
    assert message.headers["nrc-attempts"] == 3
    assert "nrc-due" not in message.headers
    assert len(spine.callback.received) == 3


async def test_a_step_without_a_wait_queue_of_its_own_goes_through_the_ladder(spine: Delivering) -> None:
    await spine.subscribe("/a")
    spine.callback.script("/a", status(500), status(204))
    async with spine.deliverer(retry_schedule="3"):  # the router of these tests has 1 and 2, and the rungs
        await spine.publish()
        await eventually(lambda: len(spine.callback.received) == 2)
    first, second = spine.callback.received
    assert 3 <= second.at - first.at <= 5
    assert second.header("nrc-attempt") == "2"


async def test_a_wait_queue_that_was_deleted_is_gone_round_and_repaired(spine: Delivering) -> None:
    await spine.subscribe("/a")
    spine.callback.script("/a", status(500), status(204))
    channel = spine.router.connection.channel()
    await channel.initialize()
    await channel.queue_delete(names.wait_queue(2))
    await channel.exchange_delete(names.wait_queue(4))
    async with spine.deliverer(retry_schedule="2"):
        await spine.publish()
        await eventually(lambda: len(spine.callback.received) == 2)
        await eventually(lambda: _stands(spine, names.wait_queue(2)))
        spine.callback.script("/a", status(429, headers={"Retry-After": "4"}), status(204))
        await spine.publish()
        await eventually(lambda: len(spine.callback.received) == 4)
    first, second, third, fourth = spine.callback.received
    assert 2 <= second.at - first.at <= 4
    assert 4 <= fourth.at - third.at <= 6


async def _stands(spine: Delivering, queue: str) -> bool:
    return await spine.depth(queue) >= 0


async def test_410_suspends_and_holds_everything_until_it_is_resumed(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(410))
    numbers = {await spine.publish() for _ in range(5)}
    async with spine.deliverer(), spine.deliverer():
        await eventually(lambda: spine.state_is(abonnement, State.SUSPENDED))
        await eventually(lambda: spine.depth_is(abonnement, 5))
        asked = len(spine.callback.received)
        assert asked <= 25, "it goes round and round"
        numbers.add(await spine.publish())
        await eventually(lambda: spine.depth_is(abonnement, 6))
        assert len(spine.callback.received) == asked
        spine.callback.script("/a", status(204))
        await spine.set_state(abonnement, State.ACTIVE)
        await eventually(lambda: len(spine.callback.received) == asked + 6)
    assert set(spine.ids_at("/a")[asked:]) == numbers
    assert {received.header("nrc-attempt") for received in spine.callback.received} == {"1"}
    assert await spine.undeliverable() == []


async def test_a_410_of_a_former_address_does_not_suspend(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    go_on = asyncio.Event()
    spine.callback.script("/a", when(go_on, status(410)))
    async with spine.deliverer():
        number = await spine.publish()
        await eventually(lambda: spine.callback.under_way("/a"))
        await spine.change(abonnement, callback_url=spine.callback.url("/b"))
        go_on.set()
        await eventually(lambda: spine.ids_at("/b") == [number])
    assert await spine.state_is(abonnement, State.ACTIVE)


async def test_a_new_address_and_auth_hold_for_waiting_messages_too(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a", auth="Token old")
    spine.callback.script("/a", status(500))
    async with spine.deliverer():
        number = await spine.publish()
        await eventually(lambda: spine.callback.at("/a"))
        await spine.change(abonnement, callback_url=spine.callback.url("/b"), auth="Token new")
        (received,) = await eventually(lambda: spine.callback.at("/b"))
    assert len(spine.callback.at("/a")) == 1
    assert received.header("authorization") == "Token new"
    assert received.header("webhook-id") == number
    assert received.header("nrc-attempt") == "2"


async def test_a_waiting_message_that_new_filters_do_not_want_is_dropped(spine: Delivering) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500), status(204))
    async with spine.deliverer():
        await spine.publish(bronorganisatie="1")
        await eventually(lambda: spine.callback.at("/a"))
        await spine.change(abonnement, kanalen=(group("zaken", bronorganisatie="2"),))
        await eventually(lambda: spine.depth_is(abonnement, 0, waiting=0))
        number = await spine.publish(bronorganisatie="2")
        await eventually(lambda: len(spine.callback.at("/a")) == 2)
    assert spine.ids_at("/a")[1] == number
    assert await spine.undeliverable() == []


async def test_no_more_at_once_than_prefetch_and_concurrency(spine: Delivering) -> None:
    for path in ("/a", "/b", "/c"):
        await spine.subscribe(path)
        spine.callback.script(path, status(204, after=0.02))
    for _ in range(40):
        await spine.publish()
    async with spine.deliverer(deliverer_prefetch=4, deliverer_concurrency=100):
        await eventually(lambda: len(spine.callback.received) == 120)
    assert {spine.callback.most_at_once(path) for path in ("/a", "/b", "/c")} == {4}

    for path in ("/a", "/b", "/c"):
        spine.callback.script(path, status(204, after=0.02))
    for _ in range(20):
        await spine.publish()
    async with spine.deliverer(deliverer_prefetch=50, deliverer_concurrency=6):
        await eventually(lambda: len(spine.callback.received) == 180)
    # One host gets half of the places.
    assert max(spine.callback.most_at_once(path) for path in ("/a", "/b", "/c")) <= 3


async def test_a_callback_that_hangs_holds_up_no_other_on_its_host_or_elsewhere(spine: Delivering) -> None:
    await spine.subscribe("/slow")
    spine.callback.script("/slow", hang())
    async with (
        CallbackServer() as other,
        spine.deliverer(deliverer_concurrency=8, callback_timeout=60, stop_timeout=0.5),
    ):
        for _ in range(20):
            await spine.publish()
        await eventually(lambda: spine.callback.under_way("/slow") == 2)
        await spine.subscribe(url=other.url("/fast"))
        await spine.subscribe("/beside")
        for _ in range(20):
            await spine.publish()
        await eventually(lambda: len(other.received) == 20)
        await eventually(lambda: len(spine.callback.at("/beside")) == 20)
        assert spine.callback.most_at_once("/slow") == 2
        spine.callback.script("/slow", status(204))


async def test_no_secret_and_one_id_in_the_log(spine: Delivering) -> None:
    await spine.subscribe("/a", auth="Bearer very-secret")
    spine.callback.script("/a", status(500), status(204))
    with capture_logs() as lines:
        async with spine.deliverer():
            number = await spine.publish()
            await eventually(lambda: len(spine.callback.received) == 2)
            await eventually(lambda: any(line["event"] == "delivered" for line in lines))
    assert "very-secret" not in repr(lines)
    told = [line for line in lines if line.get("notificatie") == number]
    assert [(line["event"], line["attempt"]) for line in told] == [("attempt failed", 1), ("delivered", 2)]
    assert told[0]["failure"] == "http_status"


@pytest.fixture
def no_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deliverer hears of no change: its process was frozen for a moment, or the hint was lost."""

    async def follow_none(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("deliverer.consuming.consumers.follow_changes", follow_none)


@pytest.mark.usefixtures("no_hints")
@pytest.mark.parametrize("of", ["filters", "callback"])
async def test_what_was_changed_before_a_message_came_holds_for_it(spine: Delivering, of: str) -> None:
    abonnement = await spine.subscribe("/old", filters={"bronorganisatie": "1"})
    async with spine.deliverer():
        await eventually(lambda: spine.consumers_are(abonnement, 1))
        if of == "filters":
            await spine.change(abonnement, kanalen=(group(spine.kanaal.naam, bronorganisatie="2"),))
            path, kenmerk = "/old", "2"
        else:
            await spine.change(abonnement, callback_url=spine.callback.url("/new"))
            path, kenmerk = "/new", "1"
        ids = [await spine.publish(bronorganisatie=kenmerk) for _ in range(3)]
        await eventually(lambda: sorted(map(str, spine.ids_at(path))) == sorted(ids))


@pytest.mark.usefixtures("no_hints")
async def test_a_registry_that_cannot_be_read_drops_nothing(
    spine: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows then whether the message is wanted, so it comes back until somebody does."""
    abonnement = await spine.subscribe("/", filters={"bronorganisatie": "1", "zaaktype": "x"})
    async with spine.deliverer():
        await eventually(lambda: spine.consumers_are(abonnement, 1))
        unreadable = AsyncMock(side_effect=RegistryError("locked"))
        with monkeypatch.context() as patched:
            patched.setattr(SqliteRegistry, "changes_since", unreadable)
            other = (group(spine.kanaal.naam, bronorganisatie="2"),)
            await spine.router.registry.change_abonnement(
                abonnement.uuid, lambda latest: replace(latest, kanalen=other)
            )
            # The binding for an absent zaaktype lets both through.
            wanted_now = await spine.publish(bronorganisatie="2")
            wanted_before = await spine.publish(bronorganisatie="1")
            await eventually(lambda: wanted_before in spine.ids_at("/"))
            await eventually(lambda: spine.depth_is(abonnement, 0, waiting=None))
        await eventually(lambda: wanted_now in spine.ids_at("/"))


async def test_a_waiting_message_of_a_kanaal_that_was_taken_off_is_dropped(spine: Delivering) -> None:
    """Also when the abonnement has no filters."""
    abonnement = await spine.subscribe("/")
    await spine.publish()
    await eventually(lambda: spine.depth_is(abonnement, 1))
    await spine.change(abonnement, kanalen=())
    async with spine.deliverer():
        await eventually(lambda: spine.consumers_are(abonnement, 1))
        await eventually(lambda: spine.depth_is(abonnement, 0))
        await spine.change(abonnement, kanalen=(group(spine.kanaal.naam),))
        wanted = await spine.publish()
        await eventually(lambda: wanted in spine.ids_at("/"))
    assert spine.ids_at("/") == [wanted]
