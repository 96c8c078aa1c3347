"""GET /abonnement/{uuid}/pull/events: what waits for an abonnement, and what comes, as server-sent events.

Each has a cursor of its own, by which it is acknowledged with POST …/pull/ack, as with a fetch. What is not
acknowledged comes again with the next connection, so `Last-Event-ID` has no meaning.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from aiohttp import web

from extra.asking import Extra, parts
from extra.pull.cursors import Handed, cursor_of
from extra.pull.fetching import TURN
from extra.pull.handing_out import Item, ready_of, waiting_for
from extra.pull.waiting import something_within
from gateway.http.requests import read_query, root_is_https
from gateway.http.responses import API_VERSION, VERSION_HEADER
from gateway.tokens import Credentials
from runtime.response_headers import make_safe
from schemas.abonnement import Abonnement
from schemas.application import Scope
from schemas.errors import NrcError

MOST_UNACKNOWLEDGED = 100  # sent and not acknowledged, beyond which nothing more is sent
READ_WITHIN = 30.0  # seconds in which a client must read, once the buffers are full
ALIVE = 5.0  # seconds without anything, after which a comment is sent: it shows who has gone
LONGEST = 900.0  # seconds of one connection; the client connects again
AGAIN_AFTER = 1000  # milliseconds, for the client


async def stream(request: web.Request) -> web.StreamResponse:
    """200 with events until the client goes, loses its rights, or the abonnement or this gateway goes."""
    extra, gateway = parts(request)
    client = await extra.asks(request, Scope.CONSUMEREN, accepts="text/event-stream")
    abonnement = await extra.own_pulled(request, client)
    read_query(request)
    with extra.waiting.one(client.client_id, abonnement.uuid) as event:
        async with extra.ledger(client) as ledger:  # a fault now is still an answer of its own
            first = await waiting_for(ledger, abonnement.uuid, limit=MOST_UNACKNOWLEDGED)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "X-Accel-Buffering": "no",  # nginx
                VERSION_HEADER: API_VERSION,
            }
        )
        make_safe(response.headers, https=root_is_https(request, gateway.settings))
        await response.prepare(request)
        stream_ = _Stream(extra, request, client, abonnement, response)
        with suppress(ConnectionError, NrcError):
            await response.write(f"retry: {AGAIN_AFTER}\n\n".encode())
            await stream_.send(first)
            until = time.monotonic() + LONGEST
            while time.monotonic() < until and not gateway.stopping and not stream_.gone:
                woken = await something_within(event, TURN)
                await gateway.authorise(request, Scope.CONSUMEREN)
                await stream_.go_on(woken=woken)
    return response


class _Stream:
    """One connection: what was sent on it, and is not acknowledged."""

    def __init__(
        self,
        extra: Extra,
        request: web.Request,
        client: Credentials,
        abonnement: Abonnement,
        response: web.StreamResponse,
    ) -> None:
        self._extra = extra
        self._request = request
        self._client = client
        self._uuid = abonnement.uuid
        self._response = response
        self._sent: set[Handed] = set()
        self._quiet_since = time.monotonic()

    @property
    def gone(self) -> bool:
        """Whether the client went away, or its abonnement is not its own any more."""
        found = self._extra.gateway.catalogue.pulled.get(self._uuid)
        is_own = found is not None and found.client_id == self._client.client_id
        return self._request.transport is None or not is_own

    async def go_on(self, *, woken: bool) -> None:
        """Send what came; after a while a comment. Raises ConnectionError and NrcError."""
        if woken:
            async with self._extra.ledger(self._client) as ledger:
                self._sent &= await ready_of(ledger, self._uuid)  # what was acknowledged makes room
                room = MOST_UNACKNOWLEDGED - len(self._sent)
                items = await waiting_for(ledger, self._uuid, limit=room, but=self._sent) if room else []
            await self.send(items)
        if time.monotonic() - self._quiet_since > ALIVE:
            await self._write(b": er is niets\n\n")

    async def send(self, items: list[Item]) -> None:
        """Send these. Raises ConnectionError."""
        for item in items:
            cursor = cursor_of([item.handed])
            # A line break would end the field; in JSON it stands between values only.
            data = item.json(cursor=cursor).replace(b"\r", b" ").replace(b"\n", b" ")
            await self._write(f"id: {cursor}\nevent: notificatie\ndata: ".encode() + data + b"\n\n")
            self._sent.add(item.handed)

    async def _write(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(READ_WITHIN):
                await self._response.write(data)
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()  # else the end of the answer waits for it too
            raise ConnectionError(f"nothing was read for {READ_WITHIN:g} s") from None
        self._quiet_since = time.monotonic()
