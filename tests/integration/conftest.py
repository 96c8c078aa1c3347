"""A running router on an empty virtual host, with its registry; a certificate for a test's servers."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from ledger.ledger import Ledger
from ledger.losses import LedgerLosses
from ledger.opening import ledger_of
from router.declaring.service import serve
from router.requests import RouterClient
from runtime.amqp import Link
from runtime.settings import Settings, load_settings
from store.opening import open_registry
from store.registry import Registry

if TYPE_CHECKING:
    from tests.integration.deliverer.delivering import Delivering
    from tests.integration.ledger.keeping import Kept


@dataclass
class Running:
    """A router and what a test needs to talk to it."""

    settings: Settings
    registry: Registry
    link: Link
    client: RouterClient

    @property
    def connection(self) -> AbstractConnection:
        assert self.link.connection is not None
        return self.link.connection

    async def taken(self, queue: str) -> list[AbstractIncomingMessage]:
        """All that is in a queue, in order; it is taken out."""
        found = []
        async with self.connection.channel() as channel:
            opened = await channel.get_queue(queue, ensure=False)
            while (message := await opened.get(no_ack=True, fail=False)) is not None:
                found.append(message)
        return found


@asynccontextmanager
async def running(serve_: Callable[..., Any], settings: Settings, **more: Any) -> AsyncIterator[None]:
    """A service's `serve` as a task, from ready to stopped."""
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve_(settings, stop=stop, ready=ready.set, **more))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({task, waiting}, timeout=90, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        assert ready.is_set(), "not ready within 90 s"
        yield
    finally:
        waiting.cancel()
        stop.set()
        await asyncio.wait_for(task, 20)


@asynccontextmanager
async def open_link(url: str) -> AsyncIterator[Link]:
    """A connected Link for a test's own use."""
    link, opened = Link([url], name="test"), asyncio.Event()

    async def session(connection: AbstractConnection) -> None:
        opened.set()
        await connection.closed()

    task = asyncio.create_task(link.run(session))
    await asyncio.wait_for(opened.wait(), 10)
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.wait({task})


def settings_for(vhost: str, folder: Path, **more: Any) -> Settings:
    """Settings of a process on this virtual host, with its registry here; callbacks are on loopback."""
    own = {"amqp_url": vhost, "state_dir": folder, "callback_allow_loopback": True}
    return load_settings(_env_file=None, **{**own, **more})


@asynccontextmanager
async def running_router(vhost: str, folder: Path, **more: Any) -> AsyncIterator[Running]:
    """A router, with its registry in this folder."""
    settings = settings_for(vhost, folder, retry_schedule="1,2", **more)
    async with (
        running(serve, settings, losses_of=LedgerLosses),
        open_registry(settings.registry_file) as registry,
        open_link(vhost) as link,
    ):
        yield Running(settings, registry, link, RouterClient(link))


@pytest.fixture
async def router(vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """A router that does not look by itself at what a test has deleted."""
    monkeypatch.setattr("router.declaring.service.WATCH_INTERVAL", 600.0)
    async with running_router(vhost, tmp_path) as started:
        yield started


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, key and all in one file."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", str(file) + ".crt",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + Path(str(file) + ".crt").read_text())
    return file


@pytest.fixture
async def spine(router: Running) -> AsyncIterator[Delivering]:
    """A callback and a publisher beside the router."""
    from tests.integration.deliverer.delivering import delivering

    async with delivering(router) as opened:
        yield opened


@pytest.fixture
async def ledger(router: Running) -> AsyncIterator[Ledger]:
    """The ledger of the system that the router is of."""
    async with ledger_of(router.settings) as opened:
        yield opened


@pytest.fixture
async def kept(router: Running, ledger: Ledger) -> Kept:
    """A ledger that a test fills as gateways do, and a kanaal."""
    from tests.integration.ledger.keeping import Kept
    from tests.make import a_kanaal

    kanaal = await router.registry.add_kanaal(a_kanaal("zaken", "zaaktype"))
    await router.client.apply_kanaal(kanaal.naam)
    return Kept(router, ledger, kanaal)
