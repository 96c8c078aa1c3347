"""/health/live and /health/ready of a gateway, for a load balancer or an orchestrator."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gateway.http.responses import json_answer
from gateway.state import GATEWAY, Gateway
from schemas.errors import RegistryError

REGISTRY_TIMEOUT = 2.0  # seconds


async def live(_: web.Request) -> web.Response:
    """200 as long as the process answers at all."""
    return json_answer({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """200 when a notificatie would be accepted now, else 503; `notReady` has a line for each reason.

    `warnings`: what is unavailable while notificaties are accepted without it. The registry is among these:
    all gateways share it, so a load balancer that left them out would turn a database that is away for a
    moment into publishers that are refused. So is the Autorisaties API.
    """
    gateway = request.app[GATEWAY]
    lines = not_ready(gateway)
    warnings = [*gateway.accepting.away()[1], *await _registry_away(gateway), *_ac_away(gateway)]
    status = "not ready" if lines else "ok"
    content = {"status": status, "notReady": lines, "warnings": warnings}
    return json_answer(content, status=503 if lines else 200)


def not_ready(gateway: Gateway) -> list[str]:
    """Why this gateway accepts no notificaties, a line each."""
    return [*(["gateway: stopping"] if gateway.stopping else []), *gateway.accepting.away()[0]]


async def _registry_away(gateway: Gateway) -> list[str]:
    """Why kanalen and abonnementen can be neither changed nor read."""
    try:
        async with asyncio.timeout(REGISTRY_TIMEOUT):
            await gateway.registry.change_number()
    except (RegistryError, TimeoutError) as error:
        return [f"registry: {error or f'no answer within {REGISTRY_TIMEOUT:g} s'}"]
    return []


def _ac_away(gateway: Gateway) -> list[str]:
    """Why the Autorisaties API tells nothing. What it said before counts meanwhile."""
    why_not = "" if gateway.rights is None else gateway.rights.why_not
    return [f"Autorisaties API: {why_not}"] if why_not else []
