"""An operator makes consumers that read RabbitMQ: by commands, a setup file, the console, and by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from uuid import UUID

import aiohttp
import pytest
from yarl import URL

from router import names
from schemas.application import Application, Scope
from schemas.user import Role
from tests.command import Ran, nrc_process
from tests.eventually import eventually
from tests.integration.amqp_direct.reading import Consumer, a_consumer
from tests.integration.amqp_direct.test_amqp_direct import may_connect
from tests.integration.conftest import running_router
from tests.integration.console.conftest import NO_GATEWAY, add_users, console_on
from tests.integration.deliverer.delivering import Delivering, delivering

FILE = """\
abonnementen:
  - name: dashboard
    clientId: afnemer
    type: amqp
    amqp: {kind: KIND, maxAge: 3600, password: {value_from: {env: DASHBOARD}}}
    kanalen: [{naam: zaken, filters: {zaaktype: A}}]
"""


async def nrc(direct: Delivering, folder: Path, *words: str, **env: str) -> Ran:
    settings = direct.router.settings
    known = {"NRC_AMQP_URL": settings.amqp_url[0], "NRC_AMQP_DIRECT": "true"}
    return await nrc_process(folder, *words, env={**known, **env})


@pytest.fixture
async def afnemer(direct: Delivering) -> None:
    await direct.router.registry.add_application(
        Application("afnemer", "geheim van afnemer", scopes=frozenset({Scope.CONSUMEREN}))
    )


def consumer_of(direct: Delivering, uuid: str, password: str) -> Consumer:
    """What connects as the user of this one does."""
    return Consumer(UUID(uuid), password, direct.router.settings.amqp_url[0], True)


@pytest.mark.usefixtures("afnemer")
async def test_by_commands(direct: Delivering, tmp_path: Path) -> None:
    refused = await nrc(direct, tmp_path, "amqp", "create", "--client", "afnemer", "--kanaal", "zakn")
    assert (refused.code, "there is no kanaal zakn" in refused.err) == (2, True), refused.err
    words = ("amqp", "create", "--client", "afnemer", "--kanaal", "zaken", "--max-length", "5", "--json")
    made = (await nrc(direct, tmp_path, *words)).json()
    assert (made["maxLength"], made["ready"]) == (5, True)
    consumer = consumer_of(direct, made["uuid"], made["password"])
    assert await may_connect(consumer)
    async with direct.deliverer(amqp_direct=True):
        await direct.publish()
        async with consumer.reading() as reading:
            assert len(await reading.next(1)) == 1
    await nrc(direct, tmp_path, "amqp", "password", made["uuid"])
    assert not await may_connect(consumer)
    shown = await nrc(direct, tmp_path, "amqp", "show", made["uuid"][:8])
    assert made["queue"] in shown.out
    assert "password" not in shown.out
    (listed,) = (await nrc(direct, tmp_path, "amqp", "list", "--json")).json()
    assert (listed["queue"], listed["messages"]) == (made["queue"], 0)
    status = (await nrc(direct, tmp_path, "status", "--json")).json()
    assert status["queues"] == {made["uuid"]: {"messages": 0, "consumers": 0}}
    assert made["queue"] in (await nrc(direct, tmp_path, "queues", "--wide")).out
    assert (await nrc(direct, tmp_path, "abonnement", "remove", "--yes", made["uuid"])).code == 0
    assert await direct.depth(made["queue"]) == -1


@pytest.mark.usefixtures("afnemer")
async def test_by_a_setup_file(direct: Delivering, tmp_path: Path) -> None:
    file = tmp_path / "setup.yaml"

    async def applied(kind: str, password: str) -> Ran:
        file.write_text(FILE.replace("KIND", kind))
        return await nrc(direct, tmp_path, "apply", str(file), DASHBOARD=password)

    first, second = "een wachtwoord van een dashboard", "een ander wachtwoord ervan"
    ran = await applied("stream", first)
    assert (ran.code, "dashboard added" in ran.out) == (0, True), ran.err
    (uuid,) = [each.uuid for each in (await direct.router.registry.changes_since(0)).abonnementen]
    assert await may_connect(consumer_of(direct, str(uuid), first))
    assert "changed" not in (await applied("stream", first)).out
    changed = await applied("stream", second)
    assert "dashboard changed" in changed.out
    assert second not in changed.out + changed.err
    assert await may_connect(consumer_of(direct, str(uuid), second))
    kept = await applied("quorum", second)
    assert kept.code != 0
    assert "a queue in RabbitMQ never changes" in kept.err or "maxAge" in kept.err


async def test_in_the_console(direct: Delivering) -> None:
    consumer = await a_consumer(direct)
    await add_users(direct.router.registry)
    settings = direct.router.settings.model_copy(update={"gateway_listen": ("127.0.0.1", 1)})
    assert NO_GATEWAY.endswith(":1")
    async with console_on(settings) as served, served.browser(Role.BEHEERDER) as browser:
        own = f"abonnementen/{consumer.uuid}/"
        page = await browser.get(own)
        assert consumer.queue in page.text
        assert "0 berichten; 0 lezers" in page.text
        assert "testbericht" not in page.text
        made = await browser.act(f"{own}wachtwoord/", "wachtwoord")
        found = re.search(r"<dt[^>]*>Wachtwoord</dt><dd[^>]*>([^<]+)</dd>", made.text)
        assert found is not None, made.text
        assert await may_connect(consumer_of(direct, str(consumer.uuid), found[1]))
        assert found[1] not in (await browser.get(f"{own}wachtwoord/")).text


async def test_without_the_http_api_an_operator_makes_the_user(
    management: str, vhost: str, tmp_path: Path
) -> None:
    async with running_router(vhost, tmp_path, amqp_direct=True) as router, delivering(router) as direct:
        consumer = await a_consumer(direct)
        assert not consumer.ready
        assert not await may_connect(consumer)
        told = await nrc(direct, tmp_path, "amqp", "definitions")
        assert consumer.password not in told.out
        # What `rabbitmqctl import_definitions` does with its standard input.
        parts = URL(management)
        headers = {"Authorization": aiohttp.encode_basic_auth(parts.user or "", parts.password or "")}
        async with aiohttp.ClientSession(headers=headers) as session:
            url = parts.with_user(None) / "api/definitions"
            async with session.post(url, json=json.loads(told.out)) as answer:
                assert answer.status == 204
        await eventually(lambda: may_connect(consumer), within=30)
        assert consumer.queue == names.amqp_queue(consumer.uuid)
