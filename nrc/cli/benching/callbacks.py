"""The callbacks of a load, one for each abonnement, in this process. Each POST is counted in its account."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from yarl import URL

from nrc.cli.benching.account import Account
from nrc.cli.benching.load import mark_of
from runtime.listening import reached_at, start_listening
from runtime.settings import Listen

FOLDER = "nrc-bench"
"""Of the paths of callbacks, by which those that a killed run left are known."""


class Callbacks:
    """Take what has their Authorization, and count it in the account of its run.

    checks: POSTs with the Authorization and without a mark: test messages, with which an NRC checks a
    callback. refused: requests without the Authorization.
    """

    def __init__(self) -> None:
        self.auth = f"Token {secrets.token_urlsafe(24)}"
        self.accounts: dict[str, Account] = {}
        self.checks = 0
        self.refused = 0

    @asynccontextmanager
    async def served(self, listen: Listen, url: str | None) -> AsyncIterator[URL]:
        """Where an NRC reaches them while the context is open: `url`, else the address listened on.

        Raises UsageError when that address is taken.
        """
        sock = start_listening(listen, name="--listen")
        # The plain server: routing would cost as much as all the rest.
        runner = web.ServerRunner(web.Server(self._receive, access_log=None), shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.SockSite(runner, sock).start()
            yield URL(url) if url else reached_at((listen[0], sock.getsockname()[1]))
        finally:
            await runner.cleanup()

    async def _receive(self, request: web.BaseRequest) -> web.Response:
        at = time.monotonic()
        if request.method in ("GET", "HEAD"):
            return web.Response(text="nrc bench\n")  # for who looks at a documentatieLink here
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, self.auth.encode()):
            self.refused += 1
            return web.Response(status=401)
        mark = mark_of(await request.read())
        account = self.accounts.get(mark[0]) if mark else None
        abonnement = request.path.rpartition("/")[2]
        if mark is None or account is None or not abonnement.isdecimal():
            self.checks += 1
        else:
            account.arrived(mark[1], int(abonnement), at)
        return web.Response(status=204)
