"""Where a notificatie is when it is answered with 201: in RabbitMQ, in the ledger, or in both."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import aiohttp
import pytest
import structlog

from gateway import accepting
from ledger.keeper.service import serve as keep
from ledger.opening import LEDGER_FILE, ledger_of
from ledger.values import Notificatie, Search, State
from router.names import abonnement_queue, kanaal_exchange
from schemas.delivery_options import DeliveryOptions
from tests.broker import Broker
from tests.command import nrc_process
from tests.contract.api import Answer, Api, abonnement_of, free_socket, message
from tests.contract.conftest import Stage, open_stage, running
from tests.contract.publishing.refusing import refuse
from tests.contract.publishing.test_api_broker import UNAVAILABLE, a_kanaal, health
from tests.eventually import eventually
from tests.stallable import stallable

ROOT = Path(__file__).parents[3]


def id_of(answer: Answer) -> UUID:
    assert answer.status == 201, answer.body
    return UUID(answer.headers["nrc-notificatie-id"])


@contextmanager
def locked(stage: Stage) -> Iterator[None]:
    """Another connection writes the ledger, and does not end."""
    lock = sqlite3.connect(stage.settings.registry_file.with_name(LEDGER_FILE), isolation_level=None)
    try:
        lock.execute("BEGIN IMMEDIATE")
        yield
    finally:
        lock.close()


async def post_many(api: Api, naam: str, count: int) -> list[Answer]:
    return await asyncio.gather(*(api.post("/notificaties", message(naam)) for _ in range(count)))


def homes(lines: list[Any]) -> set[str]:
    return {line["homes"] for line in lines if line["event"] == "accepted"}


async def in_ledger(stage: Stage, *ids: UUID) -> list[Notificatie]:
    async with ledger_of(stage.settings) as opened:

        async def all_of_them() -> list[Notificatie]:
            found = [await opened.notificatie(id_) for id_ in ids]
            return [each for each in found if each is not None] if None not in found else []

        return await eventually(all_of_them)


async def test_both_have_it(stage: Stage, api: Api) -> None:
    naam = await a_kanaal(api)
    url = (await api.post("/abonnement", abonnement_of(naam))).json["url"]
    sent = message(naam, extra="kept as it came")
    with structlog.testing.capture_logs() as lines:
        answer = await api.post("/notificaties", sent)
    assert homes(lines) == {"2"}
    id_ = id_of(answer)
    (kept,) = await in_ledger(stage, id_)
    assert (kept.id, kept.client, kept.kanaal, kept.unrouted) == (id_, "beide", naam, False)
    assert (kept.resource, kept.actie, kept.body) == (sent["resource"], sent["actie"], answer.body)
    async with ledger_of(stage.settings) as opened:
        (delivery,) = (await opened.deliveries([id_]))[id_]
    assert (delivery.key.abonnement, delivery.state) == (UUID(url[-36:]), State.PENDING)
    assert (await api.delete(url)).status == 204


async def test_the_ledger_is_locked_under_load(own: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async with own.gateway() as api:
        naam = await a_kanaal(api)
        with structlog.testing.capture_logs() as lines, locked(own):
            answers = [answer for _ in range(10) for answer in await post_many(api, naam, 20)]
            await eventually(lambda: warns(api, "ledger"))
        assert {answer.status for answer in answers} == {201}
        assert "rabbitmq" in homes(lines)
        assert "ledger" not in homes(lines)
        assert any(line["event"] == "accepted by RabbitMQ or the ledger only" for line in lines)
        assert any(line["event"] == "the ledger cannot be written" for line in lines)
        kept = await in_ledger(own, *map(id_of, answers))
        assert not any(each.unrouted for each in kept)
        await eventually(lambda: all_is_well(api))


async def warns(api: Api, what: str) -> bool:
    answer = await health(api)
    return answer.status == 200 and any(line.startswith(f"{what}: ") for line in answer.json["warnings"])


async def all_is_well(api: Api) -> bool:
    return (await health(api)).json == {"status": "ok", "notReady": [], "warnings": []}


async def test_a_damaged_ledger_stops_nobody_and_another_one_is_taken_up(
    own: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = own.settings.registry_file.with_name(LEDGER_FILE)
    file.write_bytes(b"no database at all, " * 1000)
    async with own.gateway() as api:
        naam = await a_kanaal(api)
        with structlog.testing.capture_logs() as lines:
            answers = await post_many(api, naam, 50)
        assert {answer.status for answer in answers} == {201}
        assert homes(lines) == {"rabbitmq"}
        assert await warns(api, "ledger")
        file.unlink()
        await in_ledger(own, *map(id_of, answers))
        await eventually(lambda: all_is_well(api))


async def test_a_ledger_that_is_removed_while_it_is_written_is_made_anew(own: Stage) -> None:
    async with own.gateway() as api:
        naam = await a_kanaal(api)
        await in_ledger(own, id_of(await api.post("/notificaties", message(naam))))
        for end in ("", "-wal", "-shm"):
            own.settings.registry_file.with_name(LEDGER_FILE + end).unlink(missing_ok=True)
        with structlog.testing.capture_logs() as lines:
            answers = await post_many(api, naam, 20)
        assert homes(lines) == {"rabbitmq"}
        await eventually(lambda: all_is_well(api))
        await in_ledger(own, *map(id_of, answers))


async def test_rabbitmq_gives_no_confirm_and_goes_away(own: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "MOST_LATE", 30)
    async with (
        stallable(own.settings.amqp_url[0]) as (url, flowing),
        own.gateway(amqp_url=(url,)) as api,
    ):
        naam = await a_kanaal(api)
        (await api.post("/abonnement", abonnement_of(naam))).json["url"]
        before = id_of(await api.post("/notificaties", message(naam)))
        flowing.clear()
        with structlog.testing.capture_logs() as lines:
            answers = await post_many(api, naam, 20)
            answers += await post_many(api, naam, 20)  # some of them are over what may be late
        assert homes(lines) == {"ledger"}
        kept = await in_ledger(own, *map(id_of, answers))
        assert all(each.unrouted for each in kept)
        # The connection is cut by now or soon, and nothing waits for RabbitMQ any more.
        await eventually(lambda: warns(api, "broker"))
        (more,) = await in_ledger(own, id_of(await api.post("/notificaties", message(naam))))
        assert more.unrouted
        flowing.set()
        await eventually(lambda: all_is_well(api))
        with structlog.testing.capture_logs() as lines:
            after = id_of(await api.post("/notificaties", message(naam)))
        assert homes(lines) == {"2"}
        assert not any(each.unrouted for each in await in_ledger(own, before, after))


async def test_one_that_is_refused_may_stand_for_an_older_one_already(
    own: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `consolidate` an older one ends in a newer one that the ledger has: so that is delivered."""
    async with own.gateway() as api:
        naam = await a_kanaal(api)
        asked = [abonnement_of(naam), {**abonnement_of(naam), "auth": "Token other"}]
        plain, consolidates = [
            UUID((await api.post("/abonnement", each)).json["url"][-36:]) for each in asked
        ]
    options = DeliveryOptions.model_validate({"consolidate": 60})
    await own.registry.change_abonnement(consolidates, lambda latest: replace(latest, options=options))
    async with own.gateway() as api:
        monkeypatch.setattr(accepting.Accepting, "accept", refuse)
        assert (await api.post("/notificaties", message(naam))).status == 503
        async with ledger_of(own.settings) as opened:

            async def states() -> dict[UUID, State]:
                (found,) = await opened.search(Search(kanaal=naam), limit=2)
                rows = (await opened.deliveries([found.id]))[found.id]
                return {each.key.abonnement: each.state for each in rows} if found.unrouted else {}

            await eventually(states)
            assert await states() == {plain: State.REMOVED, consolidates: State.PENDING}


