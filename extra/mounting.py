"""Adds `/api/extra/v1` to a gateway's application: every route in one list, and what these need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web

from extra import callback_auth, condition, explaining, missed, options, published, redelivering, trying
from extra.asking import EXTRA, ROOT, Extra, parts
from extra.direct import connecting, making
from extra.documents.openapi import PATHS, as_yaml
from extra.pull import abonnementen, events, fetching
from extra.pull.waiting import Waiting
from extra.rates import Rates
from gateway.app import UUID
from gateway.documents.openapi import add_document
from gateway.http.requests import must_accept_json, read_query
from gateway.http.responses import json_answer
from gateway.state import GATEWAY
from ledger.opening import ledger_of
from ledger.reopening import ReadLedger
from runtime.lifecycle import Tasks

LONGEST_READ = 2.0
"""Seconds. The gateway's own connection to the ledger never waits for what is asked here."""
NOTIFICATIE = UUID.replace("uuid", "notificatie", 1)
NUMMER = "{nummer:[1-9][0-9]{0,8}}"
ABONNEMENT = f"{ROOT}/abonnement/{UUID}"


async def links(request: web.Request) -> web.Response:
    """200 with where things are, for anyone."""
    extra, _ = parts(request)
    must_accept_json(request)
    read_query(request)
    return json_answer(
        {name: extra.url(request, name) for name in ("abonnement", "uitleg", "notificaties", "openapi.yaml")}
    )


# A route for GET answers HEAD too, without a body.
ROUTES = (
    web.get(ROOT, links),
    web.get(f"{ROOT}/", links),
    web.get(f"{ROOT}/abonnement", condition.list_own),
    web.post(f"{ROOT}/abonnement", abonnementen.create),
    web.post(f"{ROOT}/abonnement/amqp", making.create),
    web.get(f"{ABONNEMENT}/amqp", connecting.read),
    web.post(f"{ABONNEMENT}/amqp/password", connecting.renew_password),
    web.get(ABONNEMENT, abonnementen.read),
    web.put(ABONNEMENT, abonnementen.change),
    web.patch(ABONNEMENT, abonnementen.change),
    web.delete(ABONNEMENT, abonnementen.remove),
    web.get(f"{ABONNEMENT}/pull", fetching.fetch),
    web.post(f"{ABONNEMENT}/pull/ack", fetching.acknowledge),
    web.get(f"{ABONNEMENT}/pull/events", events.stream),
    web.get(f"{ABONNEMENT}/status", condition.read_status),
    web.get(f"{ABONNEMENT}/notificaties", missed.list_missed),
    web.post(f"{ABONNEMENT}/redeliver", redelivering.begin),
    web.get(f"{ABONNEMENT}/redeliver/{NUMMER}", redelivering.show),
    web.delete(f"{ABONNEMENT}/redeliver/{NUMMER}", redelivering.stop),
    web.get(f"{ABONNEMENT}/callback-auth", callback_auth.read),
    web.put(f"{ABONNEMENT}/callback-auth", callback_auth.change),
    web.delete(f"{ABONNEMENT}/callback-auth", callback_auth.remove),
    web.get(f"{ABONNEMENT}/options", options.read),
    web.put(f"{ABONNEMENT}/options", options.change),
    web.delete(f"{ABONNEMENT}/options", options.remove),
    web.post(f"{ABONNEMENT}/test", trying.try_callback),
    web.get(f"{ABONNEMENT}/uitleg/{NOTIFICATIE}", explaining.explain_accepted),
    web.post(f"{ROOT}/uitleg", explaining.explain_message),
    web.get(f"{ROOT}/notificaties/{NOTIFICATIE}", published.read_published),
)


def mount(app: web.Application) -> None:
    """Add the routes, the document, and the ledger that they read."""
    gateway = app[GATEWAY]
    settings = gateway.settings
    reading = ReadLedger(partial(ledger_of, settings, readers=1, longest_read=LONGEST_READ))
    waiting = Waiting(reading)
    app[EXTRA] = Extra(gateway, reading, Rates(settings.extra_rate), waiting)

    async def opened(_: web.Application) -> AsyncIterator[None]:
        async with reading, Tasks() as tasks:
            tasks.start("those who fetch", waiting.run())
            yield

    app.cleanup_ctx.append(opened)
    app.add_routes(ROUTES)
    add_document(app, settings, PATHS, as_yaml)
