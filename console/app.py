"""The HTTP application: every route in one list, and the middleware that all requests pass."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler

from console.forms import MAX_FORM, SAFE, comes_from_here
from console.login.oidc.addresses import BACK, LOGIN, TO_PROVIDER
from console.login.oidc.routes import from_provider, to_provider
from console.login.routes import LOGOUT, log_out, login_page
from console.login.sessions import console_root, is_https
from console.page import BadQuery
from console.pages import PAGES
from console.rendering import Templates
from console.serving import HTML, ROOT, LoginNeeded, root_of, served
from console.state import CONSOLE, Console
from console.streaming import STREAMS, Streams
from console.styles import Styles, media_type
from operating.status.faults import Fault, fault_of
from runtime.log import logger
from runtime.response_headers import make_safe
from schemas.errors import BrokerError, LedgerError, NotFound, RegistryError

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    # With no-referrer a browser sends `Origin: null` with a form.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
OTHER = "other"
"""In the place of a page's name: what is no page."""
TEMPLATES = web.AppKey("templates", Templates)

_TEXTS: Mapping[int, tuple[str, str]] = {
    400: ("Dit verzoek is niet te lezen", "Ga terug naar de pagina, en probeer het van daar opnieuw."),
    403: (
        "Dat mag je niet",
        "Je rol is hier niet genoeg voor, of het formulier kwam niet van deze console. Vraag een admin om "
        "een andere rol: nrc user role.",
    ),
    404: ("Niet gevonden", "Deze pagina is er niet, of niet meer. Begin bij het overzicht."),
    405: ("Dat kan hier niet", "Ga terug naar de pagina, en probeer het van daar opnieuw."),
    413: ("Het formulier is te groot", "Maak de tekst korter, en probeer het opnieuw."),
    415: ("Dit verzoek is niet te lezen", "Ga terug naar de pagina, en probeer het van daar opnieuw."),
    500: (
        "Er ging hier iets mis",
        "Probeer het opnieuw. Blijft het zo, zoek dan in de log van de console naar",
    ),
    503: ("Dat lukt nu niet", ""),
}

log = logger(__name__)


def build_app(console: Console, styles: Styles) -> web.Application:
    """The application over what the console has open."""
    templates = Templates(PAGES, styles)
    app = web.Application(middlewares=[answers], client_max_size=MAX_FORM)
    app[CONSOLE] = console
    app[TEMPLATES] = templates
    app[STREAMS] = streams = Streams()
    app.on_shutdown.append(streams.stop)
    app.router.add_get("/", _to_console)
    app.router.add_get(ROOT.rstrip("/"), _to_console)
    # By the names of routes requests are counted.
    app.router.add_get("/health/live", _live, name="live")
    app.router.add_get("/health/ready", _ready, name="ready")
    app.router.add_get(f"{ROOT}static/{{name}}", _style(styles), name="static")
    login = login_page(templates)
    app.router.add_get(LOGIN, login, name="inloggen")
    app.router.add_post(LOGIN, login, name="inloggen")
    app.router.add_post(LOGOUT, log_out(templates), name="uitloggen")
    app.router.add_get(TO_PROVIDER, to_provider(templates), name="inloggen-oidc")
    app.router.add_get(BACK, from_provider(templates), name="inloggen-terug")
    for page in PAGES:
        handler = served(page, templates)
        app.router.add_get(ROOT + page.path, handler, name=page.name)
        if page.actions:
            app.router.add_post(ROOT + page.path, handler, name=page.name)
    return app


@web.middleware
async def answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what another site sent, make a page of every fault, and set the headers of every answer."""
    console = request.app[CONSOLE]
    settings = console.settings
    answer: web.StreamResponse
    try:
        if request.method not in SAFE and not comes_from_here(request, console_root(request, settings)):
            raise web.HTTPForbidden
        answer = await handler(request)
    except LoginNeeded:
        answer = _to_login(request)
    except BadQuery as error:
        answer = _fault(request, 400, advice=str(error))
    except (web.HTTPException, NotFound) as error:
        answer = _fault(request, error.status)
    except (RegistryError, LedgerError, BrokerError) as error:
        log.warning("a page could not be shown", path=request.path, reason=str(error))
        answer = _fault(request, 503, fault=fault_of(error))
    except Exception:  # logged and answered here
        instance = uuid4()
        log.exception("a page failed", method=request.method, path=request.path, instance=str(instance))
        answer = _fault(request, 500, instance=str(instance))
    console.counts.requests[request.match_info.route.name or OTHER, answer.status] += 1
    if not answer.prepared:
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        make_safe(answer.headers, https=is_https(request, settings))
    return answer


def _to_login(request: web.Request) -> web.Response:
    root = root_of(request)
    to = request.path_qs.removeprefix(ROOT) if request.method in SAFE else ""
    query = f"?naar={quote(to, safe='')}" if to else ""
    return web.Response(status=303, headers={"Location": f"{root}inloggen/{query}"})


def _fault(
    request: web.Request, status: int, *, fault: Fault | None = None, advice: str = "", instance: str = ""
) -> web.Response:
    """The page of a status. fault, advice: told in place of its own advice. instance: in the log too."""
    title, its_own = _TEXTS.get(status, _TEXTS[400])
    root = root_of(request) if request.path.startswith(ROOT) else ROOT
    text = request.app[TEMPLATES].bare(
        "fault.html", root=root, title=title, advice=advice or its_own, instance=instance, fault=fault
    )
    return web.Response(text=text, content_type=HTML, status=status)


async def _to_console(request: web.Request) -> web.StreamResponse:
    """From `/` and from `/console`."""
    return web.Response(status=302, headers={"Location": "console/"})


async def _live(request: web.Request) -> web.StreamResponse:
    return web.json_response({"status": "ok"})


async def _ready(request: web.Request) -> web.StreamResponse:
    if lines := await not_ready(request.app[CONSOLE]):
        return web.json_response({"status": "not ready", "notReady": lines}, status=503)
    return web.json_response({"status": "ok", "notReady": [], "warnings": []})


async def not_ready(console: Console) -> list[str]:
    """What prevents people from logging in, a line each: the registry must be there to read."""
    try:
        await console.registry.change_number()
    except RegistryError as error:
        return [f"registry: {error}"]
    return []


def _style(styles: Styles) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        body = styles.content.get(request.match_info["name"])
        if body is None:
            raise web.HTTPNotFound
        # Pages name the version, so another one is another address.
        caching = {"Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(
            body=body, headers={**caching, "Content-Type": media_type(request.match_info["name"])}
        )

    return answer
