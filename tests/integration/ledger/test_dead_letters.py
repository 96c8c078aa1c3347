"""Dead letters in `nrc.undeliverable`: they are given back by the ledger, or end in it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
import structlog
from aio_pika import DeliveryMode, Message

from deliverer.http.client import Failure, FailureClass
from ledger.ids import id_of_message, new_id
from ledger.values import UNKNOWN, Key, Outcome, State
from router import names
from router.history import HOPS, History, read_history, write_headers
from schemas.abonnement import Abonnement
from tests.chaos.faults.files import locked
from tests.eventually import eventually
from tests.integration.ledger.keeping import PATIENCE, Kept, process, works
from tests.make import an_abonnement

AT = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)
HTTP_500 = Failure(FailureClass.HTTP_STATUS, "answered 500", 500)


def failed(times: int = 2, *, round_: int = 0) -> History:
    """A history of so many failed attempts."""
    history = History(round=round_)
    for number in range(times):
        history = history.after(HTTP_500, at=AT + timedelta(minutes=number))
    return history


def given_up(abonnement: Abonnement, history: History | None = None) -> dict[str, Any]:
    """The headers of what a deliverer gave up."""
    return dict(write_headers(abonnement.uuid, history or failed(), undeliverable_at=AT + timedelta(hours=1)))


async def hand_over(
    kept: Kept,
    message_id: str | None,
    headers: Mapping[str, Any],
    *,
    body: bytes = b"{}",
    key: str = "",
) -> None:
    """A message in `nrc.undeliverable`, as RabbitMQ or a deliverer puts it there."""
    async with kept.router.connection.channel() as channel:
        exchange = await channel.get_exchange(names.UNDELIVERABLE)
        message = Message(
            body,
            message_id=message_id,
            headers=dict(headers),
            timestamp=AT,
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        await exchange.publish(message, key)


async def ready(kept: Kept, queue: str = names.UNDELIVERABLE) -> int:
    """Messages that are ready in a queue, so without those that somebody holds."""
    async with kept.router.connection.channel() as channel:
        found = await channel.declare_queue(queue, passive=True)
    return found.declaration_result.message_count or 0


async def all_taken(kept: Kept) -> None:
    """Return when a keeper has all that was handed over until now: it takes them in their order."""
    last = await kept.accept(other := an_abonnement(), mark=False)
    await hand_over(kept, str(last.id), given_up(other), body=last.body)
    await eventually(lambda: kept.is_(last, other, (State.UNDELIVERABLE, 0)))


async def state_of(kept: Kept, id_: UUID, abonnement: UUID) -> State | None:
    row = await kept.ledger.delivery(Key(id_, abonnement))
    return None if row is None else row.state


async def is_(kept: Kept, id_: UUID, abonnement: UUID, state: State) -> bool:
    return await state_of(kept, id_, abonnement) is state


async def test_what_has_our_verdict_is_undeliverable_and_acknowledged_then(kept: Kept) -> None:
    one, other = await kept.subscribe(), await kept.subscribe()
    entry = await kept.accept(one, other, mark=False)
    await hand_over(kept, str(entry.id), given_up(one), body=entry.body)
    async with kept.keeper():
        await eventually(lambda: kept.is_(entry, one, (State.UNDELIVERABLE, 0)))
    assert await ready(kept) == 0
    attempts = await kept.ledger.attempts(Key(entry.id, one.uuid))
    assert [(each.number, each.kind, each.status) for each in attempts] == [
        (1, "http_status", 500),
        (2, "http_status", 500),
    ]
    row = await kept.row(entry, one)
    assert (row.attempts, row.last_at) == (2, round((AT + timedelta(hours=1)).timestamp() * 1000))
    assert await kept.is_(entry, other, (State.PENDING, 0))
    # After the last attempt there was no other.
    counted = (await kept.ledger.counts(since=0)).came_to[one.uuid]
    assert counted == {State.RETRYING: 1, State.UNDELIVERABLE: 1}


async def test_it_changes_nothing_of_what_is_settled_or_newer(kept: Kept) -> None:
    one = await kept.subscribe()
    delivered, removed, again = [await kept.accept(one, mark=False) for _ in range(3)]
    for entry, state, round_ in (
        (delivered, State.DELIVERED, 0),
        (removed, State.REMOVED, 0),
        (again, State.PENDING, 1),
    ):
        outcome = Outcome(Key(entry.id, one.uuid), state, round=round_, attempts=0, at=entry.received)
        await kept.ledger.write([outcome])
    before = [await kept.row(entry, one) for entry in (delivered, removed, again)]
    for entry in (delivered, removed, again):
        await hand_over(kept, str(entry.id), given_up(one), body=entry.body)
        await hand_over(kept, str(entry.id), {}, body=entry.body, key=names.abonnement_queue(one.uuid))
    async with kept.keeper():
        await all_taken(kept)
    assert await ready(kept) == 0
    assert [await kept.row(entry, one) for entry in (delivered, removed, again)] == before
    assert await kept.taken(one) == []


async def test_what_the_ledger_does_not_know_gets_its_entry(kept: Kept) -> None:
    one = await kept.subscribe()
    id_ = uuid4()  # as an older version made them
    body = orjson.dumps(
        {
            "kanaal": kept.kanaal.naam,
            "resource": "zaak",
            "actie": "create",
            "hoofdObject": "https://zaken.example.nl/1",
            "resourceUrl": "https://zaken.example.nl/1/2",
            "kenmerken": {"zaaktype": "Z1"},
        }
    )
    await hand_over(kept, str(id_), given_up(one) | {HOPS: "3"}, body=body)
    async with kept.keeper():
        await eventually(lambda: is_(kept, id_, one.uuid, State.UNDELIVERABLE))
    found = await kept.ledger.notificatie(id_)
    assert found is not None
    assert (found.body, found.kanaal, found.resource, found.actie, found.hops) == (
        body,
        kept.kanaal.naam,
        "zaak",
        "create",
        3,
    )
    assert found.received == int(AT.timestamp()) * 1000  # AMQP has seconds
    assert len(await kept.ledger.attempts(Key(id_, one.uuid))) == 2
    (listed,) = await kept.ledger.undeliverable(limit=10)
    assert listed.key == Key(id_, one.uuid)
    # The entry of the gateway that is written later knows for whom else it was.
    other = await kept.subscribe()
    entry = await kept.accept(one, other, mark=False, id=id_, body=body)
    assert await kept.states(entry) == {
        one.uuid: (State.UNDELIVERABLE, 0),
        other.uuid: (State.PENDING, 0),
    }


@pytest.mark.parametrize(
    ("message_id", "headers", "body"),
    [
        (None, {}, b""),
        ("by hand", {"nrc-abonnement": 7, "nrc-failures": "{", "nrc-undeliverable-at": "yesterday"}, b"\xff"),
        (str(uuid4()), {"nrc-abonnement": "\x00", "nrc-attempts": -1}, b'{"kanaal": ["\\ud800"]}'),
        (str(new_id()), {}, b'{"kanaal": "\\ud800", "kenmerken": {"\\ud800": 1}}'),
        (str(new_id()), {}, b"[" * 10_000),
    ],
    ids=range(5),  # the same in every process
)
async def test_what_cannot_be_read_is_kept_as_of_no_abonnement(
    kept: Kept, message_id: str | None, headers: dict[str, Any], body: bytes
) -> None:
    one = await kept.subscribe()
    entry = await kept.accept(one, mark=False)
    await hand_over(kept, message_id, headers, body=body)
    await hand_over(kept, str(entry.id), given_up(one), body=entry.body)
    async with kept.keeper():
        await eventually(lambda: kept.is_(entry, one, (State.UNDELIVERABLE, 0)))
    (row,) = [each for each in await kept.ledger.undeliverable(limit=10) if each.key.notificatie != entry.id]
    assert row.key.abonnement == UNKNOWN
    if message_id is not None:
        assert row.key.notificatie == id_of_message(message_id)
    found = await kept.ledger.notificatie(row.key.notificatie)
    assert found is not None
    assert found.body == body
    assert [each.kind for each in await kept.ledger.attempts(row.key)] == ["unknown_abonnement"]
    assert await ready(kept) == 0


async def test_what_rabbitmq_dropped_is_given_back_three_times_and_is_stuck_then(kept: Kept) -> None:
    """As under a policy with a time to live of next to nothing."""
    one = await kept.subscribe()
    queue = names.abonnement_queue(one.uuid)
    entry = await kept.accept(one, mark=False)
    await hand_over(kept, str(entry.id), {}, body=entry.body, key=queue)
    rounds: list[int] = []

    async def dropped() -> bool:
        for message in await kept.taken(one):
            rounds.append(read_history(message.headers).round)
            await hand_over(kept, message.message_id, message.headers, body=message.body, key=queue)
        return await kept.is_(entry, one, (State.STUCK, 3))

    with structlog.testing.capture_logs() as lines:
        async with kept.keeper(patience=PATIENCE):
            await eventually(dropped, within=30, every=0.1)
    assert rounds == [1, 2, 3]
    assert (await kept.row(entry, one)).given == 3
    waits = [line["seconds"] for line in lines if line["event"] == "dropped by RabbitMQ, to be given back"]
    assert waits == [0.0, 0.5, 0.6]
    assert any(line["event"] == "dropped by RabbitMQ for the fourth time" for line in lines)
    assert await ready(kept) == 0


async def test_where_a_retry_found_no_way_back_the_next_one_does(kept: Kept) -> None:
    """Somebody removed the binding by which they come out of a wait queue."""
    one = await kept.subscribe()
    name = names.abonnement_queue(one.uuid)
    async with kept.router.connection.channel() as channel:
        queue = await channel.get_queue(name, ensure=False)
        back = await channel.get_exchange(names.RETURN, ensure=False)
        await queue.unbind(names.RETURN, name)
        entry = await kept.accept(one, mark=False)
        await back.publish(Message(entry.body, message_id=str(entry.id)), name)

        async def leads_back() -> bool:
            await back.publish(Message(b"{}", message_id="later"), name)
            return "later" in [message.message_id for message in await kept.taken(one)]

        async with kept.keeper(patience=PATIENCE):
            await eventually(leads_back)


async def test_what_was_dropped_after_attempts_goes_on_with_these(kept: Kept) -> None:
    """Out of a wait queue to a queue that somebody deleted; the ledger knows neither attempts nor entry."""
    one = await kept.subscribe()
    id_ = new_id()
    body = orjson.dumps({"kanaal": kept.kanaal.naam, "kenmerken": {"zaaktype": "Z1"}})
    headers = write_headers(one.uuid, failed(3, round_=2))
    await hand_over(kept, str(id_), headers, body=body, key=names.abonnement_queue(one.uuid))
    async with kept.keeper():
        await eventually(lambda: _has(kept, one, 1))
    (message,) = await kept.taken(one)
    assert message.message_id == str(id_)
    assert message.body == body
    history = read_history(message.headers)
    assert (history.attempts, history.round) == (3, 3)
    attempts = await kept.ledger.attempts(Key(id_, one.uuid))
    assert [(each.number, each.kind) for each in attempts] == [
        *((number, "http_status") for number in (1, 2, 3)),
        (0, "returned"),
    ]


async def _has(kept: Kept, abonnement: Abonnement, count: int) -> bool:
    return await ready(kept, names.abonnement_queue(abonnement.uuid)) == count


async def test_without_a_row_it_is_given_back_to_whom_it_was_for(kept: Kept) -> None:
    """Bindings let through more than filters do, and what is not wanted is not given back."""
    registry = kept.router.registry
    unwanting = await registry.add_abonnement(an_abonnement((kept.kanaal.naam, {"zaaktype": "Z2"})))
    wanting = await registry.add_abonnement(an_abonnement((kept.kanaal.naam, {"zaaktype": "Z1"})))
    for each in (unwanting, wanting):
        await kept.router.client.apply_abonnement(each.uuid)
    entry = await kept.accept(mark=False)
    for each in (unwanting, wanting):
        await hand_over(kept, str(entry.id), {}, body=entry.body, key=names.abonnement_queue(each.uuid))
    async with kept.keeper():
        await eventually(lambda: _has(kept, wanting, 1))
        await eventually(lambda: kept.is_(entry, wanting, (State.PENDING, 1)))
    assert await kept.states(entry) == {wanting.uuid: (State.PENDING, 1)}
    assert await kept.taken(unwanting) == []


async def test_of_a_removed_abonnement_it_is_undeliverable(kept: Kept) -> None:
    one = await kept.subscribe()
    entry = await kept.accept(one, mark=False)
    async with kept.keeper(removed=600.0):
        assert await kept.router.registry.remove_abonnement(one.uuid)
        await kept.router.client.apply_abonnement(one.uuid)
        await hand_over(kept, str(entry.id), {}, body=entry.body, key=names.abonnement_queue(one.uuid))
        await eventually(lambda: kept.is_(entry, one, (State.UNDELIVERABLE, 0)))
    assert [each.kind for each in await kept.ledger.attempts(Key(entry.id, one.uuid))] == [
        "abonnement_removed"
    ]


async def test_while_no_keeper_runs_they_stay_and_of_two_keepers_each_is_taken_once(kept: Kept) -> None:
    one = await kept.subscribe()
    entries = [await kept.accept(one, mark=False) for _ in range(250)]
    for entry in entries[:200]:
        await hand_over(kept, str(entry.id), given_up(one), body=entry.body)
    assert await ready(kept) == 200
    async with kept.keeper(), kept.keeper():
        for entry in entries[200:]:
            await hand_over(kept, str(entry.id), given_up(one), body=entry.body)
        await eventually(lambda: _count_is(kept, 250))
    assert await ready(kept) == 0


async def _count_is(kept: Kept, count: int) -> bool:
    return await kept.ledger.undeliverable_count() == count


async def test_a_keeper_that_is_killed_between_commit_and_acknowledgement_loses_nothing(kept: Kept) -> None:
    one = await kept.subscribe()
    entries = [await kept.accept(one, mark=False) for _ in range(20)]
    dropped = [await kept.accept(one, mark=False) for _ in range(20)]
    async with process(kept) as first:
        await eventually(lambda: works(kept, first))
        for entry in entries:
            await hand_over(kept, str(entry.id), given_up(one), body=entry.body)
        for entry in dropped:
            await hand_over(kept, str(entry.id), {}, body=entry.body, key=names.abonnement_queue(one.uuid))
        await eventually(partial(_some, kept), every=0.001)
        first.send_signal(signal.SIGKILL)
    async with process(kept) as second:
        await eventually(lambda: works(kept, second))
        await eventually(lambda: _count_is(kept, 20), within=30)
        # One that was under way when the first was killed may come twice.
        given: set[str | None] = set()

        async def all_given() -> bool:
            given.update(message.message_id for message in await kept.taken(one))
            return given == {str(each.id) for each in dropped}

        await eventually(all_given, within=60)
        await eventually(partial(_all_in_hand, kept), within=60)


async def _some(kept: Kept) -> bool:
    return await kept.ledger.undeliverable_count() > 0


async def test_committed_and_not_acknowledged_it_comes_again_and_changes_nothing(kept: Kept) -> None:
    """As when the keeper died in between: each time, whatever became of it."""
    one = await kept.subscribe()
    ended, dropped = await kept.accept(one, mark=False), await kept.accept(one, mark=False)
    await hand_over(kept, str(ended.id), given_up(one), body=ended.body)
    await hand_over(kept, str(dropped.id), {}, body=dropped.body, key=names.abonnement_queue(one.uuid))
    async with kept.router.connection.channel() as channel:
        queue = await channel.get_queue(names.UNDELIVERABLE)
        copies = [await queue.get(), await queue.get()]  # given back with the channel
    async with kept.keeper():
        await eventually(lambda: kept.is_(dropped, one, (State.PENDING, 1)))
        for copy in copies:
            await hand_over(kept, copy.message_id, copy.headers, body=copy.body, key=copy.routing_key or "")
        await all_taken(kept)
        before = await kept.row(ended, one), await kept.row(dropped, one)
    assert before[0].state is State.UNDELIVERABLE
    assert (before[1].state, before[1].round, before[1].given) == (State.PENDING, 1, 1)
    assert len(await kept.taken(one)) == 1


async def test_while_the_ledger_is_locked_they_wait_and_then_all_are_in_it(kept: Kept) -> None:
    one = await kept.subscribe()
    entries = [await kept.accept(one, mark=False) for _ in range(5)]
    file = kept.router.settings.registry_file.with_name("ledger.db")
    async with kept.keeper():
        await eventually(lambda: _keeper_works(kept))
        async with locked(file):
            for entry in entries:
                await hand_over(kept, str(entry.id), given_up(one), body=entry.body)
            await eventually(lambda: _all_in_hand(kept))
            assert await kept.ledger.undeliverable_count() == 0
        await eventually(lambda: _count_is(kept, 5), within=30)
    assert await ready(kept) == 0


async def _all_in_hand(kept: Kept) -> bool:
    return await ready(kept) == 0


async def _keeper_works(kept: Kept) -> bool:
    return await kept.ledger.keeping.lease() is not None
