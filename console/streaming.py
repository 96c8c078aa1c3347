"""Server-sent events of a page: how many at once, for how long, and how they end.

A stream ends when the browser goes, when the session is over, and when the process stops. It does not count
as use of the session: a page that is left open does not keep anybody logged in.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web
from aiohttp_sse import EventSourceResponse

from console.login.sessions import LoggedIn, is_over
from console.page import Live
from console.rendering import Templates
from console.state import CONSOLE

MOST = 40
"""Streams at once in this process."""
MOST_OF_ONE = 6
"""Of these of one user."""
PING = 15.0  # seconds between two signs of life, and between two looks at the session


class Streams:
    """Those that are open, by their task, with the user of each."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Task[None], str] = {}

    @property
    def open(self) -> int:
        """How many there are now."""
        return len(self._open)

    def is_full(self, user: str) -> bool:
        """Whether this user may open no other one now."""
        return len(self._open) >= MOST or list(self._open.values()).count(user) >= MOST_OF_ONE

    async def run(self, task: asyncio.Task[None], user: str) -> None:
        """Wait for the end of one."""
        self._open[task] = user
        try:
            await task
        finally:
            task.cancel()
            del self._open[task]

    async def stop(self, app: web.Application) -> None:
        """End all."""
        for task in self._open:
            task.cancel()


STREAMS = web.AppKey("streams", Streams)


async def streamed(
    live: Live, request: web.Request, who: LoggedIn, templates: Templates, *, root: str
) -> web.StreamResponse:
    """Events until one ends it. `full` when there are too many, `over` when the session has ended."""
    streams = request.app[STREAMS]
    response = EventSourceResponse(ping_interval=PING)
    await response.prepare(request)
    with suppress(ConnectionError, TimeoutError):
        if streams.is_full(who.user.name):
            await response.send("", event="full")
            return response
        telling = asyncio.create_task(_tell(response, live, request, who, templates, root=root))
        with suppress(asyncio.CancelledError):
            await streams.run(telling, who.user.name)
    return response


async def _tell(
    response: EventSourceResponse,
    live: Live,
    request: web.Request,
    who: LoggedIn,
    templates: Templates,
    *,
    root: str,
) -> None:
    loop = asyncio.get_running_loop()
    looked = loop.time()
    async for event in live.events:
        if request.transport is None:
            return
        if loop.time() - looked > PING:
            looked = loop.time()
            if await is_over(who, request.app[CONSOLE]):
                await response.send("", event="over")
                return
        if event.view is not None:
            text = templates.part(live.template, view=event.view, root=root)
            await response.send(text, event=event.name)
