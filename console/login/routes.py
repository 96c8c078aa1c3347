"""The page on which one logs in, and logging out."""

from __future__ import annotations

import re

from aiohttp import web
from aiohttp.typedefs import Handler

from console.forms import SAFE, has_token, read_form
from console.login import sessions
from console.login.attempt import attempt
from console.rendering import Templates
from console.serving import HTML, root_of
from console.state import CONSOLE
from operating.acts import Operator
from runtime.log import logger
from schemas.errors import Overloaded
from schemas.user import read_user_name

LOGIN, LOGOUT = "/console/inloggen/", "/console/uitloggen/"
_TO = re.compile(r"[A-Za-z0-9_~.%/?&=+:,@-]{0,2000}")
_WRONG = (
    "De naam of het wachtwoord klopt niet, of er is te vaak een verkeerd wachtwoord gegeven: dan wordt een "
    "gebruiker een minuut tot een uur geblokkeerd. Een beheerder van deze NRC kan een ander wachtwoord geven "
    "met nrc user password."
)
_BUSY = "Er loggen op dit moment te veel mensen in. Probeer het over enkele seconden opnieuw."

log = logger(__name__)


def login_page(templates: Templates) -> Handler:
    """Shows the form, and takes it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        to = request.query.get("naar", "")
        to = to if _TO.fullmatch(to) else ""
        if request.method in SAFE:
            return _form(templates, request, to)
        console = request.app[CONSOLE]
        form = await read_form(request)
        name, address = form.text("naam"), sessions.client_address(request, console.settings)
        operator = Operator(read_user_name(name) or "", "console inloggen", address=address)
        notes = console.acts_of(operator)
        try:
            user = await attempt(console, notes, name, form.as_typed("wachtwoord"), address=address)
        except Overloaded:
            console.counts.logins["busy"] += 1
            return _form(templates, request, to, name=name, fault=_BUSY, status=503)
        if user is None:
            console.counts.logins["failed"] += 1
            return _form(templates, request, to, name=name, fault=_WRONG, status=401)
        response = web.Response(status=303, headers={"Location": root_of(request) + to})
        await sessions.begin(request, response, console, user)
        await notes.record("user logged in", name=user.name)
        return response

    return handle


def _form(
    templates: Templates, request: web.Request, to: str, *, name: str = "", fault: str = "", status: int = 200
) -> web.Response:
    text = templates.bare("login.html", root=root_of(request), to=to, name=name, fault=fault)
    return web.Response(text=text, content_type=HTML, status=status)


async def log_out(request: web.Request) -> web.StreamResponse:
    """End this session; also when it had ended already."""
    console = request.app[CONSOLE]
    who = await sessions.logged_in(request, console)
    response = web.Response(status=303, headers={"Location": root_of(request) + "inloggen/"})
    if who is not None:
        if not has_token(await read_form(request), who.form_token):
            raise web.HTTPForbidden
        await console.registry.users.end_session(who.session.key)
    sessions.forget(request, response, console.settings)
    return response
