"""A console that uses an OpenID provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from store.registry import ActSearch
from tests.broker import Broker
from tests.contract.api import free_socket
from tests.integration.conftest import settings_for
from tests.integration.console.conftest import Served, console_on

Consoles = Callable[..., AbstractAsyncContextManager[Served]]
"""Starts a console with its state in a folder, and with these settings: `consoles(folder, **settings)`."""


@pytest.fixture(scope="module")
async def consoles(broker: Broker) -> AsyncIterator[Consoles]:
    """Starts consoles that know their own address."""
    url = await broker.fresh_vhost()
    yield partial(_console, url)
    await broker.remove_vhost(url)


@asynccontextmanager
async def _console(vhost: str, folder: Path, **settings: Any) -> AsyncIterator[Served]:
    sock = free_socket()
    address = "http://{}:{}".format(*sock.getsockname())
    own = settings_for(vhost, folder, **{"console_public_url": address, **settings})
    async with console_on(own, sock) as served:
        yield served


async def acts(served: Served, what: str) -> list[dict[str, object]]:
    """What was noted of this act, the newest first: its facts, and the user as the table has it."""
    found = await served.registry.acts(ActSearch(what=what), limit=100)
    return [{**act.facts, "by": act.user} for act in found]
