"""A router with RabbitMQ's HTTP API, a kanaal and a publisher; the plugin runs for these tests alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.integration.conftest import running_router
from tests.integration.deliverer.delivering import Delivering, delivering


@pytest.fixture(scope="package")
async def management(broker: Broker) -> AsyncIterator[str]:
    """The URL of RabbitMQ's HTTP API, with user and password."""
    async with broker.management() as url:
        yield url


@pytest.fixture
async def direct(management: str, vhost: str, tmp_path: Path) -> AsyncIterator[Delivering]:
    """All that is needed but the deliverer, which the test starts; and no callback is used."""
    async with (
        running_router(vhost, tmp_path, amqp_direct=True, rabbitmq_management_url=management) as router,
        delivering(router) as opened,
    ):
        yield opened
