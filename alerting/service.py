"""The process `nrc alerts`: what it opens, in which order, and how it stops.

It needs nothing but the registry: it starts and goes on while RabbitMQ, the ledger, the gateway or the keeper
is away, since that is what it tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass
from functools import partial

from alerting.certificates import Looking
from alerting.lease import RENEWAL, SECONDS, Lease
from alerting.loop import EVERY, REGISTRY_AWAY, AlertLoop
from alerting.parts import Parts
from alerting.sending import FIRST_PAUSE, Delivery, Sender
from deliverer.http.client import CallbackClient
from ledger.opening import ledger_there
from ledger.reopening import ReadLedger
from operating.status.asking import Sources
from router.catalogue import Catalogue
from runtime.amqp import Link
from runtime.health import serve_health
from runtime.lifecycle import Tasks
from runtime.settings import Settings
from schemas.alert import Channel
from schemas.errors import RegistryError
from store.opening import registry_of


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that tests lower, in seconds. Each is documented at its default."""

    every: float = EVERY
    lease: float = SECONDS
    renewal: float = RENEWAL
    first_pause: float = FIRST_PAUSE
    registry_away: float = REGISTRY_AWAY


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    ready: Callable[[], None],
    limits: Limits = Limits(),
    observe: Callable[[Parts], AbstractAsyncContextManager[object]] = nullcontext,
) -> None:
    """Send alerts until `stop`. Raises NrcError for what prevents it from working at all.

    observe: opened around its work, with its parts.
    """
    async with AsyncExitStack() as opened:
        registry = await opened.enter_async_context(registry_of(settings))
        catalogue = Catalogue(registry, refresh_interval=settings.refresh_interval)
        ledger = await opened.enter_async_context(ReadLedger(partial(ledger_there, settings)))
        client = await opened.enter_async_context(CallbackClient.of(settings))
        link = Link(settings.amqp_url, name="alerts")
        sources = Sources(settings, registry, catalogue, ledger, link)
        lease = Lease(registry.alerts, seconds=limits.lease, renewal=limits.renewal)
        delivery = Delivery(settings, client)
        sender = Sender(registry.alerts, lease, delivery, first_pause=limits.first_pause)
        loop = AlertLoop(
            *(sources, lease, delivery, sender), every=limits.every, registry_away=limits.registry_away
        )
        await catalogue.refresh()
        await opened.enter_async_context(serve_health(settings.health_listen, loop.not_ready))
        await opened.enter_async_context(observe(Parts(lease, sender, loop.not_ready)))
        opened.push_async_callback(_released, lease)
        await lease.take()
        tasks = await opened.enter_async_context(Tasks())
        tasks.start("RabbitMQ", link.run(_connected))
        tasks.start("lease", lease.run())
        for channel in Channel:
            tasks.start(f"sending by {channel}", sender.run(channel))
        tasks.start("certificates", loop.run_certificates(Looking(settings)))
        tasks.start("looking", loop.run())
        ready()
        await tasks.run_until(stop)
        await sender.stop()


async def _connected(_: object) -> None:
    """The connection is only asked; nothing is done on it."""
    await asyncio.Event().wait()


async def _released(lease: Lease) -> None:
    with suppress(RegistryError):  # it runs out by itself
        await lease.release()
