"""A small HTTP server for processes that have no other: /health/live and /health/ready."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from runtime.response_headers import make_safe
from runtime.settings import Listen

NotReady = Callable[[], Sequence[str]]


@asynccontextmanager
async def serve_health(listen: Listen | None, not_ready: NotReady) -> AsyncIterator[None]:
    """Answer on `listen` (None: nowhere) as long as the context is open.

    /health/live: 200 while the process runs. /health/ready: 200, or 503 with the lines of `not_ready`.
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
        await web.TCPSite(runner, *listen).start()
        yield
    finally:
        await runner.cleanup()
