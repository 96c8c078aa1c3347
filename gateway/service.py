"""A gateway process from start to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack

from aio_pika.abc import AbstractConnection
from aiohttp import web

from deliverer.client import CallbackClient
from gateway.app import build_app
from gateway.leaving import say_goodbye
from gateway.protocol import listen, stop_listening
from gateway.state import Gateway
from router.catalogue import Catalogue
from router.changes import follow_changes
from router.publishing import Publisher
from router.requests import RouterClient
from runtime.amqp import Link
from runtime.lifecycle import Tasks
from runtime.log import logger
from runtime.settings import Settings
from schemas.errors import BrokerUnavailable
from store.opening import registry_of

REPORT_INTERVAL = 10.0  # seconds between two lines that say why it is not ready
WARM_UP = 3.0  # seconds for which connections wait, on a shared socket, until this process can publish
LAST_CALL = 0.25  # seconds, twice, that the HTTP library gives what is still unfinished at the end

log = logger(__name__)


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    ready: Callable[[], None],
    sock: socket.socket | None = None,
) -> None:
    """Run a gateway until `stop`, on `sock` or NRC_GATEWAY_LISTEN. Raises NrcError for what prevents it.

    Stop order: accept no more connections → finish the requests that came in, which need all that follows,
    and let keep-alive clients go → close the connections → publisher, changes and registry. Within
    stop_timeout.
    """
    async with AsyncExitStack() as opened:
        registry = await opened.enter_async_context(registry_of(settings))
        catalogue = Catalogue(registry, refresh_interval=settings.refresh_interval)
        await catalogue.load()
        callbacks = await opened.enter_async_context(CallbackClient.of(settings))
        link = Link(settings.amqp_url, name="gateway")
        gateway = Gateway(
            settings=settings,
            registry=registry,
            catalogue=catalogue,
            publisher=Publisher(
                settings.amqp_url, name="gateway", mandatory=False, largest=settings.max_body
            ),
            router=RouterClient(link),
            callbacks=callbacks,
        )

        async def session(connection: AbstractConnection) -> None:
            await follow_changes(connection, catalogue)

        opened.callback(gateway.aside.close)
        opened.callback(gateway.repairs.close)
        tasks = await opened.enter_async_context(Tasks())
        tasks.start("registry", catalogue.run())
        tasks.start("changes", link.run(session))
        tasks.start("publishing", gateway.publisher.run())
        tasks.start("publishing again", gateway.latest.run())
        runner = web.AppRunner(build_app(gateway), shutdown_timeout=LAST_CALL)
        await runner.setup()
        opened.push_async_callback(runner.cleanup)
        assert runner.server is not None  # noqa: S101 - set up
        if sock is not None:
            await warm_up(gateway, stop)
        server = await listen(runner.server, gateway, sock=sock)
        opened.callback(server.close)
        tasks.start("reporting ready", report_ready(gateway, ready))
        await tasks.run_until(stop)
        gateway.stopping = True
        await stop_listening(server, runner.server, gateway, shared=sock is not None)
        left = await say_goodbye(runner.server, within=settings.stop_timeout - 3 * LAST_CALL)
        if left:
            log.warning("stopping with requests unfinished", requests=left)


async def warm_up(gateway: Gateway, stop: asyncio.Event) -> None:
    """Return when the broker takes notificaties, after WARM_UP, or on `stop`.

    On a socket that others share, whoever accepts must be able to answer: a sibling can, and what nobody
    accepts waits in the kernel's queue.
    """
    can_publish = asyncio.create_task(gateway.publisher.wait_ready(WARM_UP), name="warming up")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({can_publish, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (can_publish, stopping):
        task.cancel()
    await asyncio.gather(can_publish, stopping, return_exceptions=True)


async def report_ready(gateway: Gateway, ready: Callable[[], None]) -> None:
    """Call `ready` once the broker takes notificaties; until then every POST gets 503. Never returns."""
    while not gateway.publisher.ready:
        try:
            await gateway.publisher.wait_ready(REPORT_INTERVAL)
        except BrokerUnavailable as error:
            log.warning("not ready yet", reason=str(error))
    ready()
    await asyncio.Event().wait()
