"""The page on which one logs in, and logging out."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from console.forms import SAFE, has_token, read_form
from console.login import sessions
from console.login.attempt import attempt
from console.login.way_back import way_back
from console.rendering import Templates
from console.serving import HTML, root_of
from console.state import CONSOLE
from operating.acts import Operator
from runtime.log import logger
from schemas.errors import Overloaded
from schemas.user import read_user_name

_WRONG = (
    "De naam of het wachtwoord klopt niet, of er is te vaak een verkeerd wachtwoord gegeven: dan wordt een "
    "gebruiker een minuut tot een uur geblokkeerd. Een beheerder van deze NRC kan een ander wachtwoord geven "
    "met nrc user password."
)
_BUSY = "Er loggen op dit moment te veel mensen in. Probeer het over enkele seconden opnieuw."
_OFF = "Inloggen met een wachtwoord staat hier uit. Gebruik de knop."

LOGOUT = "/console/uitloggen/"

log = logger(__name__)


def login_page(templates: Templates) -> Handler:
    """Shows the form, and takes it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method in SAFE:
            return _form(templates, request)
        console = request.app[CONSOLE]
        form = await read_form(request)
        if not console.settings.console_password_login:
            return _form(templates, request, fault=_OFF, status=403)
        name, address = form.text("naam"), sessions.client_address(request, console.settings)
        operator = Operator(read_user_name(name) or "", "console inloggen", address=address)
        notes = console.acts_of(operator)
        try:
            user = await attempt(console, notes, name, form.as_typed("wachtwoord"), address=address)
        except Overloaded:
            console.counts.logins["busy"] += 1
            return _form(templates, request, name=name, fault=_BUSY, status=503)
        if user is None:
            console.counts.logins["failed"] += 1
            return _form(templates, request, name=name, fault=_WRONG, status=401)
        response = web.Response(status=303, headers={"Location": root_of(request) + way_back(request)})
        await sessions.begin(request, response, console, user)
        await notes.record("user logged in", name=user.name)
        return response

    return handle


def _form(
    templates: Templates, request: web.Request, *, name: str = "", fault: str = "", status: int = 200
) -> web.Response:
    settings = request.app[CONSOLE].settings
    text = templates.bare(
        "login.html",
        root=root_of(request),
        to=way_back(request),
        name=name,
        fault=fault,
        by_password=settings.console_password_login,
        by_openid=bool(settings.console_oidc_issuer),
        provider=settings.console_oidc_name,
    )
    return web.Response(text=text, content_type=HTML, status=status)


def log_out(templates: Templates) -> Handler:
    """Ends this session, also when it had ended already; and leads to the OpenID provider to end that one."""

    async def handle(request: web.Request) -> web.StreamResponse:
        console = request.app[CONSOLE]
        who = await sessions.logged_in(request, console)
        response = web.Response(status=303, headers={"Location": root_of(request) + "inloggen/"})
        if who is not None:
            if not has_token(await read_form(request), who.form_token):
                raise web.HTTPForbidden
            await console.registry.users.end_session(who.session.key)
            if who.user.issuer and console.provider is not None:
                # A page, which goes on by itself: form-action 'self' lets no form lead elsewhere.
                url = await console.provider.logout_url(who.session.id_token)
                text = templates.bare(
                    "logged_out.html",
                    root=root_of(request),
                    url=url,
                    provider=console.settings.console_oidc_name,
                )
                response = web.Response(text=text, content_type=HTML)
        sessions.drop_cookie(request, response, console.settings, sessions.COOKIE)
        return response

    return handle
