"""A night of notificaties in a console, and a browser of somebody who may only look."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ledger.opening import ledger_of
from schemas.user import Role
from tests.broker import Broker
from tests.integration.conftest import running_router
from tests.integration.console.conftest import Browser, Served, add_users, console_on
from tests.integration.console.notificaties.night import Night, a_night


@pytest.fixture(scope="module")
async def served(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A console beside a router, with users and an empty ledger; of one file of tests."""
    url = await broker.fresh_vhost()
    async with running_router(url, tmp_path_factory.mktemp("console")) as router, ledger_of(router.settings):
        await add_users(router.registry)
        async with console_on(router.settings) as served:
            yield served
    await broker.remove_vhost(url)


@pytest.fixture(scope="module")
async def night(served: Served) -> Night:
    return await a_night(served)


@pytest.fixture
async def lezer(served: Served) -> AsyncIterator[Browser]:
    async with served.browser(Role.LEZER) as browser:
        yield browser
