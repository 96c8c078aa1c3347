"""The gateway process: what it opens, in which order, and how it stops."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from functools import partial
from time import monotonic

from aiohttp import web

from deliverer.http.client import CallbackClient
from gateway.app import Mount, build_app
from gateway.autorisaties.asking import AskingAc
from gateway.autorisaties.keeping import Keeping
from gateway.autorisaties.notices import Notices
from gateway.autorisaties.rights import Rights
from gateway.http.draining import say_goodbye
from gateway.http.protocol import listen, stop_listening
from gateway.state import Gateway
from ledger.reopening import ReopenedLedger
from ledger.unwritten import Unwritten
from ledger.writer import Writer
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

LOOK_INTERVAL = 0.5  # seconds between two looks at whether the ledger is open, while RabbitMQ is away
REPORT_INTERVAL = 10.0  # seconds between two lines that say why it is not ready
WARM_UP = 3.0  # seconds for which connections wait, on a shared socket, until this process can publish
LAST_CALL = 0.25  # seconds, twice, that the HTTP library gives to unfinished requests at the end
LAST_COMMITS = 2.0  # seconds, at most, for the last commits to the ledger

THREAD_TURN = 0.001  # seconds; while a thread works the event loop needs several turns for one answer

log = logger(__name__)


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    ready: Callable[[], None],
    sock: socket.socket | None = None,
    mounts: Iterable[Mount] = (),
    observe: Callable[[Gateway], AbstractAsyncContextManager[object]] = nullcontext,
) -> None:
    """Run a gateway until `stop`, on `sock` or NRC_GATEWAY_LISTEN. Raises NrcError for what prevents it.

    Stops within stop_timeout: accept no more connections → answer what came in, and let keep-alive clients
    go → close the connections → publisher, changes and registry.
    """
    sys.setswitchinterval(THREAD_TURN)
    async with AsyncExitStack() as opened:
        registry = await opened.enter_async_context(registry_of(settings))
        catalogue = Catalogue(registry, refresh_interval=settings.refresh_interval)
        await catalogue.refresh()
        callbacks = await opened.enter_async_context(CallbackClient.of(settings))
        ledger = await opened.enter_async_context(ReopenedLedger.of(settings))
        link = Link(settings.amqp_url, name="gateway")
        rights = await opened.enter_async_context(rights_of(settings))
        notices = None if rights is None else Notices(rights, link)
        keeping = None if rights is None else Keeping(rights, registry)
        if keeping is not None:
            await keeping.load(catalogue.applications)
        gateway = Gateway(
            settings=settings,
            registry=registry,
            catalogue=catalogue,
            publisher=Publisher(
                settings.amqp_url, name="gateway", mandatory=False, largest=settings.max_body
            ),
            router=RouterClient(link),
            callbacks=callbacks,
            ledger=ledger,
            writer=Writer(ledger, unwritten=Unwritten(settings.registry_file.parent)),
            rights=rights,
            notices=notices,
        )
        await opened.enter_async_context(observe(gateway))
        opened.callback(gateway.large_bodies.close)
        opened.callback(gateway.accepting.close)
        tasks = await opened.enter_async_context(Tasks())
        tasks.start("registry", catalogue.run())
        follow = partial(follow_changes, catalogue=catalogue)
        if notices is not None:
            follow = partial(follow, heard=notices.heard, connected=notices.connected)
            tasks.start("notices of changed scopes", notices.run())
        tasks.start("changes", link.run(follow))
        if keeping is not None:
            tasks.start("keeping scopes", keeping.run())
        tasks.start("uses of secrets", gateway.secret_uses.run())
        tasks.start("publishing", gateway.publisher.run())
        tasks.start("the ledger", gateway.writer.run())
        runner = web.AppRunner(build_app(gateway, mounts), shutdown_timeout=LAST_CALL)
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
        began = monotonic()
        within = settings.stop_timeout - 3 * LAST_CALL
        left = await say_goodbye(runner.server, within=within)
        within -= monotonic() - began
        await gateway.writer.close(within=min(max(LAST_CALL, within), LAST_COMMITS))
        if left:
            log.warning("stopping with requests unfinished", requests=left)


@asynccontextmanager
async def rights_of(settings: Settings) -> AsyncIterator[Rights | None]:
    """What the Autorisaties API of the settings says of clients; None where there is none."""
    if not settings.ac_url:
        yield None
        return
    async with AskingAc(settings) as asking:
        rights = Rights(asking)
        try:
            yield rights
        finally:
            await rights.close()


async def warm_up(gateway: Gateway, stop: asyncio.Event) -> None:
    """Return when RabbitMQ accepts notificaties, after WARM_UP, or on `stop`.

    Meanwhile other processes on a shared socket accept the connections, or these wait in the kernel.
    """
    can_publish = asyncio.create_task(gateway.publisher.wait_ready(WARM_UP), name="warming up")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({can_publish, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (can_publish, stopping):
        task.cancel()
    await asyncio.gather(can_publish, stopping, return_exceptions=True)


async def report_ready(gateway: Gateway, ready: Callable[[], None]) -> None:
    """Call `ready` once notificaties are accepted; log why not until then. Never returns."""
    told = monotonic()
    while (away := gateway.accepting.away())[0]:
        with suppress(BrokerUnavailable):
            await gateway.publisher.wait_ready(LOOK_INTERVAL)
        if monotonic() - told > REPORT_INTERVAL:
            told = monotonic()
            log.warning("not ready yet", reason="; ".join(away[0]))
    ready()
    await asyncio.Event().wait()