async def test_a_gateway_that_never_saw_rabbitmq_accepts_by_the_ledger(own: Stage) -> None:
    async with own.gateway() as api:
        naam = await a_kanaal(api)
        with free_socket() as sock:
            port = sock.getsockname()[1]
        async with own.gateway(amqp_url=(f"amqp://127.0.0.1:{port}/",)) as other:
            answer = await health(other)
            assert answer.status == 200
            assert answer.json["warnings"][0].startswith("broker: ")
            (kept,) = await in_ledger(own, id_of(await other.post("/notificaties", message(naam))))
            assert kept.unrouted
            with locked(own):
                assert (await other.post("/notificaties", message(naam))).outcome == UNAVAILABLE
                await eventually(lambda: is_not_ready(other))
            await eventually(lambda: warns(other, "broker"))
            assert (await other.post("/notificaties", message(naam))).status == 201


async def test_a_gateway_stays_with_its_load_balancer_while_the_registry_is_away(own: Stage) -> None:
    async with own.gateway() as api:
        naam = await a_kanaal(api)
        file = own.settings.registry_file
        file.rename(file.with_suffix(".away"))
        await eventually(lambda: warns(api, "registry"))
        assert (await api.post("/notificaties", message(naam))).status == 201
        answer = await health(api)
        assert (answer.status, answer.json["notReady"]) == (200, [])
        file.with_suffix(".away").rename(file)


