"""A small HTTP server for processes that have no other: /health/live and /health/ready."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from runtime.response_headers import make_safe
from runtime.settings import Listen
from schemas.errors import UsageError

NotReady = Callable[[], Sequence[str]]


@asynccontextmanager
async def serve_health(listen: Listen | None, not_ready: NotReady) -> AsyncIterator[None]:
    """Answer on `listen` (None: nowhere) as long as the context is open.

    /health/live: 200 while the process runs. /health/ready: 200, or 503 with the lines of `not_ready`.
    Raises UsageError when it can't listen there.
    """
    if listen is None:
        yield
        return

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        lines = list(not_ready())
        return web.json_response(
            {"status": "not ready" if lines else "ok", "notReady": lines}, status=503 if lines else 200
        )

    async def safe(_: web.Request, answer: web.StreamResponse) -> None:
        make_safe(answer.headers, https=False)

    app = web.Application()
    app.on_response_prepare.append(safe)
    app.add_routes([web.get("/health/live", live), web.get("/health/ready", ready)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, *listen).start()
        except OSError as error:
            raise UsageError(f"NRC_HEALTH_LISTEN: {listen[0]}:{listen[1]}: {reason(error)}") from error
        yield
    finally:
        await runner.cleanup()


def reason(error: OSError) -> str:
    """Why an address can't be listened on. The event loop puts that into a sentence of its own."""
    return os.strerror(error.errno) if error.errno else str(error)
