"""The callback of `nrc listen`: takes what has its Authorization, and sends it on where that was asked."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from runtime.listening import reached_at, start_listening
from runtime.settings import Listen

PATH = "/callback"
MAX_BODY = 64 * 1024 * 1024  # bytes; a gateway takes no larger ones
ACCEPTED, REFUSED, NO_ANSWER = 204, 401, 502
# Of the connection, and not of the message; and what the client sets by itself.
_NOT_SENT_ON = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What became of it where it was sent on. status: None when there was no answer; seconds: how long."""

    status: int | None
    why: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """One notificatie. at: Unix seconds. forwarded: None where nothing is sent on."""

    at: float
    headers: Mapping[str, str]
    body: bytes
    forwarded: Forwarded | None


class Receiver:
    """What arrives, in `arrivals`. forward: where it is sent on, with its headers.

    timeout: seconds for the answer there, which is then the answer to the gateway.
    """

    def __init__(self, auth: str, *, forward: URL | None, timeout: float) -> None:
        self._auth = auth
        self._forward = forward
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None
        self.arrivals: asyncio.Queue[Arrival] = asyncio.Queue()

    @asynccontextmanager
    async def served(self, listen: Listen) -> AsyncIterator[URL]:
        """Its callbackUrl, while the context is open. Raises UsageError when that address is taken."""
        app = web.Application(client_max_size=MAX_BODY)
        app.add_routes([web.post(PATH, self._receive)])
        runner = web.AppRunner(app, access_log=None, max_field_size=24 * 1024, shutdown_timeout=1.0)
        sock = start_listening(listen, name="--listen")
        await runner.setup()
        try:
            await web.SockSite(runner, sock).start()
            async with aiohttp.ClientSession(timeout=self._timeout) as self._session:
                port = sock.getsockname()[1]
                # A name stays one: other hosts may know it, and not the address that it has here.
                yield reached_at((listen[0], port)).with_path(PATH)
        finally:
            await runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, self._auth.encode()):
            return web.Response(status=REFUSED)
        body = await request.read()
        if "webhook-id" not in request.headers:  # the test message, with which a gateway checks a callback
            return web.Response(status=ACCEPTED)
        forwarded = await self._send_on(request.headers, body)
        self.arrivals.put_nowait(Arrival(time.time(), CIMultiDict(request.headers), body, forwarded))
        if forwarded is None:
            return web.Response(status=ACCEPTED)
        return web.Response(status=forwarded.status or NO_ANSWER)

    async def _send_on(self, headers: Mapping[str, str], body: bytes) -> Forwarded | None:
        if self._forward is None or self._session is None:
            return None
        sent = {name: value for name, value in headers.items() if name.lower() not in _NOT_SENT_ON}
        began = time.monotonic()
        try:
            async with self._session.post(
                self._forward, data=body, headers=sent, allow_redirects=False
            ) as answer:
                return Forwarded(answer.status, answer.reason or "", time.monotonic() - began)
        except TimeoutError:
            why = "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = str(error) or type(error).__name__
        return Forwarded(None, why, time.monotonic() - began)
