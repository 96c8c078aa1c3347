"""What a callback address does with a request: keep it, then answer as its inbox is set to."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from contextlib import suppress
from http import HTTPStatus

from aiohttp import web
from multidict import CIMultiDict

from inbox.behaviour import SETTINGS, Answer, decide, read_behaviour
from inbox.inboxes import Inboxes
from inbox.received import Received, headers_of, is_check
from inbox.signatures import signature_of
from inbox.state import INBOXES, query_of
from schemas.errors import NotFound, ParseError, Problem, RequestTooLarge, ValidationError

MAX_READ = 64 * 1024 * 1024  # bytes of a body that are read; NRC takes no larger notificaties
BODY_TIMEOUT = 30.0  # seconds in which a body must be there
TEST = "nrc-test"  # a header of POST /api/extra/v1/abonnement/{uuid}/test
DRIPS = 20  # pieces in which an answer drips, at least; at most one for each byte


async def receive(request: web.Request) -> web.StreamResponse:
    """Keep what came, and answer it. 410 where the inbox is gone, so that the sender stops."""
    inboxes = request.app[INBOXES]
    try:
        inbox = inboxes.find(request.match_info["id"])
    except NotFound as error:
        return web.Response(status=410, text=f"{error.detail}\n")
    with inboxes.answering():
        body, size = await _body(request, inboxes)
        headers, fault = CIMultiDict(headers_of(request.raw_headers)), None
        behaviour, check = inbox.behaviour, is_check(headers, body)
        try:
            behaviour = read_behaviour(query_of(request, SETTINGS), behaviour, others=True)
            answer = decide(
                behaviour,
                authorization=headers.get("Authorization"),
                # A test that an owner of an abonnement asks for is answered as what is set.
                is_check=check and TEST not in headers,
                dice=random.uniform(0, 100),  # noqa: S311 - which requests fail
            )
        except Problem as error:
            fault, answer = error, Answer(error.status, _why(error))
        now = time.time()
        received = Received(
            at=now,
            method=request.method,
            target=request.path_qs,
            headers=tuple(headers.items()),
            body=body,
            size=size,
            is_check=check,
            answer=answer,
            signature=signature_of(headers, body, secret=behaviour.secret, at=now),
        )
        inboxes.keep(inbox, received)
        if fault is not None:
            raise fault
        return await _give(request, answer, inboxes)


def _why(problem: Problem) -> str:
    if not isinstance(problem, ValidationError):
        return problem.detail
    first = problem.invalid_params[0]
    return f"de instelling {first.name} in het adres klopt niet: {first.reason}"


async def _body(request: web.Request, inboxes: Inboxes) -> tuple[bytes, int]:
    """(the first bytes of the body, how many came). Raises RequestTooLarge or ParseError."""
    kept, size = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            while chunk := await request.content.readany():
                size += len(chunk)
                kept += chunk[: max(inboxes.limits.body - len(kept), 0)]
                if size > MAX_READ:
                    raise RequestTooLarge(f"De body is groter dan {MAX_READ} bytes.")
    except TimeoutError:
        raise ParseError(f"De body is niet binnen {BODY_TIMEOUT:g} seconden aangekomen.") from None
    return bytes(kept), size


async def _give(request: web.Request, answer: Answer, inboxes: Inboxes) -> web.StreamResponse:
    await _pause(answer.delay, inboxes)
    if answer.status is None:
        _reset(request)
        return _Given()
    headers = {}
    if answer.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Token realm="inbox"'
    if not answer.drip:
        return web.Response(status=answer.status, headers=headers)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    length = "" if answer.status == HTTPStatus.NO_CONTENT else "Content-Length: 0\r\n"
    start = f"HTTP/1.1 {answer.status} {_phrase(answer.status)}\r\n"
    data = f"{start}{head}{length}Connection: close\r\n\r\n".encode()
    size = max(1, len(data) // max(DRIPS, int(answer.drip * 4)))
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    for piece in pieces:
        if request.transport is None:
            break
        request.transport.write(piece)
        await _pause(answer.drip / len(pieces), inboxes)
    return _Given()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


async def _pause(seconds: float, inboxes: Inboxes) -> None:
    """Wait so long, or until this process is told to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await inboxes.stopped.wait()


def _reset(request: web.Request) -> None:
    """Cut the connection with a TCP reset."""
    if request.transport is None:
        return
    sock = request.transport.get_extra_info("socket")
    if sock is not None:
        # Linger of 0 seconds: closing sends RST in place of FIN.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


class _Given(web.Response):
    """Stands for an answer that was written by hand, or that there is none: the library adds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is sent."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is sent."""
