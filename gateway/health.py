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

    `warnings`: what is unavailable while notificaties are accepted without it.
    """
    gateway = request.app[GATEWAY]
    lines = await not_ready(gateway)
    _, warnings = gateway.accepting.away()
    status = "not ready" if lines else "ok"
    content = {"status": status, "notReady": lines, "warnings": warnings}
    return json_answer(content, status=503 if lines else 200)


async def not_ready(gateway: Gateway) -> list[str]:
    """Why this gateway does not work, a line each."""
    lines = ["gateway: stopping"] if gateway.stopping else []
    lines += gateway.accepting.away()[0]
    try:
        async with asyncio.timeout(REGISTRY_TIMEOUT):
            await gateway.registry.change_number()
    except (RegistryError, TimeoutError) as error:
        lines.append(f"registry: {error or f'no answer within {REGISTRY_TIMEOUT:g} s'}")
    return lines
