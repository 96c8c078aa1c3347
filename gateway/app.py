"""The HTTP application: every route in one list, and the one middleware for all requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway import health
from gateway.api import abonnementen, cloudevents, jwtsecret, kanalen
from gateway.api.publish import create_notificatie
from gateway.autorisaties import callbacks
from gateway.documents.pages import add_pages
from gateway.http.problems import answer_for
from gateway.http.requests import ClientGone, must_accept_json, read_query, root_is_https, root_url
from gateway.http.responses import API_VERSION, VERSION_HEADER, json_answer
from gateway.state import API_ROOT, GATEWAY, Gateway
from runtime.response_headers import make_safe

UUID = "{uuid:[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}}"
"""Any other path does not exist: 404 before any other check."""


async def links(request: web.Request) -> web.Response:
    """200 with the URLs of the API's parts, for anyone."""
    gateway = request.app[GATEWAY]
    must_accept_json(request)
    read_query(request)
    return json_answer(
        {name: gateway.url(request, name) for name in ("kanaal", "abonnement", "notificaties")}
    )


# A GET route answers HEAD too, without a body.
ROUTES = (
    web.get(API_ROOT, links),
    web.get(f"{API_ROOT}/", links),
    web.post(f"{API_ROOT}/notificaties", create_notificatie),
    web.get(f"{API_ROOT}/kanaal", kanalen.list_kanalen),
    web.post(f"{API_ROOT}/kanaal", kanalen.create_kanaal),
    web.get(f"{API_ROOT}/kanaal/{UUID}", kanalen.read_kanaal),
    web.put(f"{API_ROOT}/kanaal/{UUID}", kanalen.update_kanaal),
    web.patch(f"{API_ROOT}/kanaal/{UUID}", kanalen.update_kanaal),
    web.get(f"{API_ROOT}/abonnement", abonnementen.list_abonnementen),
    web.post(f"{API_ROOT}/abonnement", abonnementen.create_abonnement),
    web.get(f"{API_ROOT}/abonnement/{UUID}", abonnementen.read_abonnement),
    web.put(f"{API_ROOT}/abonnement/{UUID}", abonnementen.update_abonnement),
    web.patch(f"{API_ROOT}/abonnement/{UUID}", abonnementen.update_abonnement),
    web.delete(f"{API_ROOT}/abonnement/{UUID}", abonnementen.delete_abonnement),
    web.get("/health/live", health.live),
    web.get("/health/ready", health.ready),
)


@web.middleware
async def answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every exception into a problem, and set the headers that every answer has."""
    gateway = request.app[GATEWAY]
    answer: web.StreamResponse
    try:
        answer = await handler(request)
    except ClientGone:
        answer = web.Response(status=400)  # the client has gone
    except Exception as error:  # logged and answered here
        root = root_url(request, gateway.settings)
        answer = answer_for(error, request, root=root)
    answer.headers[VERSION_HEADER] = API_VERSION
    make_safe(answer.headers, https=root_is_https(request, gateway.settings))
    return answer


Mount = Callable[[web.Application], None]
"""Adds routes of another package, and to `cleanup_ctx` what these need; `app[GATEWAY]` is there."""


def build_app(gateway: Gateway, mounts: Iterable[Mount] = ()) -> web.Application:
    """The application over the parts of one gateway, with what `mounts` add."""
    app = web.Application(middlewares=[answers])
    app[GATEWAY] = gateway
    app.add_routes(ROUTES)
    if gateway.settings.ac_url:
        app.router.add_post(callbacks.PATH, callbacks.take_callback)
    if gateway.settings.cloudevents:
        app.router.add_post(cloudevents.PATH, cloudevents.create_cloudevent)
        app.router.add_route("OPTIONS", cloudevents.PATH, cloudevents.allow)
    if gateway.settings.token_issuer:
        for path in jwtsecret.PATHS:
            app.router.add_post(path, jwtsecret.register)
    add_pages(app, gateway.settings)
    for mount in mounts:
        mount(app)
    return app
