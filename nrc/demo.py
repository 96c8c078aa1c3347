"""The demo: a source and a consumer of our own, over HTTP, following the standard's guide.

Makes a temporary application, abonnement and callback, and removes them again; the kanaal stays. That is the
guide's `zaken` only in an empty registry, so that no real consumer gets the example. Of the product it uses
only the registry, for the application and to see whether it is empty.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import click
from aiohttp import web
from yarl import URL

from nrc.exits import Exit, exit_code
from nrc.temporary_client import client_of, expect
from router.matching.filters import names_fit
from runtime.listening import reached_at
from runtime.log import configure_logging
from runtime.settings import Settings
from schemas.application import Application, Scope
from schemas.errors import NrcError
from store.opening import registry_of
from store.registry import Registry

KANAAL: dict[str, Any] = {
    "naam": "zaken",
    "documentatieLink": "https://zaken-api.vng.cloud/ref/kanalen/#zaken",
    "filters": ["bronorganisatie", "zaaktype", "vertrouwelijkheidaanduiding"],
}
NOTIFICATIE: dict[str, Any] = {
    "kanaal": "zaken",
    "hoofdObject": "https://zaken-api.vng.cloud/api/v1/zaken/ddc6d192",
    "resource": "status",
    "resourceUrl": "https://zaken-api.vng.cloud/api/v1/statussen/44fdcebf",
    "actie": "create",
    "aanmaakdatum": "2019-03-27T10:59:13Z",
    "kenmerken": {
        "bronorganisatie": "224557609",
        "zaaktype": "https://catalogi-api.vng.cloud/api/v1/zaaktypen/53c5c164",
        "vertrouwelijkheidaanduiding": "openbaar",
    },
}
OWN_KANAAL = "nrc-demo"
"""The kanaal of demos where the registry holds anything: real consumers may have an abonnement on `zaken`."""
PREFIX = "nrc-demo-"  # of the applications that demos make
FILTERS = {"bronorganisatie": "224557609"}

ARRIVAL_TIMEOUT = 10.0
TAKEN_UP = 0.4
"""Seconds after which every deliverer consumes a new abonnement (it promises 0.3), so that the time measured
is that of the notificatie only."""

Say = Callable[[str], None]


class DemoFailed(NrcError):
    """A step of the demo went wrong; the text says which and why."""


def run_demo(settings: Settings, *, say: Say = click.echo) -> int:
    """Run the demo on the gateway at NRC_GATEWAY_LISTEN; returns the exit code.

    say: called with each line of the transcript.
    """
    configure_logging(form=settings.log_format, level="error", process="demo")
    return asyncio.run(demo(settings, reached_at(settings.gateway_listen), say=say))


async def demo(settings: Settings, root: URL, *, say: Say) -> int:
    """The same in a running event loop, on the gateway at `root`."""
    say("The main job, over HTTP, as the standard's guide (Notificeren) tells it:")
    try:
        await _steps(settings, root, say)
    except (NrcError, aiohttp.ClientError, TimeoutError, OSError) as error:
        say(f"  ✗ The demo failed: {str(error) or type(error).__name__}")
        return exit_code(error) if isinstance(error, NrcError) else Exit.NOT_REACHABLE
    return Exit.OK


async def _steps(settings: Settings, root: URL, say: Say) -> None:
    async with AsyncExitStack() as opened:
        registry = await opened.enter_async_context(registry_of(settings))
        application = await opened.enter_async_context(_application(registry))
        say(f"  1 made a temporary application, {application.client_id}, that may publish and subscribe")
        client = await opened.enter_async_context(client_of(application, root, name="demo"))

        naam = await _kanaal_for(registry)
        if naam == OWN_KANAAL:
            say(f"    on a kanaal of its own, {naam}: the registry is in use, its consumers get nothing")
        say(f"  2 {await _register_kanaal(client, naam)}")

        callback = _Callback()
        url = await opened.enter_async_context(callback.served())
        say(f"  3 opened a callback: {url} (answers 401 without its Authorization)")

        abonnement = {
            "callbackUrl": str(url),
            "auth": callback.auth,
            "kanalen": [{"naam": naam, "filters": FILTERS}],
        }
        made = await expect(client.post("/api/v1/abonnement", json=abonnement), 201, "step 4, the abonnement")
        location = URL(made.headers["Location"]).path
        opened.push_async_callback(_remove, client, location, naam, say)
        say(f"  4 POST /api/v1/abonnement → 201: kanaal {naam}, filter bronorganisatie = 224557609")

        await asyncio.sleep(TAKEN_UP)
        await _publish(client, callback, naam, say)


async def _publish(client: aiohttp.ClientSession, callback: _Callback, naam: str, say: Say) -> None:
    notificatie = {**NOTIFICATIE, "kanaal": naam}
    posted = time.perf_counter()
    answer = await expect(
        client.post("/api/v1/notificaties", json=notificatie), 201, "step 5, the notificatie"
    )
    took = _milliseconds(time.perf_counter() - posted)
    number = answer.headers["nrc-notificatie-id"]
    say(f"  5 POST /api/v1/notificaties → 201 after {took}; notificatie {number}")
    try:
        at, body = await asyncio.wait_for(callback.arrival(number), ARRIVAL_TIMEOUT)
    except TimeoutError:
        raise DemoFailed(f"step 6: the callback got nothing within {ARRIVAL_TIMEOUT:.0f} s") from None
    if body != notificatie:
        raise DemoFailed(f"step 6: the callback got something else than was published: {body}")
    say(f"  6 callback received it {_milliseconds(at - posted)} after the POST: {naam}, status, create")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


async def _kanaal_for(registry: Registry) -> str:
    """The guide's kanaal where nothing is registered yet, else one that only demos use."""
    there = await registry.changes_since(0)
    return OWN_KANAAL if there.kanalen or there.abonnementen else KANAAL["naam"]


