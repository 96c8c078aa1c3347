"""Policies that empty our queues, on a RabbitMQ that others share: they are detected and logged."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from yarl import URL

from router import names
from router.declaring.watching import canary
from runtime.amqp import open_channel
from tests.broker import Broker
from tests.command import nrc_process
from tests.eventually import eventually
from tests.integration.conftest import Running, running_router

TOLD = "policy in RabbitMQ empties queues"


async def set_policy(broker: Broker, vhost: str, key: str, value: int) -> None:
    await broker.eval(
        f'rabbit_policy:set(<<"{URL(vhost).path.removeprefix("/")}">>, <<"others">>, <<".*">>, '
        f'[{{<<"{key}">>, {value}}}], 0, <<"all">>, <<"test">>).'
    )


def version_of(router: Running) -> tuple[int, ...]:
    assert router.connection.transport
    version = str(router.connection.transport.connection.server_properties["version"])
    return tuple(int(part) for part in version.split(".")[:2])


@pytest.mark.parametrize(
    ("key", "value"), [("message-ttl", 300), ("max-length", 0), ("expires", 300), ("delivery-limit", 3)]
)
async def test_a_policy_that_empties_queues_is_told(
    broker: Broker,
    vhost: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
    value: int,
) -> None:
    monkeypatch.setattr(canary, "INTERVAL", 1.0)
    monkeypatch.setattr(canary, "LIVES", (1, 60))
    said = ""

    def told() -> str:
        nonlocal said
        said += capsys.readouterr().out
        return next((line for line in said.splitlines() if TOLD in line), "")

    async def health() -> str:
        env = {"NRC_AMQP_URL": vhost, "NRC_GATEWAY_LISTEN": "127.0.0.1:1"}
        return str((await nrc_process(tmp_path, "health", "--json", env=env)).json()["broker"]["detail"])

    async def is_there() -> bool:
        return (await canary.look(router.connection)).returns > 1

    async def health_tells() -> bool:
        detail = await health()
        return "a policy empties queues" in detail and "rabbitmqctl set_policy" in detail

    async with running_router(vhost, tmp_path) as router:
        if key == "delivery-limit" and version_of(router) >= (4, 3):
            pytest.skip("RabbitMQ 4.3 does not count what is given back")
        assert await eventually(is_there)
        assert (await health(), told()) == ("connected", "")
        await set_policy(broker, vhost, key, value)
        assert key in await eventually(told, within=120)
        assert await eventually(health_tells)


async def test_one_of_each_stays_however_many_came(
    vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after routers that were killed between putting one and taking away the other, again and again."""
    monkeypatch.setattr(canary, "INTERVAL", 0.3)
    monkeypatch.setattr(canary, "LIVES", (1, 60))

    async def there() -> list[int]:
        channel = await open_channel(router.connection)
        try:
            return sorted(map(canary._life, await canary._taken(channel)))
        finally:
            await channel.close()

    async def one_of_each() -> bool:
        return await there() == [1, 60]

    async with running_router(vhost, tmp_path) as router:
        assert await eventually(one_of_each, every=0.5)
        async with router.connection.channel() as channel:
            for life in [1, 60, 7] * 20:
                headers: dict[str, Any] = {canary.LIFE: life}
                message = aio_pika.Message(b"{}", headers=headers, timestamp=datetime.now(UTC))
                await channel.default_exchange.publish(message, names.CANARY)
        assert await eventually(one_of_each, every=0.5)
    assert TOLD not in capsys.readouterr().out
