"""The HTTP application: every route in one list, and the one middleware that all requests pass."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from console.styles import Styles
from gateway.http.problem_details import problem_details
from inbox import api
from inbox.answering import receive
from inbox.inboxes import Inboxes
from inbox.showing import pages
from inbox.showing.streaming import stream
from inbox.state import INBOXES
from runtime.log import logger
from runtime.response_headers import make_safe
from schemas.errors import (
    APIException,
    MethodNotAllowed,
    NotFound,
    ParseError,
    Problem,
    RequestTooLarge,
)

INBOX = "/inbox/{id:[A-Za-z0-9_-]{22}}"
NUMBER = "{number:[0-9]{1,15}}"
MAX_FORM = 64 * 1024  # bytes of a form

# A route for GET answers HEAD too. Whatever else is asked of an inbox itself is a request to a callback.
ROUTES = (
    web.get("/", pages.to_new),
    web.get("/inbox", pages.to_new),
    web.get("/inbox/", pages.new),
    web.post("/inbox/", api.make),
    web.get("/inbox/static/{name}", pages.static),
    web.get(INBOX, pages.show),
    web.route("*", INBOX, receive),
    web.get(f"{INBOX}/verzoeken/{NUMBER}", pages.show_one),
    web.post(f"{INBOX}/instellingen", pages.change),
    web.post(f"{INBOX}/legen", pages.empty),
    web.post(f"{INBOX}/gelezen", pages.read_all),
    web.get(f"{INBOX}/stream", stream),
    web.get(f"{INBOX}/requests", api.requests),
    web.delete(f"{INBOX}/requests", api.empty),
    web.get(f"{INBOX}/requests/{NUMBER}", api.one),
    web.get(f"{INBOX}/requests/{NUMBER}/body", api.body),
    web.get(f"{INBOX}/settings", api.read_settings),
    web.put(f"{INBOX}/settings", api.change_settings),
    web.patch(f"{INBOX}/settings", api.change_settings),
    web.post(f"{INBOX}/settings", api.change_settings),
    web.get("/health/live", api.healthy),
    web.get("/health/ready", api.healthy),
)

log = logger(__name__)


@web.middleware
async def answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every exception into an answer: a page for browsers, problem details for all others."""
    try:
        return await handler(request)
    except ConnectionError:
        raise  # nobody reads it
    except Exception as error:
        problem = _problem_of(error)
        if isinstance(problem, APIException):
            log.exception("request to the inbox failed", method=request.method, path=request.path)
        if request.method in ("GET", "HEAD", "POST") and _is_browser(request):
            return pages.fault_page(problem)
        return problem_details(problem)


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """What every answer carries, also one that goes out bit by bit."""
    make_safe(response.headers, https=False)


def build_app(inboxes: Inboxes, styles: Styles) -> web.Application:
    """The application over these inboxes."""
    app = web.Application(middlewares=[answers], client_max_size=MAX_FORM)
    app[INBOXES] = inboxes
    app[pages.STYLES] = styles
    app.add_routes(ROUTES)
    app.on_response_prepare.append(add_headers)
    return app


def _is_browser(request: web.Request) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _problem_of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case web.HTTPMethodNotAllowed():
            return MethodNotAllowed(error.method, sorted(error.allowed_methods))
        case web.HTTPRequestEntityTooLarge():
            return RequestTooLarge()
        case web.HTTPNotFound():
            return NotFound("Deze URL bestaat hier niet. Open /inbox/ voor een nieuwe inbox.")
        case web.HTTPClientError() | web.RequestPayloadError() | ValueError():
            return ParseError("Het HTTP-verzoek kan niet gelezen worden.")
    return APIException("Er ging iets mis aan onze kant; het staat in het log.")
