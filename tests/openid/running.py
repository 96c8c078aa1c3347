"""Starts the provider, and asks of it what a test needs."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.openid.provider import CLIENT, PASSWORD, SECRET

_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
ROLES = "nrc-lezers=lezer,nrc-beheer=beheerder,nrc-admin=admin"


@dataclass
class RunningProvider:
    """A provider that has started. consoles: the addresses of those that may use it."""

    root: str
    consoles: list[str] = field(default_factory=list)

    @property
    def issuer(self) -> str:
        """As its discovery document has it."""
        return f"{self.root}/o"

    def settings(self, **more: Any) -> dict[str, Any]:
        """The settings of a console that uses it."""
        own = {
            "console_oidc_issuer": self.issuer,
            "console_oidc_client_id": CLIENT,
            "console_oidc_client_secret": SECRET,
            "console_oidc_roles": ROLES,
            "console_oidc_contact": "Ans van Beheer (toestel 1234)",
            "console_oidc_name": "de proefdienst",
        }
        return {**own, **more}

    async def ask(self, what: str, **fields: object) -> Mapping[str, Any]:
        """Do something that only a test does."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.root}/control/{what}", json=fields) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    async def register(self, console: str, *, consent: bool = False) -> None:
        """Register the console at this address. consent: whether the provider asks people."""
        self.consoles.append(f"{console}/console/inloggen/")
        await self.ask(
            "client",
            redirect_uris=" ".join(f"{each}oidc/terug" for each in self.consoles),
            post_logout_redirect_uris=" ".join(self.consoles),
            skip_authorization=not consent,
        )

    async def log_in(self, session: aiohttp.ClientSession, start: str, name: str) -> aiohttp.ClientResponse:
        """Log in as a browser does, from the console's address `start`; returns the last answer."""
        page = await session.get(start)
        assert str(page.url).startswith(f"{self.root}/login/"), (page.url, await page.text())
        return await self.submit(session, page, username=name, password=PASSWORD)

    async def submit(
        self, session: aiohttp.ClientSession, page: aiohttp.ClientResponse, **fields: str
    ) -> aiohttp.ClientResponse:
        """Send the form of this page."""
        hidden = dict(_HIDDEN.findall(await page.text()))
        return await session.post(page.url, data={**hidden, **fields})


@asynccontextmanager
async def running_provider(folder: Path) -> AsyncIterator[RunningProvider]:
    """A provider as a process, with its database in this folder; it ends with the test's process too."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.openid.provider", str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        root = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
        assert root, "the provider did not start; it says why on standard error"
        yield RunningProvider(root)
    finally:
        process.stdin.close()
        await process.wait()
