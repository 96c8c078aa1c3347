"""Commands beside running processes, on a real RabbitMQ: each takes effect at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import aiohttp
import orjson
import pytest

import gateway.service
from ledger.opening import ledger_of
from ledger.values import Key
from router import names
from router.queue_depth import depth_of
from schemas.abonnement import Abonnement, State
from schemas.application import Application, Scope
from tests.broker import Broker
from tests.callback_server import status
from tests.command import Ran, nrc_process
from tests.contract.api import free_socket
from tests.eventually import eventually
from tests.integration.conftest import Running, running, settings_for
from tests.integration.deliverer.delivering import delivering
from tests.make import a_kanaal, an_abonnement

pytestmark = pytest.mark.usefixtures("broker")


async def nrc(
    router: Running, *arguments: str, stdin: bytes | None = None, typed: bytes | None = None, **env: str
) -> Ran:
    """A command with this router's registry and broker."""
    return await nrc_process(
        router.settings.state_dir,
        *arguments,
        stdin=stdin,
        typed=typed,
        env={"NRC_AMQP_URL": router.settings.amqp_url[0], **env},
    )


async def subscribe(router: Running, *, client_id: str = "test") -> Abonnement:
    """A new abonnement on kanaal `zaken`, of which the queue stands."""
    if not (await router.registry.changes_since(0)).kanalen:
        await router.registry.add_kanaal(a_kanaal("zaken", "bronorganisatie"))
        await router.client.apply_kanaal("zaken")
    added = await router.registry.add_abonnement(replace(an_abonnement(("zaken", {})), client_id=client_id))
    await router.client.apply_abonnement(added.uuid)
    return added


async def queue_stands(router: Running, uuid: UUID) -> bool:
    name = names.abonnement_queue(uuid)
    return await depth_of(router.connection, name) is not None


@asynccontextmanager
async def a_gateway(router: Running) -> AsyncIterator[str]:
    """A gateway that looks at the registry only when told to; its root."""
    settings = settings_for(
        router.settings.amqp_url[0], router.settings.state_dir, refresh_interval=30, callback_check="off"
    )
    sock = free_socket()
    host, port = sock.getsockname()
    async with running(gateway.service.serve, settings, sock=sock):
        yield f"http://{host}:{port}"


# The registry's commands take effect at once


async def test_applications_take_effect_at_once(router: Running) -> None:
    async with a_gateway(router) as root, aiohttp.ClientSession() as session:

        async def status(header: str) -> int:
            headers = {"Authorization": header.partition(": ")[2].strip()}
            async with session.get(f"{root}/api/v1/kanaal", headers=headers) as answer:
                return answer.status

        added = await nrc(router, "application", "add", "zac", "--scope", "publiceren")
        assert added.code == 0
        assert "NRC_REFRESH_INTERVAL" not in added.err
        old = (await nrc(router, "token", "zac")).out
        legacy = (await nrc(router, "token", "zac", "--legacy")).out
        assert [await status(header) for header in (old, legacy)] == [200, 200]

        assert (await nrc(router, "application", "rotate", "zac", "--keep-old", "1h")).code == 0
        new = (await nrc(router, "token", "zac")).out
        assert [await status(header) for header in (old, new)] == [200, 200]
        assert (await nrc(router, "application", "rotate", "zac")).code == 0
        assert await eventually(lambda: _is(status(old), 403))

        new = (await nrc(router, "token", "zac")).out
        assert await status(new) == 200
        assert (await nrc(router, "application", "revoke", "zac", "publiceren")).code == 0
        assert await eventually(lambda: _is(status(new), 403))
        assert (await nrc(router, "application", "grant", "zac", "consumeren")).code == 0
        assert await eventually(lambda: _is(status(new), 200))
        assert (await nrc(router, "application", "remove", "zac")).code == 0
        assert await eventually(lambda: _is(status(new), 403))


