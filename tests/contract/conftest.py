"""Fixtures of the contract tests: gateways on a real RabbitMQ with a real router, one registry for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import aiohttp
import pytest
from opentelemetry.sdk.trace import TracerProvider

import extra.mounting
import gateway.service
import router.declaring.service
from router.declaring.losses import LossesOf
from runtime.settings import Settings
from store.opening import open_registry
from store.registry import Registry
from telemetry.observing import Observing
from tests.broker import Broker
from tests.contract.api import APPLICATIONS, Api, Callback, free_socket


@dataclass
class Stage:
    """A broker, a registry and a router, on which gateways are started with settings of their own."""

    settings: Settings
    registry: Registry
    session: aiohttp.ClientSession

    @asynccontextmanager
    async def gateway(
        self, *, wait: bool = True, provider: TracerProvider | None = None, **overrides: Any
    ) -> AsyncIterator[Api]:
        """A gateway with these settings, ready unless told not to wait; stopped at the end.

        provider: what makes its spans.
        """
        settings = self.settings.model_copy(update=overrides)
        sock = free_socket()
        host, port = sock.getsockname()
        observing = Observing("gateway", settings, provider=provider)
        mounts = (extra.mounting.mount, *observing.mounts)
        root = f"http://{host}:{port}/api/v1"
        async with (
            running(
                lambda stop, ready: gateway.service.serve(
                    settings, stop=stop, ready=ready, sock=sock, mounts=mounts, observe=observing.observe
                ),
                wait=wait,
            ),
            # Closed before the gateway stops, which else waits for those who may still send.
            aiohttp.ClientSession() as session,
        ):
            yield Api(session, root)


@asynccontextmanager
async def running(serve: Any, *, wait: bool = True) -> AsyncIterator[None]:
    """`serve(stop, ready)` in a task, from when it is ready; its fault is the test's."""
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(stop, ready.set))
    try:
        if wait:
            waiting = asyncio.create_task(ready.wait())
            await asyncio.wait({task, waiting}, timeout=90, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            assert task.done() or ready.is_set(), "not ready within 90 s"
            if task.done():
                task.result()
        yield
    finally:
        stop.set()
        await task


class Untold:
    """Losses that nobody is told of: these tests have a ledger of the gateway alone."""

    def __init__(self, _: Settings) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None: ...

    async def queue_lost(self, abonnement: UUID, why: str) -> None: ...

    def queue_stands(self, abonnement: UUID | None) -> None: ...

    async def exchange_lost(self, kanaal: str, why: str) -> None: ...

    def exchange_stands(self, kanaal: str) -> None: ...


@asynccontextmanager
async def open_stage(url: str, folder: Path, *, losses_of: LossesOf = Untold) -> AsyncIterator[Stage]:
    """A stage on this broker, with a registry in this folder that knows APPLICATIONS.

    losses_of: where its router writes what RabbitMQ lost.
    """
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        amqp_url=url,
        state_dir=folder,
        callback_check="off",
        callback_allow_loopback=True,
        refresh_interval=30,
        stop_timeout=4,
    )
    async with AsyncExitStack() as opened:
        registry = await opened.enter_async_context(open_registry(settings.registry_file))
        for application in APPLICATIONS:
            await registry.add_application(application)
        session = await opened.enter_async_context(aiohttp.ClientSession())
        await opened.enter_async_context(
            running(
                lambda stop, ready: router.declaring.service.serve(
                    settings, stop=stop, ready=ready, losses_of=losses_of
                )
            )
        )
        yield Stage(settings, registry, session)


@pytest.fixture(scope="session")
async def stage(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """The stage that all contract tests share; each uses names of its own."""
    url = await broker.fresh_vhost()
    async with open_stage(url, tmp_path_factory.mktemp("stage")) as stage:
        yield stage
    await broker.remove_vhost(url)


@pytest.fixture
async def own(vhost: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage of which the ledger may be spoiled."""
    async with open_stage(vhost, tmp_path) as stage:
        yield stage


@pytest.fixture(scope="session")
async def api(stage: Stage) -> AsyncIterator[Api]:
    """A gateway without a callback check."""
    async with stage.gateway() as api:
        yield api


@pytest.fixture
async def callback() -> AsyncIterator[Callback]:
    """A callback that asks for Authorization."""
    async with Callback() as callback:
        yield callback
