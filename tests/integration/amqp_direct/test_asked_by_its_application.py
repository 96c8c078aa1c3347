"""An application takes a queue of its own through the API, and reads it with the program of docs/amqp.md."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

import extra.mounting
import gateway.service
from runtime.settings import load_settings
from tests.broker import Broker
from tests.contract.api import APPLICATIONS, Api, free_socket, message
from tests.contract.conftest import running
from tests.contract.extra.conftest import extra_root
from tests.integration.deliverer.delivering import Delivering

DOCUMENT = Path(__file__).parents[3] / "docs" / "amqp.md"


@pytest.fixture
async def api(direct: Delivering) -> AsyncIterator[Api]:
    """A gateway beside the router; no gateway needs RabbitMQ's HTTP API."""
    for application in APPLICATIONS:
        await direct.router.registry.add_application(application)
    keep = {"state_dir", "amqp_url", "amqp_direct"}
    base = direct.router.settings.model_dump(include=keep)
    settings = load_settings(
        _env_file=None,
        **base,
        amqp_direct_url="amqps://rabbitmq.example.nl/",
        stop_timeout=4,
        extra_rate=10000,
    )
    sock = free_socket()
    host, port = sock.getsockname()
    async with (
        running(
            lambda stop, ready: gateway.service.serve(
                settings, stop=stop, ready=ready, sock=sock, mounts=(extra.mounting.mount,)
            )
        ),
        aiohttp.ClientSession() as session,
    ):
        yield Api(session, f"http://{host}:{port}/api/v1")


def program() -> str:
    """The consumer of the document."""
    found = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    assert len([line for line in found[1].splitlines() if line.strip()]) <= 15
    return found[1]


async def cut_off(broker: Broker, user: str) -> None:
    """Its connection is closed, as when RabbitMQ is restarted, and it is back."""
    found = await broker.eval(
        f'[rabbit_networking:close_connection(P, "test") || P <- rabbit_networking:connections(), '
        f'rabbit_networking:connection_info(P, [user]) =:= [{{user, <<"{user}">>}}]].'
    )
    assert found == "[ok]"


async def test_an_application_takes_one_reads_it_and_removes_it(
    direct: Delivering, api: Api, broker: Broker
) -> None:
    root = extra_root(api)
    bad = await api.post(
        f"{root}/abonnement/amqp", {"kanalen": [{"naam": "zaken"}], "amqp": {"kind": "klassiek"}}
    )
    assert bad.params == {("amqp.kind", "invalid")}
    other = {"kind": "stream", "maxLength": 3}
    bad = await api.post(f"{root}/abonnement/amqp", {"kanalen": [{"naam": "zaken"}], "amqp": other})
    assert bad.status == 400
    made = await api.post(
        f"{root}/abonnement/amqp", {"kanalen": [{"naam": "zaken"}], "amqp": {"maxLength": 50}}
    )
    assert made.status == 201, made.body
    amqp = made.json["amqp"]
    assert (amqp["url"], amqp["maxLength"], amqp["ready"]) == ("amqps://rabbitmq.example.nl/", 50, True)
    url = f"/abonnement/{made.json['uuid']}"

    # The standard's API does not know it, and no other application sees it.
    assert made.json["uuid"] not in (await api.get("/abonnement")).body.decode()
    refused = await api.get(url)
    assert refused.status == 404
    assert "/api/extra/v1/abonnement/" in refused.json["detail"]
    assert (await api.of("ander").get(f"{root}{url}/amqp")).status == 404
    own = await api.get(f"{root}{url}")
    assert (own.json["type"], own.json["callbackUrl"]) == ("amqp", None)
    assert amqp["password"] not in own.body.decode()
    tried = await api.post(f"{root}{url}/test")
    assert tried.json["taken"], tried.body

    renewed = await api.post(f"{root}{url}/amqp/password")
    environment = {
        "AMQP_URL": direct.router.settings.amqp_url[0],
        "AMQP_USER": renewed.json["amqp"]["user"],
        "AMQP_PASSWORD": renewed.json["amqp"]["password"],
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program()),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert b'"test"' in await asyncio.wait_for(process.stdout.readline(), 30)
        async with direct.deliverer(amqp_direct=True):
            published = await api.post("/notificaties", message("zaken"))
            line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        assert line.startswith(published.headers["nrc-notificatie-id"])
        if broker.private is not None:
            # It goes on by itself where its connection was lost.
            async with direct.deliverer(amqp_direct=True):
                await cut_off(broker, amqp["user"])
                published = await api.post("/notificaties", message("zaken"))
                line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
            assert line.startswith(published.headers["nrc-notificatie-id"])
    finally:
        process.kill()
        await process.communicate()

    changed = await api.put(f"{root}{url}", {"kanalen": [{"naam": "zaken", "filters": {"zaaktype": "A"}}]})
    assert changed.json["kanalen"][0]["filters"] == {"zaaktype": "A"}
    assert (await api.delete(f"{root}{url}")).status == 204
    assert await direct.depth(amqp["queue"]) == -1