async def _is(asked: Any, expected: int) -> bool:
    return bool(await asked == expected)


async def test_a_kanaal_has_its_exchange_when_the_command_returns(router: Running) -> None:
    ran = await nrc(router, "kanaal", "add", "é #.*", "--filter", "x-match")
    assert ran.code == 0
    assert "NRC_REFRESH_INTERVAL" not in ran.err
    channel = router.connection.channel()
    await channel.initialize()
    await channel.declare_exchange(names.kanaal_exchange("é #.*"), passive=True)
    await channel.close()


async def test_a_removed_kanaal_takes_nothing_any_more_and_its_exchange_goes(router: Running) -> None:
    await router.registry.add_application(
        Application("zac", "a secret of at least thirty-two bytes", scopes=frozenset({Scope.PUBLICEREN}))
    )
    async with a_gateway(router) as root:

        async def publish() -> Ran:
            text = orjson.dumps(notificatie(kanaal="tijdelijk"))
            listen = root.removeprefix("http://")
            return await nrc(router, "publish", "-", stdin=text, NRC_GATEWAY_LISTEN=listen)

        for _ in range(2):  # the naam can be taken again
            added = await nrc(router, "kanaal", "add", "tijdelijk", "--filter", "bronorganisatie")
            assert added.code == 0
            exchange = names.kanaal_exchange("tijdelijk")
            assert (await publish()).code == 0
            ran = await nrc(router, "kanaal", "remove", "tijdelijk")
            assert (ran.code, ran.err) == (0, "")
            assert await eventually(lambda: _refused(publish()))
    assert f"orphan exchange {exchange}: seen" in (await nrc(router, "reconcile")).out
    assert f"remove orphan exchange {exchange}" in (await nrc(router, "reconcile")).out


async def _refused(publishing: Awaitable[Ran]) -> bool:
    ran = await publishing
    return ran.code == 1 and "Er bestaat geen kanaal" in ran.err


async def test_a_removed_abonnement_has_no_queue_when_the_command_returns(router: Running) -> None:
    one, other = await subscribe(router), await subscribe(router)
    ran = await nrc(router, "abonnement", "remove", str(one.uuid))
    assert (ran.code, ran.err) == (0, "")
    assert not await queue_stands(router, one.uuid)
    assert await queue_stands(router, other.uuid)


async def test_an_application_goes_with_the_queues_of_its_abonnementen(router: Running) -> None:
    for client_id in ("zac", "drc"):
        await router.registry.add_application(Application(client_id, "s"))
    mine, other = await subscribe(router, client_id="zac"), await subscribe(router, client_id="drc")
    given = await nrc(router, "application", "remove", "drc", "--give-to", "zac")
    assert (given.code, given.err) == (0, "")
    assert await queue_stands(router, other.uuid)
    gone = await nrc(router, "application", "remove", "zac", "--with-abonnementen")
    assert (gone.code, gone.err) == (0, "")
    assert not await queue_stands(router, mine.uuid)
    assert not await queue_stands(router, other.uuid)


async def test_a_resumed_abonnement_gets_what_was_held(router: Running) -> None:
    async with delivering(router) as stage, stage.deliverer():
        abonnement = await stage.subscribe("/held")
        await stage.set_state(abonnement, State.SUSPENDED)
        number = await stage.publish()
        await eventually(lambda: stage.depth_is(abonnement, 1))
        ran = await nrc(router, "abonnement", "resume", str(abonnement.uuid))
        assert (ran.code, ran.err) == (0, "")
        assert await eventually(lambda: stage.ids_at("/held") == [number])


# Looking


