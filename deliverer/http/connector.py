"""The connections to callbacks: to which addresses, which are reused, and how much of a header is read.

For what aiohttp has no setting. `client` owns requests and answers; `responses` finds where an answer ends.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any, cast

from aiohttp import (
    AddrInfoType,
    ClientConnectionResetError,
    ClientOSError,
    ClientPayloadError,
    ServerDisconnectedError,
    TCPConnector,
)
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import BadHttpMessage

from deliverer.http.guard import AddressRefused, Policy, refusal
from deliverer.http.resolver import Resolver
from deliverer.http.responses import Answer
from runtime.memory.bounded import Bounded

MAX_IDLE = 256  # connections kept open without a request
DNS_CACHE = 10  # seconds
# Shorter than the idle timeout of common servers (gunicorn 2 s; uvicorn, Node and Apache 5 s): a request on a
# connection that the server is just closing must be sent again on a new one.
KEEP_ALIVE = 1.5  # seconds
WARY = 60.0  # seconds without reuse for a server that sent bytes without a request
MAX_WARY = 1000  # such servers remembered; beyond it the oldest is forgotten
SETTLING = 0.05  # seconds that a server's first connection must stay silent before any is reused
PROVEN = 600.0  # seconds that a server counts as one that stays silent
END_WITHIN = 1.0  # seconds in which a connection that is closing tells why
MAX_PROVEN = 10_000  # such servers remembered; beyond it the oldest is forgotten

new_connection: ContextVar[bool] = ContextVar("new_connection", default=False)
"""Whether a request of this task must have a new connection."""


class UsedConnectionBroke(ServerDisconnectedError):
    """A reused connection broke before the first byte of an answer to this request.

    Or the server answered 408, having waited too long for a request, when this one was on its way.
    """


class AnsweredUnasked(ServerDisconnectedError):
    """A new connection got bytes, or its end, before it had a request."""


class Connector(TCPConnector):
    """Connects to addresses that the policy allows. The caller limits how many requests run at once."""

    def __init__(self, policy: Policy, **options: Any) -> None:
        super().__init__(
            resolver=Resolver(policy),
            # The last step before connecting: literal addresses do not pass the resolver.
            socket_factory=functools.partial(_socket, policy),
            ttl_dns_cache=DNS_CACHE,
            keepalive_timeout=KEEP_ALIVE,
            limit=0,
            **options,
        )
        self._factory = cast(Any, functools.partial(_Answers, loop=self._loop))
        self._wary: Bounded[tuple[str, int | None], float] = Bounded(MAX_WARY)
        self._proven: Bounded[tuple[str, int | None], float] = Bounded(MAX_PROVEN)

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Connection:
        """A connection for this request: a kept one, if it is still usable."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = cast(_Answers, connection.protocol)
            if not protocol.was_used:
                key = req.connection_key
                protocol.on_unasked = functools.partial(self._be_wary, key)
                if self._is_wary(key):
                    await self._stay_silent(connection)
                return connection
            try:
                # Lets the event loop read what came on it meanwhile, bytes or its end, before it is used.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            except BaseException:
                connection.close()
                raise
            if protocol.is_connected() and not protocol.should_close and not protocol.is_too_old:
                return connection
            connection.close()

    async def _stay_silent(self, connection: Connection) -> None:
        """Return when a new connection was silent for a moment. Raises AnsweredUnasked.

        Else a server that sends bytes at once to every client would seem to answer the request.
        """
        try:
            await asyncio.sleep(SETTLING)
            if not cast(_Answers, connection.protocol).is_connected():
                raise AnsweredUnasked
        except BaseException:
            connection.close()
            raise

    async def _get(self, key: Any, traces: Any) -> Connection | None:
        if new_connection.get() or self._is_wary(key) or not self._is_proven(key):
            return None
        return await super()._get(key, traces)

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        """Keep a connection for the next request, unless MAX_IDLE are kept: hosts may be many."""
        full = sum(map(len, self._conns.values())) >= MAX_IDLE
        should_close = should_close or full or self._is_wary(key)
        super()._release(key, protocol, should_close=should_close)

    def _is_proven(self, key: Any) -> bool:
        """Whether this server sends nothing after an answer, as far as is known.

        Bytes that come when the next request is under way would seem to be its answer. So the first
        connection to a server waits a moment after its answer, and until then each request gets its own.
        """
        server, now = (key.host, key.port), self._loop.time()
        if now < self._proven.get(server, 0.0):
            return True
        oldest = min((cast(_Answers, each).ended_at for each, _ in self._conns.get(key, ())), default=now)
        if now - oldest < SETTLING:
            return False
        self._proven[server] = now + PROVEN
        return True

    def _be_wary(self, key: Any) -> None:
        """Reuse no connection to this server for WARY seconds."""
        self._proven.pop((key.host, key.port), None)
        self._wary[key.host, key.port] = self._loop.time() + WARY
        for protocol, _ in self._conns.pop(key, ()):
            protocol.close()

    def _is_wary(self, key: Any) -> bool:
        return self._loop.time() < self._wary.get((key.host, key.port), 0.0)


