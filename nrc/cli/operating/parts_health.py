"""Whether gateway, RabbitMQ, router and registry can do their work, for `nrc health` and `nrc status`."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence

from nrc.cli.connecting import opened_link, opened_registry
from nrc.rabbitmq.shield_policy import SET_POLICY
from operating.status.health import Part, check_broker, of_process, part, routers_at_work
from runtime.settings import Settings
from store.opening import registry_place


async def parts_of(settings: Settings, root: str) -> list[Part]:
    """The health of gateway, broker, router and registry, each asked at once. root: that of the gateway."""
    return list(
        await asyncio.gather(
            part("gateway", lambda: of_process(root)),
            part("broker", lambda: _broker(settings)),
            part("router", lambda: _router(settings)),
            part("registry", lambda: _registry(settings)),
        )
    )


async def _broker(settings: Settings) -> Sequence[str]:
    async with opened_link(settings) as link:
        assert link.connection is not None  # noqa: S101 - opened
        advice = f"Run: {shlex.join(['rabbitmqctl', *SET_POLICY])}"
        await check_broker(link.connection, advice=advice)
    return ["connected"]


async def _router(settings: Settings) -> Sequence[str]:
    async with opened_link(settings) as link:
        assert link.connection is not None  # noqa: S101 - opened
        return [f"{await routers_at_work(link.connection)} running"]


async def _registry(settings: Settings) -> Sequence[str]:
    async with opened_registry(settings) as opened:
        return [f"{registry_place(settings)}, change {opened.catalogue.number}"]