async def is_not_ready(api: Api) -> bool:
    answer = await health(api)
    return answer.status == 503 and len(answer.json["notReady"]) == 2


async def test_an_exchange_that_nobody_makes_again(own: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    async with own.gateway() as api:
        naam, neighbour = await a_kanaal(api), await a_kanaal(api)
        monkeypatch.setattr("router.requests.RouterClient.apply_kanaal", nobody)
        async with await aio_pika.connect(own.settings.amqp_url[0]) as connection:
            channel = await connection.channel()
            await channel.exchange_delete(kanaal_exchange(naam))
        with structlog.testing.capture_logs() as lines:
            answers = await post_many(api, naam, 5)
        assert homes(lines) == {"ledger"}
        assert all(each.unrouted for each in await in_ledger(own, *map(id_of, answers)))
        (kept,) = await in_ledger(own, id_of(await api.post("/notificaties", message(neighbour))))
        assert not kept.unrouted


async def test_what_rabbitmq_takes_of_no_size_is_not_accepted_by_the_ledger(
    own: Stage, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    if broker.private is None:
        pytest.skip("only on a node of our own")
    before = None
    try:
        async with own.gateway() as api:
            naam = await a_kanaal(api)
            url = (await api.post("/abonnement", abonnement_of(naam))).json["url"]
            before = await broker.set_max_message_size(20_000)
            large = message(naam, extra="x" * 30_000)
            # A new channel learns the limit by the first; the next ones are not even tried.
            neighbour = await a_kanaal(api)
            for each in (message(neighbour, extra="x" * 30_000), large, large):
                assert (await api.post("/notificaties", each)).outcome == (413, "request_too_large")
            async with ledger_of(own.settings) as opened:

                async def nothing_open() -> bool:
                    return UUID(url[-36:]) not in await opened.backlogs()

                await eventually(nothing_open)
            assert (await api.post("/notificaties", message(naam))).status == 201
    finally:
        if before is not None:
            await broker.set_max_message_size(before)


async def test_rabbitmq_with_an_alarm_stopped_and_started(mortal_broker: Broker, tmp_path: Path) -> None:
    alarm = "{{resource_limit, memory, node()}, []}"
    async with open_stage(mortal_broker.url, tmp_path) as stage, stage.gateway() as api:
        naam = await a_kanaal(api)
        await mortal_broker.eval(f"rabbit_alarm:set_alarm({alarm}).")
        answers = await post_many(api, naam, 10)
        await eventually(lambda: warns(api, "broker"))
        answers += await post_many(api, naam, 10)
        await mortal_broker.eval(f"rabbit_alarm:clear_alarm({alarm.removesuffix(', []}')[1:]}).")
        await eventually(lambda: all_is_well(api))
        private = mortal_broker.private
        assert private is not None
        await private.stop()
        answers += await post_many(api, naam, 10)
        assert all(each.unrouted for each in await in_ledger(stage, *map(id_of, answers)))
        await private.start()
        await eventually(lambda: all_is_well(api), within=30)
        (kept,) = await in_ledger(stage, id_of(await api.post("/notificaties", message(naam))))
        assert not kept.unrouted


@asynccontextmanager
async def gateway_process(own: Stage) -> AsyncIterator[tuple[asyncio.subprocess.Process, Api]]:
    """A gateway as a process of its own, that is ready."""
    with free_socket() as sock:
        port = sock.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nrc", "gateway",
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "NRC_AMQP_URL": own.settings.amqp_url[0],
            "NRC_STATE_DIR": str(own.settings.state_dir),
            "NRC_GATEWAY_LISTEN": f"127.0.0.1:{port}",
        },
        cwd=ROOT,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as session:
            api = Api(session, f"http://127.0.0.1:{port}/api/v1")

            async def ready() -> bool:
                try:
                    return (await health(api)).status == 200
                except aiohttp.ClientError:
                    return False

            await eventually(ready)
            yield process, api
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_what_a_gateway_that_is_killed_had_in_memory_is_told(own: Stage) -> None:
    async with own.gateway() as api:
        naam = await a_kanaal(api)
    async with gateway_process(own) as (process, api):

        async def accepted() -> bool:
            return (await api.post("/notificaties", message(naam))).status == 201

        with locked(own):
            await eventually(accepted, within=30)  # by RabbitMQ alone, which it may not be connected to yet
            await eventually(lambda: list(own.settings.state_dir.glob("ledger.unwritten.*")))
            process.kill()
            await process.wait()
    async with (
        running(lambda stop, ready: keep(own.settings, stop=stop, ready=ready)),
        ledger_of(own.settings) as opened,
    ):
        await eventually(opened.incomplete)
    ran = await nrc_process(own.settings.state_dir, "trace", "https://zaken.example.nl/unknown")
    assert "is het grootboek niet volledig" in ran.err


async def test_a_gateway_that_is_killed_after_its_answer(own: Stage) -> None:
    """A process of its own: what it answered with 201 is in the ledger, and in the queue or marked."""
    async with own.gateway() as api:
        naam = await a_kanaal(api)
        url = (await api.post("/abonnement", abonnement_of(naam))).json["url"]
    async with gateway_process(own) as (process, api):
        ids: list[UUID] = []

        async def publish() -> None:
            while True:
                ids.append(id_of(await api.post("/notificaties", message(naam))))

        publishing = [asyncio.create_task(publish()) for _ in range(8)]
        await eventually(lambda: len(ids) > 100, every=0.001)
        process.send_signal(signal.SIGKILL)
        await asyncio.wait(publishing)
        for each in publishing:
            assert isinstance(each.exception(), aiohttp.ClientError)
    unrouted = {each.id for each in await in_ledger(own, *ids) if each.unrouted}
    async with await aio_pika.connect(own.settings.amqp_url[0]) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(abonnement_queue(UUID(url[-36:])), ensure=False)
        got = set()
        while (received := await queue.get(fail=False, no_ack=True)) is not None:
            got.add(UUID(received.message_id))
    assert {*ids} <= got | unrouted
    assert got


async def test_the_first_start_makes_the_ledger(vhost: str, tmp_path: Path) -> None:
    async with open_stage(vhost, tmp_path) as stage:
        file = stage.settings.registry_file.with_name(LEDGER_FILE)
        assert not file.exists()
        async with stage.gateway() as api:
            await eventually(lambda: all_is_well(api))
            assert file.exists()
