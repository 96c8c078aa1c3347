"""A small HTTP server for processes that have no other, and on it /health/live and /health/ready."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from runtime.listening import start_listening
from runtime.log import logger
from runtime.response_headers import make_safe
from runtime.settings import Listen, env_name

LIMITS: Mapping[str, Any] = {"access_log": None, "max_headers": 50}
KEEP_ALIVE = 15.0  # seconds that an idle connection, or an unfinished header, may last

log = logger(__name__)

NotReady = Callable[[], Sequence[str]]


@asynccontextmanager
async def serve_health(
    listen: Listen | None, not_ready: NotReady, *, warnings: NotReady = tuple
) -> AsyncIterator[None]:
    """Answer on `listen` (None: do not) as long as the context is open.

    /health/live: 200 while the process runs. /health/ready: 200, or 503 with the lines of `not_ready`;
    the lines of `warnings` beside it.
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
            {"status": "not ready" if lines else "ok", "notReady": lines, "warnings": list(warnings())},
            status=503 if lines else 200,
        )

    routes = (web.get("/health/live", live), web.get("/health/ready", ready))
    async with small_server(listen, routes, name=env_name("health_listen")):
        yield


@asynccontextmanager
async def small_server(
    listen: Listen, routes: Sequence[web.AbstractRouteDef], *, name: str
) -> AsyncIterator[Listen]:
    """Answer these routes on `listen` as long as the context is open; gives the address that it got.

    name: the setting, for the UsageError when it can't listen there.
    """
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None  # noqa: S101 - set up
    accept = functools.partial(QuietProtocol, runner.server)
    try:
        sock = start_listening(listen, name=name)
        address: Listen = sock.getsockname()[:2]
        listening = await asyncio.get_running_loop().create_server(accept, sock=sock)
        try:
            yield address
        finally:
            listening.close()
    finally:
        await runner.cleanup()


class QuietProtocol(web.RequestHandler):
    """One client's connection. A request that cannot be parsed gets an answer without any details of ours.

    limits: for the library's handler, on top of those of a small server.
    """

    def __init__(self, server: web.Server, *, limits: Mapping[str, Any] | None = None) -> None:
        wanted = {"keepalive_timeout": KEEP_ALIVE, **LIMITS, **(limits or {})}
        super().__init__(server, loop=asyncio.get_running_loop(), **wanted)

    def data_received(self, data: bytes) -> None:
        """Close the connection where the library can do nothing with what came; none of that is logged."""
        try:
            super().data_received(data)
        except (IndexError, ValueError):  # yarl's, of a target such as http://[::1]@
            if self.transport is not None:
                self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("part of another answer has gone out already")
        if (
            exc is not None and status >= 500
        ):  # else the client's: a line too long, a byte that may not be there
            log.error("request failed", exc_info=exc)
        answer = web.json_response({"status": "error"}, status=status)
        make_safe(answer.headers, https=False)
        answer.force_close()
        return answer

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        # Requests that the library refuses itself (an unknown Expect) do not pass the application.
        make_safe(resp.headers, https=False)
        return await super().finish_response(request, resp, start_time)
