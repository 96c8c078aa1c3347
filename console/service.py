"""The console process from start to stop."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext

from aio_pika.abc import AbstractConnection
from aiohttp import web

from console.app import build_app
from console.state import Console
from console.styles import read_styles
from ledger.opening import ledger_there
from ledger.reopening import ReadLedger
from operating.acts import Operator
from operating.passwords import Passwords
from operating.users import FIRST_USER, make_first_user
from router.catalogue import Catalogue
from router.changes import follow_changes
from router.requests import RouterClient
from runtime.amqp import Link
from runtime.health import QuietProtocol
from runtime.lifecycle import Tasks
from runtime.listening import listen, start_listening
from runtime.log import logger
from runtime.settings import Settings, env_name
from schemas.errors import UsageError
from store.opening import registry_of

LISTEN = env_name("console_listen")

log = logger(__name__)


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    ready: Callable[[], None],
    say: Callable[[str], None],
    sock: socket.socket | None = None,
    observe: Callable[[web.Application], AbstractAsyncContextManager[object]] = nullcontext,
) -> None:
    """Run a console until `stop`, on `sock` or NRC_CONSOLE_LISTEN. Raises NrcError for what prevents it.

    say: called with lines for whoever started it: the first user's password, once. observe: opened around its
    work, with its application.
    """
    if sock is None and settings.console_listen is None:
        raise UsageError(f"{LISTEN} is empty: set it to host:port, such as 127.0.0.1:8010")
    async with AsyncExitStack() as opened:
        styles = read_styles(settings)
        registry = await opened.enter_async_context(registry_of(settings))
        catalogue = Catalogue(registry, refresh_interval=settings.refresh_interval)
        await catalogue.refresh()
        ledger = await opened.enter_async_context(ReadLedger(functools.partial(ledger_there, settings)))
        passwords = await opened.enter_async_context(Passwords())
        link = Link(settings.amqp_url, name="console")
        router = RouterClient(link)
        provider = None
        if settings.console_oidc_issuer:
            # Here, since its libraries take 45 ms of a start that nobody needs otherwise.
            from console.login.oidc.provider import Provider

            provider = Provider(settings)
            await opened.enter_async_context(provider)
            log.info("login by OpenID Connect", issuer=provider.issuer, redirect_uri=provider.redirect_uri)
        console = Console(settings, registry, catalogue, ledger, link, router, passwords, provider)

        async def session(connection: AbstractConnection) -> None:
            await follow_changes(connection, catalogue)

        tasks = await opened.enter_async_context(Tasks())
        tasks.start("registry", catalogue.run())
        tasks.start("changes", link.run(session))
        app = build_app(console, styles)
        await opened.enter_async_context(observe(app))
        runner = web.AppRunner(app, shutdown_timeout=settings.stop_timeout / 2)
        await runner.setup()
        opened.push_async_callback(runner.cleanup)
        assert runner.server is not None  # noqa: S101 - set up
        if sock is None:
            assert settings.console_listen is not None  # noqa: S101 - looked at above
            sock = start_listening(settings.console_listen, name=LISTEN)
        else:
            listen(sock, name=LISTEN)
        accept = functools.partial(QuietProtocol, runner.server)
        server = await asyncio.get_running_loop().create_server(accept, sock=sock)
        opened.callback(server.close)
        await _first_user(console, say)
        ready()
        await tasks.run_until(stop)


async def _first_user(console: Console, say: Callable[[str], None]) -> None:
    if not console.settings.console_password_login:
        say("The console makes no first user: login with a password is off (NRC_CONSOLE_PASSWORD_LOGIN)")
        return
    acts = console.acts_of(Operator("", "console"))
    password = await make_first_user(console.registry.users, acts, console.passwords)
    if password is not None:
        say(f"The console's first user, said once: {FIRST_USER}, with password {password}")