class _Answers(ResponseHandler):
    """The answers on one connection: the library sees only bytes that belong to a request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.on_unasked: Callable[[], None] = lambda: None
        self._answer: Answer | None = None
        self._requests = 0
        self._has_begun = False
        self._tls_fault: ssl.SSLError | None = None
        self._awaits_end = False
        self.ended_at = 0.0

    @property
    def was_used(self) -> bool:
        """Whether it had a request before."""
        return self._requests > 0

    @property
    def is_too_old(self) -> bool:
        """Whether the server may close it any moment, by the timeout that it announced."""
        rest = self._answer.rest if self._answer else None
        return rest is not None and self._loop.time() - self.ended_at >= rest

    @property
    def should_close(self) -> bool:
        """Whether it cannot be reused."""
        answer = self._answer
        return super().should_close or not (answer and answer.ended and answer.reusable)

    def set_response_params(self, **options: Any) -> None:
        """Called when a request begins."""
        self._answer, self._has_begun = Answer(), False
        self._requests += 1
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        if not data:  # the library continues with buffered data
            super().data_received(data)
            return
        answer = self._answer
        if answer is None or answer.ended:
            self._close_for_unasked(answer)
            return
        self._has_begun = True
        head, body, surplus = answer.feed(data)
        if answer.timed_out and self._requests > 1:
            self.force_close()
            if self.transport is not None:
                self.transport.close()
            self.set_exception(UsedConnectionBroke("closed before a status"))
            return
        if surplus:
            # Before the library sees the end, at which it releases the connection.
            self._close_for_unasked(answer)
        if answer.ended:
            self.ended_at = self._loop.time()
        # Separately: a fault in the body must not discard the head.
        for part in (head, body):
            if part and self._exception is None:
                super().data_received(part)
        if self._exception is not None and self._payload is not None and not self._payload.is_eof():
            # The library would raise it in the next request, and leave the reader of this body waiting.
            self._payload.set_exception(ClientPayloadError())
        if answer.too_large and self._exception is None:
            if self.transport is not None:
                self.transport.close()
            self.set_exception(BadHttpMessage("the header is too large"))

    def set_exception(self, exc: BaseException, *causes: BaseException) -> None:
        """Distinguish a connection that broke between two requests from a server that does not answer."""
        if self._is_ending(exc):
            self._awaits_end = True
            self._loop.call_later(END_WITHIN, self.set_exception, exc, *causes)
            return
        broke = isinstance(exc, ClientOSError | ServerDisconnectedError | ConnectionError)
        if broke and self._requests > 1 and not self._has_begun:
            exc = UsedConnectionBroke("closed before a status")
        super().set_exception(exc, *causes)
        if self._tls_fault is not None:
            # The library has the cause only where a request waits for its answer already.
            exc.__cause__ = self._tls_fault

    def connection_lost(self, exc: BaseException | None) -> None:
        """Remember an alert by which the server refused the client: it may come before the request goes."""
        if isinstance(exc, ssl.SSLError):
            self._tls_fault = exc
        super().connection_lost(exc)

    def _is_ending(self, exc: BaseException) -> bool:
        """Whether the first request came too late to be written, and `connection_lost` is to tell why."""
        late = isinstance(exc.__cause__, ClientConnectionResetError)
        return late and self._requests == 1 and self.transport is not None and not self._awaits_end

    def _close_for_unasked(self, answer: Answer | None) -> None:
        """Close it: these bytes answer no request, and this server's other connections are not trusted."""
        if answer is None or answer.reusable:
            self.on_unasked()
        self.force_close()
        if self.transport is not None:
            self.transport.close()


def _socket(policy: Policy, info: AddrInfoType) -> socket.socket:
    """A socket for one connection to this address. Raises AddressRefused."""
    family, kind, protocol, _, address = info
    if found := refusal(ip_address(address[0]), policy):
        raise AddressRefused(found)
    return socket.socket(family=family, type=kind, proto=protocol)