async def test_queues(router: Running) -> None:
    full, missing = await subscribe(router), await subscribe(router)
    channel = router.connection.channel()
    await channel.initialize()
    await channel.queue_delete(names.abonnement_queue(missing.uuid))
    exchange = await channel.get_exchange(names.RETURN, ensure=False)
    for _ in range(3):
        await exchange.publish(aio_pika.Message(b"{}"), names.abonnement_queue(full.uuid))
    ran = await nrc(router, "queues", "--json", NRC_RETRY_SCHEDULE="1,2")
    lines = {line["name"]: line for line in ran.json()}
    assert lines[names.abonnement_queue(full.uuid)] == {
        "name": names.abonnement_queue(full.uuid),
        "of": f"test {full.callback_url}",
        "messages": 3,
        "consumers": 0,
    }
    assert lines[names.abonnement_queue(missing.uuid)]["messages"] is None
    assert lines[names.wait_queue(2048)]["messages"] == lines[names.UNDELIVERABLE]["messages"] == 0
    assert lines[names.REQUESTS]["consumers"] == 1
    short = (await nrc(router, "queues")).out
    assert f"nrc.abonnement.{str(full.uuid)[:8]}…" in short
    assert str(full.uuid) not in short
    plain = (await nrc(router, "queues", "--wide", NRC_RETRY_SCHEDULE="1,2")).out.splitlines()
    assert len(plain) == len(lines) + 1
    (shown,) = (line.split() for line in plain if str(missing.uuid) in line)
    assert shown[1] == "missing"


async def test_health(router: Running) -> None:
    async with a_gateway(router) as root:
        listen = root.removeprefix("http://")
        well = await nrc(router, "health", "--json", NRC_GATEWAY_LISTEN=listen)
        assert (well.code, [part["ok"] for part in well.json().values()]) == (0, [True] * 4)
        assert well.json()["router"]["detail"] == "1 running"
        alone = await nrc(router, "health", "--json", "--url", root)
        assert (alone.code, list(alone.json())) == (0, ["process"])
    assert (await nrc(router, "health", "--json", "--url", root)).code == 3
    gone = await nrc(router, "health", "--json", NRC_GATEWAY_LISTEN=listen)
    assert gone.code == 3
    assert [name for name, part in gone.json().items() if not part["ok"]] == ["gateway"]


async def test_health_on_a_broker_without_a_router(vhost: str, tmp_path: Path) -> None:
    settings = settings_for(vhost, tmp_path)
    sock = free_socket()
    stop = asyncio.Event()
    serving = asyncio.create_task(gateway.service.serve(settings, stop=stop, ready=lambda: None, sock=sock))
    env = {"NRC_AMQP_URL": vhost, "NRC_GATEWAY_LISTEN": "{}:{}".format(*sock.getsockname())}
    ran = await nrc_process(tmp_path, "health", "--json", env=env)
    stop.set()
    await asyncio.wait_for(serving, 20)
    parts = ran.json()
    assert ran.code == 3
    assert "broker: " in parts["gateway"]["detail"]
    assert "router has not declared" in parts["broker"]["detail"]
    assert "no router runs" in parts["router"]["detail"]
    assert parts["registry"]["ok"]


async def test_the_private_broker_is_found_in_the_state_folder(broker: Broker, tmp_path: Path) -> None:
    if broker.private is None:
        pytest.skip("the broker of this session is not a private node")
    env = {
        "NRC_STATE_DIR": str(broker.private.folder.parent),
        "NRC_DATABASE_URL": f"sqlite:///{tmp_path}/registry.db",
    }
    ran = await nrc_process(tmp_path, "reconcile", env=env)
    assert ran.code == 3
    assert ran.err == "nrc: no router is at work; is one running?\n"


async def test_reconcile(router: Running) -> None:
    abonnement = await subscribe(router)
    assert (await nrc(router, "reconcile")).out == "nothing to do\n"
    channel = router.connection.channel()
    await channel.initialize()
    await channel.queue_delete(names.abonnement_queue(abonnement.uuid))
    dry = await nrc(router, "reconcile", "--dry-run", "--json")
    assert dry.json()["dryRun"]
    (line,) = dry.json()["lines"]
    assert names.abonnement_queue(abonnement.uuid) in line
    assert not await queue_stands(router, abonnement.uuid)
    done = await nrc(router, "reconcile")
    assert (done.code, done.out) == (0, f"{line}\n")
    assert await queue_stands(router, abonnement.uuid)


