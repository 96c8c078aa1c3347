"""An inbox process's server, in this process, on a socket of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from inbox.inboxes import Limits
from inbox.service import serve
from runtime.settings import Settings
from tests.contract.api import free_socket
from tests.contract.conftest import running

AUTH = {"Authorization": "Token abcde12345"}


@dataclass
class Inbox:
    """One inbox, and a client."""

    session: aiohttp.ClientSession
    root: str
    url: str = ""

    async def __call__(
        self, method: str, path: str = "", *, headers: Any = None, **options: Any
    ) -> tuple[int, aiohttp.ClientResponse, bytes]:
        """(status, answer, body) of a request to something of this inbox; no redirect is followed."""
        url = path if path.startswith("http") else f"{self.url}{path}"
        async with self.session.request(
            method, url, headers=headers, allow_redirects=False, **options
        ) as answer:
            return answer.status, answer, await answer.read()

    async def post(self, body: bytes | str = b"{}", query: str = "", **headers: str) -> int:
        """A request to the callback, with an Authorization; its status."""
        status, _, _ = await self("POST", query, data=body, headers={**AUTH, **headers})
        return status

    async def json(self, path: str = "/requests", method: str = "GET", **options: Any) -> Any:
        """The JSON of an answer with status 200."""
        async with self.session.request(method, f"{self.url}{path}", **options) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def requests(self) -> list[dict[str, Any]]:
        """All that it has."""
        found: list[dict[str, Any]] = (await self.json())["requests"]
        return found

    async def another(self) -> Inbox:
        """A new one on the same server."""
        status, answer, _ = await self("GET", f"{self.root}/inbox/")
        assert status == 303
        return Inbox(self.session, self.root, answer.headers["Location"])


Start = Callable[..., AbstractAsyncContextManager[Inbox]]


@asynccontextmanager
async def served(**limits: Any) -> AsyncIterator[Inbox]:
    """A server with these limits, and one inbox on it."""
    sock = free_socket()
    host, port = sock.getsockname()
    settings = Settings(_env_file=None)  # type: ignore[call-arg]

    def process(stop: Any, ready: Any) -> Any:
        return serve(settings, stop=stop, ready=ready, sock=sock, limits=Limits(**limits))

    async with running(process), aiohttp.ClientSession() as session:
        yield await Inbox(session, f"http://{host}:{port}").another()


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with served() as made:
        yield made


@pytest.fixture
def start() -> Start:
    return served
