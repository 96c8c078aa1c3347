"""The inbox's process, from start to stop."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from typing import Any

from aiohttp import web

from console.styles import read_styles
from inbox.app import build_app
from inbox.inboxes import Inboxes, Limits
from runtime.health import QuietProtocol
from runtime.settings import Settings

LIMITS: dict[str, Any] = {
    "keepalive_timeout": 75.0,  # seconds an idle connection may last
    "max_line_size": 8190,  # bytes of a request line
    "max_field_size": 24 * 1024,  # bytes of a header: room for an `auth` of 16 KiB
    "max_headers": 100,
    "auto_decompress": False,  # what came is shown as it came
    "access_log": None,  # its pages are the log
}
LAST_CALL = 0.5  # seconds for what is still being answered at the end


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    ready: Callable[[], None],
    sock: socket.socket,
    limits: Limits | None = None,
    observe: Callable[[web.Application], AbstractAsyncContextManager[object]] = nullcontext,
) -> None:
    """Serve inboxes on `sock` until `stop`. Nothing of them is kept.

    observe: opened around its work, with its application.
    Raises SettingsError when the house style of the settings cannot be read.
    """
    inboxes, styles = Inboxes(limits), read_styles(settings)
    async with AsyncExitStack() as opened:
        app = build_app(inboxes, styles)
        await opened.enter_async_context(observe(app))
        # Whoever goes away leaves a place to others at once.
        runner = web.AppRunner(app, shutdown_timeout=LAST_CALL, handler_cancellation=True)
        await runner.setup()
        opened.push_async_callback(runner.cleanup)
        assert runner.server is not None  # noqa: S101 - set up
        accept = functools.partial(QuietProtocol, runner.server, limits=LIMITS)
        server = await asyncio.get_running_loop().create_server(accept, sock=sock)
        opened.callback(server.close)
        ready()
        await stop.wait()
        inboxes.stop()
