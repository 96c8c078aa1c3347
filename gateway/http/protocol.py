"""The HTTP/1 side of a connection: limits, and problems for requests that cannot be parsed.

aiohttp answers a request line or header that it cannot parse, and an unknown `Expect`, with its own text.
Here these become problems like all others, and no byte of the request is logged.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import termios
from array import array
from contextlib import suppress
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.http_writer import HttpVersion10, HttpVersion11
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

from gateway.http.problems import answer_for
from gateway.http.requests import root_is_https, root_url, who_asks
from gateway.http.slow_clients import SMALL
from gateway.state import Gateway
from runtime.listening import BACKLOG, start_listening
from runtime.log import logger
from runtime.response_headers import make_safe
from runtime.settings import env_name
from schemas.errors import APIException, ParseError

LIMITS: dict[str, Any] = {
    "keepalive_timeout": 75.0,  # seconds an idle connection, or an unfinished header, may last
    "max_line_size": 8190,  # bytes of a request line
    "max_field_size": 24 * 1024,  # bytes of a header: room for a JWT of 16 KiB
    "max_headers": 100,
    "read_bufsize": 16 * 1024,  # bytes of a body in the buffer; at twice as many reading pauses
    "lingering_time": 5.0,  # seconds in which the rest of a refused body is read and dropped
    "auto_decompress": False,  # compressed bodies are refused
    "access_log": None,  # the handlers log, by notificatie
}
MAX_HEAD = 64 * 1024  # bytes of a request line and all headers together
RECEIVED_AT_ONCE = 32 * 1024  # bytes; the kernel doubles it for its own administration
ANSWER_TIMEOUT = 30.0  # seconds in which a client must read an answer, or more of a long one

log = logger(__name__)


class Protocol(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_answering", "_gateway", "_head", "_heard", "_heard_at", "_patience")

    def __init__(self, server: web.Server, gateway: Gateway) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **LIMITS)
        self._gateway = gateway
        self._heard = False
        self._heard_at = self._loop.time()
        self._head = 0
        self._answering: web.BaseRequest | None = None
        self._patience: asyncio.Timeout | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None  # noqa: S101 - the line before has set it
        self.transport.set_write_buffer_limits(high=SMALL)
        self._gateway.connections.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._gateway.connections.remove(self)
        self._drop_bodies()
        self._gateway.slow_clients.forget(self)
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request."""
        return self._waiter is not None and not self._messages

    def _bodies(self) -> list[StreamReader]:
        """The bodies that come in, or wait to be read."""
        bodies = [payload for _, payload in self._messages if payload is not EMPTY_PAYLOAD]
        if (current := self._current_request or self._answering) is not None:
            bodies.append(current.content)
        return bodies

    def _drop_bodies(self) -> None:
        """Release the buffered bodies; a handler may keep its request for seconds."""
        for body in self._bodies():
            # It raises where a handler waits for more, or got a fault: then nothing is buffered.
            with suppress(Exception):
                body.read_nowait()

    def held(self) -> int:
        """The bytes buffered for this client: bodies not read yet, and answers not sent yet."""
        answers = 0 if self.transport is None else self.transport.get_write_buffer_size()
        return answers + sum(getattr(body, "_size", 0) for body in self._bodies())

    def who(self) -> dict[str, str]:
        """Facts for a log line: its request, else its address."""
        request = self._current_request or self._answering
        if request is not None:
            return who_asks(request)
        peer = self.peername
        return {"remote": str(peer[0])} if peer else {}

    def cut_off(self) -> None:
        """Close it at once, and drop its buffers."""
        if self.transport is not None:
            self.transport.abort()
        self._drop_bodies()

    def pause_writing(self) -> None:
        """The client reads slower than it is sent to."""
        super().pause_writing()
        self._gateway.slow_clients.moved(self)

    def resume_writing(self) -> None:
        """The client has read something: its time starts again."""
        super().resume_writing()
        self._gateway.slow_clients.moved(self)
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(self._loop.time() + ANSWER_TIMEOUT)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._heard_at = self._loop.time()
        self._gateway.connections.heard(self)
        try:
            super().data_received(data)
        except (IndexError, ValueError) as error:  # from yarl, for a target such as http://[::1]@
            self._refuse(type(error).__name__)
        # The library limits each line, not all of them together.
        self._head = self._head + len(data) if self.is_idle else 0
        if self._head > MAX_HEAD:
            self._refuse("the header is too large")
        for at, (message, _) in enumerate(self._messages):
            if not isinstance(message, _ErrInfo) and message.version not in (HttpVersion10, HttpVersion11):
                # Else the library answers in the version of the request, such as 0.9 or 2.0.
                self._messages[at] = _unreadable("not HTTP/1")
        if data:  # else the library parses its buffer again
            self._gateway.slow_clients.moved(self)

    def _refuse(self, why: str) -> None:
        """Answer it as a request that cannot be parsed."""
        self._messages.append(_unreadable(why))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def under_way(self) -> bool:
        """Whether a request is being answered on this connection."""
        return self._request_in_progress or bool(self._messages)

    def quiet_for(self) -> float:
        """Seconds since the last byte came in; 0 while the socket has unread bytes."""
        waiting = array("i", [0])
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            fcntl.ioctl(sock.fileno(), termios.FIONREAD, waiting)
        return 0.0 if waiting[0] else self._loop.time() - self._heard_at

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer the request, then close: a client that has closed its sending side may still read.

        True keeps the connection open until then. It does not wait for the rest of an unfinished body.
        """
        answering = self._heard and (self._waiter is None or bool(self._messages))
        coming = [payload for _, payload in self._messages]
        if self._current_request is not None:
            coming.append(self._current_request.content)
        for body in coming:
            if not body.is_eof():
                body.set_exception(web.RequestPayloadError("the client sends no more"))
        self.close()
        return answering

    def log_exception(self, *args: Any, **facts: Any) -> None:
        """Do not log a refused body that was broken off; else as the library."""
        if not isinstance(facts.get("exc_info"), web.RequestPayloadError | OSError):
            super().log_exception(*args, **facts)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The problem for a request that could not be parsed; the connection is closed after it."""
        if request.writer.output_size > 0:
            raise ConnectionError("part of another answer has gone out already")
        unreadable = ParseError("Het HTTP-verzoek kan niet gelezen worden.")
        answer = self._problem(request, unreadable if status < 500 else exc or APIException())
        answer.force_close()
        return answer

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer; one that aiohttp made itself, outside the middleware, is sent as a problem."""
        if isinstance(resp, web.HTTPException):
            resp = self._problem(request, resp)
        if self._gateway.stopping:
            resp.force_close()
        self._answering = request
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT) as self._patience:
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            log.warning("answer not read: connection cut", within_s=ANSWER_TIMEOUT, **who_asks(request))
            self.cut_off()
            return resp, True
        finally:
            self._patience = self._answering = None

    def _problem(self, request: web.BaseRequest, error: BaseException) -> web.Response:
        answer = answer_for(error, request, root=root_url(request, self._gateway.settings))
        make_safe(answer.headers, https=root_is_https(request, self._gateway.settings))
        return answer


def _unreadable(why: str) -> tuple[_ErrInfo, StreamReader]:
    """An item of `_messages` that makes the library answer as to a request that it could not parse."""
    error = BadHttpMessage(why)
    return _ErrInfo(status=400, exc=error, message=error.message), EMPTY_PAYLOAD


async def listen(server: web.Server, gateway: Gateway, *, sock: socket.socket | None) -> asyncio.Server:
    """Accept connections on `sock`, or on NRC_GATEWAY_LISTEN. Raises UsageError when the address is taken."""
    loop = asyncio.get_running_loop()

    def connection() -> Protocol:
        return Protocol(server, gateway)

    if sock is None:
        sock = start_listening(gateway.settings.gateway_listen, name=env_name("gateway_listen"))
    # Connections inherit it. Without it one read may return much more.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_AT_ONCE)
    return await loop.create_server(connection, sock=sock, backlog=BACKLOG)


async def stop_listening(
    listening: asyncio.Server, server: web.Server, gateway: Gateway, *, shared: bool
) -> None:
    """Accept no more connections. Those in the kernel's backlog are still served.

    shared: other processes listen on this socket too, and serve those connections.
    """
    waiting = [] if shared else [one for sock in listening.sockets for one in _accepted(sock.fileno())]
    listening.close()
    for one in waiting:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: Protocol(server, gateway), one)


def _accepted(listening: int) -> list[socket.socket]:
    found: list[socket.socket] = []
    with socket.socket(fileno=os.dup(listening)) as sock:
        sock.setblocking(False)
        while True:
            try:
                connection, _ = sock.accept()
            except OSError:  # BlockingIOError: there are no more
                return found
            connection.setblocking(False)
            found.append(connection)