async def _register_kanaal(client: aiohttp.ClientSession, naam: str) -> str:
    """Register the kanaal unless it exists, as in steps 2 and 3 of the guide; returns what was done."""
    answer = await expect(
        client.get("/api/v1/kanaal", params={"naam": naam}), 200, f"step 2, asking for {naam}"
    )
    found: list[dict[str, Any]] = await answer.json()
    if not found:
        kanaal = {**KANAAL, "naam": naam}
        await expect(client.post("/api/v1/kanaal", json=kanaal), 201, f"step 2, registering {naam}")
        return f"GET /api/v1/kanaal?naam={naam} → not there yet; POST /api/v1/kanaal → 201"
    filters = found[0]["filters"]
    if not (names_fit(NOTIFICATIE["kenmerken"], filters) and names_fit(FILTERS, filters)):
        raise DemoFailed(
            f"step 2: kanaal {naam} is there already, with filters {', '.join(filters)}; the standard "
            f"refuses the guide's example, which has the kenmerken {', '.join(NOTIFICATIE['kenmerken'])}"
        )
    return f"GET /api/v1/kanaal?naam={naam} → there already, so it need not be registered"


@asynccontextmanager
async def _application(registry: Registry) -> AsyncIterator[Application]:
    """A temporary application; removed with what it owns, as is what a killed demo left."""
    for left in (await registry.changes_since(0)).applications:
        if left.client_id.startswith(PREFIX):
            await registry.remove_application(left.client_id, with_abonnementen=True)
    application = await registry.add_application(
        Application(
            client_id=f"{PREFIX}{uuid4().hex[:8]}",
            secret=secrets.token_urlsafe(32),
            label="Temporary: made and removed by the demo",
            scopes=frozenset(Scope),
        )
    )
    try:
        yield application
    finally:
        await registry.remove_application(application.client_id, with_abonnementen=True)


async def _remove(client: aiohttp.ClientSession, path: str, naam: str, say: Say) -> None:
    # With a short timeout: `nrc up` may be waiting for it to stop.
    timeout = aiohttp.ClientTimeout(total=3)
    await expect(client.delete(path, timeout=timeout), 204, "step 7, removing the abonnement")
    say(f"  7 removed the abonnement and the application again; kanaal {naam} stays")


class _Callback:
    """A consumer: keeps requests with its Authorization, and refuses all others."""

    def __init__(self) -> None:
        self.auth = f"Token {secrets.token_urlsafe(16)}"
        self._received: dict[str, tuple[float, Any]] = {}
        self._news = asyncio.Condition()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[URL]:
        """Its address on loopback, while the context is open."""
        app = web.Application()
        app.add_routes([web.post("/callbacks", self._receive)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield URL.build(scheme="http", host="127.0.0.1", port=runner.addresses[0][1], path="/callbacks")
        finally:
            await runner.cleanup()

    async def arrival(self, number: str) -> tuple[float, Any]:
        """(perf_counter when it came in, its JSON) of the notificatie with this id, once it has."""
        async with self._news:
            await self._news.wait_for(lambda: number in self._received)
        return self._received[number]

    async def _receive(self, request: web.Request) -> web.Response:
        at = time.perf_counter()
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, self.auth.encode()):
            return web.Response(status=401)
        # Without an id it is the test message, with which the API checks a callback.
        async with self._news:
            self._received[request.headers.get("webhook-id", "")] = at, await request.json()
            self._news.notify_all()
        return web.Response(status=204)
