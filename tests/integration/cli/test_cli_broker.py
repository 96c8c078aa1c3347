"""Commands beside running processes, on a real RabbitMQ: each takes effect at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import aiohttp
import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage

import gateway.service
from deliverer.http.client import Failure, FailureClass
from ledger.opening import ledger_of
from ledger.values import Key
from router import names
from router.depth import depths
from router.history import History, write_headers
from router.undeliverable import look
from schemas.abonnement import Abonnement, Hold, State
from schemas.application import Application, Scope
from store.registry import ActSearch
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


async def acts(router: Running) -> list[tuple[str, str, str]]:
    """(act, notificatie, abonnement) of what operators did with undeliverable ones."""
    told = (router.settings.state_dir / "operator.log").read_text().splitlines()
    lines = [orjson.loads(line) for line in told]
    noted = await router.registry.acts(ActSearch(), limit=100)
    rows = [(each.act, each.facts["notificatie"], each.facts.get("abonnement", "")) for each in noted]
    in_file = [(line["event"], line["notificatie"], line.get("abonnement", "")) for line in lines]
    assert rows[::-1] == in_file
    return in_file


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
    return (await depths(router.connection, [name]))[name] is not None


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
        assert await eventually(lambda: _is(status(old), 403), within=1)

        new = (await nrc(router, "token", "zac")).out
        assert await status(new) == 200
        assert (await nrc(router, "application", "revoke", "zac", "publiceren")).code == 0
        assert await eventually(lambda: _is(status(new), 403), within=1)
        assert (await nrc(router, "application", "grant", "zac", "consumeren")).code == 0
        assert await eventually(lambda: _is(status(new), 200), within=1)
        assert (await nrc(router, "application", "remove", "zac")).code == 0
        assert await eventually(lambda: _is(status(new), 403), within=1)


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
            assert await eventually(lambda: _refused(publish()), within=20)
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


@pytest.mark.parametrize("command", ["abonnement", "application"])
async def test_what_waits_is_removed_or_kept_only_as_was_said(router: Running, command: str) -> None:
    await router.registry.add_application(Application("zac", "s"))
    arguments = []
    for choice in ("--keep", "--yes"):
        abonnement = await subscribe(router, client_id="zac")
        for number in range(3):
            key = names.abonnement_queue(abonnement.uuid)
            await lay_out(router, f"id-{number}", None, key=key, exchange=names.RETURN)
        arguments = [command, "remove", str(abonnement.uuid)]
        if command == "application":
            arguments = [command, "remove", "zac", "--with-abonnementen"]
        refused = await nrc(router, *arguments)
        assert (refused.code, refused.out) == (2, "")
        assert "3 notificaties wait: --keep moves them to nrc.undeliverable, --yes removes" in refused.err
        assert (await depths(router.connection, [key]))[key] is not None
        ran = await nrc(router, *arguments, choice)
        assert (ran.code, ran.err) == (0, "")
        assert not await queue_stands(router, abonnement.uuid)
        left = await everything(router)
        taken = orjson.loads((router.settings.state_dir / "operator.log").read_text().splitlines()[-1])
        assert (taken["event"], taken["abonnement"]) == ("what waited was taken away", str(abonnement.uuid))
        (noted,) = await router.registry.acts(ActSearch(what="what waited"), limit=1)
        assert noted.facts == {key: taken[key] for key in ("abonnement", "removed", "undeliverable")}
        assert (taken["removed"], taken["undeliverable"]) == ((0, 3) if choice == "--keep" else (3, 0))
        if choice == "--keep":
            first = [(f"id-{number}", abonnement.uuid) for number in range(3)]
            assert ran.out.splitlines()[-1] == "3 notificatie(s) moved to nrc.undeliverable"
            if command == "application":
                await router.registry.add_application(Application("zac", "s"))
        else:
            assert ran.out.splitlines()[-1] == "3 notificatie(s) that waited removed"
        assert left == first


async def test_a_resumed_abonnement_gets_what_was_held(router: Running) -> None:
    async with delivering(router) as stage, stage.deliverer():
        abonnement = await stage.subscribe("/held")
        await stage.set_state(abonnement, State.SUSPENDED)
        number = await stage.publish()
        await eventually(lambda: stage.depth_is(abonnement, 1))
        ran = await nrc(router, "abonnement", "resume", str(abonnement.uuid))
        assert (ran.code, ran.err) == (0, "")
        assert await eventually(lambda: stage.ids_at("/held") == [number], within=2)


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


# The undeliverable


FAILED = History().after(
    Failure(FailureClass.HTTP_STATUS, "the callback said no", status=500), at=datetime(2026, 1, 2, tzinfo=UTC)
)
ACCEPTED = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


async def lay_out(
    router: Running, message_id: str, abonnement: UUID | None, *, key: str = "", exchange: str = ""
) -> None:
    """Put a message where the deliverer puts it, or (without abonnement) where RabbitMQ puts its own."""
    headers: dict[str, Any] = {"k.bronorganisatie": "051845623"}
    if abonnement is not None:
        headers |= write_headers(abonnement, FAILED, undeliverable_at=datetime(2026, 1, 3, tzinfo=UTC))
    channel = router.connection.channel(on_return_raises=True)
    await channel.initialize()
    to = await channel.get_exchange(exchange or names.UNDELIVERABLE, ensure=False)
    body = orjson.dumps({"kanaal": "zaken", "number": message_id})
    message = aio_pika.Message(body, message_id=message_id, headers=headers, timestamp=ACCEPTED)
    await to.publish(message, key, mandatory=True)
    await channel.close()


async def everything(router: Running) -> list[tuple[str, UUID | None]]:
    found = await look(router.connection, wanted=lambda item: True, limit=1000)
    return [(item.message_id, item.abonnement) for item in found]


async def test_what_comes_back_from_waiting_to_no_queue_has_its_moment(router: Running) -> None:
    abonnement = uuid4()
    key, began = names.abonnement_queue(abonnement), int(time.time())
    await lay_out(router, "id-1", None, key=key, exchange=names.wait_queue(1))

    async def there() -> bool:
        return await everything(router) == [("id-1", abonnement)]

    await eventually(there)
    (shown,) = (await nrc(router, "undeliverable", "list", "--rabbitmq", "--json")).json()
    assert began <= datetime.fromisoformat(shown["undeliverableAt"]).timestamp() <= time.time()
    assert (
        f"since:      {shown['undeliverableAt']}\n"
        in (await nrc(router, "undeliverable", "show", "id-1")).out
    )


async def take(router: Running, queue: str) -> AbstractIncomingMessage:
    """The only message of a queue."""
    channel = router.connection.channel()
    await channel.initialize()
    found = await (await channel.get_queue(queue, ensure=False)).get(no_ack=True)
    assert found is not None
    await channel.close()
    assert (await depths(router.connection, [queue]))[queue].messages == 0  # type: ignore[union-attr]
    return found


async def test_undeliverable_list_leaves_all_in_its_place(router: Running) -> None:
    abonnementen = [uuid4(), uuid4()]
    for number in range(6):
        await lay_out(router, f"id-{number}", abonnementen[number % 2])
    before = await everything(router)
    assert [message_id for message_id, _ in before] == [f"id-{number}" for number in range(6)]
    listed = await nrc(router, "undeliverable", "list", "--rabbitmq", "--json")
    assert listed.json()[0] == {
        "id": "id-0",
        "abonnement": str(abonnementen[0]),
        "kanaal": "zaken",
        "acceptedAt": "2026-01-01T12:00:00Z",
        "undeliverableAt": "2026-01-03T00:00:00.000Z",
        "attempts": 1,
        "failures": [
            {
                "at": "2026-01-02T00:00:00Z",
                "class": "http_status",
                "status": 500,
                "detail": "the callback said no",
            }
        ],
    }
    one = await nrc(
        router, "undeliverable", "list", "--rabbitmq", "--abonnement", str(abonnementen[1]), "--limit", "2"
    )
    assert [line.split()[0] for line in one.out.splitlines()] == ["ID", "id-1", "id-3"]
    assert "more than 2" in one.err
    shown = await nrc(router, "undeliverable", "show", "id-4")
    assert "2026-01-02T00:00:00Z  http_status 500: the callback said no" in shown.out
    assert '{"kanaal":"zaken","number":"id-4"}' in shown.out
    (as_json,) = (await nrc(router, "undeliverable", "show", "id-4", "--json")).json()
    assert as_json["notificatie"] == {"kanaal": "zaken", "number": "id-4"}
    assert (await nrc(router, "undeliverable", "show", "id-9")).code == 1
    assert await everything(router) == before


async def test_resend_is_a_new_message_for_the_one_abonnement(router: Running) -> None:
    one, other = await subscribe(router), await subscribe(router)
    for number in range(3):
        for abonnement in (one, other):
            await lay_out(router, f"id-{number}", abonnement.uuid)
    ran = await nrc(router, "undeliverable", "resend", "id-1", "--abonnement", str(one.uuid), "--json")
    assert ran.code == 0
    assert ran.json() == {
        "resent": [{"id": "id-1", "abonnement": str(one.uuid)}],
        "failed": [],
        "missing": [],
    }
    message = await take(router, names.abonnement_queue(one.uuid))
    assert message.body == b'{"kanaal":"zaken","number":"id-1"}'
    assert (message.message_id, message.timestamp) == ("id-1", ACCEPTED)
    ours = message.headers.keys() - {"x-delivery-count"}
    assert ours == {"k.bronorganisatie", "nrc-resent-at", "nrc-round"}, "and nothing of its attempts"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert await everything(router) == [
        ("id-0", one.uuid),
        ("id-0", other.uuid),
        ("id-1", other.uuid),
        ("id-2", one.uuid),
        ("id-2", other.uuid),
    ]

    rest = await nrc(router, "undeliverable", "resend", "--abonnement", str(other.uuid))
    assert (rest.code, rest.out) == (0, "3 sent again\n")
    assert await everything(router) == [("id-0", one.uuid), ("id-2", one.uuid)]
    both = await nrc(router, "undeliverable", "resend", "id-0", "id-2", "id-7")
    assert (both.code, both.out, both.err) == (1, "2 sent again\n", "id-7: is not there\n")
    assert await everything(router) == []
    again = [("id-1", one), ("id-0", other), ("id-1", other), ("id-2", other), ("id-0", one), ("id-2", one)]
    # Which of one command comes first is RabbitMQ's: what a look put back may stand in another order.
    assert sorted(await acts(router)) == sorted(
        ("notificatie sent again", id_, str(each.uuid)) for id_, each in again
    )


async def test_resend_of_what_rabbitmq_itself_put_there(router: Running) -> None:
    """Nothing on such a message is ours but the name of the queue."""
    abonnement, removed = await subscribe(router), await subscribe(router)
    queue = names.abonnement_queue(abonnement.uuid)
    await router.registry.remove_abonnement(removed.uuid)
    await router.client.apply_abonnement(removed.uuid)
    await lay_out(router, "orphan", None, key=names.abonnement_queue(removed.uuid), exchange=names.RETURN)
    await lay_out(router, "unknown", None)
    await lay_out(router, "dropped", None, key=queue, exchange=names.RETURN)
    channel = router.connection.channel()
    await channel.initialize()
    dropped = await (await channel.get_queue(queue, ensure=False)).get()
    assert dropped is not None
    await dropped.reject(requeue=False)

    async def all_there() -> bool:
        return sorted(await everything(router), key=str) == sorted(
            [("orphan", removed.uuid), ("unknown", None), ("dropped", abonnement.uuid)], key=str
        )

    await eventually(all_there)
    ran = await nrc(router, "undeliverable", "resend", "orphan", "unknown", "dropped")
    assert (ran.code, ran.out) == (1, "1 sent again\n")
    assert sorted(ran.err.splitlines()) == [
        f"orphan: abonnement {removed.uuid} has no queue (any more)",
        "unknown: nothing on it says which abonnement it was for",
    ]
    again = await take(router, queue)
    assert (again.message_id, "x-death" in again.headers) == ("dropped", False)
    assert await everything(router) == [("orphan", removed.uuid), ("unknown", None)]
    listed = await nrc(router, "undeliverable", "list", "--rabbitmq")
    assert [line.split()[:2] for line in listed.out.splitlines()[1:]] == [
        ["orphan", str(removed.uuid)[:8]],
        ["unknown", "unknown"],
    ]
    listed = await nrc(router, "undeliverable", "list", "--rabbitmq", "--wide")
    assert listed.out.splitlines()[1].split()[:2] == ["orphan", str(removed.uuid)]


async def test_the_first_characters_of_ids_will_do(router: Running) -> None:
    """Where they name one notificatie, or one abonnement; else nothing is done."""
    one, other = UUID("5f3a2b1c-0000-4000-8000-000000000001"), UUID("5f3a2b1d-0000-4000-8000-000000000002")
    first, second = "aaaa0000-0000-4000-8000-000000000001", "aaaa1111-0000-4000-8000-000000000002"
    for id_ in (first, second):
        for abonnement in (one, other):
            await lay_out(router, id_, abonnement)
    before = await everything(router)

    listed = (await nrc(router, "undeliverable", "list", "--rabbitmq", "--abonnement", "5f3a2b1c")).out
    assert [line.split()[:2] for line in listed.splitlines()[1:]] == [
        ["aaaa0000", "5f3a2b1c"],
        ["aaaa1111", "5f3a2b1c"],
    ]
    shown = await nrc(router, "undeliverable", "show", "aaaa1", "--json")
    assert [each["id"] for each in shown.json()] == [second, second]
    for arguments, said in (
        (["show", "aaaa"], f"notificatie aaaa may be any of these: {first}, {second}"),
        (["resend", "aaaa"], f"notificatie aaaa may be any of these: {first}, {second}"),
        (["remove", "--yes", "--abonnement", "5f3a"], f"abonnement 5f3a may be any of these: {one}, {other}"),
        (
            ["list", "--rabbitmq", "--abonnement", "5f3a"],
            f"abonnement 5f3a may be any of these: {one}, {other}",
        ),
    ):
        ran = await nrc(router, "undeliverable", *arguments)
        assert (ran.code, ran.out, ran.err.splitlines()[-1]) == (2, "", f"nrc: {said}")
    none = await nrc(router, "undeliverable", "remove", "--yes", "--abonnement", "bbbb", "bbbb1")
    assert (none.code, none.err) == (1, "bbbb1: is not there\n")
    assert (await nrc(router, "undeliverable", "remove", "--yes", "--abonnement", "bbbb")).code == 0
    assert await everything(router) == before

    ran = await nrc(router, "undeliverable", "remove", "--yes", "aaaa0", "--abonnement", "5f3a2b1d")
    assert ran.out == f"{first} removed (abonnement {other})\n"
    ran = await nrc(router, "undeliverable", "resend", "aaaa1", "--abonnement", "5f3a2b1c", "--json")
    assert [each["id"] for each in ran.json()["failed"]] == [second], "there is no such abonnement here"


async def test_remove_takes_out_what_was_chosen_and_asks_first(router: Running) -> None:
    one, other = uuid4(), uuid4()
    for number in range(3):
        for abonnement in (one, other):
            await lay_out(router, f"id-{number}", abonnement)
    before = await everything(router)
    assert (await nrc(router, "undeliverable", "remove")).code == 2, "all of everyone is not meant"
    nobody = await nrc(router, "undeliverable", "remove", "--abonnement", str(one), stdin=b"y\n")
    assert (nobody.code, nobody.out) == (2, ""), "without a terminal nobody can be asked"
    assert nobody.err == "nrc: 3 go for good: --yes removes them\n"
    assert await everything(router) == before
    asked = await nrc(router, "undeliverable", "remove", "--abonnement", str(one), typed=b"n\n")
    assert asked.code == 1
    assert "remove 3 for good?" in asked.err
    assert await everything(router) == before
    sure = await nrc(router, "undeliverable", "remove", "--abonnement", str(one), typed=b"y\n")
    assert sure.code == 0
    assert sorted(sure.out.splitlines()) == [f"id-{number} removed (abonnement {one})" for number in range(3)]
    assert await everything(router) == [(f"id-{number}", other) for number in range(3)]
    ran = await nrc(router, "undeliverable", "remove", "id-1", "id-7", "--yes", "--json")
    assert (ran.code, ran.err) == (1, "id-7: is not there\n")
    assert ran.json() == {"removed": [{"id": "id-1", "abonnement": str(other)}], "missing": ["id-7"]}
    assert await everything(router) == [("id-0", other), ("id-2", other)]
    gone = [*((f"id-{number}", one) for number in range(3)), ("id-1", other)]
    assert sorted(await acts(router)) == sorted(
        ("undeliverable notificatie removed", id_, str(each)) for id_, each in gone
    )


async def test_many_keep_their_order_when_looked_at(router: Running) -> None:
    """RabbitMQ 3.10 loses it when more than 32 are given back at once."""
    for number in range(150):
        await lay_out(router, f"id-{number}", uuid4())
    wanted = [f"id-{number}" for number in range(150)]
    for _ in range(3):
        assert [message_id for message_id, _ in await everything(router)] == wanted


async def test_what_failed_for_good_is_delivered_after_a_resend(router: Running) -> None:
    async with delivering(router) as stage, stage.deliverer(retry_schedule=""):
        abonnement = await stage.subscribe("/broken")
        stage.callback.script("/broken", status(500), status(204))
        number = await stage.publish()

        async def failed() -> bool:
            return await everything(router) == [(number, abonnement.uuid)]

        await eventually(failed)
        ran = await nrc(router, "undeliverable", "resend", number)
        assert (ran.code, ran.err) == (0, "")
        await eventually(lambda: stage.ids_at("/broken") == [number, number])
        assert stage.callback.at("/broken")[1].header("nrc-attempt") == "1"
        assert await everything(router) == []


# What waits


async def test_what_is_between_attempts_is_counted_and_can_be_found(router: Running) -> None:
    """In a wait queue nobody can look. What deliverers noted of it goes on to be known when they stop."""
    started = time.time()
    async with delivering(router) as stage:
        broken, well = await stage.subscribe("/broken"), await stage.subscribe("/well")
        stage.callback.script("/broken", status(500))
        async with stage.deliverer(retry_schedule="64,400"):
            numbers = [await stage.publish() for _ in range(3)]
            await eventually(lambda: len(stage.ids_at("/broken")) == len(stage.ids_at("/well")) == 3)
        assert await stage.depth_is(broken, 0)

        listed = {each["uuid"]: each for each in (await nrc(router, "abonnement", "list", "--json")).json()}
        of_broken, of_well = listed[str(broken.uuid)], listed[str(well.uuid)]
        assert (of_broken["waiting"], of_broken["retrying"]) == (0, 3)
        assert (of_well["retrying"], of_well["nextRetry"]) == (0, None)
        due = datetime.fromisoformat(of_broken["nextRetry"]).timestamp()
        assert started + 63 <= due <= time.time() + 64
        header, *rows = (await nrc(router, "abonnement", "list")).out.splitlines()
        assert header.split()[3:5] == ["WAITING", "RETRY"]
        (row,) = (row for row in rows if str(broken.uuid)[:8] in row)
        assert row.split()[3:5] == ["0", "3"]
        shown = (await nrc(router, "abonnement", "show", str(broken.uuid))).out
        assert f"retrying:    3, the first until {of_broken['nextRetry']}" in shown.splitlines()

        (found,) = (await nrc(router, "undeliverable", "show", numbers[0], "--json")).json()
        assert (found["id"], found["abonnement"]) == (numbers[0], str(broken.uuid))
        assert (found["where"], found["state"], found["attempts"]) == ("between attempts", "active", 1)
        assert started + 63 <= datetime.fromisoformat(found["nextAttempt"]).timestamp() <= time.time() + 64
        assert (found["undeliverableAt"], found["notificatie"]) == (None, None)
        where = f"where:      between attempts, the next at {found['nextAttempt']}"
        assert where in (await nrc(router, "undeliverable", "show", numbers[0][:13])).out.splitlines()

        await stage.set_state(broken, State.SUSPENDED)
        (found,) = (await nrc(router, "undeliverable", "show", numbers[0], "--json")).json()
        assert (found["state"], found["nextAttempt"]) == ("suspended", None)
        text = (await nrc(router, "undeliverable", "show", numbers[0])).out
        assert "then in the queue of its abonnement, which is suspended (by a test)" in text
        removed = await nrc(router, "abonnement", "remove", str(broken.uuid))
        assert (removed.code, removed.err) == (
            0, "3 between attempts go to nrc.undeliverable when their time is up\n"
        )  # fmt: skip
        assert "then in nrc.undeliverable" in (await nrc(router, "undeliverable", "show", numbers[0])).out


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


async def test_a_notificatie_is_found_in_the_queues_where_it_waits(router: Running) -> None:
    held, active, removed = [await subscribe(router) for _ in range(3)]
    await router.registry.remove_abonnement(removed.uuid)
    hold = Hold(since=1e9, probes=3, next_probe=1e9 + 40)
    await router.registry.set_hold(held.uuid, hold, "timeout", before=None, callback_url=held.callback_url)
    for number in range(40):
        for abonnement in (held, active):
            key = names.abonnement_queue(abonnement.uuid)
            await lay_out(router, f"id-{number}", None, key=key, exchange=names.RETURN)
    await lay_out(router, "id-3", removed.uuid)
    for _ in range(2):  # a look takes nothing out
        found = (await nrc(router, "undeliverable", "show", "id-3", "--json")).json()
        first, *queued = [(each["abonnement"], each["where"], each["state"]) for each in found]
        assert first == (str(removed.uuid), "undeliverable", None)
        assert sorted(queued) == sorted(
            [(str(held.uuid), "queue", "held"), (str(active.uuid), "queue", "active")]
        )
        assert {each["notificatie"]["number"] for each in found} == {"id-3"}
        assert {each["nextAttempt"] for each in found} == {None}
    lines = (await nrc(router, "undeliverable", "show", "id-3")).out.splitlines()
    assert "where:      nrc.undeliverable" in lines
    assert "where:      the queue of its abonnement, which is active" in lines
    held_line = (
        "where:      the queue of its abonnement, which is held since 2001-09-09T01:46:40Z, "
        "next probe 2001-09-09T01:47:20Z"
    )
    assert held_line in lines
    nowhere = await nrc(router, "undeliverable", "show", "id-99")
    assert (nowhere.code, nowhere.out) == (1, "")
    assert "nor one that waits" in nowhere.err


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
        depth = (await depths(router.connection, [queue]))[queue]
        return depth is not None and depth.messages == 298 + 1 + 3 + 1

    queue = names.abonnement_queue(abonnement.uuid)
    await eventually(arrived)
