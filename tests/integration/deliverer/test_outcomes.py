"""What became of each delivery reaches the ledger, and nothing waits for that."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from uuid import UUID, uuid4

import orjson
import pytest
import structlog

from deliverer.attempting.deliver import prepare
from deliverer.attempting.settle import Origin
from ledger.ids import new_id, received_of
from ledger.keeper.service import serve as keep
from ledger.ledger import Ledger
from ledger.opening import LEDGER_FILE
from ledger.tables.rows import STATES, Counter, unpack_keys
from ledger.values import Delivery, Entry, Key, Outcome, State
from router import names
from router.publishing import Outgoing
from router.routing import route
from schemas.abonnement import Abonnement
from schemas.abonnement import State as Condition
from schemas.notificatie import Notificatie
from tests.callback_server import status, when
from tests.eventually import eventually
from tests.integration.cli.test_cli_broker import nrc
from tests.integration.conftest import running
from tests.integration.deliverer.delivering import Delivering, group
from tests.integration.deliverer.test_delivery_workers import start_process
from tests.integration.ledger.keeping import SHORT

pytestmark = pytest.mark.usefixtures("broker")


async def row(ledger: Ledger, id_: str, abonnement: Abonnement, replay: int = 0) -> Delivery | None:
    return await ledger.delivery(Key(UUID(id_), abonnement.uuid, replay))


async def state_of(ledger: Ledger, id_: str, abonnement: Abonnement) -> State | None:
    found = await row(ledger, id_, abonnement)
    return found.state if found else None


async def accept(
    spine: Delivering, ledger: Ledger, *abonnementen: Abonnement, catalogue: int = 1, **kenmerken: str
) -> str:
    """Publish a notificatie and write its entry, as the gateway does; its id."""
    id_ = new_id()
    body = orjson.dumps({"kanaal": spine.kanaal.naam, "kenmerken": kenmerken})
    notificatie = Notificatie(spine.kanaal.naam, "zaak", "create", kenmerken, body)
    entry = Entry(
        id=id_,
        received=int(datetime.now(UTC).timestamp() * 1000),
        client="bron",
        kanaal=spine.kanaal.naam,
        resource="zaak",
        actie="create",
        hoofd_object="https://zaken.example.nl/1",
        resource_url="https://zaken.example.nl/1",
        kenmerken=kenmerken,
        body=body,
        catalogue=catalogue,
        matched=tuple(each.uuid for each in abonnementen),
    )
    await ledger.write([entry])
    await spine.publisher.publish(
        route(spine.kanaal, notificatie, message_id=str(id_), accepted_at=datetime.now(UTC))
    )
    return str(id_)


async def give_back(
    spine: Delivering, id_: str, abonnement: Abonnement, *, round_: int, replay: int = 0, attempts: int = 0
) -> None:
    """Publish it to its one queue, as the keeper does."""
    await spine.publisher.publish(
        Outgoing(
            exchange=names.RETURN,
            routing_key=names.abonnement_queue(abonnement.uuid),
            body=orjson.dumps({"kanaal": spine.kanaal.naam, "kenmerken": {}}),
            message_id=id_,
            headers={"nrc-round": round_, "nrc-replay": replay, "nrc-attempts": attempts},
            timestamp=datetime.now(UTC),
        )
    )


async def test_a_delivery_reaches_the_ledger_and_is_acknowledged(spine: Delivering, ledger: Ledger) -> None:
    abonnement = await spine.subscribe("/a")
    async with spine.deliverer():
        ids = [await accept(spine, ledger, abonnement) for _ in range(20)]
        for id_ in ids:
            await eventually(lambda id_=id_: _is(ledger, id_, abonnement, State.DELIVERED))  # type: ignore[misc]
        found = await row(ledger, ids[0], abonnement)
        assert found is not None
        assert (found.attempts, found.round, found.status) == (1, 0, 204)
        assert found.ms is not None
        assert found.ms > 0
    assert await spine.depth(names.abonnement_queue(abonnement.uuid)) == 0
    assert sorted(map(str, spine.ids_at("/a"))) == sorted(ids)


async def _is(ledger: Ledger, id_: str, abonnement: Abonnement, state: State) -> bool:
    return await state_of(ledger, id_, abonnement) is state


async def test_each_failed_attempt_is_kept_with_when_the_next_is_due(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500), status(503), status(204))
    async with spine.deliverer(retry_schedule="1,2"):
        id_ = await accept(spine, ledger, abonnement)
        await eventually(lambda: _is(ledger, id_, abonnement, State.RETRYING))
        found = await row(ledger, id_, abonnement)
        assert found is not None
        assert found.next_at is not None
        await eventually(lambda: _is(ledger, id_, abonnement, State.DELIVERED))
    found = await row(ledger, id_, abonnement)
    assert found is not None
    assert found.attempts == 3
    attempts = await ledger.attempts(Key(UUID(id_), abonnement.uuid))
    assert [(each.number, each.kind, each.status) for each in attempts] == [
        (1, "http_status", 500),
        (2, "http_status", 503),
    ]
    assert all(each.ms is not None for each in attempts)


async def test_what_has_no_attempt_left_is_undeliverable_in_the_ledger(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500))
    async with spine.deliverer(retry_schedule="1"):
        id_ = await accept(spine, ledger, abonnement)
        await eventually(lambda: _is(ledger, id_, abonnement, State.UNDELIVERABLE))
    attempts = await ledger.attempts(Key(UUID(id_), abonnement.uuid))
    assert [each.number for each in attempts] == [1, 2]
    found = await row(ledger, id_, abonnement)
    assert found is not None
    assert found.attempts == 2


async def test_deliverer_and_keeper_tell_what_is_undeliverable_as_one(
    spine: Delivering, ledger: Ledger
) -> None:
    """Whichever is first: each attempt is there once, and it is counted once."""
    spine.callback.script("/a", status(500))
    every = [await spine.subscribe("/a", filters={"zaaktype": str(number)}) for number in range(5)]
    keys = []
    async with running(keep, spine.router.settings, limits=SHORT), spine.deliverer(retry_schedule="1"):
        for _ in range(4):  # of each; more would hold the abonnement
            for number, abonnement in enumerate(every):
                id_ = await accept(spine, ledger, abonnement, zaaktype=str(number))
                keys.append(Key(UUID(id_), abonnement.uuid))
                await asyncio.sleep(0.02)
        await eventually(lambda: _count_is(ledger, len(keys)))
    assert await spine.depth(names.UNDELIVERABLE) == 0
    for key in keys:
        attempts = await ledger.attempts(key)
        assert [(each.number, each.ms is not None) for each in attempts] == [(1, True), (2, True)]
    file = spine.router.settings.registry_file.with_name(LEDGER_FILE)
    with closing(sqlite3.connect(file)) as db:
        what = Counter.STATE + STATES[State.UNDELIVERABLE]
        (count,) = db.execute("SELECT sum(n) FROM minute WHERE what = ?", [what]).fetchone()
    assert count == len(keys)


async def _count_is(ledger: Ledger, count: int) -> bool:
    return await ledger.undeliverable_count() == count


async def test_what_is_held_and_probed_keeps_its_state(spine: Delivering, ledger: Ledger) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500))
    async with spine.deliverer(retry_schedule=",".join(["600"] * 9)):
        ids = [await accept(spine, ledger, abonnement) for _ in range(10)]
        await eventually(lambda: spine.state_is(abonnement, Condition.HELD))
        await eventually(lambda: _probed(ledger, ids, abonnement))
    states = [await state_of(ledger, id_, abonnement) for id_ in ids]
    assert states.count(State.RETRYING) == 9
    assert states.count(State.PENDING) == 1  # that which was held
    counted = [await row(ledger, id_, abonnement) for id_ in ids]
    assert sum(each.attempts for each in counted if each) == 9
    (pending,) = (each for each in counted if each and each.state is State.PENDING)
    received = received_of(pending.key.notificatie)
    assert received is not None
    assert pending.since >= received + 2000, "it went to the end of its queue, through the wait queue of 2 s"


async def _probed(ledger: Ledger, ids: list[str], abonnement: Abonnement) -> bool:
    """Whether the one that was held was probed with as well, neither counted."""
    zeros = 0
    for id_ in ids:
        attempts = await ledger.attempts(Key(UUID(id_), abonnement.uuid))
        zeros += sum(each.number == 0 for each in attempts)
    return zeros >= 2


async def test_what_its_new_filters_do_not_want_ends_and_a_wrong_drop_does_not(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await spine.subscribe("/a", filters={"zaaktype": "1"})
    await spine.set_state(abonnement, Condition.SUSPENDED)
    before = await accept(spine, ledger, abonnement, catalogue=1, zaaktype="1")
    since = await accept(spine, ledger, abonnement, catalogue=1_000_000, zaaktype="1")
    await spine.change(abonnement, kanalen=(group(spine.kanaal.naam, zaaktype="2"),))
    await spine.set_state(abonnement, Condition.ACTIVE)
    async with spine.deliverer():
        await eventually(lambda: _is(ledger, before, abonnement, State.NOT_WANTED))
        await eventually(lambda: spine.depth_is(abonnement, 0))
    found = await row(ledger, since, abonnement)
    assert found is not None
    assert (found.state, found.doubt) == (State.PENDING, True)
    assert spine.ids_at("/a") == []


async def test_what_a_filter_on_an_attribute_drops_ends_though_a_gateway_noted_it(
    spine: Delivering, ledger: Ledger
) -> None:
    """A gateway of before these filters matches without them; what it noted was given back until stuck."""
    abonnement = await spine.subscribe("/a", filters={"#actie": "destroy"})
    noted = await accept(spine, ledger, abonnement, catalogue=1_000_000)
    other = await accept(spine, ledger, catalogue=1_000_000)
    for id_ in (noted, other):
        await give_back(spine, id_, abonnement, round_=1)
    async with spine.deliverer():
        await eventually(lambda: _is(ledger, noted, abonnement, State.NOT_WANTED))
        await eventually(lambda: spine.depth_is(abonnement, 0))
    assert spine.ids_at("/a") == []
    assert await row(ledger, other, abonnement) is None


@pytest.mark.parametrize("state", [State.DELIVERED, State.REMOVED, State.NOT_WANTED])
async def test_what_is_settled_is_not_attempted_again(
    spine: Delivering, ledger: Ledger, state: State
) -> None:
    abonnement = await spine.subscribe("/a")
    id_ = str(uuid4())
    key = Key(UUID(id_), abonnement.uuid)
    await ledger.write([Outcome(key, state, round=0, attempts=1, at=1)])
    await give_back(spine, id_, abonnement, round_=1)
    async with spine.deliverer():
        fresh = str(uuid4())
        await give_back(spine, fresh, abonnement, round_=1)
        await eventually(lambda: spine.ids_at("/a") == [fresh])
        await eventually(lambda: spine.depth_is(abonnement, 0))
    assert await state_of(ledger, id_, abonnement) is state


async def test_what_ended_as_undeliverable_is_sent_in_a_newer_round_only(
    spine: Delivering, ledger: Ledger
) -> None:
    """As when it was held for too long, and a deliverer had it in hand or gave it back."""
    abonnement = await spine.subscribe("/a")
    ended, again = str(uuid4()), str(uuid4())
    for id_ in (ended, again):
        key = Key(UUID(id_), abonnement.uuid)
        await ledger.write([Outcome(key, State.UNDELIVERABLE, round=1, attempts=0, at=1)])
    await give_back(spine, ended, abonnement, round_=1)
    await give_back(spine, again, abonnement, round_=2)
    async with spine.deliverer():
        await eventually(lambda: _is(ledger, again, abonnement, State.DELIVERED))
        await eventually(lambda: spine.depth_is(abonnement, 0))
    assert spine.ids_at("/a") == [again]
    assert await state_of(ledger, ended, abonnement) is State.UNDELIVERABLE


async def test_of_two_rounds_the_newer_one_is_sent_and_each_replay_is_its_own(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await spine.subscribe("/a")
    id_ = str(uuid4())
    key = Key(UUID(id_), abonnement.uuid)
    await ledger.write([Outcome(key, State.RETURNING, round=2, attempts=0, at=1)])
    await give_back(spine, id_, abonnement, round_=1)
    async with spine.deliverer():
        await eventually(lambda: spine.depth_is(abonnement, 0))
        assert spine.ids_at("/a") == []
        await give_back(spine, id_, abonnement, round_=2)
        await eventually(lambda: _is(ledger, id_, abonnement, State.DELIVERED))
        await give_back(spine, id_, abonnement, round_=0, replay=4)
        await eventually(lambda: row(ledger, id_, abonnement, replay=4))
    assert spine.ids_at("/a") == [id_, id_]
    found = await row(ledger, id_, abonnement)
    assert found is not None
    assert found.round == 2


async def test_nothing_stops_while_the_ledger_is_locked_and_all_arrives_later(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await spine.subscribe("/a")
    async with spine.deliverer():
        first = await accept(spine, ledger, abonnement)
        await eventually(lambda: _is(ledger, first, abonnement, State.DELIVERED))
        file = spine.router.settings.registry_file.with_name(LEDGER_FILE)
        with closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as other:
            other.execute("BEGIN IMMEDIATE")
            with structlog.testing.capture_logs() as lines:
                ids = [await spine.publish() for _ in range(400)]
                await eventually(lambda: len(spine.callback.at("/a")) == 401)
                # A writer waited for the lock for as long as it does.
                await eventually(lambda: "the ledger cannot be written" in {line["event"] for line in lines})
            more = [await spine.publish() for _ in range(50)]
            await eventually(lambda: len(spine.callback.at("/a")) == 451)
            assert await state_of(ledger, more[-1], abonnement) is None
            other.execute("ROLLBACK")
        for id_ in ids + more:
            await eventually(lambda id_=id_: _is(ledger, id_, abonnement, State.DELIVERED))  # type: ignore[misc]
    assert await spine.depth(names.abonnement_queue(abonnement.uuid)) == 0
    assert len(spine.callback.at("/a")) == 451


async def test_a_killed_deliverer_leaves_nothing_that_neither_rabbitmq_nor_the_ledger_has(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await spine.subscribe("/a")
    process = await start_process(spine)
    ids = [await accept(spine, ledger, abonnement) for _ in range(200)]
    await eventually(lambda: len(spine.callback.at("/a")) > 50)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    async with spine.deliverer():
        for id_ in ids:
            await eventually(lambda id_=id_: _is(ledger, id_, abonnement, State.DELIVERED))  # type: ignore[misc]
    assert {str(id_) for id_ in spine.ids_at("/a")} == set(ids)


async def test_what_is_in_hand_stands_in_the_heartbeat_until_it_stops(
    spine: Delivering, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deliverer.outcomes.account.BEAT", 0.2)
    file = spine.router.settings.registry_file.with_name(LEDGER_FILE)

    def hands() -> tuple[set[Key], bool]:
        with closing(sqlite3.connect(file)) as db:
            rows = db.execute("SELECT hands, stopped FROM process WHERE name LIKE 'deliverer %'").fetchall()
        return ({key for row in rows for key in unpack_keys(row[0])}, bool(rows) and all(r[1] for r in rows))

    abonnement = await spine.subscribe("/a")
    answer = asyncio.Event()
    spine.callback.script("/a", when(answer, status(204)))
    async with spine.deliverer():
        ids = [await accept(spine, ledger, abonnement) for _ in range(5)]
        keys = {Key(UUID(id_), abonnement.uuid) for id_ in ids}
        await eventually(lambda: hands()[0] == keys)
        answer.set()
        await eventually(lambda: hands()[0] == set())
        assert not hands()[1]
    assert hands() == (set(), True)


async def test_a_message_put_in_by_hand_has_an_id_of_the_ledger_too(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await spine.subscribe("/a")
    async with spine.deliverer():
        await give_back(spine, "by hand", abonnement, round_=0)
        await eventually(lambda: spine.ids_at("/a") == ["by hand"])
    channel = await spine.router.connection.transport.connection.channel()  # type: ignore[union-attr]
    queue = names.abonnement_queue(abonnement.uuid)
    await give_back(spine, "by hand", abonnement, round_=0)
    message = await channel.basic_get(queue)
    same = prepare(
        message, abonnement=abonnement.uuid, origin=Origin(channel), consumer_stopped=asyncio.Event()
    )
    found = await ledger.delivery(same.key)
    assert found is not None
    assert found.state is State.DELIVERED
    await channel.close()


async def test_what_waits_for_a_removed_abonnement_is_undeliverable_in_the_ledger(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await spine.subscribe("/a")
    id_ = await accept(spine, ledger, abonnement)
    await eventually(lambda: spine.depth_is(abonnement, 1))
    async with running(keep, spine.router.settings, limits=SHORT):
        await spine.remove(abonnement)
        await eventually(lambda: _is(ledger, id_, abonnement, State.UNDELIVERABLE), within=30)
    assert await spine.depth(names.abonnement_queue(abonnement.uuid)) == -1, "its queue is gone"
    attempts = await ledger.attempts(Key(UUID(id_), abonnement.uuid))
    assert [(each.number, each.kind) for each in attempts] == [(0, "abonnement_removed")]


async def test_what_an_operator_sends_again_or_removes_stands_in_the_ledger(
    spine: Delivering, ledger: Ledger
) -> None:
    abonnement = await spine.subscribe("/a")
    spine.callback.script("/a", status(500))
    async with spine.deliverer(retry_schedule="1"):
        ids = [await accept(spine, ledger, abonnement) for _ in range(2)]
        for id_ in ids:
            await eventually(lambda id_=id_: _is(ledger, id_, abonnement, State.UNDELIVERABLE))  # type: ignore[misc]
    again, gone = ids
    ran = await nrc(spine.router, "undeliverable", "resend", again)
    assert (ran.code, ran.err) == (0, "")
    found = await row(ledger, again, abonnement)
    assert found is not None
    assert (found.state, found.round, found.attempts) == (State.PENDING, 1, 0)
    ran = await nrc(spine.router, "undeliverable", "remove", gone, "--yes")
    assert (ran.code, ran.err) == (0, "")
    assert await state_of(ledger, gone, abonnement) is State.REMOVED
    spine.callback.script("/a", status(204))
    async with spine.deliverer():
        await eventually(lambda: _is(ledger, again, abonnement, State.DELIVERED))
    found = await row(ledger, again, abonnement)
    assert found is not None
    assert (found.round, found.attempts) == (1, 1)