# What waits


async def test_what_waits_through_the_ladder_is_due_at_its_end(router: Running) -> None:
    """Retry-After: 45 s are 32 + 8 + 4 + 2."""
    async with delivering(router) as stage, stage.deliverer():
        abonnement = await stage.subscribe("/busy")
        stage.callback.script("/busy", status(503, headers={"Retry-After": "45"}))
        number = await stage.publish()
        await eventually(lambda: len(stage.ids_at("/busy")) == 1)
        answered = time.time()

        async with ledger_of(router.settings) as ledger:

            async def noted() -> bool:
                return any(each.retrying for each in (await ledger.backlogs()).values())

            await eventually(noted)
            row = await ledger.delivery(Key(UUID(number), abonnement.uuid))
        assert row is not None
        assert row.next_at is not None
        assert abs(row.next_at / 1000 - answered - 45) < 5
        assert row.attempts == 1


# Publishing


def notificatie(**more: object) -> dict[str, object]:
    return {
        "kanaal": "zaken",
        "hoofdObject": "https://example.com/zaken/1",
        "resource": "zaak",
        "resourceUrl": "https://example.com/zaken/1",
        "actie": "create",
        "aanmaakdatum": "2019-03-27T10:59:13Z",
        "kenmerken": {"bronorganisatie": "051845623"},
        **more,
    }


async def test_publish_through_a_gateway(router: Running, tmp_path: Path) -> None:
    abonnement = await subscribe(router)
    await router.registry.add_application(
        Application("zac", "a secret of at least thirty-two bytes", scopes=frozenset({Scope.PUBLICEREN}))
    )
    lines = [orjson.dumps(notificatie(number=number)) for number in range(300)]
    lines[17] = b"{not json"
    lines[200] = orjson.dumps(notificatie(kanaal="onbekend"))
    async with a_gateway(router) as root:
        listen = root.removeprefix("http://")

        async def publish(*arguments: str, text: bytes) -> Ran:
            return await nrc_process(
                tmp_path, "publish", "-", *arguments,
                stdin=text, env={"NRC_GATEWAY_LISTEN": listen, "NRC_AMQP_URL": router.settings.amqp_url[0]},
            )  # fmt: skip

        many = await publish(text=b"\n".join(lines))
        assert many.code == 1
        assert many.out.startswith("298 of 300 accepted in ")
        assert sorted(line.partition(":")[0] for line in many.err.splitlines()) == ["line 18", "line 201"]
        assert "onbekend" in many.err

        one = await publish(text=orjson.dumps(notificatie(), option=orjson.OPT_INDENT_2))
        assert one.code == 0
        assert UUID(one.out.removeprefix("accepted: ").strip())

        listed = await publish("--json", "--client", "zac", text=orjson.dumps([notificatie()] * 3 + [5]))
        summary = listed.json()
        assert (listed.code, summary["accepted"], summary["failed"]) == (1, 3, 1)
        assert (summary["failures"][0]["where"], summary["failures"][0]["status"]) == ("item 4", 400)

        header = (await nrc(router, "token", "zac", "--legacy")).out
        assert (await publish("--token", header, text=orjson.dumps(notificatie()))).code == 0
        wrong = await publish("--token", "wrong", text=b"\n".join(lines))
        assert wrong.code == 1
        assert wrong.out.startswith("0 of 1 accepted")
        assert "refuses all: 403 jwt-decode-error" in wrong.err

    async def arrived() -> bool:
        depth = await depth_of(router.connection, queue)
        return depth is not None and depth.messages == 298 + 1 + 3 + 1

    queue = names.abonnement_queue(abonnement.uuid)
    await eventually(arrived)
