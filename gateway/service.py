"""A gateway process from start to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from aio_pika.abc import AbstractConnection
from aiohttp import web

from deliverer.client import CallbackClient
from gateway.app import build_app
from gateway.protocol import listen
from gateway.state import Gateway
from router.catalogue import Catalogue
from router.changes import follow_changes
from router.publishing import Publisher
from router.requests import RouterClient
from runtime.amqp import Link
from runtime.lifecycle import Tasks
from runtime.log import logger
from runtime.settings import Settings
from schemas.errors import BrokerUnavailable, UsageError
from store.opening import registry_of

REPORT_INTERVAL = 10.0  # seconds between two lines that say why it is not ready
GOODBYE = 0.5  # seconds in which keep-alive clients hear, with an answer, that this process goes
LAST_CALL = 0.5  # seconds, twice, that the HTTP library gives what is still unfinished after that

log = logger(__name__)


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    ready: Callable[[], None],
    sock: socket.socket | None = None,
) -> None:
    """Run a gateway until `stop`, on `sock` or NRC_GATEWAY_LISTEN. Raises NrcError for what prevents it.

    Stop order: accept no more connections → finish the requests that came in, which need all that follows →
    close the connections → publisher, changes and registry. Within stop_timeout.
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
            publisher=Publisher(settings.amqp_url, name="gateway", mandatory=False),
            router=RouterClient(link),
            callbacks=callbacks,
        )

        async def session(connection: AbstractConnection) -> None:
            await follow_changes(connection, catalogue)

        opened.callback(gateway.repairs.close)
        tasks = await opened.enter_async_context(Tasks())
        tasks.start("registry", catalogue.run())
        tasks.start("changes", link.run(session))
        tasks.start("publishing", gateway.publisher.run())
        runner = web.AppRunner(build_app(gateway), shutdown_timeout=LAST_CALL)
        await runner.setup()
        opened.push_async_callback(runner.cleanup)
        assert runner.server is not None  # noqa: S101 - set up
        try:
            server = await listen(runner.server, settings, sock=sock)
        except OSError as error:
            raise UsageError(f"NRC_GATEWAY_LISTEN: {error.strerror or error}") from error
        opened.callback(server.close)
        tasks.start("reporting ready", report_ready(gateway, ready))
        await tasks.run_until(stop)
        server.close()
        await finish_requests(gateway, within=settings.stop_timeout - 3 * LAST_CALL)


async def report_ready(gateway: Gateway, ready: Callable[[], None]) -> None:
    """Call `ready` once the broker takes notificaties; until then every POST gets 503. Never returns."""
    while not gateway.publisher.ready:
        try:
            await gateway.publisher.wait_ready(REPORT_INTERVAL)
        except BrokerUnavailable as error:
            log.warning("not ready yet", reason=str(error))
    ready()
    await asyncio.Event().wait()


async def finish_requests(gateway: Gateway, *, within: float) -> None:
    """Return when no request is being handled any more, or after `within` seconds.

    For a moment clients that keep their connection open may still send: their answer tells them to close.
    """
    gateway.stopping = True
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await asyncio.sleep(GOODBYE)
            await gateway.idle()
    if gateway.in_flight:
        log.warning("stopping with requests unfinished", requests=gateway.in_flight)
