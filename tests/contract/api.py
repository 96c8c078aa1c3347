"""Tools for black-box tests of the API: tokens, a client that checks every answer, a callback, raw HTTP.

The client asserts on each answer what the standard asks of all of them, so that no test has to.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import aiohttp
from multidict import CIMultiDict

from schemas.application import Application, Scope
from tests.callback_server import CallbackServer, Received, Wire, status
from tests.contract.conformance import assert_documented
from tests.tokens import token

BOTH = frozenset(Scope)

# The applications that every gateway under test knows; the secret is the client_id, backwards.
APPLICATIONS = (
    Application("bron", "norb", scopes=frozenset({Scope.PUBLICEREN})),
    Application("afnemer", "remenfa", scopes=frozenset({Scope.CONSUMEREN})),
    Application("beide", "edieb", scopes=BOTH),
    Application("ander", "redna", scopes=BOTH),
    Application("niets", "stein"),
    Application("oud", "duo", scopes_from_token=True),
)


def a_naam() -> str:
    """A naam that no other test uses."""
    return f"kanaal-{uuid4().hex[:12]}"


def message(kanaal: str, **changes: Any) -> dict[str, Any]:
    """A sound notificatie without kenmerken; a change to None is sent as null."""
    return {
        "kanaal": kanaal,
        "hoofdObject": "https://example.nl/zaken/1",
        "resource": "status",
        "resourceUrl": "https://example.nl/statussen/1",
        "actie": "create",
        "aanmaakdatum": "2019-03-27T10:59:13Z",
        **changes,
    }


def abonnement_of(naam: str, **filters: str) -> dict[str, Any]:
    """A sound abonnement on one kanaal, with a callback where nobody answers."""
    group = {"naam": naam, "filters": filters} if filters else {"naam": naam}
    return {"callbackUrl": "http://127.0.0.1:9/", "auth": "Token abc", "kanalen": [group]}


@dataclass(frozen=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def params(self) -> set[tuple[str, str]]:
        """(name, code) of every invalidParam."""
        assert self.status == 400, (self.status, self.body)
        return {(param["name"], param["code"]) for param in self.json["invalidParams"]}

    @property
    def outcome(self) -> tuple[int, str]:
        """(status, code)."""
        return self.status, self.json["code"] if self.status >= 400 else ""


def check_answer(answer: Answer, *, method: str = "GET") -> None:
    """What holds for every answer (STANDARD: Paths, Errors)."""
    assert answer.headers["API-version"] == "1.0.1"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] in ("no-store", "public, max-age=300")
    assert answer.headers["Server"] == "nrc", "and nothing of a version"
    if answer.status < 400:
        return
    assert answer.headers["Content-Type"] == "application/problem+json"
    if method == "HEAD":
        assert answer.body == b""
        return
    problem = answer.json
    wanted = {"type", "code", "title", "status", "detail", "instance"}
    if problem["code"] == "invalid":
        wanted.add("invalidParams")
        assert problem["invalidParams"]
        for param in problem["invalidParams"]:
            assert set(param) == {"name", "code", "reason"}
            assert all(isinstance(text, str) and text for text in param.values())
    assert set(problem) == wanted
    assert problem["status"] == answer.status
    assert problem["title"]
    assert problem["detail"]
    assert "/ref/fouten/" in problem["type"]
    assert UUID(problem["instance"].removeprefix("urn:uuid:")).version == 4
    if answer.status == 503:
        assert int(answer.headers["Retry-After"]) > 0
    if answer.status == 405:
        assert answer.headers["Allow"]


class Api:
    """A client of one gateway, as one application unless a call says otherwise."""

    def __init__(self, session: aiohttp.ClientSession, root: str, *, client_id: str = "beide") -> None:
        self.session = session
        self.root = root
        self.client_id = client_id

    def of(self, client_id: str) -> Api:
        """The same for another application."""
        return Api(self.session, self.root, client_id=client_id)

    async def __call__(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        body: bytes | BytesIO | AsyncIterator[bytes] | None = None,
        auth: str | None = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Call a path under /api/v1, or a whole URL or /path. auth: None sends none."""
        sent = dict(headers or {})
        if auth is not None:
            sent["Authorization"] = auth or token(self.client_id)
        if body is None and data is not None:
            body = json.dumps(data).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        if isinstance(body, bytes):
            body = BytesIO(body)  # the client warns of large ones otherwise
        url = path if path.startswith("http") else self.root + path
        async with self.session.request(
            method, url, data=body, headers=sent, allow_redirects=False, skip_auto_headers=["Content-Type"]
        ) as response:
            answer = Answer(response.status, response.headers, await response.read())
        check_answer(answer, method=method)
        assert_documented(method, url, answer)
        return answer

    async def get(self, path: str, **options: Any) -> Answer:
        return await self("GET", path, **options)

    async def post(self, path: str, data: Any = None, **options: Any) -> Answer:
        return await self("POST", path, data, **options)

    async def put(self, path: str, data: Any = None, **options: Any) -> Answer:
        return await self("PUT", path, data, **options)

    async def patch(self, path: str, data: Any = None, **options: Any) -> Answer:
        return await self("PATCH", path, data, **options)

    async def delete(self, path: str, **options: Any) -> Answer:
        return await self("DELETE", path, **options)


def asks_for_auth(request: Received) -> int:
    """A callback as the standard wants it."""
    return 204 if request.header("Authorization") else 401


class Callback(CallbackServer):
    """A callback of which `decide` gives the status for a request; `hold` keeps the answer waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.decide: Callable[[Received], int] = asks_for_auth
        self.hold: asyncio.Event | None = None
        self.script("/", self.answer)

    async def answer(self, wire: Wire, received: Received) -> bool:
        """The script of `/`; another path may be given it too."""
        code = self.decide(received)
        if self.hold is not None:
            await self.hold.wait()
        return await status(code, headers={"Location": "/elsewhere"})(wire, received)

    @property
    def auths(self) -> list[str | None]:
        """The Authorization of each request so far."""
        return [request.header("Authorization") for request in self.received]


def free_socket() -> socket.socket:
    """A listening socket on a port that nobody has."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    listening.setblocking(False)
    return listening


async def raw(root: str, request: bytes, *, half_close: bool = False) -> Answer:
    """The answer to bytes sent as they are; the connection's end ends the answer."""
    host, port = root.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        if half_close:
            writer.write_eof()
        head = "HTTP/1.1 100 "
        while head.startswith("HTTP/1.1 100 "):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.")
        lines = head.strip().split("\r\n")
        headers = CIMultiDict(line.split(": ", 1) for line in lines[1:])
        body = await reader.readexactly(int(headers.get("Content-Length", "0")))
    finally:
        writer.close()
        await writer.wait_closed()
    answer = Answer(int(lines[0].split()[1]), headers, body)
    check_answer(answer)
    return answer
